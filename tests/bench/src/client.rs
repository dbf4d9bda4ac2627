//! One viewer of the load generator.

use crate::mark;
use anyhow::bail;
use mio::net::TcpStream;
use rustix::net::{RecvFlags, recv};
use std::{
    io::{ErrorKind, Write},
    time::{Duration, Instant},
};

const PACKET: usize = 188;

/// How a viewer behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Reads all and lets the kernel throw it away, so that the load costs little.
    Discards,
    /// Reads all and looks at it.
    Looks,
    /// Looks until it has seen a frame, then discards.
    Glances,
    /// Asks and reads nothing.
    Stalls,
}

/// What viewers saw while it counted.
#[derive(Debug, Default)]
pub struct Seen {
    /// From a mark's time to its arrival.
    pub latencies: Vec<Duration>,
    /// Jumps of continuity counters.
    pub discontinuities: usize,
}

/// One viewer.
pub struct Client {
    pub socket: TcpStream,
    pub manner: Manner,
    state: State,
    began: Instant,
    /// From the connection to the first byte of the answer, and to the first mark.
    pub first_byte: Option<Duration>,
    pub first_frame: Option<Duration>,
    /// Bytes since it counts.
    pub bytes: u64,
    chunks: Dechunker,
    media: Vec<u8>,
    /// The last counter of each PID.
    counters: Vec<(u16, u8)>,
}

#[derive(PartialEq, Eq)]
enum State {
    Connecting,
    /// The head of the answer so far.
    Asked(Vec<u8>),
    Watching,
    Gone,
}

impl Client {
    pub fn new(socket: TcpStream, manner: Manner) -> Self {
        Self {
            socket,
            manner,
            state: State::Connecting,
            began: Instant::now(),
            first_byte: None,
            first_frame: None,
            bytes: 0,
            chunks: Dechunker::default(),
            media: Vec::new(),
            counters: Vec::new(),
        }
    }

    pub fn is_watching(&self) -> bool {
        self.state == State::Watching
    }

    pub fn is_gone(&self) -> bool {
        self.state == State::Gone
    }

    /// The connection is there.
    pub fn ask(&mut self, request: &[u8]) {
        if self.state == State::Connecting {
            let _ = self.socket.set_nodelay(true);
            self.state = match self.socket.write(request) {
                Ok(written) if written == request.len() => State::Asked(Vec::new()),
                _ => State::Gone,
            };
        }
    }

    /// Reads what is there.
    ///
    /// # Errors
    /// When the answer is none.
    pub fn read(&mut self, buffer: &mut [u8], seen: Option<&mut Seen>) -> anyhow::Result<()> {
        if matches!(self.state, State::Connecting | State::Gone)
            || (self.manner == Manner::Stalls && self.is_watching())
        {
            return Ok(());
        }
        let mut seen = seen;
        loop {
            let discards = self.manner == Manner::Discards && self.is_watching();
            let flags = if discards { RecvFlags::TRUNC } else { RecvFlags::empty() };
            let room = buffer.len();
            let read = match recv(&self.socket, &mut buffer[..], flags) {
                Ok((_, 0)) => {
                    self.state = State::Gone;
                    return Ok(());
                }
                Ok((_, read)) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => {
                    self.state = State::Gone;
                    return Ok(());
                }
            };
            self.first_byte.get_or_insert_with(|| self.began.elapsed());
            if seen.is_some() {
                self.bytes += read as u64;
            }
            if !discards {
                self.take(&buffer[..read], seen.as_deref_mut())?;
            }
            if read < room {
                return Ok(());
            }
        }
    }

    fn take(&mut self, bytes: &[u8], seen: Option<&mut Seen>) -> anyhow::Result<()> {
        let mut behind = bytes;
        if let State::Asked(head) = &mut self.state {
            head.extend_from_slice(bytes);
            let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n").map(|end| end + 4) else {
                return Ok(());
            };
            if !head.starts_with(b"HTTP/1.1 200") {
                bail!("refused: {}", String::from_utf8_lossy(&head[..end]));
            }
            behind = &bytes[bytes.len() - (head.len() - end)..];
            self.state = State::Watching;
        }
        if !matches!(self.manner, Manner::Looks | Manner::Glances) {
            return Ok(());
        }
        self.chunks.push(behind, &mut self.media);
        let now = mark::now();
        let latencies: Vec<Duration> = mark::find(&self.media).map(|at| now.saturating_sub(at)).collect();
        if !latencies.is_empty() {
            self.first_frame.get_or_insert_with(|| self.began.elapsed());
            if self.manner == Manner::Glances {
                self.manner = Manner::Discards;
                self.media = Vec::new();
                return Ok(());
            }
        }
        let discontinuities = self.check();
        if let Some(seen) = seen {
            seen.latencies.extend(latencies);
            seen.discontinuities += discontinuities;
        }
        Ok(())
    }

    /// Looks at all whole transport packets and lets go of them; returns how many do not follow the one before. Of other media
    /// all is let go of but the begin of a mark.
    fn check(&mut self) -> usize {
        if self.media.first().is_some_and(|first| *first != 0x47) {
            let kept = self.media.len().saturating_sub(mark::LENGTH - 1);
            // A mark that is kept would be found again.
            let kept = if mark::find(&self.media).next().is_some() { self.media.len() } else { kept };
            self.media.drain(..kept);
            return 0;
        }
        let whole = self.media.len() / PACKET * PACKET;
        let mut wrong = 0;
        for packet in self.media[..whole].chunks_exact(PACKET) {
            let pid = u16::from_be_bytes([packet[1] & 0x1f, packet[2]]);
            if packet[0] != 0x47 {
                wrong += 1;
            }
            if packet[3] & 0x10 == 0 || pid == 0x1fff {
                continue;
            }
            let counter = packet[3] & 15;
            match self.counters.iter_mut().find(|(known, _)| *known == pid) {
                Some((_, last)) => {
                    wrong += usize::from((*last + 1) & 15 != counter);
                    *last = counter;
                }
                None => self.counters.push((pid, counter)),
            }
        }
        self.media.drain(..whole);
        wrong
    }
}

/// Takes the body out of its chunks (RFC 9112, section 7.1).
#[derive(Debug, Default)]
struct Dechunker {
    /// Bytes of the chunk that are to come, with the line end behind it.
    left: usize,
    line: Vec<u8>,
}

impl Dechunker {
    fn push(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let (now, later) = bytes.split_at(self.left.min(bytes.len()));
                let data = self.left.saturating_sub(2).min(now.len());
                out.extend_from_slice(&now[..data]);
                self.left -= now.len();
                bytes = later;
                continue;
            }
            let (line, later) =
                bytes.split_at(bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1));
            self.line.extend_from_slice(line);
            bytes = later;
            if self.line.ends_with(b"\n") {
                let size = String::from_utf8_lossy(&self.line);
                self.left = usize::from_str_radix(size.trim(), 16).map_or(0, |size| size + 2);
                self.line.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_taken_apart_however_they_are_split() {
        let wire = b"5\r\nhello\r\n0000000a\r\n, chunks!\n\r\n1\r\n.\r\n";
        for size in 1..wire.len() {
            let (mut chunks, mut out) = (Dechunker::default(), Vec::new());
            wire.chunks(size).for_each(|piece| chunks.push(piece, &mut out));
            assert_eq!(String::from_utf8(out).unwrap(), "hello, chunks!\n.", "in pieces of {size}");
        }
    }
}
