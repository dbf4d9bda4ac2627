//! One viewer in a shard: a socket, a place in a ring, and what is half written.

use super::{
    visit::{NO_PROGRESS, PROGRESS_WITHIN},
    watching::{Next, Watching},
};
use crate::{
    media::{Packet, multipart},
    net::Place,
    stream::News,
    sys::monotonic,
};
use bytes::{Buf, Bytes};
use mio::net::TcpStream;
use std::{
    collections::VecDeque,
    io::{self, IoSlice, Read, Write},
    time::{Duration, Instant},
};

/// Most pieces in one write, to which the last packet may add a few.
const BATCH: usize = 32;
/// Packets are added to a write until it has this many bytes. They are out of the ring then, and cannot be skipped.
const BATCH_BYTES: usize = 128 << 10;
/// Pieces that wait for a write, of a viewer that keeps up.
const USUAL: usize = 4;
/// A viewer that closed its side and got nothing since is taken for gone after this long: only a packet could tell.
const HALF_CLOSED: Duration = Duration::from_secs(2);
/// What a viewer may still say; a live answer ends its connection, so there is nothing to be said.
const CHATTER: usize = 64 << 10;

/// Whether a viewer is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is.
    Stays,
    /// It has to go, for this reason.
    Gone(&'static str),
}

/// How packets are written for a viewer.
#[derive(Debug, Clone, Copy)]
pub struct Framing {
    /// In chunks (HTTP/1.1); otherwise the body ends with the connection (HTTP/1.0).
    pub chunked: bool,
    /// With the heads of parts of motion JPEG in front of their time, see [`multipart::early`].
    pub early_heads: bool,
}

/// One viewer.
#[derive(Debug)]
pub struct Viewer {
    socket: TcpStream,
    /// Its place in the stream, and its line in the log.
    pub watching: Watching,
    _place: Place,
    /// The shard's number of its stream.
    pub channel: usize,
    framing: Framing,
    /// Pieces that were begun or taken from the ring: they go out whole, whatever is skipped after them.
    out: VecDeque<Bytes>,
    out_bytes: usize,
    /// Since when the socket takes nothing.
    blocked: Option<Instant>,
    half_closed: bool,
    heard: usize,
    last_write: Instant,
    /// When it came, on the machine's monotonic clock.
    since: Duration,
    /// When the oldest media of the next write came to us.
    oldest: Option<Duration>,
    /// See [`Viewer::delivered`].
    delivered: Option<Duration>,
    /// Nothing more comes; it goes when `out` is written.
    ending: Option<&'static str>,
}

impl Viewer {
    /// A viewer whose head is out.
    pub fn new(
        socket: TcpStream,
        watching: Watching,
        framing: Framing,
        channel: usize,
        place: Place,
        now: Instant,
    ) -> Self {
        Self {
            socket,
            watching,
            _place: place,
            channel,
            framing,
            out: VecDeque::new(),
            out_bytes: 0,
            blocked: None,
            half_closed: false,
            heard: 0,
            last_write: now,
            since: monotonic(),
            oldest: None,
            delivered: None,
            ending: None,
        }
    }

    /// Writes what there is until the socket or the stream has no more.
    pub fn pump(&mut self, now: Instant) -> Outcome {
        while self.blocked.is_none() {
            self.gather(now);
            if self.out.is_empty() {
                return self.ending.map_or(Outcome::Stays, Outcome::Gone);
            }
            let result = self.write();
            if let Ok(written) = result {
                self.wrote(written);
            }
            let outcome = self.settle(result, now);
            if outcome != Outcome::Stays {
                return outcome;
            }
        }
        Outcome::Stays
    }

    /// As [`Viewer::pump`], where most viewers need what has just come and nothing else: it is written from where it lies.
    pub fn pump_news(&mut self, news: &News, now: Instant) -> Outcome {
        let is_plain = self.framing.chunked && !self.framing.early_heads;
        let is_ready = self.blocked.is_none() && self.out.is_empty() && self.ending.is_none();
        if !(is_plain && is_ready && self.watching.take_news(news)) {
            return self.pump(now);
        }
        let packets = news.packets();
        self.oldest = packets.iter().find_map(|packet| packet.entered);
        let result = match packets {
            [packet] => self.socket.write(packet.chunk()),
            _ => {
                let mut slices = [IoSlice::new(&[]); BATCH];
                let used = slices.iter_mut().zip(packets);
                let used = used.map(|(slice, packet)| *slice = IoSlice::new(packet.chunk())).count();
                self.socket.write_vectored(slices.get(..used).unwrap_or_default())
            }
        };
        let written = *result.as_ref().unwrap_or(&0);
        let whole: usize = packets.iter().map(|packet| packet.chunk().len()).sum();
        if written < whole {
            packets.iter().for_each(|packet| self.add(packet.chunk().clone()));
            self.wrote(written);
        }
        match self.settle(result, now) {
            Outcome::Stays if written < whole => self.pump(now),
            outcome => outcome,
        }
    }

