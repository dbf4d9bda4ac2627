//! The hand-off of a track from the pipeline that makes it to the pipelines that use it.
//!
//! In go the samples of an appsink, out go the same buffers, by reference, into the appsrc of every consumer. It
//! runs in the producer's streaming thread and never waits. A track outlives the runs of its feed, so that consumers
//! stay attached while the feed restarts.

pub(super) mod decode;

use self::decode::Decoded;
use super::{
    caps,
    clock::Timeline,
    exit::Exit,
    late_join::{LateJoiner, StreamHeadCache},
    threads::lock,
};
use crate::{ipc::TrackKind, media::StallDetector};
use gst::{glib, prelude::*};
use gstreamer as gst;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// The longest GOP that is kept for those who join: 600 frames are 10 s at 60 a second.
const GOP_BUFFERS: usize = 600;
/// The biggest GOP that is kept.
const GOP_BYTES: usize = 32 << 20;
/// Encoded media that may wait before a consumer. It holds the whole kept GOP, with which a consumer begins.
const ENCODED_BYTES: u64 = 2 * GOP_BYTES as u64;
/// The same, in buffers.
const ENCODED_BUFFERS: u64 = 2 * GOP_BUFFERS as u64;
/// Raw frames that may wait: more of them would be latency.
const RAW_PICTURES: u64 = 4;
/// Raw audio that may wait.
const RAW_SOUND: gst::ClockTime = gst::ClockTime::from_seconds(1);

/// One track of a feed.
pub(super) struct Track {
    /// Video, audio, or a whole container.
    pub(super) kind: TrackKind,
    /// Its element has the name that says which kind of track it is meant as.
    pub(super) named: bool,
    /// Place among the feed's tracks.
    pub(super) order: usize,
    state: Mutex<State>,
    /// Where keyframe requests go.
    upstream: Mutex<Option<glib::WeakRef<gst::Pad>>>,
    /// The decoded form, while someone uses it.
    pub(super) decoded: Mutex<Weak<Decoded>>,
}

#[derive(Default)]
struct State {
    /// The current run of the feed has delivered something.
    live: bool,
    delivered: Option<Instant>,
    /// Of the current run, until its end.
    pace: Option<StallDetector>,
    caps: Option<gst::Caps>,
    encoded: bool,
    gop: Gop,
    newest: Option<gst::Buffer>,
    /// Of a muxed track.
    head_cache: StreamHeadCache,
    consumers: Vec<Attached>,
}

/// The buffers since the newest keyframe, if they are all there.
#[derive(Default)]
struct Gop {
    buffers: VecDeque<gst::Buffer>,
    bytes: usize,
}

impl Gop {
    fn push(&mut self, buffer: &gst::Buffer) {
        let key = caps::is_key(buffer);
        if key {
            self.clear();
        }
        if !key && self.buffers.is_empty() {
            return;
        }
        self.bytes += buffer.size();
        self.buffers.push_back(buffer.clone());
        if self.buffers.len() > GOP_BUFFERS || self.bytes > GOP_BYTES {
            self.clear();
        }
    }

    fn clear(&mut self) {
        self.buffers.clear();
        self.bytes = 0;
    }
}

struct Attached {
    id: u64,
    consumer: Consumer,
}

enum Consumer {
    /// Into another pipeline.
    Source {
        source: gst_app::AppSrc,
        needs_key: bool,
        discontinuity: bool,
        /// When the keyframe is shown that it began with, until the next one: frames that are shown before refer to what it does not
        /// have.
        begun: Option<gst::ClockTime>,
        dropped: Arc<AtomicU64>,
        late: Option<Box<LateJoiner>>,
    },
    /// Straight to the server, for what is muxed already.
    Bytes { exit: Exit, late: Option<Box<LateJoiner>> },
}

/// What a new sample changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivered {
    /// Nothing.
    None,
    /// First sample of this run, or other caps.
    Caps,
}

/// What a still can be made of.
pub(super) enum Still {
    /// A raw frame.
    Raw(gst::Caps, gst::Buffer),
    /// Encoded frames from a keyframe on.
    Encoded(gst::Caps, Vec<gst::Buffer>),
}

