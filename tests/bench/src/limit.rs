//! The least that sending one stream to many can cost: standard input, one ring, a place in it for each client, one `write`
//! a client and piece. No routing, no join points, no limits, no log; a client that is too slow is dropped.

use bytes::Bytes;
use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
    unix::SourceFd,
};
use rustix::{io::ioctl_fionbio, pipe::fcntl_setpipe_size, stdio::stdin};
use std::{
    collections::{HashMap, VecDeque},
    io::{ErrorKind, Read, Write},
    os::fd::AsRawFd,
};

const INPUT: Token = Token(usize::MAX);
const DOOR: Token = Token(usize::MAX - 1);
/// Pieces that are kept: seconds of frames.
const KEPT: usize = 256;
const HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";

struct Client {
    socket: TcpStream,
    /// The next piece; `None` before the request.
    next: Option<u64>,
    /// What is left of the piece before it.
    rest: Bytes,
    blocked: bool,
}

#[derive(Default)]
struct Ring {
    pieces: VecDeque<Bytes>,
    first: u64,
}

impl Ring {
    fn push(&mut self, bytes: &[u8]) {
        let size = format!("{:x}\r\n", bytes.len());
        self.pieces.push_back([size.as_bytes(), bytes, b"\r\n"].concat().into());
        if self.pieces.len() > KEPT {
            self.pieces.pop_front();
            self.first += 1;
        }
    }

    fn get(&self, number: u64) -> Option<&Bytes> {
        self.pieces.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    fn end(&self) -> u64 {
        self.first + self.pieces.len() as u64
    }
}

impl Client {
    /// Writes what there is; `false` when the client has to go.
    fn pump(&mut self, ring: &Ring) -> bool {
        while !self.blocked {
            if self.rest.is_empty() {
                let Some(next) = self.next else { return true };
                if next < ring.first {
                    return false;
                }
                let Some(piece) = ring.get(next) else { return true };
                self.rest = piece.clone();
                self.next = Some(next + 1);
            }
            match self.socket.write(&self.rest) {
                Ok(0) => return false,
                Ok(written) => {
                    self.blocked = written < self.rest.len();
                    drop(self.rest.split_to(written));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.blocked = true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
    }

    /// Takes the request, which is one packet on a loopback.
    fn listen(&mut self, ring: &Ring) -> bool {
        let mut scratch = [0; 4096];
        loop {
            match self.socket.read(&mut scratch) {
                Ok(0) => return false,
                Ok(_) if self.next.is_none() => {
                    self.rest = Bytes::from_static(HEAD);
                    self.next = Some(ring.end());
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(_) => return false,
            }
        }
    }
}

/// Serves standard input to its end.
pub fn run() -> anyhow::Result<()> {
    let input = stdin();
    ioctl_fionbio(input, true)?;
    // A piece is then what the source wrote at once.
    let _ = fcntl_setpipe_size(input, 1 << 20);
    let mut door = crate::server::listen()?;
    let mut poll = Poll::new()?;
    poll.registry().register(&mut SourceFd(&input.as_raw_fd()), INPUT, Interest::READABLE)?;
    poll.registry().register(&mut door, DOOR, Interest::READABLE)?;
    let (mut clients, mut newest, mut ring) = (HashMap::new(), 0, Ring::default());
    let (mut events, mut buffer) = (Events::with_capacity(1024), vec![0; 1 << 20]);
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            match event.token() {
                INPUT => loop {
                    match rustix::io::read(input, &mut buffer[..]) {
                        Ok(0) => return Ok(()),
                        Ok(read) => {
                            ring.push(&buffer[..read]);
                            clients.retain(|_, client: &mut Client| client.pump(&ring));
                        }
                        Err(_) => break,
                    }
                },
                DOOR => accept(&door, &poll, &mut clients, &mut newest)?,
                Token(key) => {
                    let Some(client) = clients.get_mut(&key) else { continue };
                    let hears = !event.is_readable() || client.listen(&ring);
                    client.blocked &= !event.is_writable();
                    if !hears || !client.pump(&ring) {
                        clients.remove(&key);
                    }
                }
            }
        }
    }
}

fn accept(
    door: &TcpListener,
    poll: &Poll,
    clients: &mut HashMap<usize, Client>,
    newest: &mut usize,
) -> anyhow::Result<()> {
    while let Ok((mut socket, _)) = door.accept() {
        socket.set_nodelay(true)?;
        *newest += 1;
        poll.registry().register(&mut socket, Token(*newest), Interest::READABLE | Interest::WRITABLE)?;
        clients.insert(*newest, Client { socket, next: None, rest: Bytes::new(), blocked: false });
    }
    Ok(())
}
