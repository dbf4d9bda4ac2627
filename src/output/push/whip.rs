//! A connection to an endpoint of WHIP (RFC 9725): our offer over HTTP, and then WebRTC over sockets of its own.

use super::{endpoint::Endpoint, error::PushError};
use crate::{
    access::Secret,
    config::WhipUrl,
    link::server::LinkError,
    media::{TrackSet, webrtc::Frame},
    net::{DatagramSender, Outbox},
    output::webrtc::{
        keyframes::KeyframeRequests,
        send::lossy,
        session::{Identity, LEFT, Out, Output, Session, calling::Calling},
    },
    stream::RtpStats,
};
use bytes::Bytes;
use socket2::SockRef;
use std::{
    future::pending,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};
use str0m::Candidate;
use tokio::{
    net::{UdpSocket, lookup_host},
    time::{sleep, sleep_until, timeout_at},
};

/// How long it may take until an endpoint has answered and is connected.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How much is sent at a time, and how long it is until the next time: what a line of 100 Mbit/s takes.
const BURST: usize = 64 << 10;
const PACE: Duration = Duration::from_millis(5);
/// What the kernel keeps of a burst.
const SEND_BUFFER: usize = 4 << 20;
/// Longest datagram that is received: more than any path takes.
const MAX_DATAGRAM: usize = 2048;
/// Datagrams that are taken together.
const TOGETHER: usize = 64;

/// Where the connection is made to, and as whom.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) to: &'a WhipUrl,
    pub(super) ca: Option<&'a Path>,
    pub(super) token: Option<Secret>,
    pub(super) agent: String,
}

/// A connection over which frames may be sent.
#[derive(Debug)]
pub(super) struct WhipConnection {
    endpoint: Endpoint,
    session: Session,
    sockets: Sockets,
    keyframes: KeyframeRequests,
    out: Out,
    is_ready: bool,
    ended: Option<&'static str>,
    /// When the present burst began, and what was sent of it.
    burst: (Instant, usize),
}

impl WhipConnection {
    /// Connects, and offers these tracks. Cancel-safe.
    pub(super) async fn open(call: Call<'_>, tracks: TrackSet) -> Result<Self, PushError> {
        let until = (Instant::now() + CONNECT_WITHIN).into();
        let answered = timeout_at(until, Self::call(call, tracks)).await;
        let mut connection = answered.unwrap_or(Err(LinkError::Silent.into()))?;
        timeout_at(until, connection.connect()).await.unwrap_or(Err(PushError::Unreachable))?;
        Ok(connection)
    }

    /// Has an offer answered.
    async fn call(call: Call<'_>, tracks: TrackSet) -> Result<Self, PushError> {
        let sockets = Sockets::open(&call.to.host, call.to.port).await.map_err(LinkError::Connect)?;
        let candidates: Vec<_> = sockets.all().filter_map(|local| Candidate::host(local.address, "udp").ok()).collect();
        let offered = guarded(move || {
            let identity = Identity::generate().ok_or(PushError::NoCertificate)?;
            Ok(Calling::new(&tracks, &identity, &candidates, Instant::now())?)
        });
        let (calling, offer) = offered.await?;
        let mut endpoint = Endpoint::new(call.ca, call.token, call.agent)?;
        let answer = endpoint.offer(&call.to.endpoint(), &offer).await?;
        let session = guarded(move || Ok(calling.answered(&answer, (Instant::now(), SystemTime::now()))?)).await?;
        let now = Instant::now();
        let (keyframes, burst) = (KeyframeRequests::new(now), (now, 0));
        let out = Out::default();
        Ok(Self { endpoint, session, sockets, keyframes, out, is_ready: false, ended: None, burst })
    }

    /// Checks the ways to the target, and agrees on keys.
    async fn connect(&mut self) -> Result<(), PushError> {
        while !self.is_ready {
            self.listen().await;
            self.flush()?;
        }
        Ok(())
    }

    /// Waits for what the target says, or until something is due. [`WhipConnection::flush`] sends what is to be said. Cancel-safe.
    pub(super) async fn listen(&mut self) {
        let due = self.session.due();
        let due = self.keyframes.due().map_or(due, |keyframe| keyframe.min(due));
        tokio::select! {
            () = self.sockets.readable() => self.receive(),
            () = sleep_until(due.into()) => {
                let now = Instant::now();
                self.guard(|session, out| session.timeout(now, out));
            }
        }
    }

    /// Whether the target needs a keyframe.
    pub(super) fn wants_keyframe(&mut self) -> bool {
        self.keyframes.take(Instant::now())
    }

    /// Sends what is to be said.
    pub(super) fn flush(&mut self) -> Result<(), PushError> {
        self.send_out();
        self.look()
    }

    /// Sends a frame, as the ring has it. Returns the bytes. Not cancel-safe.
    pub(super) async fn send(&mut self, packet: Bytes) -> Result<u64, PushError> {
        let Some(frame) = Frame::read(packet).map(Arc::new) else { return Ok(0) };
        let now = Instant::now();
        let bytes = self.session.write(&frame, frame.time, now, &mut self.out.packets);
        self.send_out();
        let (began, sent) = self.burst;
        let sent = if now < began + PACE { sent + bytes } else { bytes };
        self.burst = if sent == bytes { (now, sent) } else { (began, sent) };
        if sent > BURST {
            sleep(PACE).await;
        }
        Ok(bytes as u64)
    }

    /// What was sent, and what the target reports of it.
    pub(super) fn stats(&self) -> RtpStats {
        self.session.stats()
    }

