//! What the worker writes to its two sockets: one thread writes media, so that whoever makes it never waits.

use super::event::{Event, Events};
use crate::{
    ipc::{FrameHead, FrameKind, FromWorker, control, frame},
    sys::monotonic,
    worker::threads::lock,
};
use bytes::Bytes;
use std::{
    collections::VecDeque,
    io::{self, IoSlice, Write},
    os::unix::net::UnixStream,
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

/// How much media may wait for the server; what comes on top is dropped up to the next join point.
const QUEUE_BYTES: usize = 64 << 20;
/// How long media may wait for the server.
const QUEUE_AGE: Duration = Duration::from_secs(2);

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
pub(super) struct MediaWriter {
    queue: Mutex<Queue>,
    filled: Condvar,
}

impl MediaWriter {
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

/// Writes one control message.
pub(super) fn say(socket: &mut UnixStream, message: &FromWorker) -> io::Result<()> {
    let bytes = control::encode(message).map_err(io::Error::other)?;
    socket.write_all(&bytes)
}
