//! A connection that we open: one socket of a caller.

use super::wire::{
    Connection, End, Outbox, Sequence,
    caller::{Caller, Offer, Rejected},
    connection::Counts,
    handshake::Party,
    key::{KeyLength, Keys, Passphrase},
    packet,
};
use crate::config::SrtUrl;
use aws_lc_rs::rand;
use bytes::Bytes;
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::{
    net::{UdpSocket, lookup_host},
    time::{sleep_until, timeout},
};

/// How long it may take until a listener accepts.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// What the kernel may hold in each direction.
const BUFFER: usize = 4 << 20;
/// Larger than any datagram of SRT.
const MAX_DATAGRAM: usize = 2048;
/// Datagrams that are read before anything else has its turn.
const READ_AT_ONCE: usize = 64;
/// Packets that we have room for: as many as the connection holds.
const WINDOW: u32 = 8192;
/// Bytes that may wait to be sent: what is handed over later is fresher when the line is slow.
const AHEAD: usize = 64 << 10;

/// Why a call fails, or has ended.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The name of the host is unknown, or the system has no socket.
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    /// The system has no random numbers, or no AES.
    #[error("the system has no random numbers or no AES")]
    System,
    /// Nobody listens there.
    #[error("no answer within 10 s")]
    Silent,
    /// The listener refuses.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// The peer ended it.
    #[error("the listener ended the connection")]
    Closed,
    /// The peer is silent.
    #[error("no sign of life for 5 s")]
    Gone,
    /// The peer takes nothing.
    #[error("no progress for 10 s")]
    NoProgress,
}

/// A connection to a listener.
#[derive(Debug)]
pub struct Call {
    socket: UdpSocket,
    peer: SocketAddr,
    number: u32,
    connection: Connection,
    out: Outbox,
    delivered: Vec<Bytes>,
    buffer: Box<[u8; MAX_DATAGRAM]>,
}

impl Call {
    /// Calls a listener. Cancel-safe.
    ///
    /// # Errors
    /// Why there is no connection.
    pub async fn connect(to: &SrtUrl) -> Result<Self, CallError> {
        timeout(CONNECT_WITHIN, Self::connect_at_leisure(to)).await.unwrap_or(Err(CallError::Silent))
    }

    async fn connect_at_leisure(to: &SrtUrl) -> Result<Self, CallError> {
        let keys = keys(to)?;
        let found = lookup_host((to.host.as_str(), to.port)).await.map_err(CallError::Connect)?.next();
        let peer = found.ok_or_else(|| CallError::Connect(io::ErrorKind::NotFound.into()))?;
        let socket = socket(peer).map_err(CallError::Connect)?;
        // Until then nothing can be sent without waiting.
        socket.writable().await.map_err(CallError::Connect)?;
        let mut random = [0; 8];
        rand::fill(&mut random).map_err(|_| CallError::System)?;
        let [a, b, c, d, rest @ ..] = random;
        let number = u32::from_be_bytes([a, b, c, d]).max(1);
        let own = Party { socket: number, first: Sequence::new(u32::from_be_bytes(rest)), window: WINDOW };
        let stream_id = to.stream_id.expose().to_owned();
        let offer = Offer { stream_id, latency: to.latency, keys, key_refresh: to.key_refresh };
        let mut caller = Caller::new(own, peer, offer, Instant::now());
        let (mut out, mut buffer) = (Outbox::default(), Box::new([0; MAX_DATAGRAM]));
        loop {
            caller.tick(Instant::now(), &mut out);
            send(&socket, &mut out);
            let length = tokio::select! {
                received = socket.recv(buffer.as_mut_slice()) => received,
                () = sleep_until(caller.due().into()) => continue,
            };
            // Where nobody listens the system says so.
            let length = length.map_err(CallError::Connect)?;
            let Some(packet) = buffer.get(..length).and_then(packet::parse) else { continue };
            if let Some(connection) = caller.handle(&packet, Instant::now(), &mut out)? {
                let delivered = Vec::new();
                return Ok(Self { socket, peer, number, connection, out, delivered, buffer });
            }
        }
    }

