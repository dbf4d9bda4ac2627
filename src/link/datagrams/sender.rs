//! The socket that datagrams leave by.

use super::{MP2T, PAYLOAD, network::Interface, pace::Pacer};
use crate::{config::DatagramUrl, media::rtp::Header, sys::monotonic};
use aws_lc_rs::rand;
use bytes::Bytes;
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::{IpAddr, SocketAddr},
};
use tokio::{
    net::{UdpSocket, lookup_host},
    time::{Instant, sleep_until},
};

/// What the kernel may hold.
const BUFFER: usize = 4 << 20;
/// Ticks of RTP in a second.
const RTP_RATE: u128 = 90_000;

/// Sends MPEG-TS to one receiver or a group.
#[derive(Debug)]
pub struct Sender {
    socket: UdpSocket,
    pacer: Pacer,
    rtp: Option<Header>,
    datagram: Vec<u8>,
}

impl Sender {
    /// Opens a socket for a target. Nobody has to be there. Cancel-safe.
    ///
    /// # Errors
    /// When the host or the interface is unknown, or the system has no socket.
    pub async fn open(to: &DatagramUrl) -> io::Result<Self> {
        let found = lookup_host((to.host.as_str(), to.port)).await?.next();
        let peer = found.ok_or(io::ErrorKind::NotFound)?;
        let socket = UdpSocket::from_std(socket(peer, to)?.into())?;
        // Until then nothing can be sent without waiting.
        socket.writable().await?;
        let mut random = [0; 6];
        rand::fill(&mut random).map_err(|_| io::Error::other("the system has no random numbers"))?;
        let [a, b, c, d, e, f] = random;
        let header = Header {
            payload_type: MP2T,
            marker: false,
            sequence: u16::from_be_bytes([a, b]),
            timestamp: 0,
            ssrc: u32::from_be_bytes([c, d, e, f]),
        };
        let rtp = to.is_rtp.then_some(header);
        Ok(Self { socket, pacer: Pacer::default(), rtp, datagram: Vec::with_capacity(1500) })
    }

    /// Sends whole packets of MPEG-TS, in the pace of their clock. Returns the bytes. Not cancel-safe.
    ///
    /// # Errors
    /// When the network is gone. That nobody receives is none.
    pub async fn send(&mut self, packets: Bytes) -> io::Result<u64> {
        self.pacer.see(&packets);
        let (begin, count) = (Instant::now(), packets.len().div_ceil(PAYLOAD));
        for (number, payload) in packets.chunks(PAYLOAD).enumerate() {
            let due = begin + self.pacer.after(number, count);
            if due > Instant::now() {
                sleep_until(due).await;
            }
            self.send_one(payload)?;
        }
        Ok(packets.len() as u64)
    }

    fn send_one(&mut self, payload: &[u8]) -> io::Result<()> {
        self.datagram.clear();
        if let Some(header) = &mut self.rtp {
            header.timestamp = (monotonic().as_micros() * RTP_RATE / 1_000_000) as u32;
            self.datagram.extend_from_slice(&header.bytes());
            header.sequence = header.sequence.wrapping_add(1);
        }
        self.datagram.extend_from_slice(payload);
        match self.socket.try_send(&self.datagram) {
            Ok(_) => Ok(()),
            // What the kernel has no room for is lost on the way, as it may be anywhere else; somebody may listen later.
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionRefused) => {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

fn socket(peer: SocketAddr, to: &DatagramUrl) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(peer), Type::DGRAM, Some(Protocol::UDP))?;
    let _ = socket.set_send_buffer_size(BUFFER);
    socket.set_nonblocking(true)?;
    if peer.ip().is_multicast() {
        let interface = to.interface.as_deref().map_or(Ok(Interface::ANY), Interface::find)?;
        match peer.ip() {
            IpAddr::V4(_) => {
                socket.set_multicast_ttl_v4(to.ttl.into())?;
                socket.set_multicast_if_v4(&interface.address)?;
            }
            IpAddr::V6(_) => {
                socket.set_multicast_hops_v6(to.ttl.into())?;
                socket.set_multicast_if_v6(interface.index)?;
            }
        }
    }
    socket.connect(&peer.into())?;
    Ok(socket)
}