impl Still {
    /// The buffer of the frame that is shown.
    pub(super) fn newest(&self) -> Option<&gst::Buffer> {
        match self {
            Self::Raw(_, buffer) => Some(buffer),
            Self::Encoded(_, buffers) => buffers.last(),
        }
    }
}

impl Track {
    pub(super) fn new(kind: TrackKind, named: bool, order: usize) -> Arc<Self> {
        Arc::new(Self {
            kind,
            named,
            order,
            state: Mutex::default(),
            upstream: Mutex::default(),
            decoded: Mutex::default(),
        })
    }

    /// A new run begins: what was kept belongs to an old timeline.
    pub(super) fn begin(&self) {
        let mut state = lock(&self.state);
        state.live = false;
        state.pace = None;
        state.gop.clear();
        state.newest = None;
        state.head_cache = StreamHeadCache::default();
        for attached in &mut state.consumers {
            attached.consumer.interrupt();
        }
        drop(state);
        *lock(&self.upstream) = None;
    }

    /// Whether the current run has delivered something.
    pub(super) fn is_live(&self) -> bool {
        lock(&self.state).live
    }

    /// How long it has been silent; `None` when it never was otherwise.
    pub(super) fn silence(&self) -> Option<Duration> {
        lock(&self.state).delivered.map(|at| at.elapsed())
    }

    /// How long the current run has been silent, if that is longer than its pace explains.
    pub(super) fn stalled(&self, now: Instant) -> Option<Duration> {
        let state = lock(&self.state);
        let pace = state.pace.as_ref()?;
        (now >= pace.deadline()).then(|| pace.silence(now))
    }

    /// It comes, and there is nothing in it to be delivered.
    pub(super) fn rest(&self) {
        if let Some(pace) = &mut lock(&self.state).pace {
            pace.observe(Instant::now());
        }
    }

    /// The current run has no more of it. Its silence is no fault.
    pub(super) fn finish(&self) {
        lock(&self.state).pace = None;
    }

    /// The newest caps.
    pub(super) fn caps(&self) -> Option<gst::Caps> {
        lock(&self.state).caps.clone()
    }

    /// Whether it is encoded.
    pub(super) fn is_encoded(&self) -> bool {
        lock(&self.state).encoded
    }

    /// Where to request keyframes.
    pub(super) fn set_upstream(&self, pad: &gst::Pad) {
        *lock(&self.upstream) = Some(pad.downgrade());
    }

    /// Requests a keyframe from whoever encodes this track.
    pub(super) fn request_key_unit(&self) {
        let pad = lock(&self.upstream).as_ref().and_then(glib::WeakRef::upgrade);
        if let Some(pad) = pad {
            pad.push_event(gst_video::UpstreamForceKeyUnitEvent::builder().all_headers(true).build());
        }
    }

    /// Hands a sample to all consumers. Streaming thread.
    pub(super) fn deliver(&self, sample: &gst::Sample, timeline: &Timeline, last: &mut Option<u64>) -> Delivered {
        let Some(caps) = sample.caps() else { return Delivered::None };
        let segment = sample.segment().and_then(|segment| segment.downcast_ref::<gst::ClockTime>());
        let mut state = lock(&self.state);
        let now = Instant::now();
        state.delivered = Some(now);
        state.pace.get_or_insert_with(|| StallDetector::new(now)).observe(now);
        let mut change = Delivered::None;
        let same =
            state.caps.as_ref().is_some_and(|known| std::ptr::eq(known.as_ref(), caps) || known.as_ref() == caps);
        if !same {
            let caps = caps.to_owned();
            state.encoded = caps::classify(&caps).is_none_or(|(_, encoded)| encoded);
            state.gop.clear();
            for attached in &mut state.consumers {
                attached.consumer.caps(&caps);
            }
            state.caps = Some(caps);
        }
        if !same || !state.live {
            state.live = true;
            change = Delivered::Caps;
        }
        let mut stamped = |buffer: &gst::BufferRef| -> gst::Buffer {
            let mut buffer = buffer.copy();
            let jumped = timeline.stamp(buffer.make_mut(), segment, last);
            if jumped {
                buffer.make_mut().set_flags(gst::BufferFlags::DISCONT);
            }
            buffer
        };
        let buffers: Vec<gst::Buffer> = match (sample.buffer(), sample.buffer_list()) {
            (Some(buffer), _) => vec![stamped(buffer)],
            (None, Some(list)) => list.iter().map(stamped).collect(),
            (None, None) => return change,
        };
        if self.kind == TrackKind::Muxed {
            state.head_cache.push(&buffers);
            state.consumers.retain_mut(|attached| attached.consumer.muxed(&buffers));
            return change;
        }
        for buffer in &buffers {
            if state.encoded {
                state.gop.push(buffer);
            } else if self.kind == TrackKind::Video {
                state.newest = Some(buffer.clone());
            }
            state.consumers.retain_mut(|attached| attached.consumer.media(buffer));
        }
        change
    }

