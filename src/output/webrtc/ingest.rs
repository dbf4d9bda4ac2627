//! What a publisher sends over WebRTC, on its way into the slot of a feed. Time comes in as a value.

use super::{
    keyframes::{AwaitedKeyframe, KeyframeRequests},
    session::{Out, Received, Session},
};
use crate::{
    media::{
        MediaKind, Sample, Time, TrackId, TrackInfo, TrackSet,
        codec::{
            canonical::{Canonicalizer, SourceForm},
            opus,
        },
    },
    output::publish::permit::Permit,
    source::publisher::{LEFT, Publisher},
};
use futures_util::FutureExt;
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// How long audio waits for the first keyframe of the video: tracks that come together need no second header.
const TOGETHER: Duration = Duration::from_secs(3);
/// Clocks of a sender that are further apart than this are none.
const MAX_SKEW: i64 = 2_000_000_000;
/// How long a client may take to connect after its offer was answered.
const CONNECT_WITHIN: Duration = Duration::from_secs(15);

/// A publisher as its shard knows it.
#[derive(Debug)]
pub struct Ingest {
    /// Its connection.
    pub session: Session,
    /// When the shard looks at it next.
    pub scheduled: Option<Instant>,
    /// From where it has sent.
    pub addresses: Vec<SocketAddr>,
    /// Why it leaves.
    pub reason: &'static str,
    permit: Permit,
    keyframes: KeyframeRequests,
    since: Instant,
    first: Option<Instant>,
    /// Where its media goes: the slot of its feed, then those of smaller layers of its video.
    layers: Vec<Layer>,
    audio: Option<Track>,
    has_video: bool,
    has_audio: bool,
    /// The audio is where it belongs.
    is_aligned: bool,
}

/// Video of one size, with the audio.
#[derive(Debug)]
struct Layer {
    /// `None` once its slot was taken away.
    publisher: Option<Publisher>,
    wishes: watch::Receiver<()>,
    awaited: AwaitedKeyframe,
    video: Option<Track>,
    /// The slot knows the tracks.
    is_announced: bool,
    /// Its clock is that of the first layer.
    is_aligned: bool,
}

/// One track.
#[derive(Debug)]
struct Track {
    canonicalizer: Canonicalizer,
    /// Of the codec, to notice another one.
    codec: &'static str,
    /// From the clock of RTP to ours, in nanoseconds.
    shift: i64,
    /// The clock of the sender, and that of RTP, at the same moment.
    report: Option<(i64, i64)>,
    /// Nothing leaves until a keyframe.
    is_broken: bool,
}

impl Ingest {
    /// A publisher whose offer is answered, which has the slot of its feed and those of layers. `has_video`, `has_audio`: what is announced.
    pub fn new(
        session: Session,
        (publisher, of_layers, permit): (Publisher, Vec<Publisher>, Permit),
        (has_video, has_audio): (bool, bool),
        now: Instant,
    ) -> Self {
        Self {
            session,
            scheduled: None,
            addresses: Vec::new(),
            reason: LEFT,
            permit,
            keyframes: KeyframeRequests::new(now),
            since: now,
            first: None,
            layers: std::iter::once(publisher).chain(of_layers).map(Layer::new).collect(),
            audio: None,
            has_video,
            has_audio,
            is_aligned: false,
        }
    }

    /// When there is something to do for it.
    pub fn due(&self) -> Instant {
        let awaited = self.layers.iter().filter_map(|layer| layer.awaited.due());
        self.keyframes.due().into_iter().chain(awaited).fold(self.session.due(), Instant::min)
    }

