//! The socket of a live viewer, encrypted or not: it takes pieces of packets as far as there is room, and never waits.

use super::{KEEPALIVE, PROGRESS_WITHIN, UNSENT_LOW_WATER, encrypted::Encrypted};
use crate::net::tls::Transport;
use mio::{Interest, Registry, Token, net::TcpStream};
use socket2::{SockRef, TcpKeepalive};
use std::{
    io::{self, IoSlice, Read, Write},
    os::fd::AsFd,
};
use tokio_rustls::TlsStream;

/// Most pieces in one write; the last packet may add a few.
pub const BATCH: usize = 32;

/// A connection that does not block.
#[derive(Debug)]
pub struct LiveSocket {
    connection: Connection,
    input: Input,
}

/// How the client sends.
#[derive(Debug)]
enum Input {
    /// By the same connection.
    Same,
    /// By another one.
    Other(Box<Connection>),
    /// It has closed the other one.
    Ended,
}

/// A socket, and the session of TLS over it, if there is one.
#[derive(Debug)]
struct Connection {
    socket: TcpStream,
    session: Option<Box<Encrypted>>,
}

impl LiveSocket {
    /// Takes a connection of a client over; `None` when the system does not let go of it.
    pub fn of(transport: Transport) -> Option<Self> {
        Some(Self { connection: Connection::of(transport)?, input: Input::Same })
    }

    /// The same for a client that sends by another connection, and nothing by this one.
    pub fn with_input(transport: Transport, input: Transport) -> Option<Self> {
        let (connection, input) = (Connection::of(transport)?, Connection::of(input)?);
        Some(Self { connection, input: Input::Other(Box::new(input)) })
    }

    /// Has events of the socket reported as `token`.
    ///
    /// # Errors
    /// When epoll cannot take it.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        if let Input::Other(input) = &mut self.input {
            registry.register(&mut input.socket, token, Interest::READABLE)?;
        }
        registry.register(&mut self.connection.socket, token, Interest::READABLE | Interest::WRITABLE)
    }

    /// The error that the socket reported.
    pub fn error(&self) -> Option<io::Error> {
        let of = |connection: &Connection| connection.socket.take_error().ok().flatten();
        match &self.input {
            Input::Other(input) => of(input).or_else(|| of(&self.connection)),
            Input::Same | Input::Ended => of(&self.connection),
        }
    }

    /// Takes these pieces, or as many of their bytes as there is room for; what the session has encrypted before is sent first.
    /// Returns the bytes of the pieces that were taken. Where these are fewer than all of at most [`BATCH`] pieces, or where
    /// [`LiveSocket::has_unsent`] is true afterwards, the socket is full.
    ///
    /// # Errors
    /// `WouldBlock` when nothing was taken, and those of the socket.
    pub fn write<'a>(&mut self, mut pieces: impl Iterator<Item = &'a [u8]>) -> io::Result<usize> {
        let Connection { socket, session } = &mut self.connection;
        let (Some(first), second) = (pieces.next(), pieces.next()) else { return self.flush().map(|()| 0) };
        if let (None, None) = (second, &session) {
            return socket.write(first);
        }
        let mut slices = [IoSlice::new(&[]); BATCH + 4];
        let pieces = [Some(first), second].into_iter().flatten().chain(pieces);
        let used = slices.iter_mut().zip(pieces).map(|(slice, piece)| *slice = IoSlice::new(piece)).count();
        let slices = slices.get_mut(..used).unwrap_or_default();
        match session {
            None => socket.write_vectored(slices),
            Some(session) => session.write(socket, slices),
        }
    }

    /// Whether bytes that were taken are not in the socket yet.
    pub fn has_unsent(&self) -> bool {
        self.connection.session.as_ref().is_some_and(|session| session.has_unsent())
    }

    /// Says that nothing follows (RFC 8446, section 6.1), where a session can. A client that takes nothing does not get it.
    pub fn end(&mut self) {
        if let Connection { socket, session: Some(session) } = &mut self.connection {
            session.end(socket);
        }
    }

    /// Receives what the client sends; 0 when it sends nothing more.
    ///
    /// # Errors
    /// `WouldBlock` when there is nothing, and those of the socket and the session.
    pub fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.input {
            Input::Same => return self.connection.receive(buffer),
            Input::Other(input) => match input.receive(buffer) {
                // It may have said all that it has to say.
                Ok(0) => self.input = Input::Ended,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            },
            Input::Ended => {}
        }
        match self.connection.receive(buffer)? {
            0 => Ok(0),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        let Connection { socket, session } = &mut self.connection;
        session.as_mut().map_or(Ok(()), |session| session.flush(socket))
    }
}

impl Connection {
    fn of(transport: Transport) -> Option<Self> {
        let (socket, session) = match transport {
            Transport::Plain(socket) => (socket, None),
            Transport::Tls(stream) => match *stream {
                TlsStream::Server(stream) => {
                    let (socket, session) = stream.into_inner();
                    (socket, Some(Box::new(Encrypted::from(session))))
                }
                TlsStream::Client(_) => return None,
            },
        };
        let socket = socket.into_std().ok()?;
        tune(&socket);
        Some(Self { socket: TcpStream::from_std(socket), session })
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Self { socket, session } = self;
        match session {
            None => socket.read(buffer),
            Some(session) => session.receive(socket, buffer),
        }
    }
}

/// Sets options of a connection for a live stream; the defaults work too.
pub fn tune(socket: &impl AsFd) {
    let socket = SockRef::from(socket);
    // Whoever writes notices a full socket itself. Only the kernel notices a vanished client that is sent little.
    let _ = socket.set_tcp_user_timeout(Some(PROGRESS_WITHIN + PROGRESS_WITHIN / 10));
    // What is not sent stays in the ring, where it can be skipped.
    let _ = socket.set_tcp_notsent_lowat(UNSENT_LOW_WATER);
    let _ = socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 3));
}