    /// Feeds `source` from now on, until the link is dropped. An encoded track begins with its current GOP.
    pub(super) fn attach(self: &Arc<Self>, source: &gst_app::AppSrc) -> Attachment {
        let mut state = lock(&self.state);
        if let Some(caps) = &state.caps {
            source.set_caps(Some(caps));
        }
        let dropped = Arc::<AtomicU64>::default();
        let (begin, late) = state.head_cache.catch_up();
        let mut consumer = Consumer::Source {
            source: source.clone(),
            needs_key: false,
            discontinuity: true,
            begun: None,
            dropped: dropped.clone(),
            late: late.map(Box::new),
        };
        consumer.muxed(begin);
        if state.encoded && self.kind != TrackKind::Muxed {
            limit(source, ENCODED_BUFFERS, ENCODED_BYTES, gst::ClockTime::ZERO);
            for buffer in &state.gop.buffers {
                consumer.media(buffer);
            }
            if state.gop.buffers.is_empty() && self.kind == TrackKind::Video {
                consumer.interrupt();
            }
        } else if self.kind == TrackKind::Video {
            limit(source, RAW_PICTURES, 0, gst::ClockTime::ZERO);
        } else if self.kind == TrackKind::Audio {
            limit(source, 0, 0, RAW_SOUND);
        }
        self.link(&mut state, consumer, dropped)
    }

    /// Sends the bytes of a muxed track from now on, until the link is dropped.
    pub(super) fn attach_bytes(self: &Arc<Self>, exit: Exit) -> Attachment {
        let mut state = lock(&self.state);
        let (begin, late) = state.head_cache.catch_up();
        let mut consumer = Consumer::Bytes { exit, late: None };
        consumer.muxed(begin);
        if let Consumer::Bytes { late: slot, .. } = &mut consumer {
            *slot = late.map(Box::new);
        }
        self.link(&mut state, consumer, Arc::default())
    }

    fn link(self: &Arc<Self>, state: &mut State, consumer: Consumer, dropped: Arc<AtomicU64>) -> Attachment {
        static IDS: AtomicU64 = AtomicU64::new(0);
        let id = IDS.fetch_add(1, Ordering::Relaxed);
        state.consumers.push(Attached { id, consumer });
        Attachment { track: self.clone(), id, dropped }
    }

    /// What a still can be made of now.
    pub(super) fn still(&self) -> Option<Still> {
        let state = lock(&self.state);
        let caps = state.caps.clone()?;
        if state.encoded {
            let buffers: Vec<_> = state.gop.buffers.iter().cloned().collect();
            (!buffers.is_empty()).then_some(Still::Encoded(caps, buffers))
        } else {
            Some(Still::Raw(caps, state.newest.clone()?))
        }
    }
}

fn limit(source: &gst_app::AppSrc, buffers: u64, bytes: u64, time: gst::ClockTime) {
    source.set_max_buffers(buffers);
    source.set_max_bytes(bytes);
    source.set_max_time(time);
}

impl Consumer {
    /// The timeline has a gap here.
    fn interrupt(&mut self) {
        match self {
            Self::Source { needs_key, discontinuity, late, .. } => {
                *needs_key = true;
                *discontinuity = true;
                *late = None;
            }
            Self::Bytes { exit, late } => {
                exit.sender.discontinue();
                *late = None;
            }
        }
    }

