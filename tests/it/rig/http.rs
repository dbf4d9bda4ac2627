//! A client of HTTP/1 that hides nothing: bytes, their times, and every way to end.

use super::{SOON, secs};
use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Asks with GET and reads the head of the answer.
pub fn get(address: SocketAddr, target: &str) -> Answer {
    request(address, "GET", target, "")
}

/// Asks with any method and further header lines, each with its line end.
pub fn request(address: SocketAddr, method: &str, target: &str, headers: &str) -> Answer {
    send(address, &format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n"))
}

/// Sends a whole head as it is.
pub fn send(address: SocketAddr, head: &str) -> Answer {
    Answer::read(sent(address, head), head.starts_with("HEAD"))
}

/// Asks with GET and leaves the answer unread.
pub fn ask(address: SocketAddr, target: &str) -> TcpStream {
    sent(address, &format!("GET {target} HTTP/1.1\r\nHost: {address}\r\n\r\n"))
}

fn sent(address: SocketAddr, head: &str) -> TcpStream {
    let mut socket = TcpStream::connect_timeout(&address, secs(5)).unwrap();
    socket.set_nodelay(true).unwrap();
    socket.write_all(head.as_bytes()).unwrap();
    socket
}

/// What comes next of a body.
#[derive(Debug)]
pub enum Next {
    Data(Vec<u8>),
    End,
    /// Nothing came in time.
    Late,
}

#[derive(Debug)]
enum Framing {
    /// This much is to come.
    Length(usize),
    /// This much is to come of the current chunk; `None` before the line with its length.
    Chunked(Option<usize>),
    /// Until the server closes.
    Close,
    Ended,
}

/// A viewer whose bytes nobody looks at.
#[derive(Debug)]
pub struct Kept {
    socket: TcpStream,
    reading: Option<JoinHandle<()>>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.socket.shutdown(Shutdown::Both);
        let _ = self.reading.take().map(JoinHandle::join);
    }
}

/// An answer whose body is read as the test wishes.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    /// When the head was there.
    pub at: Instant,
    pub socket: TcpStream,
    received: Vec<u8>,
    framing: Framing,
}

impl Answer {
    fn read(socket: TcpStream, is_head: bool) -> Self {
        let framing = Framing::Close;
        let mut answer =
            Self { status: 0, head: String::new(), at: Instant::now(), socket, received: Vec::new(), framing };
        let until = Instant::now() + SOON;
        let end = loop {
            if let Some(end) = answer.received.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            assert!(
                matches!(answer.receive(until), Some(1..)),
                "no head of an answer: {}",
                answer.received.escape_ascii()
            );
        };
        answer.at = Instant::now();
        answer.head = String::from_utf8(answer.received.drain(..end + 4).collect()).unwrap();
        answer.status = answer.head.split(' ').nth(1).unwrap().parse().unwrap();
        answer.framing = if is_head || matches!(answer.status, 204 | 304) {
            Framing::Ended
        } else if answer.header("transfer-encoding").is_some() {
            Framing::Chunked(None)
        } else {
            answer.header("content-length").map_or(Framing::Close, |length| Framing::Length(length.parse().unwrap()))
        };
        answer
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    pub fn is_chunked(&self) -> bool {
        matches!(self.framing, Framing::Chunked(_))
    }

    /// Receives something; 0 at the end, `None` when it is too late.
    fn receive(&mut self, until: Instant) -> Option<usize> {
        let mut buffer = [0; 64 << 10];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            self.socket.set_read_timeout(Some(left)).unwrap();
            match self.socket.read(&mut buffer) {
                Ok(length) => {
                    self.received.extend_from_slice(&buffer[..length]);
                    return Some(length);
                }
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {
                }
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Some(0),
                Err(error) => panic!("cannot receive: {error}"),
            }
        }
    }

    /// Takes data of the body out of what was received.
    fn decode(&mut self) -> Option<Vec<u8>> {
        match &mut self.framing {
            Framing::Ended => None,
            Framing::Close => (!self.received.is_empty()).then(|| std::mem::take(&mut self.received)),
            Framing::Length(left) => {
                let length = self.received.len().min(*left);
                *left -= length;
                if *left == 0 {
                    self.framing = Framing::Ended;
                }
                (length > 0).then(|| self.received.drain(..length).collect())
            }
            Framing::Chunked(Some(left)) => {
                let length = self.received.len().min(*left);
                if length == 0 {
                    return None;
                }
                *left -= length;
                let ended = *left == 0;
                let data = self.received.drain(..length).collect();
                if ended {
                    self.framing = Framing::Chunked(None);
                }
                Some(data)
            }
            Framing::Chunked(None) => {
                // The line end behind the chunk before.
                let start = if self.received.starts_with(b"\r\n") { 2 } else { 0 };
                let end = self.received[start..].windows(2).position(|two| two == b"\r\n")? + start;
                let line = std::str::from_utf8(&self.received[start..end]).unwrap();
                let length = usize::from_str_radix(line, 16).unwrap_or_else(|_| panic!("no length of a chunk: {line}"));
                self.received.drain(..end + 2);
                self.framing = if length == 0 { Framing::Ended } else { Framing::Chunked(Some(length)) };
                self.decode()
            }
        }
    }

