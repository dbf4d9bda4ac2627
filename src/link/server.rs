//! A connection to a server over TCP, encrypted or not: what the clients of our protocols have in common.

use crate::net::tls::{
    Transport,
    client::{TlsConnectError, connect},
};
use bytes::BytesMut;
use std::{error::Error, future::Future, io, net::SocketAddr, path::Path, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// How long it may take until a server accepts.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// A server that takes nothing for this long is dropped, as viewers are.
const PROGRESS_WITHIN: Duration = Duration::from_secs(10);
/// How long the last words may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);
const READ_SIZE: usize = 16 << 10;

/// Why a server gives or gets nothing, or nothing more.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The name of the host is unknown, or nobody listens there.
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    /// It cannot be encrypted.
    #[error(transparent)]
    Tls(#[from] TlsConnectError),
    /// The server does not answer.
    #[error("no answer within 10 s")]
    Silent,
    /// The server sends what cannot be read.
    #[error("protocol error")]
    Protocol(#[source] Box<dyn Error + Send + Sync>),
    /// The server says why it does not accept.
    #[error("the server refuses: {0}")]
    Refused(String),
    /// The server says why it ends what it has accepted, or it is known otherwise.
    #[error("the server ended the connection: {0}")]
    Ended(String),
    /// The connection ended.
    #[error("the server left")]
    Left(#[source] io::Error),
    /// The server takes nothing.
    #[error("no progress for 10 s")]
    NoProgress,
}

impl LinkError {
    /// The server sends what cannot be read.
    pub fn protocol(error: impl Error + Send + Sync + 'static) -> Self {
        Self::Protocol(Box::new(error))
    }
}

/// A connection.
#[derive(Debug)]
pub struct ServerConnection {
    transport: Transport,
    own: SocketAddr,
    peer: SocketAddr,
    buffer: BytesMut,
    /// What [`ServerConnection::flush`] sends.
    pub out: Vec<u8>,
}

impl ServerConnection {
    /// Connects; `ca` has authorities that vouch for the server in place of those of the system. To be called [`within`] a time.
    /// Cancel-safe.
    ///
    /// # Errors
    /// When the server cannot be reached, or not be trusted.
    pub async fn open(host: &str, port: u16, is_tls: bool, ca: Option<&Path>) -> Result<Self, LinkError> {
        let socket = TcpStream::connect((host, port)).await.map_err(LinkError::Connect)?;
        socket.set_nodelay(true).map_err(LinkError::Connect)?;
        let (own, peer) = (socket.local_addr(), socket.peer_addr());
        let (own, peer) = (own.map_err(LinkError::Connect)?, peer.map_err(LinkError::Connect)?);
        let transport = match is_tls {
            true => connect(host, socket, ca).await?,
            false => Transport::Plain(socket),
        };
        Ok(Self { transport, own, peer, buffer: BytesMut::with_capacity(READ_SIZE), out: Vec::new() })
    }

    /// Our address.
    pub const fn own(&self) -> SocketAddr {
        self.own
    }

    /// The address of the server.
    pub const fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Where bytes are written, each time with [`progressing`].
    pub const fn transport(&mut self) -> &mut Transport {
        &mut self.transport
    }

    /// Waits for what the server says. Cancel-safe.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn read(&mut self) -> Result<BytesMut, LinkError> {
        self.buffer.reserve(READ_SIZE);
        match self.transport.read_buf(&mut self.buffer).await {
            Ok(0) => Err(LinkError::Left(io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => Ok(self.buffer.split()),
            Err(error) => Err(LinkError::Left(error)),
        }
    }

    /// Sends bytes. Not cancel-safe.
    ///
    /// # Errors
    /// When the server takes nothing for 10 s, or has left.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), LinkError> {
        progressing(async {
            self.transport.write_all(bytes).await?;
            self.transport.flush().await
        })
        .await
    }

    /// Sends what is in `out`. Not cancel-safe.
    ///
    /// # Errors
    /// As [`ServerConnection::write`].
    pub async fn flush(&mut self) -> Result<(), LinkError> {
        if self.out.is_empty() {
            return Ok(());
        }
        let mut out = std::mem::take(&mut self.out);
        self.write(&out).await?;
        out.clear();
        self.out = out;
        Ok(())
    }

    /// Sends what is in `out`, the last words, and closes.
    pub async fn close(mut self) {
        let _ = timeout(CLOSE_WITHIN, async {
            let _ = self.flush().await;
            self.transport.shutdown().await
        })
        .await;
    }
}

/// Opens something over a connection, in the time that a server has for it. Cancel-safe if `open` is.
///
/// # Errors
/// That of `open`, or that it took too long.
pub async fn within<T>(open: impl Future<Output = Result<T, LinkError>>) -> Result<T, LinkError> {
    timeout(CONNECT_WITHIN, open).await.unwrap_or(Err(LinkError::Silent))
}

/// Sends something.
///
/// # Errors
/// When the server takes nothing for 10 s, or has left.
pub async fn progressing<T>(sent: impl Future<Output = io::Result<T>>) -> Result<T, LinkError> {
    timeout(PROGRESS_WITHIN, sent).await.map_err(|_| LinkError::NoProgress)?.map_err(LinkError::Left)
}
