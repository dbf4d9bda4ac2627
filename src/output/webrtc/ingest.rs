//! What a publisher sends over WebRTC, on its way into the slot of a feed. Time comes in as a value.

use super::{
    keyframes::KeyframeRequests,
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
    publisher: Option<Publisher>,
    permit: Permit,
    wishes: watch::Receiver<()>,
    keyframes: KeyframeRequests,
    since: Instant,
    first: Option<Instant>,
    video: Option<Track>,
    audio: Option<Track>,
    has_video: bool,
    has_audio: bool,
    /// The slot knows the tracks.
    is_announced: bool,
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
    /// A publisher whose offer is answered. `has_video`, `has_audio`: what is announced.
    pub fn new(
        session: Session,
        (publisher, permit): (Publisher, Permit),
        (has_video, has_audio): (bool, bool),
        now: Instant,
    ) -> Self {
        let mut wishes = publisher.keyframe_requests();
        wishes.mark_unchanged();
        Self {
            session,
            scheduled: None,
            addresses: Vec::new(),
            reason: LEFT,
            publisher: Some(publisher),
            permit,
            wishes,
            keyframes: KeyframeRequests::new(now),
            since: now,
            first: None,
            video: None,
            audio: None,
            has_video,
            has_audio,
            is_announced: false,
            is_aligned: false,
        }
    }

    /// When there is something to do for it.
    pub fn due(&self) -> Instant {
        self.keyframes.due().map_or(self.session.due(), |again| again.min(self.session.due()))
    }

    /// A frame came, `entered` on the monotonic clock.
    pub fn receive(&mut self, received: Received, entered: Duration, now: Instant) {
        let first = *self.first.get_or_insert(now);
        self.look();
        let Received { kind, codec, time, report, is_continuous, data } = received;
        let arrived = i64::try_from(entered.as_nanos()).unwrap_or(i64::MAX);
        let place = if kind == MediaKind::Video { &mut self.video } else { &mut self.audio };
        if place.as_ref().is_none_or(|track| track.codec != codec) {
            let Some(form) = form(codec) else { return };
            let shift = place.as_ref().map_or(arrived.saturating_sub(time), |track| track.shift);
            let canonicalizer = Canonicalizer::new(form);
            *place = Some(Track { canonicalizer, codec, shift, report: None, is_broken: kind == MediaKind::Video });
            self.is_announced = false;
        }
        let Some(track) = place else { return };
        track.report = report.or(track.report);
        track.is_broken |= kind == MediaKind::Video && !is_continuous;
        let canonical = track.canonicalizer.push(data);
        let shift = track.shift;
        let is_lost = match &canonical {
            Some(unit) => track.is_broken && !unit.is_sync,
            None => kind == MediaKind::Video,
        };
        if is_lost {
            self.keyframes.want();
            return;
        }
        track.is_broken = false;
        let Some(unit) = canonical else { return };
        self.align();
        let waits =
            self.has_video && self.video.as_ref().is_none_or(|video| video.canonicalizer.parameters().is_none());
        if kind == MediaKind::Audio && waits && now.saturating_duration_since(first) < TOGETHER {
            return;
        }
        let Some(publisher) = &self.publisher else { return };
        if unit.parameters_changed || !self.is_announced {
            publisher.tracks(self.tracks());
            self.is_announced = true;
        }
        let time = Time::from_nanos(time.saturating_add(shift));
        publisher.sample(Sample {
            track: id(kind),
            dts: time,
            pts: time,
            duration: None,
            is_sync: unit.is_sync,
            discontinuity: false,
            captured: None,
            entered: Some(entered),
            data: unit.data,
        });
    }

    /// Requests a keyframe that readers want, or that is needed to continue.
    pub fn pump(&mut self, now: Instant, out: &mut Out) {
        self.look();
        if self.keyframes.take(now) {
            self.session.request_keyframe();
        }
        self.session.timeout(now, out);
    }

    /// Looks whether readers want a keyframe.
    fn look(&mut self) {
        if self.wishes.has_changed().unwrap_or(false) {
            self.wishes.mark_unchanged();
            self.keyframes.want();
        }
    }

    /// Why it has to leave, if it has.
    pub fn check(&mut self, now: Instant) -> Option<&'static str> {
        let of_slot = self.publisher.as_ref().and_then(|publisher| publisher.ended().now_or_never());
        let is_late = self.first.is_none() && now.saturating_duration_since(self.since) > CONNECT_WITHIN;
        let of_permit = || self.permit.ended().now_or_never();
        of_slot.or_else(of_permit).or(is_late.then_some("not connected in time"))
    }

    /// The tracks whose parameters are known. Audio that is announced is known before its first frame, so that the video need not begin
    /// again for it.
    fn tracks(&self) -> TrackSet {
        let info = |kind, canonicalizer: &Canonicalizer| {
            let (codec, shape) = canonicalizer.parameters()?;
            Some(TrackInfo { id: id(kind), codec: codec.clone(), shape })
        };
        let video = self.video.as_ref().and_then(|track| info(MediaKind::Video, &track.canonicalizer));
        let expected = || info(MediaKind::Audio, &Canonicalizer::new(form("opus")?)).filter(|_| self.has_audio);
        let audio = match &self.audio {
            Some(track) => info(MediaKind::Audio, &track.canonicalizer),
            None => expected(),
        };
        TrackSet::new(video.into_iter().chain(audio).collect())
    }

    /// The clocks of both tracks begin with the arrival of their first frames. Once the sender has told what its clock was for both,
    /// audio is moved to where it belongs.
    fn align(&mut self) {
        let (Some(video), Some(audio)) = (&self.video, &mut self.audio) else { return };
        let (false, Some(of_video), Some(of_audio)) = (self.is_aligned, video.report, audio.report) else { return };
        self.is_aligned = true;
        let ours = |(sender, rtp): (i64, i64), shift: i64| rtp.saturating_add(shift).saturating_sub(sender);
        let skew = ours(of_audio, audio.shift).saturating_sub(ours(of_video, video.shift));
        if skew.abs() < MAX_SKEW {
            audio.shift -= skew;
        }
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        if let Some(publisher) = self.publisher.take() {
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
