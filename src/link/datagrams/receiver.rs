//! The socket that datagrams come by.

use super::arrival::{Arrivals, Counts};
use crate::{config::DatagramUrl, net::Interface, sys::monotonic};
use bytes::Bytes;
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    future::pending,
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
    /// For what protects columns and rows.
    protection: [Option<UdpSocket>; 2],
    arrivals: Arrivals,
    buffer: Box<[u8]>,
}

impl Receiver {
    /// Opens the port and those of error correction, and joins the group if it is one.
    ///
    /// # Errors
    /// When the address or the interface is none of this machine, or the port is taken.
    pub fn bind(at: &DatagramUrl) -> io::Result<Self> {
        let open = |port| UdpSocket::from_std(socket(at, port)?.into());
        let protection = match at.fec {
            None => [None, None],
            Some(fec) => {
                let rows = fec.protects_rows.then(|| open(at.fec_port(true))).transpose()?;
                [Some(open(at.fec_port(false))?), rows]
            }
        };
        let (arrivals, buffer) = (Arrivals::new(at.is_rtp, at.fec.is_some()), vec![0; MAX_DATAGRAM].into());
        Ok(Self { socket: open(at.port)?, protection, arrivals, buffer })
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
        let [columns, rows] = &self.protection;
        tokio::select! {
            ready = self.socket.readable() => ready?,
            ready = readable(columns.as_ref()) => ready?,
            ready = readable(rows.as_ref()) => ready?,
            () = sleep(wait) => {
                self.arrivals.expire(monotonic(), out);
                return Ok(());
            }
        }
        self.read(out)
    }

    /// Reads media first: what protects it comes behind it.
    fn read(&mut self, out: &mut Vec<Bytes>) -> io::Result<()> {
        let Self { socket, protection, arrivals, buffer } = self;
        // What waits in the order is kept for longer than the buffer, and is smaller.
        read_all(socket, buffer, |from, datagram| {
            arrivals.push(from, Bytes::copy_from_slice(datagram), monotonic(), out);
        })?;
        for socket in protection.iter().flatten() {
            read_all(socket, buffer, |from, datagram| arrivals.protection(from, datagram, monotonic(), out))?;
        }
        Ok(())
    }
}

/// Waits for a datagram; forever without a socket.
async fn readable(socket: Option<&UdpSocket>) -> io::Result<()> {
    match socket {
        Some(socket) => socket.readable().await,
        None => pending().await,
    }
}

/// Reads what is there, but no more than is fair.
fn read_all(socket: &UdpSocket, buffer: &mut [u8], mut take: impl FnMut(SocketAddr, &[u8])) -> io::Result<()> {
    for _ in 0..READ_AT_ONCE {
        match socket.try_recv_from(buffer) {
            Ok((length, from)) => take(from, buffer.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn socket(at: &DatagramUrl, port: u16) -> io::Result<Socket> {
    let host = match at.host.as_str() {
        // Both versions of IP.
        "" => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        host => host.parse().map_err(|_| io::ErrorKind::InvalidInput)?,
    };
    let address = SocketAddr::new(host, port);
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
