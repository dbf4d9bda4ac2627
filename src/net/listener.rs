//! The accept loop: bounded, and never spinning.

use socket2::SockRef;
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};

/// Connections the kernel may hold for us.
const BACKLOG: u32 = 1024;
/// Descriptors that are kept for feeds, files and pipes.
const RESERVED_DESCRIPTORS: u64 = 128;
/// Most connections, whatever the limit of descriptors.
const MAX_CONNECTIONS: u64 = 100_000;
/// Pause after the system had no descriptor left for a connection.
const EXHAUSTED: Duration = Duration::from_millis(500);

/// The places for connections, shared by all who listen.
#[derive(Debug, Clone)]
pub struct Connections(Arc<Semaphore>);

impl Connections {
    /// As many as the system allows descriptors, whose limit is raised for it.
    pub fn new() -> Self {
        let limit = raise_descriptor_limit().saturating_sub(RESERVED_DESCRIPTORS).clamp(16, MAX_CONNECTIONS);
        Self(Arc::new(Semaphore::new(usize::try_from(limit).unwrap_or(Semaphore::MAX_PERMITS))))
    }
}

impl Default for Connections {
    fn default() -> Self {
        Self::new()
    }
}

/// A bound address.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    connections: Connections,
}

/// A new connection, which counts until `permit` is dropped.
#[derive(Debug)]
pub struct Accepted {
    /// The connection.
    pub socket: TcpStream,
    /// Who it is from.
    pub peer: SocketAddr,
    /// Its place among the connections.
    pub permit: OwnedSemaphorePermit,
}

impl Listener {
    /// Binds `address`; nothing is accepted yet.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub fn bind(address: SocketAddr, connections: Connections) -> io::Result<Self> {
        let socket = open(address)?;
        socket.bind(address)?;
        Ok(Self { socket: socket.listen(BACKLOG)?, connections })
    }

    /// Takes a socket that listens already.
    ///
    /// # Errors
    /// When it cannot be watched.
    pub fn inherited(socket: std::net::TcpListener, connections: Connections) -> io::Result<Self> {
        Ok(Self { socket: TcpListener::from_std(socket)?, connections })
    }

    /// Binds another address while this one is still bound, also one that includes it or is included in it.
    ///
    /// # Errors
    /// When the address cannot be had; this listener is as before then.
    pub fn bind_beside(&self, address: SocketAddr) -> io::Result<Self> {
        let socket = open(address)?;
        // The kernel lets sockets share a port that all say so. For the moment of the change only: another server that
        // is started by mistake must not share it.
        let old = SockRef::from(&self.socket);
        old.set_reuse_port(true)?;
        socket.set_reuseport(true)?;
        let bound = socket.bind(address).and_then(|()| socket.listen(BACKLOG));
        old.set_reuse_port(false)?;
        let socket = bound?;
        SockRef::from(&socket).set_reuse_port(false)?;
        Ok(Self { socket, connections: self.connections.clone() })
    }

    /// Where it listens; the port is the real one.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The next connection. Waits while there are too many, or no descriptors. Cancel-safe.
    pub async fn accept(&self) -> Accepted {
        // The semaphore is never closed.
        let permit = loop {
            if let Ok(permit) = self.connections.0.clone().acquire_owned().await {
                break permit;
            }
        };
        loop {
            match self.socket.accept().await {
                Ok((socket, peer)) => {
                    // Latency comes before the number of segments.
                    let _ = socket.set_nodelay(true);
                    return Accepted { socket, peer, permit };
                }
                Err(error) if is_of_the_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections");
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

/// Whether the error is the fault of the one connection that would have been accepted.
fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

fn raise_descriptor_limit() -> u64 {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
    getrlimit(Resource::Nofile).current.unwrap_or(MAX_CONNECTIONS)
}
