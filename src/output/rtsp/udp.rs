//! Packets in datagrams: one pair of ports for all clients, told apart by their addresses.

use super::{
    sessions::{Listed, Sessions},
    viewer::Viewer,
};
use crate::{
    media::rtp::{interleaved, report},
    output::shard::subscription::Next,
    sys::monotonic,
};
use bytes::Bytes;
use socket2::SockRef;
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    net::UdpSocket,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

/// Buffer that is requested of the kernel for each direction: a burst of keyframes to many clients.
const BUFFER: usize = 4 << 20;
/// So many datagrams are sent without a pause.
const BURST: usize = 20;
/// The pause between two bursts, which receivers need to empty their buffers.
const PAUSE: Duration = Duration::from_millis(1);
/// A client that shows nothing of itself for so long has left: the timeout that it was sent, and some time more for those who
/// are just in time.
const SILENCE: Duration = Duration::from_secs(90);
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
        Ok(Self { rtp, rtcp, ports: (first, second) })
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
                self.send_all(&bytes, &to, &mut viewer, &mut senders).await;
            }
            tokio::select! {
                () = stop.cancelled() => break "server stopped",
                () = listed.end.cancelled() => break "client left",
                _ = check.tick() => {
                    if let Some(reason) = viewer.tick(Instant::now()) {
                        break reason;
                    }
                    if listed.liveness.silence(monotonic()) > SILENCE {
                        break "no sign of the client for 90 s";
                    }
                }
                found = viewer.next() => match found {
                    Next::Packet(packet) => next = Some(packet.payload()),
                    Next::End(reason) => break reason,
                },
            }
        };
        viewer.end(reason);
        // Whoever is still there does not wait for more.
        for (track, ssrc) in senders {
            if let Some(destination) = to.iter().find(|to| to.track == track) {
                self.send(&report::end(ssrc), true, destination.rtcp).await;
            }
        }
    }

    async fn send_all(&self, bytes: &Bytes, to: &[Destination], viewer: &mut Viewer, senders: &mut Vec<(usize, u32)>) {
        let (mut sent, mut count) = (0, 0);
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
            let address = if is_control { destination.rtcp } else { destination.rtp };
            sent += self.send(&packet, is_control, address).await;
            count += 1;
            if count % BURST == 0 {
                tokio::time::sleep(PAUSE).await;
            }
        }
        viewer.sent(sent as u64);
    }
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
}
