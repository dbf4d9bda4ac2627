//! The UDP socket of a port.

use super::wire::Outbox;
use crate::net::segments::{self, TOGETHER};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io::{self, IoSlice},
    net::SocketAddr,
};

/// What the kernel may hold in each direction: half a second of 60 Mbit/s.
const BUFFER: usize = 4 << 20;

/// A bound socket.
#[derive(Debug)]
pub struct Datagrams {
    socket: mio::net::UdpSocket,
    /// Whether the kernel cuts one buffer into many datagrams.
    can_cut: bool,
}

impl Datagrams {
    /// Binds a port.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        // As large as the system permits.
        let _ = socket.set_recv_buffer_size(BUFFER);
        let _ = socket.set_send_buffer_size(BUFFER);
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        Ok(Self { socket: mio::net::UdpSocket::from_std(socket.into()), can_cut: true })
    }

    /// The bound address.
    ///
    /// # Errors
    /// When the system does not report it.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// For the poll of an event loop.
    pub fn source(&mut self) -> &mut mio::net::UdpSocket {
        &mut self.socket
    }

    /// The next datagram, if there is one.
    pub fn receive<'a>(&self, buffer: &'a mut [u8]) -> Option<(&'a [u8], SocketAddr)> {
        loop {
            match self.socket.recv_from(buffer) {
                Ok((length, peer)) => return Some((buffer.get(..length)?, peer)),
                // A peer that is gone is reported here, and is noticed by its silence.
                Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::ConnectionRefused) => {
                }
                Err(_) => return None,
            }
        }
    }

    /// Sends what is in an outbox, and empties it. What the kernel has no room for is lost on the way, as it may be anywhere else.
    pub fn send(&mut self, outbox: &mut Outbox, peer: SocketAddr) {
        if self.can_cut {
            for (bytes, length) in outbox.groups(TOGETHER) {
                if bytes.len() <= length {
                    let _ = self.socket.send_to(bytes, peer);
                } else if let Err(error) = segments::send(&self.socket, &[IoSlice::new(bytes)], length, peer)
                    && segments::is_unsupported(&error)
                {
                    // Of this device or kernel: one by one from now on.
                    self.can_cut = false;
                    for datagram in bytes.chunks(length) {
                        let _ = self.socket.send_to(datagram, peer);
                    }
                }
            }
        } else {
            for datagram in outbox.datagrams() {
                let _ = self.socket.send_to(datagram, peer);
            }
        }
        outbox.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{net::UdpSocket, time::Duration};

    #[test]
    fn each_datagram_arrives_whole() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        receiver.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let peer = receiver.local_addr().unwrap();
        for can_cut in [true, false] {
            let mut sender = Datagrams::bind("127.0.0.1:0".parse().unwrap()).unwrap();
            sender.can_cut = can_cut;
            let mut outbox = Outbox::default();
            let lengths = [1332, 1332, 1332, 700, 16, 1332];
            for (number, length) in lengths.into_iter().enumerate() {
                outbox.push(|bytes| bytes.extend(vec![number as u8; length]));
            }
            sender.send(&mut outbox, peer);
            assert!(outbox.is_empty());
            let mut buffer = [0; 2000];
            for (number, length) in lengths.into_iter().enumerate() {
                let read = receiver.recv(&mut buffer).unwrap();
                assert_eq!((read, buffer[0], buffer[read - 1]), (length, number as u8, number as u8));
            }
        }
    }
}
