//! A feed that is published to, and the streams that take its samples, as sources.

use super::{
    flow::Flow,
    publisher::{CLOSED, Phase, PublishSlot},
    status::Status,
};
use crate::{
    ipc::{Ended, Track, TrackKind},
    media::{MediaKind, TrackInfo, TrackSet, codec::CodecParameters},
    stream::{Entrances, KeyframeRequests},
};
use futures_util::{FutureExt, future::select_all};
use std::time::{Duration, Instant};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

/// How often it is looked whether a publisher is silent.
const CHECK: Duration = Duration::from_millis(250);
/// Shortest pause between two keyframe requests of readers.
const KEYFRAME_PAUSE: Duration = Duration::from_millis(250);

/// A feed that is published to: it runs as long as it is configured.
#[derive(Debug, Clone)]
pub struct PublishSource {
    /// Where it is published to.
    pub slot: PublishSlot,
    /// Where its tracks are reported.
    pub status: Status,
}

/// A stream of the samples of such a feed: it takes them while it is used.
#[derive(Debug, Clone)]
pub struct PublishedSource {
    /// Where they come from.
    pub slot: PublishSlot,
    /// Where they go.
    pub entrances: Entrances,
    /// Where the tracks are reported.
    pub status: Status,
}

impl PublishSource {
    /// See [`super::Source::run`]. Ends when it is stopped.
    pub async fn run(self, stop: CancellationToken, flow: watch::Sender<Flow>) -> Ended {
        let mut phase = self.slot.phase();
        let mut check = interval(CHECK);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let now = *phase.borrow_and_update();
            report(now, &self.slot, &self.status, &flow, Flow::NoPublisher);
            tokio::select! {
                () = stop.cancelled() => break,
                // The slot lives as long as this.
                _ = phase.changed() => {}
                _ = check.tick(), if now != Phase::Vacant => self.slot.expire(Instant::now()),
            }
        }
        self.slot.kick(CLOSED);
        self.status.set_tracks(Vec::new());
        Ended::Stopped
    }
}

impl PublishedSource {
    /// See [`super::Source::run`]. Ends when it is stopped.
    pub async fn run(self, stop: CancellationToken, flow: watch::Sender<Flow>) -> Ended {
        let mut phase = self.slot.phase();
        let number = self.slot.attach(self.entrances.clone());
        let requests = relay_keyframe_requests(&self.slot, self.entrances.keyframe_requests());
        tokio::pin!(requests);
        loop {
            report(*phase.borrow_and_update(), &self.slot, &self.status, &flow, Flow::NoPublisher);
            tokio::select! {
                () = stop.cancelled() => break,
                _ = phase.changed() => {}
                () = &mut requests => {}
            }
        }
        self.slot.detach(number);
        Ended::Stopped
    }
}

/// Reports whether media comes, or `otherwise`, and its tracks.
pub(super) fn report(phase: Phase, slot: &PublishSlot, status: &Status, flow: &watch::Sender<Flow>, otherwise: Flow) {
    let now = if phase == Phase::Live { Flow::Media } else { otherwise };
    flow.send_if_modified(|flow| {
        let is_news = *flow != now;
        *flow = now;
        is_news
    });
    let tracks = slot.tracks().filter(|_| phase == Phase::Live);
    status.set_tracks(tracks.as_ref().map(described).unwrap_or_default());
}

/// Never ends.
async fn relay_keyframe_requests(slot: &PublishSlot, requests: Vec<watch::Receiver<KeyframeRequests>>) {
    let seen = |request: watch::Receiver<KeyframeRequests>| {
        let seen = request.borrow().seen();
        (seen, request)
    };
    let mut requests: Vec<_> = requests.into_iter().map(seen).collect();
    loop {
        if requests.is_empty() {
            return std::future::pending().await;
        }
        let any = select_all(requests.iter_mut().map(|(_, request)| request.changed().boxed()));
        let (changed, place, _) = any.await;
        if changed.is_err() {
            drop(requests.remove(place));
            continue;
        }
        let Some((seen, request)) = requests.get_mut(place) else { continue };
        let now = request.borrow_and_update().clone();
        // A publisher is not asked in advance.
        if now.has_soon(std::mem::replace(seen, now.seen())) {
            slot.want_keyframe();
            tokio::time::sleep(KEYFRAME_PAUSE).await;
        }
    }
}

/// The tracks as a worker describes those of other feeds.
fn described(tracks: &TrackSet) -> Vec<Track> {
    tracks
        .tracks()
        .iter()
        .map(|track| Track { kind: kind(track), encoded: !is_raw(track), caps: caps(track) })
        .collect()
}

fn is_raw(track: &TrackInfo) -> bool {
    matches!(track.codec, CodecParameters::Raw(_))
}

fn kind(track: &TrackInfo) -> TrackKind {
    match track.kind() {
        MediaKind::Video => TrackKind::Video,
        MediaKind::Audio => TrackKind::Audio,
    }
}

/// What GStreamer would call it.
fn caps(track: &TrackInfo) -> String {
    let name = match &track.codec {
        CodecParameters::Jpeg => "image/jpeg".to_owned(),
        CodecParameters::Raw(format) => format!("video/x-raw, format=(string){}", format.name()),
        CodecParameters::Aac(_) => "audio/mpeg, mpegversion=(int)4".to_owned(),
        CodecParameters::MpegAudio(audio) => format!("audio/mpeg, mpegversion=(int)1, layer=(int){}", audio.layer),
        CodecParameters::Mpeg1Video => "video/mpeg, mpegversion=(int)1".to_owned(),
        CodecParameters::Mpeg2Video => "video/mpeg, mpegversion=(int)2".to_owned(),
        CodecParameters::Mpeg4Visual(_) => "video/mpeg, mpegversion=(int)4".to_owned(),
        codec => {
            let letters = codec.name().chars().filter(char::is_ascii_alphanumeric);
            let name: String = letters.map(|letter| letter.to_ascii_lowercase()).collect();
            format!("{}/x-{name}", if codec.is_video() { "video" } else { "audio" })
        }
    };
    match (track.video(), track.audio()) {
        (Some(video), _) => {
            let (frames, seconds) = video.frame_rate.unwrap_or((0, 1));
            let (width, height) = (video.width, video.height);
            format!("{name}, width=(int){width}, height=(int){height}, framerate=(fraction){frames}/{seconds}")
        }
        (None, Some(audio)) => format!("{name}, rate=(int){}, channels=(int){}", audio.rate, audio.channels),
        (None, None) => name,
    }
}
