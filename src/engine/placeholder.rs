//! What viewers see of a stream while its feeds deliver nothing: another worker makes the same stream of a card with a
//! text, or of an image, until there is media again.

use crate::{
    config::{FeedName, Placeholder},
    ipc::{self, Ended, FeedPlan, FeedSource, Item, Plan, StreamPlan, Track, TrackKind},
    source::{
        demand::Demand,
        flow::Flow,
        pool::Pool,
        status::{Record, Status},
        worker_group::{GroupConfig, ItemSource, WorkerGroup},
    },
    stream::{Entrances, StreamInput},
    sys::Shutdown,
    telemetry::{FailureLog, Report},
};
use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use std::{
    collections::BTreeMap,
    fmt::Write,
    path::Path,
    time::{Duration, Instant},
};
use tokio::{sync::watch, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// How often the task checks whether the source delivers.
const POLL: Duration = Duration::from_millis(100);
/// A source that has delivered nothing this long after its first use is away.
const SLOW_START: Duration = Duration::from_millis(250);
/// A source that has been silent this long is away, unless its usual pauses are as long.
const AWAY: Duration = Duration::from_secs(1);
/// A source may be silent for this many of its usual pauses.
const PAUSES: u32 = 3;
/// Pause after a placeholder that failed.
const RETRY_PAUSE: Duration = Duration::from_secs(5);
/// Most characters of a reason on a card.
const REASON_LENGTH: usize = 160;
/// Width, height and frame rate of a card when those of the feed are not known yet.
const DEFAULT_VIDEO: (&str, &str, &str) = ("640", "360", "25/1");
/// Number of the one feed of a placeholder's plan.
const FEED: u32 = 0;
/// The main encoding of a stream, among its parts.
const MAIN: usize = 0;

/// A placeholder as it is configured.
#[derive(Debug, Clone, PartialEq)]
pub struct PlaceholderSpec {
    /// What it shows.
    pub shows: Placeholder,
    /// The encodings of the stream as its own worker makes them, the main one first.
    pub encodings: Vec<StreamPlan>,
    /// The feeds of the stream.
    pub feeds: Vec<FeedName>,
    /// See [`Plan::epoch`].
    pub epoch: u64,
    /// Memory in bytes that its worker may have.
    pub memory_max: Option<u64>,
}

/// The task behind the placeholder of one stream.
#[derive(Debug)]
pub struct PlaceholderTask {
    /// Its configuration.
    pub spec: PlaceholderSpec,
    /// For each encoding of the stream: where its samples enter.
    pub parts: Vec<PlaceholderPart>,
    /// The state of the stream.
    pub status: Status,
    /// The state of each of its feeds.
    pub feeds: Vec<Status>,
    /// Where its worker comes from.
    pub pool: Pool,
    /// Ends its tasks.
    pub shutdown: Shutdown,
}

/// One encoding of a stream that has a placeholder.
#[derive(Debug)]
pub struct PlaceholderPart {
    /// Where its samples enter.
    pub input: StreamInput,
    /// Its users.
    pub demand: Demand,
}

impl PlaceholderTask {
    /// Runs until `stop`. Not cancel-safe: viewers may be left with a frozen frame.
    pub async fn run(self, stop: CancellationToken) {
        let Some(mut demand) = self.parts.first().map(|main| main.demand.watch()) else { return };
        let mut repeats = FailureLog::default();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                used = demand.wait_for(|count| *count > 0) => if used.is_err() { return },
            }
            let in_use_since = Instant::now();
            while *demand.borrow() > 0 {
                if self.is_away(in_use_since) {
                    let ended = self.show(in_use_since, &stop).await;
                    if let Some(reason) = ended {
                        self.report(&reason, &mut repeats);
                        tokio::select! {
                            () = stop.cancelled() => return,
                            () = tokio::time::sleep(RETRY_PAUSE) => {}
                        }
                    }
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(POLL) => {}
                    // It never closes before this task.
                    _ = demand.changed() => {}
                }
            }
        }
    }

    fn is_away(&self, in_use_since: Instant) -> bool {
        let silence = self.parts.first().and_then(|main| main.input.silence());
        is_away(silence, in_use_since.elapsed())
    }

    fn name(&self) -> &str {
        self.spec.encodings.first().map(|main| main.name.as_str()).unwrap_or_default()
    }

    /// The encodings that are in use, by their numbers.
    fn in_use(&self) -> Vec<usize> {
        let parts = self.parts.iter().enumerate();
        parts.filter(|(_, part)| part.demand.is_used()).map(|(number, _)| number).collect()
    }

    /// Shows the placeholder of a stream that has been in use since then, until the source delivers, there are no users,
    /// or `stop`. Returns why it failed, if it did.
    async fn show(&self, in_use_since: Instant, stop: &CancellationToken) -> Option<String> {
        let name = self.name();
        let stop = stop.child_token();
        let (group, task) = WorkerGroup::new(self.group_config(), self.pool.clone(), stop.clone());
        self.shutdown.spawn(format!("placeholder of {name}"), task);
        let mut caption = self.caption();
        tracing::info!(stream = name, reason = caption.replace('\n', ": "), "placeholder on");
        group.caption(FEED, caption.clone()).await;
        self.status.set_placeholder(true);
        let run = |item, entrances| {
            let source = ItemSource { group: group.clone(), item, entrances };
            source.run(stop.clone(), watch::Sender::new(Flow::Nothing)).boxed()
        };
        let in_use = self.in_use();
        let encodings = in_use.iter().filter_map(|part| Some((*part, self.parts.get(*part)?)));
        let encodings = encodings.map(|(part, entrance)| {
            run(Item::Stream(number(part)), Some(Entrances::of(entrance.input.for_placeholder())))
        });
        let mut running: FuturesUnordered<_> = encodings.chain([run(Item::Feed(FEED), None)]).collect();
        let mut look = tokio::time::interval(POLL);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let began = Instant::now();
        let ended = loop {
            tokio::select! {
                Some(ended) = running.next() => break why(ended),
                _ = look.tick() => {
                    let now_in_use = self.in_use();
                    // One that is new in use has to run, too: all begin again.
                    let is_complete = now_in_use.iter().all(|part| in_use.contains(part));
                    if !now_in_use.contains(&MAIN) || !is_complete || !self.is_away(in_use_since) {
                        break None;
                    }
                    let now = self.caption();
                    if now != caption {
                        group.caption(FEED, now.clone()).await;
                        caption = now;
                    }
                }
            }
        };
        self.status.set_placeholder(false);
        // An end during shutdown is no failure.
        let ended = ended.filter(|_| !stop.is_cancelled());
        stop.cancel();
        if ended.is_none() {
            let seconds = began.elapsed().as_secs_f32();
            tracing::info!(stream = name, seconds, "placeholder off");
        }
        ended
    }

    fn group_config(&self) -> GroupConfig {
        let PlaceholderSpec { shows, encodings, epoch, memory_max, .. } = &self.spec;
        let tracks: Vec<Track> = self.feeds.iter().flat_map(|feed| feed.read().last_tracks).collect();
        let texts = encodings.first().map_or(&ipc::Encoding::Copy, |main| &main.encoding);
        let source = FeedSource::Launch(launch(shows, texts, &tracks));
        let feed = FeedPlan { name: format!("placeholder of {}", self.name()), source, fps: None };
        let plan =
            |(part, plan): (usize, &StreamPlan)| (number(part), StreamPlan { feeds: vec![FEED], ..plan.clone() });
        let entrances = |(part, entrance): (usize, &PlaceholderPart)| {
            (number(part), Entrances::of(entrance.input.for_placeholder()))
        };
        GroupConfig {
            name: feed.name.clone(),
            plan: Plan {
                epoch: *epoch,
                feeds: BTreeMap::from([(FEED, feed)]),
                streams: encodings.iter().enumerate().map(plan).collect(),
            },
            feeds: BTreeMap::new(),
            streams: self.parts.iter().enumerate().map(entrances).collect(),
            statuses: BTreeMap::new(),
            memory_max: *memory_max,
        }
    }

    fn caption(&self) -> String {
        let feeds = self.spec.feeds.iter().zip(&self.feeds).map(|(name, status)| (name.as_str(), status.read()));
        caption(&self.spec.shows, feeds)
    }

    fn report(&self, reason: &str, repeats: &mut FailureLog) {
        let stream = self.name();
        match repeats.failed(Instant::now()) {
            Some(Report::First) => tracing::warn!(stream, reason, "placeholder failed"),
            Some(Report::Again(times)) => tracing::warn!(stream, times, reason, "placeholder keeps failing"),
            None => {}
        }
    }
}

