//! One viewer in a shard: a socket, a reader, and pieces that are partly written.

use super::{
    access_log::NO_PROGRESS,
    limits::PROGRESS_WITHIN,
    live_socket::{BATCH, LiveSocket},
    subscription::{Next, Subscription},
};
use crate::{
    media::{Packet, multipart},
    net::ConnectionPermit,
    stream::Batch,
    sys::monotonic,
};
use bytes::{Buf, Bytes};
use std::{
    collections::VecDeque,
    io,
    time::{Duration, Instant},
};

/// Packets are added to a write up to this many bytes. They have left the ring then, and cannot be skipped.
const BATCH_BYTES: usize = 128 << 10;
/// Usual number of queued pieces of a viewer that keeps up.
const USUAL: usize = 4;
/// A viewer that closed its sending side and was sent nothing for this long counts as disconnected: only a packet could show it.
const HALF_CLOSED: Duration = Duration::from_secs(2);
/// Most bytes that a viewer may send. The connection closes after a live response, so there is nothing to send.
const MAX_RECEIVED: usize = 64 << 10;

/// Whether a viewer stays connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It does.
    Open,
    /// It is closed, for this reason.
    Closed(&'static str),
}

/// How packets are written for a viewer.
#[derive(Debug, Clone, Copy)]
pub struct BodyFraming {
    /// In chunks (HTTP/1.1); otherwise the body ends with the connection (HTTP/1.0).
    pub chunked: bool,
    /// With the heads of motion JPEG parts sent early, see [`multipart::early`].
    pub early_heads: bool,
}

/// One viewer.
#[derive(Debug)]
pub struct Viewer {
    socket: LiveSocket,
    /// Its reader of the stream and its request log.
    pub subscription: Subscription,
    _permit: ConnectionPermit,
    /// The index of its channel in the shard.
    pub channel: usize,
    framing: BodyFraming,
    /// Pieces that were taken from the ring: they are written completely, whatever is skipped after them.
    out: VecDeque<Bytes>,
    out_bytes: usize,
    /// Since when the socket accepts nothing.
    blocked: Option<Instant>,
    half_closed: bool,
    received: usize,
    last_write: Instant,
    /// When it joined, on the monotonic clock.
    since: Duration,
    /// When the oldest media of the next write arrived.
    oldest: Option<Duration>,
    /// See [`Viewer::delivered`].
    delivered: Option<Duration>,
    /// No packet follows; the viewer is closed when `out` is written.
    ending: Option<&'static str>,
}

impl Viewer {
    /// A viewer whose response head is sent.
    pub fn new(
        socket: LiveSocket,
        subscription: Subscription,
        framing: BodyFraming,
        channel: usize,
        permit: ConnectionPermit,
        now: Instant,
    ) -> Self {
        Self {
            socket,
            subscription,
            _permit: permit,
            channel,
            framing,
            out: VecDeque::new(),
            out_bytes: 0,
            blocked: None,
            half_closed: false,
            received: 0,
            last_write: now,
            since: monotonic(),
            oldest: None,
            delivered: None,
            ending: None,
        }
    }

    /// Writes packets until the socket is full or the stream has no more.
    pub fn pump(&mut self, now: Instant) -> Outcome {
        while self.blocked.is_none() {
            self.gather(now);
            if self.out.is_empty() && !self.socket.has_unsent() {
                return self.ending.map_or(Outcome::Open, |reason| {
                    self.socket.end();
                    Outcome::Closed(reason)
                });
            }
            let result = self.socket.write(self.out.iter());
            if let Ok(written) = result {
                self.wrote(written);
            }
            let outcome = self.finish_write(result, now);
            if outcome != Outcome::Open {
                return outcome;
            }
        }
        Outcome::Open
    }

    /// Like [`Viewer::pump`], for the common case that a viewer needs exactly the newest packets: they are written without a queue.
    pub fn pump_batch(&mut self, batch: &Batch, now: Instant) -> Outcome {
        let is_plain = self.framing.chunked && !self.framing.early_heads;
        let is_ready = self.blocked.is_none() && self.is_sent() && self.ending.is_none();
        if !(is_plain && is_ready && self.subscription.take_batch(batch)) {
            return self.pump(now);
        }
        let packets = batch.packets();
        self.oldest = packets.iter().find_map(|packet| packet.entered);
        let result = self.socket.write(packets.iter().flat_map(Packet::chunk_pieces));
        let written = *result.as_ref().unwrap_or(&0);
        let whole: usize = packets.iter().map(Packet::chunk_len).sum();
        if written < whole {
            packets.iter().flat_map(Packet::chunk_pieces).for_each(|piece| self.add(piece.clone()));
            self.wrote(written);
        }
        match self.finish_write(result, now) {
            Outcome::Open if written < whole => self.pump(now),
            outcome => outcome,
        }
    }