    /// A frame came, `entered` on the monotonic clock.
    pub fn receive(&mut self, received: Received, entered: Duration, now: Instant) {
        let first = *self.first.get_or_insert(now);
        self.look();
        let Received { kind, layer, codec, time, report, is_continuous, data } = received;
        let arrived = i64::try_from(entered.as_nanos()).unwrap_or(i64::MAX);
        let place = match kind {
            MediaKind::Video => self.layers.get_mut(layer).map(|layer| &mut layer.video),
            MediaKind::Audio => Some(&mut self.audio),
        };
        let Some(place) = place else { return };
        if place.as_ref().is_none_or(|track| track.codec != codec) {
            let Some(form) = form(codec) else { return };
            let shift = place.as_ref().map_or(arrived.saturating_sub(time), |track| track.shift);
            let canonicalizer = Canonicalizer::new(form);
            *place = Some(Track { canonicalizer, codec, shift, report: None, is_broken: kind == MediaKind::Video });
            let of_kind = |at: usize| kind == MediaKind::Audio || at == layer;
            let changed = self.layers.iter_mut().enumerate().filter(|(at, _)| of_kind(*at));
            changed.for_each(|(_, layer)| layer.is_announced = false);
        }
        let place = match kind {
            MediaKind::Video => self.layers.get_mut(layer).and_then(|layer| layer.video.as_mut()),
            MediaKind::Audio => self.audio.as_mut(),
        };
        let Some(track) = place else { return };
        track.report = report.or(track.report);
        track.is_broken |= kind == MediaKind::Video && !is_continuous;
        let canonical = track.canonicalizer.push(data);
        let is_lost = match &canonical {
            Some(unit) => track.is_broken && !unit.is_sync,
            None => kind == MediaKind::Video,
        };
        if is_lost {
            self.keyframes.want();
            return;
        }
        track.is_broken = false;
        let shift = track.shift;
        let Some(unit) = canonical else { return };
        self.align();
        let sample = |shift| {
            let time = Time::from_nanos(time.saturating_add(shift));
            Sample {
                track: id(kind),
                dts: time,
                pts: time,
                duration: None,
                is_sync: unit.is_sync,
                discontinuity: false,
                captured: None,
                entered: Some(entered),
                data: unit.data.clone(),
            }
        };
        let is_late = now.saturating_duration_since(first) >= TOGETHER;
        for (at, to) in self.layers.iter_mut().enumerate() {
            let Some(publisher) = &to.publisher else { continue };
            if kind == MediaKind::Video && at != layer {
                // A sender with little bandwidth pauses layers.
                publisher.is_expected();
                continue;
            }
            let has_begun = to.video.as_ref().is_some_and(|video| video.canonicalizer.parameters().is_some());
            if kind == MediaKind::Audio && self.has_video && !has_begun && !(is_late && at == 0) {
                continue;
            }
            if unit.parameters_changed || !to.is_announced {
                publisher.tracks(to.tracks(self.audio.as_ref(), self.has_audio));
                to.is_announced = true;
            }
            if kind == MediaKind::Video && unit.is_sync {
                to.awaited.came();
            }
            publisher.sample(sample(shift));
        }
    }

    /// Requests a keyframe that readers want, or that is needed to continue.
    pub fn pump(&mut self, now: Instant, out: &mut Out) {
        self.look();
        if self.keyframes.take(now) {
            // All layers together, so that those of one time have their keyframes at the same time.
            self.session.request_keyframe(|_| true);
            self.layers.iter_mut().for_each(|layer| layer.awaited.requested(now));
        }
        let is_late = |layer: &Layer| layer.awaited.due().is_some_and(|due| due <= now);
        if self.layers.iter().any(is_late) {
            self.session.request_keyframe(|number| self.layers.get(number).is_some_and(is_late));
            self.layers.iter_mut().for_each(|layer| _ = layer.awaited.take(now));
        }
        self.session.timeout(now, out);
    }

    /// Looks whether readers want a keyframe.
    fn look(&mut self) {
        for layer in &mut self.layers {
            if layer.wishes.has_changed().unwrap_or(false) {
                layer.wishes.mark_unchanged();
                self.keyframes.want();
            }
        }
    }

