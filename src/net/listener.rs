//! The accept loop: bounded, and never spinning.

use super::{
    limits::{ConnectionLimiter, ConnectionPermit},
    reject::RejectedConnection,
};
use socket2::SockRef;
use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::Semaphore,
};

/// Connections that the kernel may queue.
const BACKLOG: u32 = 1024;
/// Pause after the system had no descriptor for a connection.
const EXHAUSTED: Duration = Duration::from_millis(500);

/// Most rejected connections that get a response at a time; others are closed without one. They use reserved descriptors.
const RESPONDERS: usize = 32;

/// A bound address.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    limiter: ConnectionLimiter,
    responders: Arc<Semaphore>,
    /// The system had no descriptor for the last connection.
    is_exhausted: AtomicBool,
}

/// An incoming connection.
#[derive(Debug)]
pub enum Incoming {
    /// It is to be served.
    Accepted(Connection),
    /// It is to be rejected.
    Rejected(RejectedConnection),
}

/// An accepted connection, which counts until its permit is dropped.
#[derive(Debug)]
pub struct Connection {
    /// The connection.
    pub socket: TcpStream,
    /// The address of the client.
    pub peer: SocketAddr,
    /// Counts it among the open connections.
    pub permit: ConnectionPermit,
}

impl Listener {
    /// Binds `address`; nothing is accepted yet.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn bind(address: SocketAddr, limiter: ConnectionLimiter) -> io::Result<Self> {
        let socket = open(address)?;
        socket.bind(address)?;
        Ok(Self::new(socket.listen(BACKLOG)?, limiter))
    }

    /// Takes a socket that already listens.
    ///
    /// # Errors
    /// When it cannot be watched.
    pub fn inherited(socket: std::net::TcpListener, limiter: ConnectionLimiter) -> io::Result<Self> {
        Ok(Self::new(TcpListener::from_std(socket)?, limiter))
    }

    fn new(socket: TcpListener, limiter: ConnectionLimiter) -> Self {
        let responders = Arc::new(Semaphore::new(RESPONDERS));
        Self { socket, limiter, responders, is_exhausted: AtomicBool::new(false) }
    }

    /// Binds another address while this one is still bound, also one that includes it or is included in it.
    ///
    /// # Errors
    /// When the address cannot be bound; this listener is unchanged then.
    pub fn bind_beside(&self, address: SocketAddr) -> io::Result<Self> {
        let socket = open(address)?;
        // The kernel lets sockets share a port if all of them set the option. Only during the change: another server that is
        // started by mistake must not share it.
        let old = SockRef::from(&self.socket);
        old.set_reuse_port(true)?;
        socket.set_reuseport(true)?;
        let bound = socket.bind(address).and_then(|()| socket.listen(BACKLOG));
        old.set_reuse_port(false)?;
        let socket = bound?;
        SockRef::from(&socket).set_reuse_port(false)?;
        Ok(Self::new(socket, self.limiter.clone()))
    }

    /// The bound address, with the real port.
    ///
    /// # Errors
    /// When the system does not report it.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The next connection. Waits while the system has no descriptor for it. Cancel-safe.
    pub async fn accept(&self) -> Incoming {
        loop {
            match self.socket.accept().await {
                Ok((socket, peer)) => {
                    if self.is_exhausted.swap(false, Ordering::Relaxed) {
                        tracing::info!("connections are accepted again");
                    }
                    // Latency matters more than the number of segments.
                    let _ = socket.set_nodelay(true);
                    return match self.limiter.enter(peer.ip()) {
                        Ok(permit) => Incoming::Accepted(Connection { socket, peer, permit }),
                        Err(reason) => {
                            let permit = self.responders.clone().try_acquire_owned().ok();
                            Incoming::Rejected(RejectedConnection {
                                responder: permit.map(|permit| (socket, permit)),
                                reason,
                            })
                        }
                    };
                }
                Err(error) if is_of_the_connection(&error) => {}
                Err(error) => {
                    if !self.is_exhausted.swap(true, Ordering::Relaxed) {
                        tracing::warn!(%error, "cannot accept connections");
                    }
                    tokio::time::sleep(EXHAUSTED).await;
                }
            }
        }
    }
}

fn open(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    Ok(socket)
}

/// Whether only the connection that would have been accepted failed.
fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
