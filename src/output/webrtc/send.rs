//! How datagrams leave: over the UDP port of all, or over the connection of a viewer whom UDP does not reach. Nothing waits for a viewer.

use super::session::path::Path;
use crate::{
    net::{DatagramSender, Outbox},
    telemetry::{Dropped, WebRtcStats},
};
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Most bytes and datagrams that wait for a client. What comes then is lost, as on any full line.
const MAX_QUEUED: usize = 256 << 10;
const MAX_DATAGRAMS: usize = 1024;

/// How datagrams leave.
#[derive(Debug, Clone)]
pub struct SendPath {
    socket: Arc<UdpSocket>,
    sender: Arc<DatagramSender>,
    is_ipv6: bool,
    connections: Arc<Connections>,
    stats: Arc<WebRtcStats>,
}

impl SendPath {
    /// Over this socket and these connections.
    pub fn new(socket: Arc<UdpSocket>, is_ipv6: bool, connections: Arc<Connections>, stats: Arc<WebRtcStats>) -> Self {
        Self { socket, sender: Arc::default(), is_ipv6, connections, stats }
    }

    /// Sends datagrams; drops what the socket has no room for, as a network would.
    pub fn send(&self, path: Path, datagrams: &Outbox) {
        if path.is_tcp {
            return datagrams.datagrams().for_each(|datagram| self.send_framed(path.destination, datagram));
        }
        let lost = self.sender.send(&self.socket, datagrams, self.mapped(path.destination));
        if lost > 0 {
            self.stats.dropped(Dropped::Unsent, lost as u64);
        }
    }

    /// Sends packets of media.
    pub fn send_media(&self, path: Path, packets: &Outbox) {
        self.send(path, lossy(packets).as_ref().unwrap_or(packets));
    }

    fn send_framed(&self, destination: SocketAddr, bytes: &[u8]) {
        if !self.connections.send(destination, bytes) {
            self.stats.dropped(Dropped::Unsent, 1);
        }
    }

    /// A socket of IPv6 knows addresses of IPv4 in their long form.
    fn mapped(&self, destination: SocketAddr) -> SocketAddr {
        match (self.is_ipv6, destination.ip()) {
            (true, IpAddr::V4(address)) => SocketAddr::new(address.to_ipv6_mapped().into(), destination.port()),
            _ => destination,
        }
    }

    /// A session that came from these addresses is gone.
    pub fn forget(&self, addresses: &[SocketAddr]) {
        addresses.iter().for_each(|address| self.connections.end(*address));
    }
}

/// Datagrams of a session that are no media, on their way to one address: neighbours leave in one call.
#[derive(Debug, Default)]
pub struct Leaving {
    to: Option<Path>,
    datagrams: Outbox,
}

impl Leaving {
    /// Adds one; those for another address leave first.
    pub fn push(&mut self, to: Path, bytes: &[u8], over: &SendPath) {
        if self.to != Some(to) {
            self.flush(over);
            self.to = Some(to);
        }
        self.datagrams.push(|buffer| buffer.extend(bytes));
    }

    /// All leave.
    pub fn flush(&mut self, over: &SendPath) {
        if let Some(to) = self.to.take() {
            over.send(to, &self.datagrams);
        }
        self.datagrams.clear();
    }
}

/// What is left of the packets where tests have some lost on the way.
pub fn lossy(packets: &Outbox) -> Option<Outbox> {
    let is_lost = || {
        fail::fail_point!("webrtc-loss", |_| true);
        false
    };
    fail::has_failpoints().then(|| {
        let mut left = Outbox::default();
        packets.datagrams().filter(|_| !is_lost()).for_each(|packet| left.push(|bytes| bytes.extend(packet)));
        left
    })
}

/// The connections, by the addresses of the clients.
#[derive(Debug, Default)]
pub struct Connections(Mutex<HashMap<SocketAddr, Queue>>);

#[derive(Debug, Clone)]
struct Queue {
    sender: mpsc::Sender<Vec<u8>>,
    bytes: Arc<AtomicUsize>,
    end: CancellationToken,
}

/// What is queued for a client.
#[derive(Debug)]
pub struct Queued {
    receiver: mpsc::Receiver<Vec<u8>>,
    bytes: Arc<AtomicUsize>,
}

impl Queued {
    /// What is to be written next; `None` when nothing more comes. Cancel-safe.
    pub async fn next(&mut self) -> Option<Vec<u8>> {
        let framed = self.receiver.recv().await?;
        self.bytes.fetch_sub(framed.len(), Ordering::Relaxed);
        Some(framed)
    }
}

impl Connections {
    /// A client has connected; `end` is cancelled when its session is gone.
    pub fn open(&self, client: SocketAddr, end: CancellationToken) -> Queued {
        let (sender, receiver) = mpsc::channel(MAX_DATAGRAMS);
        let bytes = Arc::new(AtomicUsize::new(0));
        self.lock().insert(client, Queue { sender, bytes: bytes.clone(), end });
        Queued { receiver, bytes }
    }

    /// The client has disconnected.
    pub fn close(&self, client: SocketAddr) {
        self.lock().remove(&client);
    }

    /// Queues a datagram; `false` when it is lost.
    pub fn send(&self, destination: SocketAddr, datagram: &[u8]) -> bool {
        let Some(queue) = self.lock().get(&destination).cloned() else { return false };
        let length = datagram.len() + 2;
        if queue.bytes.load(Ordering::Relaxed) + length > MAX_QUEUED {
            return false;
        }
        let Ok(prefix) = u16::try_from(datagram.len()) else { return false };
        let framed = [&prefix.to_be_bytes(), datagram].concat();
        queue.bytes.fetch_add(length, Ordering::Relaxed);
        let is_queued = queue.sender.try_send(framed).is_ok();
        if !is_queued {
            queue.bytes.fetch_sub(length, Ordering::Relaxed);
        }
        is_queued
    }

    /// Ends the connection of a client.
    pub fn end(&self, client: SocketAddr) {
        if let Some(queue) = self.lock().get(&client) {
            queue.end.cancel();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SocketAddr, Queue>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
