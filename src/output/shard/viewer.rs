//! One viewer in a shard: a socket, a reader, the session of its protocol, and pieces that are partly written.

use super::{
    NO_PROGRESS, PROGRESS_WITHIN,
    session::Session,
    socket::{BATCH, LiveSocket},
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
/// Most bytes of one read.
const READ_SIZE: usize = 4096;
/// Most bytes that a viewer may send between two checks, which are a second apart: others wait while they are read.
const MAX_RECEIVED: usize = 64 << 10;
/// Most bytes of answers that a viewer may leave in the queue.
const MAX_ANSWERS: usize = 64 << 10;

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
pub enum Framing {
    /// As they are.
    Plain,
    /// As chunks of HTTP/1.1 (RFC 9112, section 7.1).
    Chunked,
    /// With the heads of motion JPEG parts sent early, see [`multipart::early`].
    EarlyHeads {
        /// And as chunks.
        chunked: bool,
    },
    /// As messages of a protocol, which are the same for all of its viewers: they are made once for those of a thread.
    Messages(Format),
    /// As the session of each viewer says: these share nothing.
    Own,
}

/// Makes messages of a packet. A packet without any yields no bytes.
pub type Format = fn(&Packet) -> Bytes;

impl Framing {
    /// How the messages are made, where they are.
    pub const fn format(self) -> Option<Format> {
        match self {
            Self::Messages(format) => Some(format),
            _ => None,
        }
    }
}

/// One viewer.
#[derive(Debug)]
pub struct Viewer {
    socket: LiveSocket,
    subscription: Subscription,
    session: Box<dyn Session>,
    _permit: ConnectionPermit,
    /// The index of its channel in the shard.
    pub channel: usize,
    framing: Framing,
    /// Pieces that were taken from the ring: they are written completely, whatever is skipped after them.
    out: VecDeque<Bytes>,
    out_bytes: usize,
    /// Since when the socket accepts nothing.
    blocked: Option<Instant>,
    half_closed: bool,
    /// Bytes since the last check.
    received: usize,
    has_started: bool,
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
    /// A viewer that has got all that is before the first packet, but for `before`.
    pub fn new(
        (socket, permit): (LiveSocket, ConnectionPermit),
        before: VecDeque<Bytes>,
        subscription: Subscription,
        session: Box<dyn Session>,
        framing: Framing,
        channel: usize,
        now: Instant,
    ) -> Self {
        Self {
            socket,
            subscription,
            session,
            _permit: permit,
            channel,
            framing,
            out_bytes: before.iter().map(Bytes::len).sum(),
            out: before,
            blocked: None,
            half_closed: false,
            received: 0,
            has_started: false,
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
            let result = self.socket.write(self.out.iter().map(|piece| &piece[..]));
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
    /// `messages` are those of its packets, where the framing has any.
    pub fn pump_batch(&mut self, batch: &Batch, messages: &[Bytes], now: Instant) -> Outcome {
        let is_ready = self.blocked.is_none() && self.is_sent() && self.ending.is_none();
        let is_shared = !matches!(self.framing, Framing::EarlyHeads { .. } | Framing::Own);
        if !(is_ready && is_shared && self.subscription.take_batch(batch)) {
            return self.pump(now);
        }
        let packets = batch.packets();
        self.oldest = packets.iter().find_map(|packet| packet.entered);
        let (result, whole): (_, usize) = match self.framing {
            Framing::Messages(_) => (self.socket.write(messages.iter().map(|message| &message[..])), length(messages)),
            Framing::Plain => (
                self.socket.write(packets.iter().flat_map(Packet::payload_slices)),
                packets.iter().map(Packet::len).sum(),
            ),
            Framing::Chunked | Framing::EarlyHeads { .. } | Framing::Own => (
                self.socket.write(packets.iter().flat_map(Packet::chunk_pieces).map(|piece| &piece[..])),
                packets.iter().map(Packet::chunk_len).sum(),
            ),
        };
        let written = *result.as_ref().unwrap_or(&0);
        if written < whole {
            match self.framing {
                Framing::Messages(_) => messages.iter().for_each(|message| self.add(message.clone())),
                _ => packets.iter().for_each(|packet| self.add_packet(packet)),
            }
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
                // A session of TLS may have sent what it encrypted before.
                if written > 0 {
                    self.has_started = true;
                    self.session.account().sent(written as u64, &|| self.subscription.container());
                }
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
        self.has_started
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

    /// It has joined: what the client sent before is answered, and what there is is written.
    pub fn joined(&mut self, now: Instant) -> Outcome {
        match self.answer(&[], now) {
            Outcome::Open if self.ending.is_none() => {}
            outcome => return outcome,
        }
        match self.pump(now) {
            // The socket reports only what comes from now on, and a session of TLS may have read more already.
            Outcome::Open => self.receive(now),
            outcome => outcome,
        }
    }

    /// Takes what the client sends, and notices when it disconnects.
    pub fn receive(&mut self, now: Instant) -> Outcome {
        let mut buffer = [0; READ_SIZE];
        while !self.half_closed {
            match self.socket.receive(&mut buffer) {
                // It may have closed one side only, as `printf … | nc` does; the next packet shows whether it still reads.
                Ok(0) if self.session.may_half_close() => {
                    self.half_closed = true;
                    self.last_write = self.last_write.max(now);
                }
                Ok(0) => return Outcome::Closed(self.ending.unwrap_or("client left")),
                Ok(read) => {
                    self.received += read;
                    if self.received > MAX_RECEIVED {
                        return Outcome::Closed("client sends too much");
                    }
                    let outcome = self.answer(buffer.get(..read).unwrap_or_default(), now);
                    if outcome != Outcome::Open {
                        return outcome;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return closed(&error),
            }
        }
        Outcome::Open
    }

    /// Has the session answer what the client sent. Of a client that has got its last answer nothing is wanted.
    fn answer(&mut self, bytes: &[u8], now: Instant) -> Outcome {
        if self.ending.is_some() {
            return Outcome::Open;
        }
        let mut answer = Vec::new();
        let result = self.session.receive(bytes, &mut answer);
        match (result, answer.is_empty()) {
            (Ok(()), true) => return Outcome::Open,
            (Err(reason), true) => return Outcome::Closed(reason),
            (Ok(()), false) if self.out_bytes + answer.len() > BATCH_BYTES + MAX_ANSWERS => {
                return Outcome::Closed("client sends too much");
            }
            (result, false) => self.ending = result.err(),
        }
        self.add(answer.into());
        self.pump(now)
    }

    /// Checks that the viewer makes progress, and reports its statistics.
    pub fn check(&mut self, now: Instant) -> Outcome {
        self.received = 0;
        self.subscription.tick(self.session.account(), now);
        if let Some(reason) = self.session.account().withdrawn().filter(|_| self.ending.is_none()) {
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

    /// Ends the stream as the protocol requires, after the queued pieces.
    pub fn end(&mut self, reason: &'static str, now: Instant) -> Outcome {
        self.set_ending(reason);
        self.pump(now)
    }

    /// It is closed, for this reason.
    pub fn closed(&mut self, reason: &'static str) {
        self.session.closed(reason);
    }

    fn set_ending(&mut self, reason: &'static str) {
        if self.ending.is_none() {
            self.ending = Some(reason);
            let mut last = Vec::new();
            self.session.end(reason, &mut last);
            self.add(last.into());
        }
    }

    /// Takes packets from the ring for the next write.
    fn gather(&mut self, now: Instant) {
        while self.ending.is_none() && self.out.len() < BATCH && self.out_bytes < BATCH_BYTES {
            match self.subscription.try_next(self.session.account(), now) {
                Some(Next::Packet(packet)) => {
                    self.oldest = self.oldest.or(packet.entered);
                    self.add_packet(&packet);
                }
                Some(Next::End(reason)) => self.set_ending(reason),
                None => return,
            }
        }
    }

    fn add_packet(&mut self, packet: &Packet) {
        match self.framing {
            Framing::Plain => packet.payload_pieces().for_each(|piece| self.add(piece)),
            Framing::Chunked => packet.chunk_pieces().for_each(|piece| self.add(piece.clone())),
            Framing::EarlyHeads { chunked } => self.add_early(packet, chunked),
            Framing::Messages(format) => self.add(format(packet)),
            Framing::Own => self.add(self.session.frame(packet)),
        }
    }

    fn add_early(&mut self, packet: &Packet, chunked: bool) {
        if !chunked {
            multipart::early(packet).for_each(|piece| self.add(piece));
            return;
        }
        let length: usize = multipart::early(packet).map(|piece| piece.len()).sum();
        self.add(format!("{length:x}\r\n").into());
        multipart::early(packet).for_each(|piece| self.add(piece));
        self.add(Bytes::from_static(b"\r\n"));
    }

    fn add(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.out_bytes += piece.len();
            self.out.push_back(piece);
        }
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

fn length(pieces: &[Bytes]) -> usize {
    pieces.iter().map(Bytes::len).sum()
}

/// The outcome for this error of the socket.
fn closed(error: &io::Error) -> Outcome {
    // TCP_USER_TIMEOUT.
    Outcome::Closed(if error.kind() == io::ErrorKind::TimedOut { NO_PROGRESS } else { "client left" })
}