    /// What a write came to. What it left is in `out`.
    fn settle(&mut self, result: io::Result<usize>, now: Instant) -> Outcome {
        let oldest = self.oldest.take();
        match result {
            Ok(0) => return Outcome::Gone("client left"),
            Ok(written) => {
                self.last_write = now;
                self.watching.took(written as u64);
                if self.out.is_empty() {
                    self.delivered = self.delivered.or(oldest);
                } else {
                    // The kernel noted that we want room: it tells when there is some.
                    self.blocked = Some(now);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.blocked = Some(now),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return gone(&error),
        }
        Outcome::Stays
    }

    /// Its socket is of no use any more.
    pub fn failed(&self) -> Outcome {
        self.socket.take_error().ok().flatten().map_or(Outcome::Gone("client left"), |error| gone(&error))
    }

    /// Whether it has got anything.
    pub fn has_begun(&self) -> bool {
        self.watching.visit.bytes > 0
    }

    /// The socket takes bytes again.
    pub fn unblocked(&mut self, now: Instant) -> Outcome {
        self.blocked = None;
        let outcome = self.pump(now);
        // It was waited for, not we.
        self.delivered = None;
        outcome
    }

    /// When the oldest media came to us of what was written whole since the last call. What waited for the viewer is left
    /// out: media that was there before it came, or while its socket took nothing.
    pub fn delivered(&mut self) -> Option<Duration> {
        self.delivered.take().filter(|entered| *entered >= self.since)
    }

    /// Lets the client say what it has to say, which is of no interest, and notices its end.
    pub fn listen(&mut self, now: Instant) -> Outcome {
        let mut scratch = [0; 4096];
        while !self.half_closed {
            match self.socket.read(&mut scratch) {
                // It may have closed one side only, as `printf … | nc` does; the next packet will tell.
                Ok(0) => {
                    self.half_closed = true;
                    self.last_write = self.last_write.max(now);
                }
                Ok(read) => {
                    self.heard += read;
                    if self.heard > CHATTER {
                        return Outcome::Gone("client talks");
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return gone(&error),
            }
        }
        Outcome::Stays
    }

    /// Looks whether the viewer still moves, and tells how far it is.
    pub fn look(&mut self, now: Instant) -> Outcome {
        self.watching.look(now);
        if self.blocked.is_some_and(|since| now.saturating_duration_since(since) > PROGRESS_WITHIN) {
            return Outcome::Gone(NO_PROGRESS);
        }
        if self.half_closed && now.saturating_duration_since(self.last_write) > HALF_CLOSED {
            return Outcome::Gone("client left");
        }
        Outcome::Stays
    }

    /// Ends the answer as HTTP wants it, after what was begun.
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
            match self.watching.try_next(now) {
                Some(Next::Packet(packet)) => {
                    self.oldest = self.oldest.or(packet.entered);
                    match self.framing {
                        Framing { early_heads: true, .. } => self.add_early(&packet),
                        Framing { chunked: true, .. } => self.add(packet.chunk().clone()),
                        Framing { chunked: false, .. } => self.add(packet.payload()),
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
        let (bytes, head) = multipart::early(&packet.payload());
        if !self.framing.chunked {
            self.add(bytes);
            self.add(Bytes::from_static(head.as_bytes()));
            return;
        }
        self.add(format!("{:x}\r\n", bytes.len() + head.len()).into());
        self.add(bytes);
        self.add(Bytes::from_static(head.as_bytes()));
        self.add(Bytes::from_static(b"\r\n"));
    }

    fn add(&mut self, piece: Bytes) {
        self.out_bytes += piece.len();
        self.out.push_back(piece);
    }

    fn write(&mut self) -> io::Result<usize> {
        if let ([piece], []) = self.out.as_slices() {
            return self.socket.write(piece);
        }
        let mut slices = [IoSlice::new(&[]); BATCH + 4];
        let used = slices.iter_mut().zip(&self.out).map(|(slice, piece)| *slice = IoSlice::new(piece)).count();
        self.socket.write_vectored(slices.get(..used).unwrap_or_default())
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
        // The room that a burst took is not kept for each of thousands.
        self.out.shrink_to(USUAL);
    }
}

/// Why a viewer with this fault of its socket goes.
fn gone(error: &io::Error) -> Outcome {
    // The kernel waited for it (TCP_USER_TIMEOUT).
    Outcome::Gone(if error.kind() == io::ErrorKind::TimedOut { NO_PROGRESS } else { "client left" })
}
