//! Packets in datagrams: one pair of ports for all clients, told apart by their addresses.

use super::{
    sessions::{Listed, Sessions},
    timeouts,
    viewer::Viewer,
};
use crate::{
    media::rtp::{interleaved, report},
    net::segments::{self, TOGETHER},
    output::shard::subscription::Next,
    sys::monotonic,
};
use bytes::Bytes;
use socket2::SockRef;
use std::{
    io::{self, IoSlice},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::Interest,
    net::UdpSocket,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

/// Buffer that is requested of the kernel for each direction: a burst of keyframes to many clients.
const BUFFER: usize = 4 << 20;
/// So many datagrams are sent without a pause, and in one call at most.
const BURST: usize = 20;
const _: () = assert!(BURST <= TOGETHER);
/// The pause between two bursts, which receivers need to empty their buffers.
const PAUSE: Duration = Duration::from_millis(1);
/// Interval of the checks of a viewer.
const CHECK_PERIOD: Duration = Duration::from_secs(1);
/// Longest datagram.
const LARGEST: usize = 64 << 10;
/// Attempts to find a pair of ports.
const ATTEMPTS: usize = 64;

/// The ports of RTP and RTCP.
#[derive(Debug)]
pub struct UdpPair {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    /// Their numbers.
    pub ports: (u16, u16),
    /// Whether the kernel cuts what it is given into many datagrams.
    can_cut: AtomicBool,
}

/// A datagram on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Datagram {
    is_control: bool,
    to: SocketAddr,
    bytes: Bytes,
}

/// Where the packets of a channel of the stream go.
#[derive(Debug, Clone, Copy)]
pub struct Destination {
    /// The place of the track in the description.
    pub track: usize,
    /// For RTP.
    pub rtp: SocketAddr,
    /// For RTCP.
    pub rtcp: SocketAddr,
}