    /// Waits for the next piece of the body.
    pub fn next(&mut self, until: Instant) -> Next {
        loop {
            if let Some(data) = self.decode() {
                return Next::Data(data);
            }
            if matches!(self.framing, Framing::Ended) {
                return Next::End;
            }
            match self.receive(until) {
                None => return Next::Late,
                Some(0) => {
                    assert!(matches!(self.framing, Framing::Close), "cut off: {:?}", self.framing);
                    self.framing = Framing::Ended;
                }
                Some(_) => {}
            }
        }
    }

    /// The next piece; fails when none comes within this time.
    pub fn piece(&mut self, within: Duration) -> Vec<u8> {
        match self.next(Instant::now() + within) {
            Next::Data(data) => data,
            other => panic!("expected data within {within:?}: {other:?}"),
        }
    }

    /// At least so many bytes; fails when they do not come within this time.
    pub fn take(&mut self, length: usize, within: Duration) -> Vec<u8> {
        self.take_until(within, |bytes| bytes.len() >= length)
    }

    /// Bytes until they are as wished; fails when that is not so within this time.
    pub fn take_until(&mut self, within: Duration, wish: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let (until, mut bytes) = (Instant::now() + within, Vec::new());
        while !wish(&bytes) {
            match self.next(until) {
                Next::Data(data) => bytes.extend(data),
                other => {
                    let last = bytes[bytes.len().saturating_sub(60)..].escape_ascii().to_string();
                    panic!("{} {other:?} after {} bytes: …{last}", self.status, bytes.len());
                }
            }
        }
        bytes
    }

    /// Whatever comes within this time of the first byte, which a machine with much to do may send late.
    pub fn collect(&mut self, time: Duration) -> Vec<u8> {
        let mut bytes = match self.next(Instant::now() + SOON) {
            Next::Data(data) => data,
            Next::Late | Next::End => return Vec::new(),
        };
        bytes.extend(self.within(time));
        bytes
    }

    /// Whatever comes within this time from now on, which may be nothing.
    pub fn within(&mut self, time: Duration) -> Vec<u8> {
        self.arrivals(time).into_iter().flat_map(|(_, data)| data).collect()
    }

    /// Whatever comes within this time, and when.
    pub fn arrivals(&mut self, time: Duration) -> Vec<(Instant, Vec<u8>)> {
        let (until, mut pieces) = (Instant::now() + time, Vec::new());
        while let Next::Data(data) = self.next(until) {
            pieces.push((Instant::now(), data));
        }
        pieces
    }

    /// Takes what has come already, as a player does all the time: who takes nothing is sent away. Fails when the body has ended.
    pub fn drain(&mut self) {
        loop {
            match self.next(Instant::now()) {
                Next::Data(_) => {}
                Next::Late => return,
                Next::End => panic!("the body has ended"),
            }
        }
    }

    /// Takes whatever comes, as a player does, until this is dropped: who takes nothing for 10 s is sent away.
    pub fn kept(self) -> Kept {
        let mut socket = self.socket.try_clone().unwrap();
        socket.set_read_timeout(None).unwrap();
        let reading = thread::spawn(move || {
            let mut buffer = [0; 64 << 10];
            while socket.read(&mut buffer).is_ok_and(|length| length > 0) {}
        });
        Kept { socket: self.socket, reading: Some(reading) }
    }

    /// All that is left; fails when the body does not end within this time.
    pub fn rest(&mut self, within: Duration) -> Vec<u8> {
        let (until, mut bytes) = (Instant::now() + within, Vec::new());
        loop {
            match self.next(until) {
                Next::Data(data) => bytes.extend(data),
                Next::End => return bytes,
                Next::Late => panic!("the body still goes on after {within:?} and {} bytes", bytes.len()),
            }
        }
    }

    /// All that is left, as text.
    pub fn text(&mut self) -> String {
        String::from_utf8(self.rest(SOON)).unwrap()
    }

    /// Whether the server closes the connection within this time.
    pub fn is_closed(&mut self, within: Duration) -> bool {
        self.receive(Instant::now() + within) == Some(0)
    }
}