    fn caps(&mut self, caps: &gst::Caps) {
        if let Self::Source { source, .. } = self {
            source.set_caps(Some(caps));
        }
    }

    /// Hands on a buffer of an elementary track; `false` when the consumer is gone.
    fn media(&mut self, buffer: &gst::Buffer) -> bool {
        let Self::Source { source, needs_key, discontinuity, begun, dropped, .. } = self else { return true };
        let is_key = caps::is_key(buffer);
        if *needs_key && !is_key {
            return true;
        }
        if is_key {
            *begun = buffer.pts().filter(|_| *needs_key || *discontinuity);
        } else if begun.zip(buffer.pts()).is_some_and(|(begun, pts)| pts < begun) {
            return true;
        }
        // A consumer of encoded media that does not keep up must not begin again in the middle of a GOP.
        let (buffers, bytes) = (source.max_buffers(), source.max_bytes());
        let is_full = buffers > 0 && source.current_level_buffers() >= buffers;
        if bytes > 0 && buffers > 0 && (is_full || source.current_level_bytes() >= bytes) {
            *needs_key = true;
            *discontinuity = true;
            return true;
        }
        if is_full {
            // The oldest frame makes room.
            dropped.fetch_add(1, Ordering::Relaxed);
        }
        *needs_key = false;
        let mut buffer = buffer.clone();
        if std::mem::take(discontinuity) {
            let mut marked = buffer.copy();
            marked.make_mut().set_flags(gst::BufferFlags::DISCONT);
            buffer = marked;
        }
        !matches!(source.push_buffer(buffer), Err(gst::FlowError::Eos))
    }

    /// Hands on the buffers that a muxer pushed together.
    fn muxed(&mut self, buffers: &[gst::Buffer]) -> bool {
        match self {
            Self::Source { source, late, .. } => {
                let push = |buffer: gst::Buffer| !matches!(source.push_buffer(buffer), Err(gst::FlowError::Eos));
                match late {
                    Some(late) => late.take(buffers).into_iter().all(push),
                    None => buffers.iter().cloned().all(push),
                }
            }
            Self::Bytes { exit, late } => {
                let running = buffers.iter().find_map(|buffer| buffer.pts()).map(gst::ClockTime::nseconds);
                let running = running.and_then(|running| i64::try_from(running).ok());
                match late {
                    Some(late) => exit.bytes(&late.take(buffers), running),
                    None => exit.bytes(buffers, running),
                }
                true
            }
        }
    }
}

/// Keeps a consumer attached to a track.
pub(super) struct Attachment {
    /// The track that is consumed.
    pub(super) track: Arc<Track>,
    id: u64,
    dropped: Arc<AtomicU64>,
}

impl Attachment {
    /// How many raw frames the consumer did not get, because it was too slow.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        let mut state = lock(&self.track.state);
        let at = state.consumers.iter().position(|attached| attached.id == self.id);
        let gone = at.map(|at| state.consumers.swap_remove(at));
        drop(state);
        drop(gone);
    }
}

/// An appsrc that takes a track's buffers with their running times since the epoch of the plan.
pub(super) fn track_source(name: &str) -> gst_app::AppSrc {
    gst_app::AppSrc::builder()
        .name(name)
        .is_live(true)
        .format(gst::Format::Time)
        .block(false)
        .max_bytes(0)
        .leaky_type(gst_app::AppLeakyType::Downstream)
        .min_latency(0)
        .build()
}

/// Forwards keyframe requests that arrive at `source` to the track after it.
pub(super) fn forward_key_units(source: &gst_app::AppSrc, track: &Arc<Track>) {
    let Some(pad) = source.static_pad("src") else { return };
    let track = Arc::downgrade(track);
    pad.add_probe(gst::PadProbeType::EVENT_UPSTREAM, move |_, info| {
        let wanted = info.event().is_some_and(|event| gst_video::UpstreamForceKeyUnitEvent::parse(event).is_ok());
        if wanted && let Some(track) = track.upgrade() {
            track.request_key_unit();
        }
        gst::PadProbeReturn::Ok
    });
}
