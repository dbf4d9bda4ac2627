//! Packets in datagrams: one pair of ports for all clients, told apart by their addresses.

use super::{
    datagrams::{BURST, Datagrams, Position, Run},
    sessions::Sessions,
};
use crate::{
    media::rtp::report,
    net::segments::{self, TOGETHER},
    sys::monotonic,
};
use socket2::SockRef;
use std::{
    io::{self, IoSlice},
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::io::{Interest, unix::AsyncFd};
use tokio_util::sync::CancellationToken;

/// Buffer that is requested of the kernel for each direction: a burst of keyframes to many clients.
const BUFFER: usize = 4 << 20;
const _: () = assert!(BURST <= TOGETHER);
/// The pause between two bursts, which receivers need to empty their buffers; and the wait for room in that of the socket.
pub const PAUSE: Duration = Duration::from_millis(1);
/// Longest datagram.
const LARGEST: usize = 64 << 10;
/// Attempts to find a pair of ports.
const ATTEMPTS: usize = 64;

/// The ports of RTP and RTCP.
#[derive(Debug)]
pub struct UdpPair {
    /// Waited for where they are read, never for room: a socket that is, wakes the runtime for each datagram that has left.
    rtp: AsyncFd<UdpSocket>,
    rtcp: AsyncFd<UdpSocket>,
    /// Their numbers.
    pub ports: (u16, u16),
    /// Whether the kernel cuts what it is given into many datagrams.
    can_cut: AtomicBool,
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

/// What came of a burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Burst {
    /// Bytes that the kernel took.
    pub sent: usize,
    /// What is next.
    pub next: After,
}

/// What follows a burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// The next packet.
    Done,
    /// More of the same packet, after [`PAUSE`].
    Pause,
    /// More of the same packet, when the kernel has room for it. Others who send over the same socket find none either.
    Full,
}