/// The number of a part of the stream in the plan of its placeholder.
fn number(part: usize) -> u32 {
    u32::try_from(part).unwrap_or(u32::MAX)
}

/// Whether a source delivers nothing. `silence`: for how long, and how long its pauses usually are; `in_use`: for how long it has
/// had users.
fn is_away(silence: Option<(Duration, Duration)>, in_use: Duration) -> bool {
    match silence {
        Some((silence, usual)) => silence > AWAY.max(usual * PAUSES),
        None => in_use > SLOW_START,
    }
}

fn why(ended: Ended) -> Option<String> {
    match ended {
        Ended::Stopped => None,
        Ended::EndOfStream => Some("end of stream".to_owned()),
        Ended::Failed(why) | Ended::NoDevice { why, .. } => Some(why),
    }
}

/// The text of a card: for each feed its name, its state, and why it last failed.
fn caption<'a>(shows: &Placeholder, feeds: impl Iterator<Item = (&'a str, Record)>) -> String {
    match shows {
        Placeholder::Text(text) => return escaped(text),
        Placeholder::Picture(_) => return String::new(),
        Placeholder::Reason => {}
    }
    let mut lines = String::new();
    for (name, record) in feeds {
        let state = if record.state.has_media() { "no video" } else { record.state.word() };
        let _ = write!(lines, "{name}\n{state}\n");
        if let Some((reason, _)) = record.last_failure.filter(|_| !record.state.has_media()) {
            let short: String = reason.chars().take(REASON_LENGTH).collect();
            let _ = writeln!(lines, "{short}");
        }
    }
    escaped(lines.trim_end())
}

