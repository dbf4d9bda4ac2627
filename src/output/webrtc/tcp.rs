//! ICE over TCP (RFC 6544), on the port of HTTP, for viewers whom UDP does not reach: each datagram with its length in front
//! (RFC 4571).

use super::{
    listener::WebRtc,
    mux::{Source, is_stun},
    shard::Datagram,
};
use crate::net::ConnectionPermit;
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
};
use tokio_util::sync::CancellationToken;

/// How long a client may take until its first request.
const REQUEST_WITHIN: Duration = Duration::from_secs(5);
/// A client that sends nothing for this long is gone: it checks the connection every few seconds.
const SILENT: Duration = Duration::from_secs(30);
/// Most bytes and datagrams that wait for a client. What comes then is lost, as on any full line.
const MAX_QUEUED: usize = 256 << 10;
const MAX_DATAGRAMS: usize = 1024;
/// Longest datagram that is received.
const MAX_DATAGRAM: usize = 2048;

/// Whether a connection that begins with this byte carries datagrams: the length of the first one, a request of STUN, is below 256.
/// No text and no handshake of TLS begins so.
pub fn is_framed(first: u8) -> bool {
    first == 0
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

impl Connections {
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

/// Serves a connection to its end, or until `stop`.
pub async fn serve(
    webrtc: WebRtc,
    socket: TcpStream,
    peer: SocketAddr,
    permit: ConnectionPermit,
    stop: CancellationToken,
) {
    let _permit = permit;
    let _ = socket.set_nodelay(true);
    let (sender, receiver) = mpsc::channel(MAX_DATAGRAMS);
    let queue = Queue { sender, bytes: Arc::default(), end: stop.child_token() };
    let (end, bytes) = (queue.end.clone(), queue.bytes.clone());
    let (reading, writing) = socket.into_split();
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    webrtc.connections().lock().insert(peer, queue);
    tokio::select! {
        () = end.cancelled() => {}
        () = read(&webrtc, reading, peer) => {}
        () = write(writing, receiver, &bytes) => {}
    }
    webrtc.connections().lock().remove(&peer);
}

/// Hands what comes to the sessions, until it is none.
async fn read(webrtc: &WebRtc, mut reading: OwnedReadHalf, peer: SocketAddr) {
    let mut within = REQUEST_WITHIN;
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        let datagram = tokio::time::timeout(within, next(&mut reading, &mut buffer)).await;
        let Ok(Some(datagram)) = datagram else { return };
        let source = Source { address: peer, is_tcp: true };
        // It is of the session of its first request.
        let is_first = within == REQUEST_WITHIN;
        if is_first && !is_stun(datagram) || !webrtc.receive(source, datagram) {
            return;
        }
        within = SILENT;
    }
}

async fn next<'a>(reading: &mut OwnedReadHalf, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    let length = usize::from(reading.read_u16().await.ok()?);
    let datagram = buffer.get_mut(..length)?;
    reading.read_exact(datagram).await.ok()?;
    Some(datagram)
}

async fn write(mut writing: OwnedWriteHalf, mut queued: mpsc::Receiver<Vec<u8>>, bytes: &AtomicUsize) {
    while let Some(framed) = queued.recv().await {
        if writing.write_all(&framed).await.is_err() {
            return;
        }
        bytes.fetch_sub(framed.len(), Ordering::Relaxed);
    }
}

impl WebRtc {
    /// Hands a datagram to its session; `false` when it has none.
    pub fn receive(&self, source: Source, datagram: &[u8]) -> bool {
        let Some((id, shard)) = self.directory().route(source, datagram) else {
            self.counts().unknown.fetch_add(1, Ordering::Relaxed);
            return false;
        };
        let destination = self.destination(source);
        let datagram =
            Datagram { source: source.address, destination, is_tcp: source.is_tcp, bytes: datagram.to_vec() };
        if !self.shard(shard).is_some_and(|shard| shard.receive(id, datagram)) {
            self.counts().overrun.fetch_add(1, Ordering::Relaxed);
        }
        true
    }
}
