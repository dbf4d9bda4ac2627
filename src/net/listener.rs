//! The accept loop: bounded, and never spinning.

use super::{
    excess::Excess,
    places::{Connections, Place},
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

/// Connections the kernel may hold for us.
const BACKLOG: u32 = 1024;
/// Pause after the system had no descriptor left for a connection.
const EXHAUSTED: Duration = Duration::from_millis(500);

/// Connections at a time that are told that they are too many; the rest of these is closed without a word. They take
/// descriptors of the reserve.
const FAREWELLS: usize = 32;

/// A bound address.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    connections: Connections,
    farewells: Arc<Semaphore>,
    /// The system had no descriptor for the last connection.
    is_exhausted: AtomicBool,
}

/// Who came.
#[derive(Debug)]
pub enum Arrival {
    /// A connection to be served.
    Guest(Accepted),
    /// A connection to be turned away.
    Excess(Excess),
}

/// A new connection, which counts until its place is dropped.
#[derive(Debug)]
pub struct Accepted {
    /// The connection.
    pub socket: TcpStream,
    /// Who it is from.
    pub peer: SocketAddr,
    /// Its place among the connections.
    pub place: Place,
}

impl Listener {
    /// Binds `address`; nothing is accepted yet.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub fn bind(address: SocketAddr, connections: Connections) -> io::Result<Self> {
        let socket = open(address)?;
        socket.bind(address)?;
        Ok(Self::new(socket.listen(BACKLOG)?, connections))
    }

    /// Takes a socket that listens already.
    ///
    /// # Errors
    /// When it cannot be watched.
    pub fn inherited(socket: std::net::TcpListener, connections: Connections) -> io::Result<Self> {
        Ok(Self::new(TcpListener::from_std(socket)?, connections))
    }

    fn new(socket: TcpListener, connections: Connections) -> Self {
        let farewells = Arc::new(Semaphore::new(FAREWELLS));
        Self { socket, connections, farewells, is_exhausted: AtomicBool::new(false) }
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
        Ok(Self::new(socket, self.connections.clone()))
    }

    /// Where it listens; the port is the real one.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The next connection. Waits while the system has no descriptor for it. Cancel-safe.
    pub async fn accept(&self) -> Arrival {
        loop {
            match self.socket.accept().await {
                Ok((socket, peer)) => {
                    if self.is_exhausted.swap(false, Ordering::Relaxed) {
                        tracing::info!("connections are accepted again");
                    }
                    // Latency comes before the number of segments.
                    let _ = socket.set_nodelay(true);
                    return match self.connections.enter(peer.ip()) {
                        Ok(place) => Arrival::Guest(Accepted { socket, peer, place }),
                        Err(why) => {
                            let leave = self.farewells.clone().try_acquire_owned().ok();
                            Arrival::Excess(Excess { spoken_with: leave.map(|leave| (socket, leave)), why })
                        }
                    };
                }
                Err(error) if is_of_the_connection(&error) => {}
                Err(error) => {
                    if !self.is_exhausted.swap(true, Ordering::Relaxed) {
                        tracing::warn!(%error, "cannot accept connections for the time being");
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

/// Whether the error is the fault of the one connection that would have been accepted.
fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
