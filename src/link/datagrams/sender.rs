//! The socket that datagrams leave by.

use super::{MP2T, PAYLOAD, pace::Pacer};
use crate::{
    config::DatagramUrl,
    media::rtp::{
        Header,
        fec::{Direction, Encoder, Matrix},
    },
    net::Interface,
    sys::monotonic,
};
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
    protection: Option<Protection>,
    datagram: Vec<u8>,
}

/// What protects the packets of RTP, and where it leaves.
#[derive(Debug)]
struct Protection {
    encoder: Encoder,
    columns: UdpSocket,
    rows: Option<UdpSocket>,
    made: Vec<(Direction, Vec<u8>)>,
}

impl Sender {
    /// Opens a socket for a target. Nobody has to be there. Cancel-safe.
    ///
    /// # Errors
    /// When the host or the interface is unknown, or the system has no socket.
    pub async fn open(to: &DatagramUrl) -> io::Result<Self> {
        let found = lookup_host((to.host.as_str(), to.port)).await?.next();
        let peer = found.ok_or(io::ErrorKind::NotFound)?;
        let socket = open(peer, to).await?;
        let mut random = [0; 10];
        rand::fill(&mut random).map_err(|_| io::Error::other("the system has no random numbers"))?;
        let [a, b, c, d, e, f, g, h, i, j] = random;
        let header = Header {
            payload_type: MP2T,
            marker: false,
            sequence: u16::from_be_bytes([a, b]),
            timestamp: 0,
            ssrc: u32::from_be_bytes([c, d, e, f]),
        };
        let rtp = to.is_rtp.then_some(header);
        let protection = match to.fec {
            None => None,
            Some(fec) => {
                let matrix = Matrix { columns: fec.columns, rows: fec.rows, protects_rows: fec.protects_rows };
                let sequences = [u16::from_be_bytes([g, h]), u16::from_be_bytes([i, j])];
                let port = |is_rows| SocketAddr::new(peer.ip(), to.fec_port(is_rows));
                let columns = open(port(false), to).await?;
                let rows = if fec.protects_rows { Some(open(port(true), to).await?) } else { None };
                Some(Protection { encoder: Encoder::new(matrix, sequences), columns, rows, made: Vec::new() })
            }
        };
        Ok(Self { socket, pacer: Pacer::default(), rtp, protection, datagram: Vec::with_capacity(1500) })
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
        let Some(header) = &mut self.rtp else { return put(&self.socket, payload) };
        header.timestamp = (monotonic().as_micros() * RTP_RATE / 1_000_000) as u32;
        self.datagram.clear();
        self.datagram.extend_from_slice(&header.bytes());
        self.datagram.extend_from_slice(payload);
        let place = (header.sequence, header.timestamp);
        header.sequence = header.sequence.wrapping_add(1);
        put(&self.socket, &self.datagram)?;
        if let Some(Protection { encoder, columns, rows, made }) = &mut self.protection {
            encoder.push(&self.datagram, place, made);
            for (direction, packet) in made.drain(..) {
                let socket = if direction == Direction::Column { Some(&*columns) } else { rows.as_ref() };
                socket.map_or(Ok(()), |socket| put(socket, &packet))?;
            }
        }
        Ok(())
    }
}

/// Sends a datagram, if the kernel has room for it.
fn put(socket: &UdpSocket, datagram: &[u8]) -> io::Result<()> {
    match socket.try_send(datagram) {
        Ok(_) => Ok(()),
        // What the kernel has no room for is lost on the way, as it may be anywhere else; somebody may listen later.
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionRefused) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Opens a socket from which datagrams can be sent immediately.
async fn open(peer: SocketAddr, to: &DatagramUrl) -> io::Result<UdpSocket> {
    let socket = UdpSocket::from_std(socket(peer, to)?.into())?;
    // Until then nothing can be sent without waiting.
    socket.writable().await?;
    Ok(socket)
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