impl UdpPair {
    /// Binds an even port and the next one; 0 is any free pair.
    ///
    /// # Errors
    /// When they cannot be bound.
    pub fn bind(address: IpAddr, port: u16) -> io::Result<Self> {
        let mut failed = io::Error::from(io::ErrorKind::AddrInUse);
        for _ in 0..if port == 0 { ATTEMPTS } else { 1 } {
            match Self::try_bind(address, port) {
                Ok(pair) => return Ok(pair),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    fn try_bind(address: IpAddr, port: u16) -> io::Result<Self> {
        let rtp = std::net::UdpSocket::bind((address, port))?;
        let first = rtp.local_addr()?.port();
        let second = first.checked_add(1).filter(|_| first.is_multiple_of(2)).ok_or(io::ErrorKind::AddrInUse)?;
        let rtcp = std::net::UdpSocket::bind((address, second))?;
        for socket in [&rtp, &rtcp] {
            socket.set_nonblocking(true)?;
            // The kernel gives less where it is not allowed more.
            let _ = SockRef::from(socket).set_send_buffer_size(BUFFER);
            let _ = SockRef::from(socket).set_recv_buffer_size(BUFFER);
        }
        let (rtp, rtcp) = (UdpSocket::from_std(rtp)?, UdpSocket::from_std(rtcp)?);
        Ok(Self { rtp, rtcp, ports: (first, second), can_cut: AtomicBool::new(true) })
    }

    /// Sends to groups by the interface with this address, through so many networks.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn set_multicast(&self, interface: Ipv4Addr, ttl: u8) -> io::Result<()> {
        for socket in [&self.rtp, &self.rtcp] {
            let socket = SockRef::from(socket);
            socket.set_multicast_ttl_v4(ttl.into())?;
            socket.set_multicast_if_v4(&interface)?;
        }
        Ok(())
    }

    /// Takes what clients send, until `stop`: it shows that they are there, and is the media of publishers. What comes from others is nothing.
    pub async fn receive(self: Arc<Self>, sessions: Sessions, stop: CancellationToken) {
        let (mut media, mut control) = (vec![0; LARGEST], vec![0; LARGEST]);
        loop {
            let (found, buffer) = tokio::select! {
                () = stop.cancelled() => return,
                found = self.rtp.recv_from(&mut media) => (found, &media),
                found = self.rtcp.recv_from(&mut control) => (found, &control),
            };
            match found {
                Ok((length, from)) => {
                    sessions.datagram(from, buffer.get(..length).unwrap_or_default(), monotonic());
                }
                // Of an earlier datagram, to one who has left.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(error) => {
                    tracing::debug!(%error, "cannot receive datagrams");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Sends a packet; one that the kernel does not take is lost.
    pub async fn send(&self, bytes: &[u8], is_control: bool, to: SocketAddr) -> usize {
        let socket = if is_control { &self.rtcp } else { &self.rtp };
        socket.send_to(bytes, to).await.unwrap_or(0)
    }

    /// Sends the packets of a stream to a viewer until one of them ends. `first` is what the viewer begins with.
    pub async fn play(
        self: Arc<Self>,
        mut viewer: Viewer,
        first: Bytes,
        to: Vec<Destination>,
        listed: Listed,
        stop: CancellationToken,
    ) {
        let mut check = interval(CHECK_PERIOD);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut next = Some(first);
        let mut senders = Vec::new();
        let reason = loop {
            if let Some(bytes) = next.take() {
                let sent = self.send_all(&bytes, &to, &mut senders).await;
                viewer.sent(sent as u64);
            }
            tokio::select! {
                () = stop.cancelled() => break "server stopped",
                () = listed.end.cancelled() => break "client left",
                _ = check.tick() => {
                    if let Some(reason) = viewer.tick(Instant::now()) {
                        break reason;
                    }
                    if let Some(reason) = timeouts::of_datagrams(listed.liveness.silence(monotonic())) {
                        break reason;
                    }
                }
                found = viewer.next() => match found {
                    Next::Packet(packet) => next = Some(packet.payload()),
                    Next::End(reason) => break reason,
                },
            }
        };
        viewer.end(reason);
        self.say_goodbye(&to, &senders).await;
    }

    /// Reports the end to whoever still listens: `senders` are tracks and their sources.
    pub async fn say_goodbye(&self, to: &[Destination], senders: &[(usize, u32)]) {
        for (track, ssrc) in senders {
            if let Some(destination) = to.iter().find(|to| to.track == *track) {
                self.send(&report::end(*ssrc), true, destination.rtcp).await;
            }
        }
    }

    /// Sends packets of the ring, in bursts; returns the bytes. Adds to `senders` those who report.
    pub async fn send_all(&self, bytes: &Bytes, to: &[Destination], senders: &mut Vec<(usize, u32)>) -> usize {
        let mut datagrams = Vec::new();
        for framed in interleaved::split(bytes) {
            let (track, is_control) = (usize::from(framed.channel >> 1), framed.channel & 1 == 1);
            let Some(destination) = to.iter().find(|destination| destination.track == track) else { continue };
            let packet = framed.packet();
            if is_control
                && senders.iter().all(|(known, _)| *known != track)
                && let Some(report::Report::Sender(sender)) = report::parse(&packet).first()
            {
                senders.push((track, sender.ssrc));
            }
            let to = if is_control { destination.rtcp } else { destination.rtp };
            datagrams.push(Datagram { is_control, to, bytes: packet });
        }
        let (mut rest, mut sent, mut burst) = (&datagrams[..], 0, 0);
        while let Some((group, after)) = rest.split_at_checked(group(rest)).filter(|(group, _)| !group.is_empty()) {
            if burst + group.len() > BURST {
                tokio::time::sleep(PAUSE).await;
                burst = 0;
            }
            burst += group.len();
            sent += self.send_group(group).await;
            rest = after;
        }
        sent
    }

    /// Sends datagrams of one [`group`]; returns the bytes that the kernel took.
    async fn send_group(&self, group: &[Datagram]) -> usize {
        let Some(Datagram { is_control, to, bytes }) = group.first() else { return 0 };
        if group.len() > 1 && self.can_cut.load(Ordering::Relaxed) {
            let pieces: Vec<_> = group.iter().map(|datagram| IoSlice::new(&datagram.bytes)).collect();
            let socket = if *is_control { &self.rtcp } else { &self.rtp };
            let send = || segments::send(socket, &pieces, bytes.len(), *to);
            match socket.async_io(Interest::WRITABLE, send).await {
                // Of this device or kernel: one by one from now on.
                Err(error) if segments::is_unsupported(&error) => self.can_cut.store(false, Ordering::Relaxed),
                result => return result.unwrap_or(0),
            }
        }
        let mut sent = 0;
        for Datagram { bytes, .. } in group {
            sent += self.send(bytes, *is_control, *to).await;
        }
        sent
    }
}

/// How many of these may leave in one call: neighbours to one address of the same length, but for the last one, which may be shorter.
fn group(datagrams: &[Datagram]) -> usize {
    let Some(first) = datagrams.first() else { return 0 };
    let is_alike = |other: &Datagram| other.is_control == first.is_control && other.to == first.to;
    let whole =
        datagrams.iter().take(BURST).take_while(|other| is_alike(other) && other.bytes.len() == first.bytes.len());
    let count = whole.count();
    let is_last = |other: &Datagram| is_alike(other) && other.bytes.len() < first.bytes.len();
    count + usize::from(count < BURST && datagrams.get(count).is_some_and(is_last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pair_of_ports_begins_with_an_even_one() {
        let local = IpAddr::from([127, 0, 0, 1]);
        let pairs: Vec<_> = (0..8).map(|_| UdpPair::bind(local, 0).unwrap()).collect();
        for pair in &pairs {
            let (rtp, rtcp) = pair.ports;
            assert!(rtp % 2 == 0 && rtcp == rtp + 1);
        }
        let taken = pairs[0].ports.0;
        assert!(UdpPair::bind(local, taken).is_err());
    }

    fn datagram(to: SocketAddr, length: usize) -> Datagram {
        Datagram { is_control: false, to, bytes: vec![length as u8; length].into() }
    }

    #[test]
    fn neighbours_of_one_length_leave_together() {
        let (near, far) = ("192.0.2.1:4".parse().unwrap(), "192.0.2.1:6".parse().unwrap());
        #[track_caller]
        fn check(datagrams: &[Datagram], expect: &[usize]) {
            let (mut rest, mut found) = (datagrams, Vec::new());
            while !rest.is_empty() {
                found.push(group(rest));
                rest = &rest[group(rest)..];
            }
            assert_eq!(found, expect);
        }
        let of = |to, lengths: &[usize]| lengths.iter().map(|length| datagram(to, *length)).collect::<Vec<_>>();
        check(&of(near, &[9, 9, 9, 4, 9, 12, 12]), &[4, 1, 2]);
        check(&[of(near, &[9, 9]), of(far, &[9, 3])].concat(), &[2, 2]);
        check(&of(near, &[7; 45]), &[20, 20, 5]);
        let control = Datagram { is_control: true, ..datagram(near, 9) };
        check(&[of(near, &[9]), vec![control], of(near, &[9])].concat(), &[1, 1, 1]);
        check(&[], &[]);
    }

    #[tokio::test]
    async fn each_datagram_arrives_whole_however_it_is_sent() {
        let receiver = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let to = receiver.local_addr().unwrap();
        for can_cut in [true, false] {
            let mut pair = UdpPair::bind(IpAddr::from([127, 0, 0, 1]), 0).unwrap();
            pair.can_cut = can_cut.into();
            let lengths = [250, 250, 250, 40];
            let group: Vec<_> = lengths.iter().map(|length| datagram(to, *length)).collect();
            assert_eq!(pair.send_group(&group).await, 790);
            for length in lengths {
                let mut buffer = [0; 2000];
                let found = receiver.recv(&mut buffer).await.unwrap();
                assert_eq!(&buffer[..found], &vec![length as u8; length][..], "{can_cut}");
            }
        }
    }
}