/// A text without Pango markup.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The pipeline of a placeholder, with tracks like those that it replaces.
fn launch(shows: &Placeholder, encoding: &ipc::Encoding, tracks: &[Track]) -> String {
    let wants = |kind: TrackKind| match encoding {
        _ if !tracks.is_empty() => tracks.iter().any(|track| track.kind == kind),
        ipc::Encoding::Launch(texts) => texts.iter().any(|text| text.contains(&format!("{}.", kind.word()))),
        ipc::Encoding::Copy => kind == TrackKind::Video,
    };
    let known = |kind: TrackKind, field: &str| tracks.iter().find(|track| track.kind == kind)?.field(field);
    let mut text = String::new();
    if wants(TrackKind::Video) {
        let video = |field, usual| known(TrackKind::Video, field).unwrap_or(usual);
        let (width, height, rate) =
            (video("width", DEFAULT_VIDEO.0), video("height", DEFAULT_VIDEO.1), video("framerate", DEFAULT_VIDEO.2));
        // A variable frame rate has no value here.
        let rate = if rate.starts_with("0/") { DEFAULT_VIDEO.2 } else { rate };
        let size = format!("video/x-raw,format=I420,width={width},height={height},pixel-aspect-ratio=1/1");
        text += &match shows {
            Placeholder::Picture(path) => format!(
                "filesrc location={} ! decodebin ! videoconvert ! videoscale add-borders=true ! {size} \
                 ! imagefreeze is-live=true ! video/x-raw,framerate={rate} ! identity ",
                quoted(path)
            ),
            Placeholder::Reason | Placeholder::Text(_) => format!(
                "videotestsrc is-live=true pattern=solid-color foreground-color=0xff1d2733 ! {size},framerate={rate} \
                 ! textoverlay name=caption valignment=center font-desc=Sans "
            ),
        };
    }
    if wants(TrackKind::Audio) {
        let audio = |field, usual| known(TrackKind::Audio, field).unwrap_or(usual);
        let (rate, channels) = (audio("rate", "48000"), audio("channels", "2"));
        let _ = write!(text, "audiotestsrc is-live=true wave=silence ! audio/x-raw,rate={rate},channels={channels} ");
    }
    text
}