    /// Where the peer is.
    pub const fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// What went over the connection.
    pub fn counts(&self) -> Counts {
        self.connection.counts()
    }

    /// Does what is due, then waits until something comes or is due again. Cancel-safe.
    ///
    /// # Errors
    /// Why the connection has ended.
    pub async fn drive(&mut self) -> Result<(), CallError> {
        self.advance(Instant::now())?;
        tokio::select! {
            ready = self.socket.readable() => {
                ready.map_err(CallError::Connect)?;
                self.read();
            }
            () = sleep_until(self.connection.due().into()) => {}
        }
        self.advance(Instant::now())
    }

    /// The payloads that came since the last time, in order.
    pub fn take(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.delivered)
    }

    /// Sends a payload of at most [`packet::TS_PAYLOAD`] bytes, as soon as there is room for it. Not cancel-safe: it may be sent or not.
    ///
    /// # Errors
    /// Why the connection has ended.
    pub async fn send(&mut self, payload: Bytes) -> Result<(), CallError> {
        while self.connection.unsent_bytes() >= AHEAD || self.connection.room() == 0 {
            self.drive().await?;
        }
        self.connection.send(payload, Instant::now());
        self.advance(Instant::now())
    }

    /// Ends the connection, after what was sent has arrived, or `within`. Payloads that come meanwhile are lost. One that is dropped ends
    /// immediately.
    pub async fn close(mut self, within: Duration) {
        let drained = async {
            while !self.connection.is_drained() && self.drive().await.is_ok() {
                self.delivered.clear();
            }
        };
        let _ = timeout(within, drained).await;
    }

    fn read(&mut self) {
        for _ in 0..READ_AT_ONCE {
            let length = match self.socket.try_recv(self.buffer.as_mut_slice()) {
                Ok(length) => length,
                // A peer that is gone is reported here, and is noticed by its silence.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
                Err(_) => return,
            };
            let Some(packet) = self.buffer.get(..length).and_then(packet::parse) else { continue };
            if packet.destination == self.number {
                self.connection.handle(&packet, Instant::now(), &mut self.out, &mut self.delivered);
            }
        }
    }

    fn advance(&mut self, now: Instant) -> Result<(), CallError> {
        self.connection.tick(now, &mut self.out, &mut self.delivered);
        send(&self.socket, &mut self.out);
        match self.connection.end() {
            None => Ok(()),
            Some(End::Closed) => Err(CallError::Closed),
            Some(End::Silent) => Err(CallError::Gone),
            Some(End::NoProgress) => Err(CallError::NoProgress),
        }
    }
}

/// Notifies the peer.
impl Drop for Call {
    fn drop(&mut self) {
        self.connection.close(Instant::now(), &mut self.out);
        send(&self.socket, &mut self.out);
    }
}

/// What the kernel has no room for is lost on the way, as it may be anywhere else.
fn send(socket: &UdpSocket, out: &mut Outbox) {
    for datagram in out.datagrams() {
        let _ = socket.try_send(datagram);
    }
    out.clear();
}

fn keys(to: &SrtUrl) -> Result<Option<Keys>, CallError> {
    let Some(passphrase) = to.passphrase.as_ref().and_then(|secret| Passphrase::new(secret.expose())) else {
        return Ok(None);
    };
    let length = KeyLength::from_bytes(to.key_bytes.into()).ok_or(CallError::System)?;
    Keys::generate(passphrase, length).map(Some).map_err(|_| CallError::System)
}

/// A socket that receives from this peer only.
fn socket(peer: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(peer), Type::DGRAM, Some(Protocol::UDP))?;
    // As large as the system permits.
    let _ = socket.set_recv_buffer_size(BUFFER);
    let _ = socket.set_send_buffer_size(BUFFER);
    socket.set_nonblocking(true)?;
    socket.connect(&peer.into())?;
    UdpSocket::from_std(socket.into())
}