    /// Why it has to leave, if it has. A layer whose slot was taken away is not sent any more.
    pub fn check(&mut self, now: Instant) -> Option<&'static str> {
        let ended = |layer: &Layer| layer.publisher.as_ref().and_then(|publisher| publisher.ended().now_or_never());
        let of_slot = self.layers.first().and_then(ended);
        for layer in self.layers.iter_mut().skip(1) {
            if let Some(reason) = ended(layer)
                && let Some(publisher) = layer.publisher.take()
            {
                publisher.finish(reason);
            }
        }
        let is_late = self.first.is_none() && now.saturating_duration_since(self.since) > CONNECT_WITHIN;
        let of_permit = || self.permit.ended().now_or_never();
        of_slot.or_else(of_permit).or(is_late.then_some("not connected in time"))
    }

    /// The clock of each track begins with the arrival of its first frame. Once the sender has told what its clock was for two of them,
    /// the second one is moved to where it belongs: audio, and smaller layers, to the first layer.
    fn align(&mut self) {
        let Some((main, smaller)) = self.layers.split_first_mut() else { return };
        let Some(main) = &main.video else { return };
        if let Some(audio) = self.audio.as_mut().filter(|_| !self.is_aligned) {
            self.is_aligned = audio.align_with(main);
        }
        for layer in smaller.iter_mut().filter(|layer| !layer.is_aligned) {
            layer.is_aligned = layer.video.as_mut().is_some_and(|video| video.align_with(main));
        }
    }
}

impl Layer {
    fn new(publisher: Publisher) -> Self {
        let mut wishes = publisher.keyframe_requests();
        wishes.mark_unchanged();
        Self {
            publisher: Some(publisher),
            wishes,
            awaited: AwaitedKeyframe::default(),
            video: None,
            is_announced: false,
            is_aligned: false,
        }
    }

    /// The tracks whose parameters are known. Audio that is announced is known before its first frame, so that the video need not begin
    /// again for it.
    fn tracks(&self, audio: Option<&Track>, has_audio: bool) -> TrackSet {
        let info = |kind, canonicalizer: &Canonicalizer| {
            let (codec, shape) = canonicalizer.parameters()?;
            Some(TrackInfo { id: id(kind), codec: codec.clone(), shape })
        };
        let video = self.video.as_ref().and_then(|track| info(MediaKind::Video, &track.canonicalizer));
        let expected = || info(MediaKind::Audio, &Canonicalizer::new(form("opus")?)).filter(|_| has_audio);
        let audio = match audio {
            Some(track) => info(MediaKind::Audio, &track.canonicalizer),
            None => expected(),
        };
        TrackSet::new(video.into_iter().chain(audio).collect())
    }
}

impl Track {
    /// Moves it to the clock of another track, if the sender has told both; whether it has.
    fn align_with(&mut self, main: &Self) -> bool {
        let (Some(of_main), Some(own)) = (main.report, self.report) else { return false };
        let ours = |(sender, rtp): (i64, i64), shift: i64| rtp.saturating_add(shift).saturating_sub(sender);
        let skew = ours(own, self.shift).saturating_sub(ours(of_main, main.shift));
        if skew.abs() < MAX_SKEW {
            self.shift -= skew;
        }
        true
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        for publisher in self.layers.drain(..).filter_map(|layer| layer.publisher) {
            publisher.finish(self.reason);
        }
    }
}

fn id(kind: MediaKind) -> TrackId {
    TrackId(if kind == MediaKind::Video { 0 } else { 1 })
}

/// As str0m puts frames together.
fn form(codec: &str) -> Option<SourceForm> {
    Some(match codec {
        "h264" => SourceForm::H264AnnexB,
        "vp8" => SourceForm::Vp8,
        "vp9" => SourceForm::Vp9,
        "av1" => SourceForm::Av1ObuStream(None),
        "opus" => SourceForm::Opus(opus::Parameters::simple(2)),
        _ => return None,
    })
}
