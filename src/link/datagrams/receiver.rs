//! The socket that datagrams come by.

use super::{
    arrival::{Arrivals, Counts},
    network::Interface,
};
use crate::{config::DatagramUrl, sys::monotonic};
use bytes::{Bytes, BytesMut};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use tokio::{net::UdpSocket, time::sleep};

/// Larger than any datagram.
const MAX_DATAGRAM: usize = 64 << 10;
/// Datagrams that are read before anything else has its turn.
const READ_AT_ONCE: usize = 64;
/// What is not to be waited for is looked at again after so long.
const FOREVER: Duration = Duration::from_secs(3600);

/// Receives MPEG-TS of one sender at a time.
#[derive(Debug)]
pub struct Receiver {
    socket: UdpSocket,
    arrivals: Arrivals,
    buffer: BytesMut,
}

impl Receiver {
    /// Opens the port, and joins the group if it is one.
    ///
    /// # Errors
    /// When the address or the interface is none of this machine, or the port is taken.
    pub fn bind(at: &DatagramUrl) -> io::Result<Self> {
        let socket = UdpSocket::from_std(socket(at)?.into())?;
        Ok(Self { socket, arrivals: Arrivals::new(at.is_rtp), buffer: BytesMut::new() })
    }

    /// Who sends, if media came.
    pub fn sender(&self) -> Option<SocketAddr> {
        self.arrivals.sender()
    }

    /// What came.
    pub const fn counts(&self) -> Counts {
        self.arrivals.counts
    }

    /// Waits for media, and adds what is in order to `out`. Cancel-safe.
    ///
    /// # Errors
    /// When the network is gone.
    pub async fn receive(&mut self, out: &mut Vec<Bytes>) -> io::Result<()> {
        let deadline = self.arrivals.deadline();
        let wait = deadline.map_or(FOREVER, |deadline| deadline.saturating_sub(monotonic()));
        tokio::select! {
            ready = self.socket.readable() => {
                ready?;
                self.read(out)
            }
            () = sleep(wait) => {
                self.arrivals.expire(monotonic(), out);
                Ok(())
            }
        }
    }

    fn read(&mut self, out: &mut Vec<Bytes>) -> io::Result<()> {
        for _ in 0..READ_AT_ONCE {
            self.buffer.reserve(MAX_DATAGRAM);
            match self.socket.try_recv_buf_from(&mut self.buffer) {
                Ok((_, from)) => {
                    self.arrivals.push(from, self.buffer.split().freeze(), monotonic(), out);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn socket(at: &DatagramUrl) -> io::Result<Socket> {
    let host = match at.host.as_str() {
        // Both versions of IP.
        "" => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        host => host.parse().map_err(|_| io::ErrorKind::InvalidInput)?,
    };
    let address = SocketAddr::new(host, at.port);
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    // As large as the system permits.
    let _ = socket.set_recv_buffer_size(at.buffer);
    if host.is_multicast() {
        // Several programs may receive a group.
        socket.set_reuse_address(true)?;
    }
    if at.host.is_empty() {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    // Bound to a group, the socket gets what is sent to the group only.
    socket.bind(&address.into())?;
    if host.is_multicast() {
        let interface = at.interface.as_deref().map_or(Ok(Interface::ANY), Interface::find)?;
        match (host, at.source) {
            (IpAddr::V4(group), Some(IpAddr::V4(source))) => socket.join_ssm_v4(&source, &group, &interface.address)?,
            (IpAddr::V4(group), _) => socket.join_multicast_v4(&group, &interface.address)?,
            (IpAddr::V6(group), _) => socket.join_multicast_v6(&group, interface.index)?,
        }
    }
    Ok(socket)
}
