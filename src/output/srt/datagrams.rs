//! The UDP socket of a port.

use super::wire::Outbox;
use crate::net::DatagramSender;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io::{self, IoSliceMut},
    net::SocketAddr,
    os::fd::AsRawFd,
};

/// What the kernel may hold in each direction: half a second of 60 Mbit/s.
const BUFFER: usize = 4 << 20;
/// Longest datagram that is looked at.
const MAX_DATAGRAM: usize = 2048;
/// Datagrams that are read in one call.
const TOGETHER: usize = 32;

/// A bound socket.
#[derive(Debug)]
pub struct Datagrams {
    socket: mio::net::UdpSocket,
    sender: DatagramSender,
}

/// Datagrams that were read in one call.
#[derive(Debug)]
pub struct Batch {
    buffers: Box<[[u8; MAX_DATAGRAM]; TOGETHER]>,
    headers: MultiHeaders<SockaddrStorage>,
    /// The length and the sender of each.
    received: Vec<(usize, Option<SocketAddr>)>,
}

impl Default for Batch {
    fn default() -> Self {
        let headers = MultiHeaders::preallocate(TOGETHER, None);
        Self { buffers: Box::new([[0; MAX_DATAGRAM]; TOGETHER]), headers, received: Vec::with_capacity(TOGETHER) }
    }
}

impl Batch {
    /// The datagrams, each with its sender.
    pub fn datagrams(&self) -> impl Iterator<Item = (&[u8], SocketAddr)> {
        let received = self.buffers.iter().zip(&self.received);
        received.filter_map(|(buffer, (length, peer))| Some((buffer.get(..*length)?, (*peer)?)))
    }

    /// Whether there was none.
    pub fn is_empty(&self) -> bool {
        self.received.is_empty()
    }

    /// Whether there may be more.
    pub fn is_full(&self) -> bool {
        self.received.len() == TOGETHER
    }
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
        Ok(Self { socket: mio::net::UdpSocket::from_std(socket.into()), sender: DatagramSender::default() })
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

    /// Reads the datagrams that are there, as many as there is room for. What a batch had before is gone.
    pub fn receive(&self, batch: &mut Batch) {
        let Batch { buffers, headers, received } = batch;
        received.clear();
        loop {
            let mut pieces = buffers.each_mut().map(|buffer| [IoSliceMut::new(buffer)]);
            let found = recvmmsg(self.socket.as_raw_fd(), headers, pieces.iter_mut(), MsgFlags::MSG_DONTWAIT, None);
            match found {
                Ok(found) => {
                    received.extend(found.map(|message| (message.bytes, message.address.as_ref().and_then(address))));
                    return;
                }
                // A peer that is gone is reported here, and is noticed by its silence.
                Err(nix::Error::EINTR | nix::Error::ECONNREFUSED) => {}
                Err(_) => return,
            }
        }
    }

    /// Sends what is in an outbox, and empties it. What the kernel has no room for is lost on the way, as it may be anywhere else.
    pub fn send(&self, outbox: &mut Outbox, peer: SocketAddr) {
        self.sender.send(&self.socket, outbox, peer);
        outbox.clear();
    }
}

fn address(of: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = of.as_sockaddr_in().map(|address| SocketAddr::from(*address));
    v4.or_else(|| of.as_sockaddr_in6().map(|address| SocketAddr::from(*address)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_are_read_together_with_their_senders() {
        for local in ["127.0.0.1:0", "[::1]:0"] {
            let own = Datagrams::bind(local.parse().unwrap()).unwrap();
            let senders = [0; 3].map(|_| std::net::UdpSocket::bind(local).unwrap());
            let to = own.address().unwrap();
            let mut batch = Batch::default();
            own.receive(&mut batch);
            assert!(batch.is_empty());
            let mut expect = Vec::new();
            for number in 0..TOGETHER + 3 {
                let (sender, bytes) = (&senders[number % 3], vec![number as u8; 10 + number]);
                sender.send_to(&bytes, to).unwrap();
                expect.push((bytes, sender.local_addr().unwrap()));
            }
            let mut found = Vec::new();
            for is_full in [true, false] {
                own.receive(&mut batch);
                assert_eq!(batch.is_full(), is_full);
                found.extend(batch.datagrams().map(|(bytes, peer)| (bytes.to_vec(), peer)));
            }
            assert_eq!(found, expect);
        }
    }
}