    /// Signals the target that nothing more comes.
    pub(super) async fn close(mut self) {
        let now = Instant::now();
        self.guard(|session, out| session.close(now, out));
        self.send_out();
        self.endpoint.delete().await;
    }

    fn receive(&mut self) {
        let mut buffer = [0; MAX_DATAGRAM];
        for _ in 0..TOGETHER {
            let Some((length, source, destination)) = self.sockets.take(&mut buffer) else { return };
            let (bytes, now) = (buffer.get(..length).unwrap_or_default(), Instant::now());
            self.guard(|session, out| session.receive(false, (source, destination), bytes, now, out));
        }
    }

    /// A panic of str0m, which crafted datagrams may cause, costs this connection alone.
    fn guard(&mut self, act: impl FnOnce(&mut Session, &mut Out)) {
        let Self { session, out, .. } = self;
        if catch_unwind(AssertUnwindSafe(|| act(session, out))).is_err() {
            self.ended = Some("internal error");
        }
    }

    fn send_out(&mut self) {
        for output in self.out.events.drain(..) {
            match output {
                Output::Send { is_tcp: false, destination, bytes } => self.sockets.send_one(&bytes, destination),
                Output::Ready => self.is_ready = true,
                Output::WantsKeyframe => self.keyframes.want(),
                Output::Ended(reason) => self.ended = self.ended.or(Some(reason)),
                Output::Send { .. } | Output::Media(_) | Output::Left(_) => {}
            }
        }
        if let Some(path) = self.session.path() {
            self.sockets.send(&self.out.packets, path.destination);
        }
        self.out.packets.clear();
    }

    fn look(&self) -> Result<(), PushError> {
        match self.ended {
            None => Ok(()),
            Some(LEFT) => Err(LinkError::Left(io::ErrorKind::ConnectionAborted.into()).into()),
            Some(reason) => Err(LinkError::Ended(reason.to_owned()).into()),
        }
    }
}

/// Runs what costs a core for milliseconds, and may panic.
async fn guarded<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PushError> + Send + 'static,
) -> Result<T, PushError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(LinkError::Ended("internal error".to_owned()).into()))
}

/// A socket for each family of addresses that the target has.
#[derive(Debug)]
struct Sockets {
    ipv4: Option<Local>,
    ipv6: Option<Local>,
    sender: DatagramSender,
}

/// A socket, and the address that it has towards the target.
#[derive(Debug)]
struct Local {
    socket: UdpSocket,
    address: SocketAddr,
}

impl Sockets {
    async fn open(host: &str, port: u16) -> io::Result<Self> {
        let found: Vec<_> = lookup_host((host, port)).await?.collect();
        let first = |is_ipv4| found.iter().find(|address| address.is_ipv4() == is_ipv4).copied();
        let (mut sockets, mut failure) = (Self { ipv4: None, ipv6: None, sender: DatagramSender::default() }, None);
        for target in [first(true), first(false)].into_iter().flatten() {
            let local = if target.is_ipv4() { &mut sockets.ipv4 } else { &mut sockets.ipv6 };
            match Local::open(target).await {
                Ok(opened) => *local = Some(opened),
                // A host may have an address of a family that this machine has not.
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            Some(error) if sockets.all().next().is_none() => Err(error),
            _ => Ok(sockets),
        }
    }

    fn all(&self) -> impl Iterator<Item = &Local> {
        self.ipv4.iter().chain(&self.ipv6)
    }

    /// Cancel-safe.
    async fn readable(&self) {
        async fn readable(local: Option<&Local>) {
            match local {
                // An error is one of the next call.
                Some(local) => drop(local.socket.readable().await),
                None => pending().await,
            }
        }
        tokio::select! {
            () = readable(self.ipv4.as_ref()) => {}
            () = readable(self.ipv6.as_ref()) => {}
        }
    }

    /// A datagram that has come: its length, from where, and to where.
    fn take(&self, buffer: &mut [u8]) -> Option<(usize, SocketAddr, SocketAddr)> {
        self.all().find_map(|local| {
            let (length, source) = local.socket.try_recv_from(buffer).ok()?;
            Some((length, source, local.address))
        })
    }

    fn of(&self, destination: SocketAddr) -> Option<&UdpSocket> {
        let local = if destination.is_ipv4() { &self.ipv4 } else { &self.ipv6 };
        local.as_ref().map(|local| &local.socket)
    }

    fn send_one(&self, datagram: &[u8], destination: SocketAddr) {
        if let Some(socket) = self.of(destination) {
            // What is lost is sent again, or was of a way that is none.
            self.sender.send_one(socket, datagram, destination);
        }
    }

    fn send(&self, packets: &Outbox, destination: SocketAddr) {
        let lossy = lossy(packets);
        let packets = lossy.as_ref().unwrap_or(packets);
        if let Some(socket) = self.of(destination) {
            self.sender.send(socket, packets, destination);
        }
    }
}

impl Local {
    async fn open(target: SocketAddr) -> io::Result<Self> {
        let any: IpAddr = match target {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        // The target may have other addresses for media than for HTTP: the socket is bound to none.
        let socket = UdpSocket::bind((any, 0)).await?;
        // As much as the system permits.
        let _ = SockRef::from(&socket).set_send_buffer_size(SEND_BUFFER);
        // To connect sends nothing, and shows which address the system would take.
        let probe = UdpSocket::bind((any, 0)).await?;
        probe.connect(target).await?;
        let address = SocketAddr::new(probe.local_addr()?.ip(), socket.local_addr()?.port());
        Ok(Self { socket, address })
    }
}
