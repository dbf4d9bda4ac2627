//! The session of TLS over the socket of a live viewer.

use crate::net::tls::records::Sealer;
use mio::net::TcpStream;
use std::{
    cell::RefCell,
    io::{self, IoSlice, Read, Write},
};
use tokio_rustls::rustls::ServerConnection;

thread_local! {
    /// Records of one write, of whichever viewer.
    static RECORDS: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A session whose media is encrypted by a [`Sealer`], where its cipher allows that.
#[derive(Debug)]
pub struct Encrypted {
    session: ServerConnection,
    sealer: Sealer,
    /// What the socket had no room for: the end of records that were encrypted before all that the session has to send.
    rest: Vec<u8>,
    /// Bytes of `rest` that were sent.
    sent: usize,
}

impl From<ServerConnection> for Encrypted {
    fn from(session: ServerConnection) -> Self {
        Self { session, sealer: Sealer::default(), rest: Vec::new(), sent: 0 }
    }
}

impl Encrypted {
    /// Encrypts and sends as much as the socket has room for, and at most what is encrypted together (64 KiB) beyond that. All slices go
    /// into records together: those of a small packet are one record. Returns the bytes that were taken.
    ///
    /// # Errors
    /// `WouldBlock` when nothing was taken, and those of the socket and the session.
    pub fn write(&mut self, socket: &mut TcpStream, slices: &mut [IoSlice<'_>]) -> io::Result<usize> {
        self.flush(socket)?;
        let (mut left, mut taken) = (slices, 0);
        while !left.is_empty() {
            let (length, result) = match self.seal(socket, left) {
                Some(sealed) => sealed,
                None => (self.encrypt(left)?, self.flush(socket)),
            };
            taken += length;
            IoSlice::advance_slices(&mut left, length);
            match result {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(taken)
    }

    /// Encrypts slices without the session and sends them: how many bytes, and how that went. `None` if the session has to do it.
    fn seal(&mut self, socket: &mut TcpStream, slices: &[IoSlice<'_>]) -> Option<(usize, io::Result<()>)> {
        RECORDS.with_borrow_mut(|records| {
            records.clear();
            let length = self.sealer.seal(slices, records);
            if length == 0 {
                return None;
            }
            // What an error is about, the next write says again.
            let sent = socket.write(records).unwrap_or_default();
            self.rest.extend_from_slice(records.get(sent..).unwrap_or_default());
            Some((length, self.flush(socket)))
        })
    }

    /// Has the session encrypt slices, as many bytes as it has room for.
    fn encrypt(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.sealer.is_worn() {
            let _ = self.session.refresh_traffic_keys();
        }
        let session = &mut self.session;
        let (sealer, written) = Sealer::of_session(|| session.writer().write_vectored(slices));
        self.sealer = sealer;
        match written? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            length => Ok(length),
        }
    }

    /// Whether something is encrypted and not in the socket yet.
    pub fn has_unsent(&self) -> bool {
        !self.rest.is_empty() || self.session.wants_write()
    }

    /// Sends what is encrypted.
    ///
    /// # Errors
    /// `WouldBlock` when the socket is full, and its others.
    pub fn flush(&mut self, socket: &mut TcpStream) -> io::Result<()> {
        while let Some(left) = self.rest.get(self.sent..).filter(|left| !left.is_empty()) {
            match socket.write(left) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                written => self.sent += written?,
            }
        }
        // Memory for the rest is not kept for thousands of viewers.
        (self.rest, self.sent) = (Vec::new(), 0);
        while self.session.wants_write() {
            match self.session.write_tls(&mut Single(&mut *socket)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => drop(result?),
            }
        }
        Ok(())
    }

    /// Says that nothing follows (RFC 8446, section 6.1), where there is room for it.
    pub fn end(&mut self, socket: &mut TcpStream) {
        self.session.send_close_notify();
        let _ = self.flush(socket);
    }

    /// Receives what the client sends; 0 when it sends nothing more.
    ///
    /// # Errors
    /// `WouldBlock` when there is nothing, and those of the socket and the session.
    pub fn receive(&mut self, socket: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.session.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // The socket has ended before the session.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                result => return result,
            }
            self.session.read_tls(socket)?;
            let read = self.session.process_new_packets();
            // A message of the client may need a response of the session: an update of keys, or an alert.
            match self.flush(socket) {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
            read.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
    }
}

/// A socket to which one piece alone, which most packets are after encryption, costs what it costs without a vector.
struct Single<'a>(&'a mut TcpStream);

impl Write for Single<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match pieces {
            [piece] => self.0.write(piece),
            _ => self.0.write_vectored(pieces),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
