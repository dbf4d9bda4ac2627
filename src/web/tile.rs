//! A stream as a tile: its newest still, its state, and what it is.

use super::offers::{container_of, has_video};
use crate::{
    access::{Access, Action, Decision, Subject},
    engine::registry::StreamHandle,
    ipc::{Track, TrackKind},
    media::Container,
    status::{human::readable, snapshot::Stream},
};
use maud::{Markup, PreEscaped, html};

/// What is to be seen of a stream before it plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Stills of it can be had.
    Video,
    /// It is audio alone.
    Audio,
    /// What it is depends on its bytes, or on the request.
    Other,
}

impl Look {
    /// That of a stream that viewers share.
    pub fn of(stream: &StreamHandle) -> Self {
        match has_video(stream) {
            _ if container_of(stream) == Container::Raw => Self::Other,
            true => Self::Video,
            false => Self::Audio,
        }
    }

    /// Its symbol, for those who see it: a screen, a wave, a sheet.
    pub fn symbol(self) -> Markup {
        let path = match self {
            Self::Video => "M3 5h18v12H3zM8 21h8M12 17v4",
            Self::Audio => "M3 10v4M7 6v12M11 9v6M15 4v16M19 8v8",
            Self::Other => "M6 3h8l4 4v14H6zM14 3v4h4M9 12h6M9 16h6",
        };
        html! {
            svg.symbol viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round"
                stroke-linejoin="round" aria-hidden="true" { (PreEscaped(format!("<path d=\"{path}\"/>"))) }
        }
    }
}

/// All states of a feed or stream.
pub const STATES: [&str; 12] = [
    "running",
    "lingering",
    "paused",
    "starting",
    "stopping",
    "idle",
    "waiting-publisher",
    "waiting-device",
    "no-signal",
    "stalled",
    "backoff",
    "dead",
];

/// How a state is shown: a shape, a word, and a class for its colour.
pub fn told(state: &str) -> (&'static str, &'static str, &'static str) {
    match state {
        "running" | "lingering" => ("●", "Live", "good"),
        "paused" => ("‖", "Paused", "busy"),
        "starting" => ("◐", "Starting", "busy"),
        "stopping" => ("◐", "Stopping", "busy"),
        "idle" => ("○", "Idle", "calm"),
        "waiting-publisher" => ("○", "Waits for a publisher", "calm"),
        "waiting-device" => ("▲", "No device", "bad"),
        "no-signal" => ("▲", "No signal", "bad"),
        "stalled" => ("▲", "Stalled", "bad"),
        "backoff" => ("▲", "Trying again", "bad"),
        "dead" => ("✕", "Failed", "bad"),
        _ => ("◐", "Unknown", "busy"),
    }
}

/// The state of a stream, and whether it is recorded now.
pub fn badges(stream: &Stream) -> Markup {
    let (shape, word, class) = told(stream.life.state);
    let is_recorded = stream.recording.as_ref().is_some_and(|recording| recording.state == "recording");
    html! {
        span.badges data-key=(format!("badges of {}", stream.name)) {
            @if is_recorded { span.badge.recorded { span aria-hidden="true" { "●" } " Recording" } }
            span class=(format!("badge {class}")) { span aria-hidden="true" { (shape) } " " (word) }
        }
    }
}

/// What a stream is and does, in a few words; `tells_viewers`: how many watch it, too.
pub fn facts(stream: &Stream, tells_viewers: bool) -> Vec<String> {
    let mut facts = Vec::new();
    let video = stream.tracks.iter().find(|track| track.kind == "video");
    if let Some((width, height)) = video.and_then(|video| video.width.zip(video.height)) {
        facts.push(format!("{width}×{height}"));
    }
    if let Some(fps) = video.and_then(|video| video.fps).filter(|fps| *fps > 0.0) {
        facts.push(format!("{fps} fps"));
    }
    if let (None, Some(audio)) = (video, stream.tracks.iter().find(|track| track.kind == "audio")) {
        facts.extend(audio.sample_rate.map(|rate| format!("{} kHz", f64::from(rate) / 1000.0)));
        facts.extend(audio.channels.map(|channels| match channels {
            1 => "mono".to_owned(),
            2 => "stereo".to_owned(),
            n => format!("{n} channels"),
        }));
    }
    if let Some(rate) = stream.written.bit_rate.filter(|rate| *rate > 0) {
        facts.push(readable("bit_rate", &rate.into()));
    }
    if tells_viewers {
        facts.push(viewers(stream.viewers.readers));
    }
    facts
}

/// `1 viewer`.
fn viewers(count: usize) -> String {
    match count {
        0 => "no viewers".to_owned(),
        1 => "1 viewer".to_owned(),
        n => format!("{n} viewers"),
    }
}

/// The still of a tile: the newest still of a stream that runs. The script has those of others taken one after the other, and keeps all
/// of them fresh while they are to be seen.
pub fn picture(stream: &StreamHandle, width: u32, access: &Access) -> Markup {
    let look = Look::of(stream);
    let still = format!("{}/pic?w={width}&q=60&max_age=5", stream.config.path.encoded());
    html! {
        (look.symbol())
        @if look == Look::Video && shows_now(stream) && permits_stills(stream, access) { img src=(format!("{still}&start=0")) alt="" loading="lazy"; }
    }
}

/// Whether stills of the stream may be taken.
fn permits_stills(stream: &StreamHandle, access: &Access) -> bool {
    let subject = Subject::Stream(stream.config.name.as_str());
    matches!(access.decide(Action::Still, subject), Decision::Allowed { .. })
}

/// Where stills of a tile are; none where there is no video, or they are for others.
pub fn still(stream: &StreamHandle, width: u32, access: &Access) -> Option<String> {
    let address = || format!("{}/pic?w={width}&q=60&max_age=5", stream.config.path.encoded());
    (Look::of(stream) == Look::Video && permits_stills(stream, access)).then(address)
}

/// Whether a still of the stream can be had without starting anything.
pub fn shows_now(stream: &StreamHandle) -> bool {
    let record = stream.status.read();
    let is_audio = |track: &Track| track.kind == TrackKind::Audio;
    // The tracks of a worker are known a moment after its start.
    let may_show =
        if record.tracks.is_empty() { stream.in_plan.is_none() } else { !record.tracks.iter().all(is_audio) };
    record.state.has_media() && may_show
}

/// What the script may do for a still: `now`, where the stream runs, `once`, where it has to be started, nothing where it is in trouble.
pub fn still_when(stream: &StreamHandle) -> &'static str {
    match stream.status.read().state.word() {
        _ if shows_now(stream) => "now",
        "idle" => "once",
        _ => "",
    }
}