/// A path as a value in a pipeline.
fn quoted(path: &Path) -> String {
    let path = path.to_string_lossy();
    format!("\"{}\"", path.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::lifecycle::State;
    use std::time::SystemTime;

    const MILLI: Duration = Duration::from_millis(1);

    #[test]
    fn a_source_is_away_when_it_is_silent_for_longer_than_usual() {
        assert!(!is_away(None, 200 * MILLI) && is_away(None, 300 * MILLI));
        for (silence, usual, away) in [(900, 40, false), (1100, 40, true), (1100, 1000, false), (3100, 1000, true)] {
            assert_eq!(is_away(Some((silence * MILLI, usual * MILLI)), MILLI), away, "{silence} of {usual}");
        }
    }

    #[test]
    fn a_card_names_the_feed_and_the_reason() {
        let (running, absent) = (Status::default(), Status::default());
        running.set_state(State::Running { since: Instant::now() }, SystemTime::now());
        running.ended(Some("an earlier failure"), SystemTime::now());
        absent.set_state(State::WaitingDevice, SystemTime::now());
        absent.ended(Some(&format!("/dev/video0 not found: {}", "x".repeat(400))), SystemTime::now());
        let feeds = || [("mic", running.read()), ("cam", absent.read())].into_iter();
        let text = caption(&Placeholder::Reason, feeds());
        assert!(text.starts_with("mic\nno video\ncam\nwaiting-device\n/dev/video0 not found: x"), "{text}");
        assert!(text.len() < 220);
        assert_eq!(caption(&Placeholder::Text("a <b> & c".into()), feeds()), "a &lt;b&gt; &amp; c");
    }

    #[test]
    fn a_card_has_tracks_like_those_it_replaces() {
        let track = |kind, caps: &str| Track { kind, encoded: false, caps: caps.to_owned() };
        let known = [
            track(TrackKind::Video, "video/x-raw, width=(int)1280, height=720, framerate=(fraction)30000/1001"),
            track(TrackKind::Audio, "audio/x-raw, rate=(int)44100, channels=(int)1, layout=(string)interleaved"),
        ];
        let text = "video. ! x264enc ! mux. audio. ! avenc_aac ! mux. mpegtsmux name=mux";
        let both = ipc::Encoding::Launch(vec![text.to_owned()]);
        let card = launch(&Placeholder::Reason, &both, &known);
        for part in ["width=1280,height=720,", "framerate=30000/1001 ", "rate=44100,channels=1 "] {
            assert!(card.contains(part), "{part} in {card}");
        }
        let card = launch(&Placeholder::Reason, &both, &known[..1]);
        assert!(!card.contains("audiotestsrc"), "{card}");
        let card = launch(&Placeholder::Reason, &both, &[]);
        assert!(card.contains("width=640,height=360") && card.contains("rate=48000,channels=2"), "{card}");
        let varies = [track(TrackKind::Video, "video/x-vp8, width=(int)320, height=(int)240, framerate=(fraction)0/1")];
        let card = launch(&Placeholder::Picture("/a \"b\".png".into()), &ipc::Encoding::Copy, &varies);
        assert!(card.contains(r#"location="/a \"b\".png" "#) && card.contains("framerate=25/1"), "{card}");
    }
}
