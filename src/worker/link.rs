//! The two sockets: one thread reads control, one reads media, one writes media. Whoever makes media hands it to
//! an [`Outlet`] and never waits.

use super::event::{Event, Events};
use crate::{
    ipc::{Frame, FrameKind, FromWorker, LogLevel, control, frame},
    sys::monotonic,
    worker::sync::lock,
};
use bytes::BytesMut;
use gstreamer as gst;
use std::{
    collections::VecDeque,
    io::{self, IoSlice, Read, Write},
    os::unix::net::UnixStream,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// How much media may wait for the server; what comes on top is dropped up to the next join point.
const QUEUE_BYTES: usize = 64 << 20;
/// How long media may wait for the server.
const QUEUE_AGE: Duration = Duration::from_secs(2);
/// Pause between two lines about dropped packets of one stream.
const REPORT: Duration = Duration::from_secs(10);
/// What one read from a socket asks for at least.
const READ: usize = 64 << 10;

/// The bytes of one frame.
pub(super) enum Payload {
    /// Put together by us.
    Owned(Vec<u8>),
    /// Still where GStreamer put them.
    Mapped(Vec<Mapped>),
    /// The same, behind what we put in front of it.
    Fronted(Vec<u8>, Mapped),
}

/// A buffer of GStreamer that can be read.
pub(super) type Mapped = gst::MappedBuffer<gst::buffer::Readable>;

impl Payload {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Owned(bytes) => bytes.len(),
            Self::Mapped(pieces) => pieces.iter().map(|piece| piece.len()).sum(),
            Self::Fronted(front, piece) => front.len() + piece.len(),
        }
    }
}

struct Outgoing {
    kind: FrameKind,
    channel: u32,
    discontinuity: bool,
    captured: Option<Duration>,
    payload: Payload,
    /// On the machine's monotonic clock, for the server to tell how long it was on its way.
    queued: Duration,
}

#[derive(Default)]
struct Queue {
    frames: VecDeque<Outgoing>,
    bytes: usize,
    closed: bool,
}

/// The queue in front of the media socket's writer thread.
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

    /// Queues a frame; `false` when it found no room. Never waits for the socket.
    pub(super) fn push(
        &self,
        kind: FrameKind,
        channel: u32,
        discontinuity: bool,
        captured: Option<Duration>,
        payload: Payload,
    ) -> bool {
        let length = payload.len();
        if length > frame::MAX_PAYLOAD {
            return false;
        }
        let now = monotonic();
        let mut queue = lock(&self.queue);
        let stale = queue.frames.front().is_some_and(|oldest| now.saturating_sub(oldest.queued) > QUEUE_AGE);
        let small = kind == FrameKind::Header && !stale;
        if queue.closed || stale || (queue.bytes + length > QUEUE_BYTES && !small) {
            return false;
        }
        queue.bytes += length;
        queue.frames.push_back(Outgoing { kind, channel, discontinuity, captured, payload, queued: now });
        drop(queue);
        self.filled.notify_one();
        true
    }

    fn drain(&self, mut socket: UnixStream) -> io::Result<()> {
        loop {
            let mut queue = lock(&self.queue);
            let outgoing = loop {
                if let Some(outgoing) = queue.frames.pop_front() {
                    queue.bytes = queue.bytes.saturating_sub(outgoing.payload.len());
                    break outgoing;
                }
                if queue.closed {
                    return Ok(());
                }
                queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
            };
            drop(queue);
            write_frame(&mut socket, &outgoing)?;
        }
    }
}

fn write_frame(socket: &mut UnixStream, outgoing: &Outgoing) -> io::Result<()> {
    let Outgoing { kind, channel, discontinuity, captured, payload, queued } = outgoing;
    let head = frame::head(*kind, *channel, *discontinuity, *captured, Some(*queued), payload.len());
    let mut slices = vec![IoSlice::new(&head)];
    match payload {
        Payload::Owned(bytes) => slices.push(IoSlice::new(bytes)),
        Payload::Mapped(pieces) => slices.extend(pieces.iter().map(|piece| IoSlice::new(piece))),
        Payload::Fronted(front, piece) => slices.extend([IoSlice::new(front), IoSlice::new(piece)]),
    }
    slices.push(IoSlice::new(frame::TAIL));
    write_all_vectored(socket, &mut slices)
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

/// One stream's way to the server.
///
/// While the server does not keep up, packets are dropped up to the next join point, and the first packet after the
/// gap says so.
pub(super) struct Outlet {
    writer: Arc<Writer>,
    channel: u32,
    started: AtomicBool,
    gap: Mutex<Gap>,
    events: Events,
}

#[derive(Default)]
struct Gap {
    /// Packets are dropped until a join point comes.
    open: bool,
    /// The next packet begins after a gap.
    discontinuity: bool,
    /// The last header found no room.
    header: Option<Vec<u8>>,
    dropped: u64,
    /// The last packet that was handed over, whether it found room or not.
    seen: Option<Instant>,
    reported: Option<Instant>,
}

impl Outlet {
    /// The first header and the first packet say that they begin something new.
    pub(super) fn new(writer: Arc<Writer>, channel: u32, events: Events) -> Self {
        let gap = Gap { discontinuity: true, ..Gap::default() };
        Self { writer, channel, started: AtomicBool::new(false), gap: Mutex::new(gap), events }
    }

    /// Sends a container header, which replaces the one before.
    pub(super) fn header(&self, header: Vec<u8>) {
        let mut gap = lock(&self.gap);
        let begins = !self.started.load(Ordering::Relaxed);
        let sent = self.writer.push(FrameKind::Header, self.channel, begins, None, Payload::Owned(header.clone()));
        gap.header = (!sent).then_some(header);
    }

    /// Sends a packet; returns whether it is the first one.
    pub(super) fn packet(&self, key: bool, captured: Option<Duration>, payload: Payload) -> bool {
        let mut gap = lock(&self.gap);
        gap.seen = Some(Instant::now());
        if gap.open && !key {
            gap.dropped += 1;
            self.report(&mut gap);
            return false;
        }
        if let Some(header) = gap.header.take()
            && !self.writer.push(FrameKind::Header, self.channel, false, None, Payload::Owned(header.clone()))
        {
            gap.header = Some(header);
        }
        let kind = if key { FrameKind::Keyframe } else { FrameKind::Delta };
        if !self.writer.push(kind, self.channel, gap.discontinuity, captured, payload) {
            gap.open = true;
            gap.discontinuity = true;
            gap.dropped += 1;
            self.report(&mut gap);
            return false;
        }
        gap.open = false;
        gap.discontinuity = false;
        !self.started.swap(true, Ordering::Relaxed)
    }

    /// How long no packet has come; `None` before the first.
    pub(super) fn silence(&self) -> Option<Duration> {
        lock(&self.gap).seen.map(|at| at.elapsed())
    }

    /// The next packet begins a new timeline.
    pub(super) fn discontinue(&self) {
        lock(&self.gap).discontinuity = true;
    }

    fn report(&self, gap: &mut Gap) {
        if gap.reported.is_none_or(|at| at.elapsed() >= REPORT) {
            gap.reported = Some(Instant::now());
            let text = format!("dropped {} packets: the server does not read fast enough", gap.dropped);
            gap.dropped = 0;
            self.events.log(LogLevel::Warn, Some(crate::ipc::Item::Stream(self.channel)), text);
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
