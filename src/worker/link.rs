//! The two sockets: one thread reads control, one reads media, one writes media. Whoever makes media hands it to
//! a [`StreamSender`] and never waits.

use super::event::{Event, Events};
use crate::{
    ipc::{Frame, FrameHead, FrameKind, FromWorker, Item, LogLevel, TracksMessage, control, frame},
    media::{Sample, TrackSet},
    sys::monotonic,
    worker::sync::lock,
};
use bytes::{Bytes, BytesMut};
use std::{
    collections::VecDeque,
    io::{self, IoSlice, Read, Write},
    os::unix::net::UnixStream,
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How much media may wait for the server; what comes on top is dropped up to the next join point.
const QUEUE_BYTES: usize = 64 << 20;
/// How long media may wait for the server.
const QUEUE_AGE: Duration = Duration::from_secs(2);
/// Pause between two lines about dropped samples of one stream.
const REPORT: Duration = Duration::from_secs(10);
/// What one read from a socket asks for at least.
const READ: usize = 64 << 10;

struct QueuedFrame {
    head: FrameHead,
    payload: Vec<Bytes>,
    length: usize,
}

#[derive(Default)]
struct Queue {
    frames: VecDeque<QueuedFrame>,
    bytes: usize,
    closed: bool,
}

/// The queue before the media socket's writer thread.
#[derive(Default)]
pub(super) struct Writer {
    queue: Mutex<Queue>,
    filled: Condvar,
}

impl Writer {
    /// Starts the thread that writes what is pushed.
    pub(super) fn spawn(socket: UnixStream, events: Events) -> io::Result<Arc<Self>> {
        let writer = Arc::new(Self::default());
        let queue = writer.clone();
        std::thread::Builder::new().name("media-out".into()).spawn(move || {
            if queue.drain(socket).is_err() {
                events.send(Event::Closed);
            }
        })?;
        Ok(writer)
    }

    /// Lets the thread leave when all is written.
    pub(super) fn close(&self) {
        lock(&self.queue).closed = true;
        self.filled.notify_all();
    }

    /// Queues a frame; `false` when it found no room. Never waits for the socket. The server gets the time at which it was queued, so that it
    /// knows how long it was under way.
    pub(super) fn push(&self, mut head: FrameHead, payload: Vec<Bytes>) -> bool {
        let length = payload.iter().map(Bytes::len).sum();
        if length > frame::MAX_PAYLOAD {
            return false;
        }
        let now = monotonic();
        head.entered = Some(now);
        let mut queue = lock(&self.queue);
        let oldest = queue.frames.front().and_then(|oldest| oldest.head.entered);
        let stale = oldest.is_some_and(|oldest| now.saturating_sub(oldest) > QUEUE_AGE);
        let small = head.kind == FrameKind::Tracks && !stale;
        if queue.closed || stale || (queue.bytes + length > QUEUE_BYTES && !small) {
            return false;
        }
        queue.bytes += length;
        queue.frames.push_back(QueuedFrame { head, payload, length });
        drop(queue);
        self.filled.notify_one();
        true
    }

    fn drain(&self, mut socket: UnixStream) -> io::Result<()> {
        loop {
            let mut queue = lock(&self.queue);
            let frame = loop {
                if let Some(frame) = queue.frames.pop_front() {
                    queue.bytes = queue.bytes.saturating_sub(frame.length);
                    break frame;
                }
                if queue.closed {
                    return Ok(());
                }
                queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
            };
            drop(queue);
            write_frame(&mut socket, &frame)?;
        }
    }
}

fn write_frame(socket: &mut UnixStream, QueuedFrame { head, payload, length }: &QueuedFrame) -> io::Result<()> {
    let head = head.encode(*length);
    // Most frames have one piece.
    match payload.as_slice() {
        [piece] => {
            write_all_vectored(socket, &mut [IoSlice::new(&head), IoSlice::new(piece), IoSlice::new(frame::TAIL)])
        }
        pieces => {
            let mut slices = vec![IoSlice::new(&head)];
            slices.extend(pieces.iter().map(|piece| IoSlice::new(piece)));
            slices.push(IoSlice::new(frame::TAIL));
            write_all_vectored(socket, &mut slices)
        }
    }
}

fn write_all_vectored(socket: &mut UnixStream, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        match socket.write_vectored(slices) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut slices, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The way of one run of a stream to the server.
///
/// While the server does not keep up, samples are dropped up to the next join point, and the first sample after the
/// gap says so.
pub(super) struct StreamSender {
    writer: Arc<Writer>,
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
    pub(super) fn new(writer: Arc<Writer>, channel: u32, run: u32, events: Events) -> Self {
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

/// Starts the thread that turns control bytes into events.
pub(super) fn read_control(mut socket: UnixStream, events: Events) -> io::Result<()> {
    std::thread::Builder::new().name("control-in".into()).spawn(move || {
        let mut buffer = BytesMut::new();
        let fault = 'reading: loop {
            loop {
                match control::decode(&mut buffer) {
                    Ok(Some(message)) => events.send(Event::Control(message)),
                    Ok(None) => break,
                    Err(error) => break 'reading Some(error.to_string()),
                }
            }
            match read_more(&mut socket, &mut buffer) {
                Ok(0) => break None,
                Ok(_) => {}
                Err(error) => break Some(error.to_string()),
            }
        };
        if let Some(fault) = fault {
            events.log(LogLevel::Error, None, format!("control socket: {fault}"));
        }
        events.send(Event::Closed);
    })?;
    Ok(())
}

/// Starts the thread that hands media from the server to `take`.
pub(super) fn read_media(
    mut socket: UnixStream,
    events: Events,
    mut take: impl FnMut(Frame) + Send + 'static,
) -> io::Result<()> {
    std::thread::Builder::new().name("media-in".into()).spawn(move || {
        let mut buffer = BytesMut::new();
        loop {
            loop {
                match frame::decode(&mut buffer) {
                    Ok(Some(frame)) => take(frame),
                    Ok(None) => break,
                    Err(error) => {
                        events.log(LogLevel::Error, None, format!("media socket: {error}"));
                        return events.send(Event::Closed);
                    }
                }
            }
            if !matches!(read_more(&mut socket, &mut buffer), Ok(1..)) {
                return events.send(Event::Closed);
            }
        }
    })?;
    Ok(())
}

/// One read into the room that `buffer` has, or into new room.
fn read_more(socket: &mut UnixStream, buffer: &mut BytesMut) -> io::Result<usize> {
    let filled = buffer.len();
    let room = (buffer.capacity() - filled).max(READ);
    buffer.resize(filled + room, 0);
    let read = loop {
        match socket.read(buffer.get_mut(filled..).unwrap_or_default()) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => break other,
        }
    };
    buffer.truncate(filled + read.as_ref().copied().unwrap_or(0));
    read
}

/// Writes one control message.
pub(super) fn say(socket: &mut UnixStream, message: &FromWorker) -> io::Result<()> {
    let bytes = control::encode(message).map_err(io::Error::other)?;
    socket.write_all(&bytes)
}
