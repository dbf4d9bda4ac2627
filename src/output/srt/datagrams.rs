//! The UDP socket of a port.

use super::wire::Outbox;
use crate::net::{DatagramSender, ReceivedDatagrams};
use socket2::{Domain, Protocol, Socket, Type};
use std::{io, net::SocketAddr};

/// What the kernel may hold in each direction: half a second of 60 Mbit/s.
const BUFFER: usize = 4 << 20;

/// A bound socket.
#[derive(Debug)]
pub struct Datagrams {
    socket: mio::net::UdpSocket,
    sender: DatagramSender,
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
    pub fn receive(&self, batch: &mut ReceivedDatagrams) {
        // A peer that is gone is reported here, and is noticed by its silence.
        let is_again =
            |error: &io::Error| matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::ConnectionRefused);
        while batch.read(&self.socket, false).is_err_and(|error| is_again(&error)) {}
    }

    /// Sends what is in an outbox, and empties it. What the kernel has no room for is lost on the way, as it may be anywhere else.
    pub fn send(&self, outbox: &mut Outbox, peer: SocketAddr) {
        self.sender.send(&self.socket, outbox, peer);
        outbox.clear();
    }
}