    /// Handles the result of a write. What is left is in `out`.
    fn finish_write(&mut self, result: io::Result<usize>, now: Instant) -> Outcome {
        let oldest = self.oldest.take();
        match result {
            Ok(written) => {
                self.last_write = now;
                self.subscription.sent(written as u64);
                if self.is_sent() {
                    self.delivered = self.delivered.or(oldest);
                } else {
                    // The kernel reports when there is room again.
                    self.blocked = Some(now);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.blocked = Some(now),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return closed(&error),
        }
        Outcome::Open
    }

    /// Whether the socket has all that was taken from the ring.
    fn is_sent(&self) -> bool {
        self.out.is_empty() && !self.socket.has_unsent()
    }

    /// The socket reported an error.
    pub fn failed(&self) -> Outcome {
        self.socket.error().map_or(Outcome::Closed("client left"), |error| closed(&error))
    }

    /// Whether it has received anything.
    pub fn has_started(&self) -> bool {
        self.subscription.log.bytes > 0
    }

    /// The socket accepts bytes again.
    pub fn unblocked(&mut self, now: Instant) -> Outcome {
        self.blocked = None;
        let outcome = self.pump(now);
        // The wait was for the viewer, not for the server.
        self.delivered = None;
        outcome
    }

    /// When the oldest media arrived that was written completely since the last call. Media that waited for the viewer is
    /// ignored: what arrived before it joined, or while its socket was full.
    pub fn delivered(&mut self) -> Option<Duration> {
        self.delivered.take().filter(|entered| *entered >= self.since)
    }

    /// Discards what the client sends, and notices when it disconnects.
    pub fn receive(&mut self, now: Instant) -> Outcome {
        while !self.half_closed {
            match self.socket.discard() {
                // It may have closed one side only, as `printf … | nc` does; the next packet shows whether it still reads.
                Ok(0) => {
                    self.half_closed = true;
                    self.last_write = self.last_write.max(now);
                }
                Ok(read) => {
                    self.received += read;
                    if self.received > MAX_RECEIVED {
                        return Outcome::Closed("client sends too much");
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return closed(&error),
            }
        }
        Outcome::Open
    }

    /// Checks that the viewer makes progress, and reports its statistics.
    pub fn check(&mut self, now: Instant) -> Outcome {
        self.subscription.tick(now);
        if let Some(reason) = self.subscription.log.withdrawn().filter(|_| self.ending.is_none()) {
            return self.end(reason, now);
        }
        if self.blocked.is_some_and(|since| now.saturating_duration_since(since) > PROGRESS_WITHIN) {
            return Outcome::Closed(NO_PROGRESS);
        }
        if self.half_closed && now.saturating_duration_since(self.last_write) > HALF_CLOSED {
            return Outcome::Closed("client left");
        }
        Outcome::Open
    }

    /// Ends the body as HTTP requires, after the queued pieces.
    pub fn end(&mut self, reason: &'static str, now: Instant) -> Outcome {
        if self.ending.is_none() {
            self.ending = Some(reason);
            if self.framing.chunked {
                self.add(Bytes::from_static(b"0\r\n\r\n"));
            }
        }
        self.pump(now)
    }

    /// Takes packets from the ring for the next write.
    fn gather(&mut self, now: Instant) {
        while self.ending.is_none() && self.out.len() < BATCH && self.out_bytes < BATCH_BYTES {
            match self.subscription.try_next(now) {
                Some(Next::Packet(packet)) => {
                    self.oldest = self.oldest.or(packet.entered);
                    match self.framing {
                        BodyFraming { early_heads: true, .. } => self.add_early(&packet),
                        BodyFraming { chunked: true, .. } => {
                            packet.chunk_pieces().for_each(|piece| self.add(piece.clone()));
                        }
                        BodyFraming { chunked: false, .. } => packet.payload_pieces().for_each(|piece| self.add(piece)),
                    }
                }
                Some(Next::End(reason)) => {
                    self.ending = Some(reason);
                    if self.framing.chunked {
                        self.add(Bytes::from_static(b"0\r\n\r\n"));
                    }
                }
                None => return,
            }
        }
    }

    fn add_early(&mut self, packet: &Packet) {
        if !self.framing.chunked {
            multipart::early(packet).for_each(|piece| self.add(piece));
            return;
        }
        let length: usize = multipart::early(packet).map(|piece| piece.len()).sum();
        self.add(format!("{length:x}\r\n").into());
        multipart::early(packet).for_each(|piece| self.add(piece));
        self.add(Bytes::from_static(b"\r\n"));
    }

    fn add(&mut self, piece: Bytes) {
        self.out_bytes += piece.len();
        self.out.push_back(piece);
    }

    fn wrote(&mut self, mut written: usize) {
        self.out_bytes -= written;
        while let Some(piece) = self.out.front_mut() {
            if written < piece.len() {
                piece.advance(written);
                return;
            }
            written -= piece.len();
            self.out.pop_front();
        }
        // Memory that a burst needed is not kept for thousands of viewers.
        self.out.shrink_to(USUAL);
    }
}

/// The outcome for this error of the socket.
fn closed(error: &io::Error) -> Outcome {
    // TCP_USER_TIMEOUT.
    Outcome::Closed(if error.kind() == io::ErrorKind::TimedOut { NO_PROGRESS } else { "client left" })
}
