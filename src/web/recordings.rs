//! `/recordings`: what was recorded of each stream, on a line for a day, to play, find and download. The line and the player are made by
//! the script; without it there are links to the newest minutes and to the lists.

use super::{
    page::{Menu, Page},
    player::javascript,
};
use crate::{
    access::{Access, Action, Decision, Subject},
    media::Container,
    status::{
        human::readable,
        recording::Recording,
        snapshot::{StatusReader, Stream},
    },
};
use jiff::Timestamp;
use maud::{Markup, html};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Its path.
pub const PATH: &str = "/recordings";
/// Path of its script.
pub const SCRIPT_PATH: &str = "/recordings.js";
const SCRIPT: &str = include_str!("recordings.js");
/// The newest minutes, of which there is a link.
const NEWEST: &str = "10m";
const NEWEST_SECONDS: i64 = 600;

const STYLE: &str = "
.when,.span{display:flex;flex-wrap:wrap;gap:.5rem;align-items:center;margin-bottom:1rem}.when[hidden],.span[hidden]{display:none}
input{font:inherit;color:var(--ink);background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.25rem .5rem;min-height:2.25rem}
.when button[aria-pressed=true]{border-color:var(--mark);font-weight:600}
video{width:100%;max-height:60vh;background:#101418;border-radius:var(--round);display:block;margin-bottom:.75rem}video[hidden]{display:none}
article{padding:.75rem 1rem 1rem;margin-bottom:.75rem}
.line{position:relative;height:2.5rem;margin-top:.5rem;background:var(--well);border-radius:.375rem;overflow:hidden;touch-action:pan-y}
.line button{position:absolute;top:0;bottom:0;min-height:0;min-width:3px;padding:0;border:0;border-radius:0;background:var(--mark)}.line button:hover{filter:brightness(1.2)}
.strip{display:block;width:100%;min-height:1.5rem;margin-top:.5rem;border-radius:.375rem;cursor:pointer}.strip[hidden]{display:none}
article nav{margin-top:.375rem}.clips{display:flex;flex-wrap:wrap;gap:.25rem 1rem;margin:.25rem 0}.clips:empty{display:none}
.line button.kept{background:var(--good)}
.line button:focus-visible{outline:2px solid var(--ink);outline-offset:-2px}
.line i{position:absolute;top:0;bottom:0;width:2px;background:var(--bad);pointer-events:none}.line u{position:absolute;top:0;bottom:0;background:var(--busy);opacity:.5;pointer-events:none}
.hours{position:relative;height:1.25rem;font-size:.75rem;color:var(--soft);font-variant-numeric:tabular-nums}.hours span{position:absolute;transform:translateX(-50%)}
.hours span:first-child{transform:none}@media(max-width:40rem){.hours span:nth-child(even){display:none}}
.button[hidden]{display:none}#notice{margin:0 0 .75rem}#notice:empty{display:none}
";

/// The page, with the streams whose recordings `access` may have.
pub fn page(reader: &StatusReader, menu: &Menu, access: &Access) -> warp::reply::Response {
    let snapshot = reader.snapshot().seen_by(access);
    let may = |name: &str| matches!(access.decide(Action::Playback, Subject::Stream(name)), Decision::Allowed { .. });
    let recorded = snapshot.streams.iter().filter_map(|stream| Some((stream, stream.recording.as_ref()?)));
    let recorded: Vec<_> = recorded.filter(|(stream, _)| may(&stream.name)).collect();
    let may_change =
        |name: &str| matches!(access.decide(Action::Record, Subject::Stream(name)), Decision::Allowed { .. });
    let page = Page {
        title: "Recordings",
        here: PATH,
        menu,
        access,
        style: STYLE,
        script: (!recorded.is_empty()).then_some(SCRIPT_PATH),
        makes_media: true,
        period: None,
        header: html! { p { (count(recorded.len())) } },
        main: html! {
            @if recorded.is_empty() {
                p.kind { "There is nothing that you may play: no stream is recorded, or recordings are for others. " }
            } @else {
                video id="player" controls playsinline hidden {}
                (controls())
                p id="notice" aria-live="polite" {}
                @for (stream, recording) in &recorded { (row(stream, recording, may_change(&stream.name))) }
            }
        },
    };
    page.response()
}

/// The script of the page.
pub fn script() -> warp::reply::Response {
    javascript(SCRIPT)
}

fn count(streams: usize) -> String {
    match streams {
        1 => "1 stream".to_owned(),
        n => format!("{n} streams"),
    }
}

/// What of time is shown, and what is chosen of it.
fn controls() -> Markup {
    html! {
        div.when hidden {
            button id="back" type="button" aria-label="Earlier" { "‹" }
            label { span.kind { "Day " } input id="day" type="date"; }
            button id="on" type="button" aria-label="Later" { "›" }
            button id="now" type="button" { "Now" }
            @for (hours, label) in [(24, "Day"), (6, "6 hours"), (1, "1 hour")] {
                button type="button" data-hours=(hours) aria-pressed=(hours == 24) { (label) }
            }
        }
        form.span hidden {
            label { span.kind { "From " } input id="from" type="datetime-local" step="1" required; }
            label { span.kind { "to " } input id="to" type="datetime-local" step="1" required; }
            button type="submit" { "Play" }
            a.button id="download" hidden { "Download" }
            button id="save" type="button" hidden { "Save clip" }
            button id="protect" type="button" hidden { "Protect" }
            button id="unprotect" type="button" hidden { "Unprotect" }
            button id="delete" type="button" hidden { "Delete" }
            span.kind id="chosen" {}
        }
    }
}

fn row(stream: &Stream, recording: &Recording, may_change: bool) -> Markup {
    /// All but what RFC 3986 calls unreserved.
    const PLAIN: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    let root = format!("/rec/{}", utf8_percent_encode(&stream.name, &PLAIN));
    let (shape, word, class) = told(recording.state);
    let begin = Timestamp::now().as_second() - NEWEST_SECONDS;
    let kept = format!(
        "{} files, {}{}",
        recording.kept_files,
        readable("bytes", &recording.kept_bytes.into()),
        recording.free_bytes.map(|free| format!(", {} free", readable("bytes", &free.into()))).unwrap_or_default(),
    );
    let plays = stream.records_in == Some(Container::Mp4.name());
    html! {
        article aria-label=(stream.called()) data-stream=(stream.name) data-root=[plays.then_some(&root)] data-clips=(root.replacen("/rec/", "/api/v1/recordings/", 1) + "/clips") data-changes=[may_change.then(|| root.replacen("/rec/", "/api/v1/recordings/", 1))] {
            div.name { h2 { (stream.called()) } span class=(format!("badge {class}")) { span aria-hidden="true" { (shape) } " " (word) } }
            p.kind { (kept) (expected(recording)) @if let Some(error) = &recording.error { " · " (error) } }
            @if plays {
                img.strip hidden alt=(format!("Frames of {}", stream.called()));
                div.line hidden {}
                div.hours hidden aria-hidden="true" {}
                div.clips {}
                nav aria-label=(format!("Recordings of {}", stream.called())) {
                    a href=(format!("{root}/clip.mp4?from={begin}&for={NEWEST}")) { "The newest 10 minutes" }
                    a href=(format!("{root}/list")) { "All files of a month" }
                }
            } @else {
                p.kind { "It is not recorded in MP4, which is what can be played here: the files are in its folder." }
            }
        }
    }
}

/// How far back recordings will reach, and when the disk is full.
fn expected(recording: &Recording) -> String {
    let holds = recording.holds_seconds.map(|seconds| format!(" · keeps {}", span(seconds)));
    let full = recording.full_in_seconds.map(|seconds| format!(" · the disk is full in {}", span(seconds)));
    [holds, full].into_iter().flatten().collect()
}

/// A length of time, to about a tenth.
fn span(seconds: u64) -> String {
    let units = [(86_400, "days"), (3600, "hours"), (60, "minutes"), (1, "seconds")];
    let (length, name) = units.into_iter().find(|(length, _)| seconds >= 2 * length).unwrap_or((1, "seconds"));
    format!("{} {name}", seconds / length)
}

/// How the state of a recorder is shown: a shape, a word, and a class for its colour.
fn told(state: &'static str) -> (&'static str, &'static str, &'static str) {
    match state {
        "recording" => ("●", "Recording", "good"),
        "waiting" => ("○", "Waits for the stream", "calm"),
        "off" => ("○", "Off", "calm"),
        other => ("▲", other, "bad"),
    }
}