/// What the kernel took of a run.
#[derive(Debug, Clone, Copy, Default)]
struct Taken {
    /// Bytes that it sends.
    sent: usize,
    /// Those that it sends, and those that are lost.
    datagrams: usize,
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
        let rtp = UdpSocket::bind((address, port))?;
        let first = rtp.local_addr()?.port();
        let second = first.checked_add(1).filter(|_| first.is_multiple_of(2)).ok_or(io::ErrorKind::AddrInUse)?;
        let rtcp = UdpSocket::bind((address, second))?;
        for socket in [&rtp, &rtcp] {
            socket.set_nonblocking(true)?;
            // The kernel gives less where it is not allowed more.
            let _ = SockRef::from(socket).set_send_buffer_size(BUFFER);
            let _ = SockRef::from(socket).set_recv_buffer_size(BUFFER);
        }
        #[expect(
            deprecated,
            reason = "what replaces it is unsafe; the socket is owned, and stays open as long as this"
        )]
        let readable = |socket| AsyncFd::with_interest(socket, Interest::READABLE);
        let (rtp, rtcp) = (readable(rtp)?, readable(rtcp)?);
        Ok(Self { rtp, rtcp, ports: (first, second), can_cut: AtomicBool::new(true) })
    }

    /// Sends to groups by the interface with this address, through so many networks.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn set_multicast(&self, interface: Ipv4Addr, ttl: u8) -> io::Result<()> {
        for socket in [&self.rtp, &self.rtcp] {
            let socket = SockRef::from(socket.get_ref());
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
                found = receive_from(&self.rtp, &mut media) => (found, &media),
                found = receive_from(&self.rtcp, &mut control) => (found, &control),
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

    /// Sends a packet of RTCP; one that the kernel does not take is lost. Does not wait.
    pub fn send_control(&self, bytes: &[u8], to: SocketAddr) {
        let _ = segments::send_one(&self.rtcp, bytes, to);
    }

    /// Sends what is left of a packet of the ring, as far as the end of a burst.
    pub fn send_burst(&self, datagrams: &Datagrams, to: &[Destination], position: &mut Position) -> Burst {
        let (mut sent, mut count) = (0, 0);
        while let Some((run, left)) = datagrams.at(*position) {
            let Some(destination) = to.iter().find(|to| to.track == run.track) else {
                position.next();
                continue;
            };
            if count + run.count > BURST {
                return Burst { sent, next: After::Pause };
            }
            count += run.count;
            let taken = self.send_run(run, datagrams, left, destination);
            sent += taken.sent;
            if taken.datagrams < left.len() {
                position.advance(taken.datagrams);
                return Burst { sent, next: After::Full };
            }
            position.next();
        }
        Burst { sent, next: After::Done }
    }

    /// Sends what is left of a run. What the kernel refuses for another reason than room is lost.
    fn send_run(&self, run: Run, datagrams: &Datagrams, left: &[Range<usize>], to: &Destination) -> Taken {
        let (socket, to) = if run.is_control { (&self.rtcp, to.rtcp) } else { (&self.rtp, to.rtp) };
        if left.len() > 1 && self.can_cut.load(Ordering::Relaxed) {
            let mut pieces = [IoSlice::new(&[]); BURST];
            pieces.iter_mut().zip(left).for_each(|(piece, place)| *piece = IoSlice::new(datagrams.bytes(place)));
            match segments::send(socket, pieces.get(..left.len()).unwrap_or_default(), run.length, to) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Taken::default(),
                // Of this device or kernel: one by one from now on.
                Err(error) if segments::is_unsupported(&error) => self.can_cut.store(false, Ordering::Relaxed),
                result => return Taken { sent: result.unwrap_or(0), datagrams: left.len() },
            }
        }
        let mut taken = Taken::default();
        for place in left {
            match segments::send_one(socket, datagrams.bytes(place), to) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return taken,
                result => taken.sent += result.unwrap_or(0),
            }
            taken.datagrams += 1;
        }
        taken
    }

    /// Sends a packet of the ring, in bursts; returns the bytes.
    pub async fn send_all(&self, datagrams: &Datagrams, to: &[Destination]) -> usize {
        let (mut position, mut sent) = (Position::default(), 0);
        loop {
            let burst = self.send_burst(datagrams, to, &mut position);
            sent += burst.sent;
            match burst.next {
                After::Done => return sent,
                After::Pause | After::Full => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// Reports the end to whoever still listens: `senders` are tracks and their sources. Does not wait.
    pub fn say_goodbye(&self, to: &[Destination], senders: &[(usize, u32)]) {
        for (track, ssrc) in senders {
            if let Some(destination) = to.iter().find(|to| to.track == *track) {
                self.send_control(&report::end(*ssrc), destination.rtcp);
            }
        }
    }
}

/// Waits for a datagram. Cancel-safe.
async fn receive_from(socket: &AsyncFd<UdpSocket>, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
    socket.async_io(Interest::READABLE, |socket| socket.recv_from(buffer)).await
}

#[cfg(test)]
mod tests {
    use super::{super::datagrams::testing::packet, *};

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

    fn destination(track: usize, port: u16) -> Destination {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Destination { track, rtp: at(port), rtcp: at(port) }
    }

    #[tokio::test]
    async fn each_datagram_arrives_whole_however_it_is_sent() {
        let receiver = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let to = [destination(0, receiver.local_addr().unwrap().port())];
        let lengths = [250, 250, 250, 40];
        let datagrams = Datagrams::of(packet(&lengths.map(|length| (0, length))));
        // From the begin, and from where the kernel had no room.
        for (can_cut, passed) in [(true, 0), (false, 0), (true, 2), (false, 2)] {
            let mut pair = UdpPair::bind(IpAddr::from([127, 0, 0, 1]), 0).unwrap();
            pair.can_cut = can_cut.into();
            let mut position = Position::default();
            position.advance(passed);
            let expect = &lengths[passed..];
            let burst = pair.send_burst(&datagrams, &to, &mut position);
            assert_eq!(burst, Burst { sent: expect.iter().sum(), next: After::Done });
            for length in expect {
                let mut buffer = [0; 2000];
                let found = receiver.recv(&mut buffer).await.unwrap();
                assert_eq!(&buffer[..found], &vec![*length as u8; *length][..], "{can_cut} {passed}");
            }
        }
    }

    #[tokio::test]
    async fn a_burst_has_twenty_datagrams_and_those_of_other_tracks_are_not_sent() {
        let receiver = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let to = [destination(1, receiver.local_addr().unwrap().port())];
        let pair = UdpPair::bind(IpAddr::from([127, 0, 0, 1]), 0).unwrap();
        let channels =
            [vec![(0, 9); 30], vec![(2, 8); 15], vec![(2, 9); 5], vec![(2, 7); 1], vec![(3, 6); 30]].concat();
        let (datagrams, mut position) = (Datagrams::of(packet(&channels)), Position::default());
        let mut bursts = Vec::new();
        loop {
            let burst = pair.send_burst(&datagrams, &to, &mut position);
            bursts.push(burst.sent);
            if burst.next == After::Done {
                break;
            }
            assert_eq!(burst.next, After::Pause);
        }
        // Fifteen; then six in one run, as the last one is shorter; with them none of the twenty that follow.
        assert_eq!(bursts, [15 * 8, 5 * 9 + 7, 20 * 6, 10 * 6]);
        assert_eq!(pair.send_all(&datagrams, &to).await, bursts.iter().sum::<usize>());
    }
}
