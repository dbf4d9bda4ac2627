//! The way of one run of a stream to the server: a sample that finds no room is dropped, and the gap is marked.

use super::{event::Events, ipc_writer::MediaWriter, threads::lock};
use crate::{
    ipc::{FrameHead, FrameKind, Item, LogLevel, TracksMessage},
    media::{Sample, TrackSet},
};
use bytes::Bytes;
use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// Pause between two lines about dropped samples of one stream.
const REPORT: Duration = Duration::from_secs(10);

/// The way of one run of a stream to the server.
///
/// While the server does not keep up, samples are dropped up to the next join point, and the first sample after the
/// gap says so.
pub(super) struct StreamSender {
    writer: Arc<MediaWriter>,
    channel: u32,
    run: u32,
    gap: Mutex<Gap>,
    events: Events,
}

#[derive(Default)]
struct Gap {
    /// Something was sent.
    started: bool,
    /// Samples are dropped until a join point comes.
    open: bool,
    /// The next sample or bytes follow a gap.
    discontinuity: bool,
    /// The last description of the tracks found no room.
    tracks: Option<Bytes>,
    dropped: u64,
    /// The last media that was handed over, whether it found room or not.
    seen: Option<Instant>,
    reported: Option<Instant>,
}

impl StreamSender {
    /// The way of this run.
    pub(super) fn new(writer: Arc<MediaWriter>, channel: u32, run: u32, events: Events) -> Self {
        Self { writer, channel, run, gap: Mutex::default(), events }
    }

    fn head(&self, kind: FrameKind) -> FrameHead {
        FrameHead { run: self.run, ..FrameHead::new(kind, self.channel) }
    }

    /// Sends the tracks of the samples that follow. `is_complete`: no more are expected.
    pub(super) fn tracks(&self, set: TrackSet, is_complete: bool) {
        let mut gap = lock(&self.gap);
        let message = TracksMessage { set, is_complete };
        match serde_json::to_vec(&message) {
            Ok(json) => gap.tracks = Some(json.into()),
            Err(error) => self.events.log(LogLevel::Error, self.item(), format!("tracks cannot be described: {error}")),
        }
        self.send_tracks(&mut gap);
    }

    fn send_tracks(&self, gap: &mut Gap) {
        if let Some(json) = gap.tracks.take()
            && !self.writer.push(self.head(FrameKind::Tracks), vec![json.clone()])
        {
            gap.tracks = Some(json);
        }
    }

    /// Sends a sample; returns whether it is the first one. `leads`: it is of the track whose sync samples are join points.
    pub(super) fn sample(&self, sample: Sample, leads: bool) -> bool {
        let mut gap = lock(&self.gap);
        gap.seen = Some(Instant::now());
        if gap.open && !(leads && sample.is_sync) {
            gap.dropped += 1;
            self.report(&mut gap);
            return false;
        }
        self.send_tracks(&mut gap);
        let Sample { track, dts, pts, duration, is_sync, discontinuity, captured, data, .. } = sample;
        let discontinuity = discontinuity || gap.discontinuity;
        let head =
            FrameHead { discontinuity, captured, track, is_sync, dts, pts, duration, ..self.head(FrameKind::Sample) };
        let sent = gap.tracks.is_none() && self.writer.push(head, vec![data]);
        self.after(&mut gap, sent)
    }

    /// Sends muxed bytes, in pieces; returns whether they are the first ones.
    pub(super) fn bytes(&self, pieces: Vec<Bytes>, captured: Option<Duration>) -> bool {
        let mut gap = lock(&self.gap);
        gap.seen = Some(Instant::now());
        let head = FrameHead { discontinuity: gap.discontinuity, captured, ..self.head(FrameKind::Bytes) };
        let sent = self.writer.push(head, pieces);
        let is_first = self.after(&mut gap, sent);
        // Whoever reads bytes finds the next join point by itself.
        gap.open = false;
        is_first
    }

    fn after(&self, gap: &mut Gap, sent: bool) -> bool {
        gap.open = !sent;
        gap.discontinuity = !sent;
        if !sent {
            gap.dropped += 1;
            self.report(gap);
            return false;
        }
        !std::mem::replace(&mut gap.started, true)
    }

    /// How long no media has come; `None` before the first.
    pub(super) fn silence(&self) -> Option<Duration> {
        lock(&self.gap).seen.map(|at| at.elapsed())
    }

    /// What comes next does not continue what came before.
    pub(super) fn discontinue(&self) {
        lock(&self.gap).discontinuity = true;
    }

    fn item(&self) -> Option<Item> {
        Some(Item::Stream(self.channel))
    }

    fn report(&self, gap: &mut Gap) {
        if gap.reported.is_none_or(|at| at.elapsed() >= REPORT) {
            gap.reported = Some(Instant::now());
            let text = format!("dropped {} samples: the server does not read fast enough", gap.dropped);
            gap.dropped = 0;
            self.events.log(LogLevel::Warn, self.item(), text);
        }
    }
}
