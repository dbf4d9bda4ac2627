//! A connection to a server of RTMP, to which we publish, or from which we play.

use super::wire::{
    client::{Answer, Client, ClientError, Purpose, Request},
    tag_body::TagBody,
};
use crate::{
    config::RtmpUrl,
    net::tls::{
        Transport,
        client::{TlsConnectError, connect},
    },
};
use bytes::BytesMut;
use std::{io, net::SocketAddr, path::Path, time::Duration};
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
pub enum RtmpError {
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
    Protocol(#[from] ClientError),
    /// The server says why it does not accept.
    #[error("the server refuses: {0}")]
    Refused(String),
    /// The server says why it ends what it has accepted.
    #[error("the server ended the connection: {0}")]
    Ended(String),
    /// The connection ended.
    #[error("the server left")]
    Left(#[source] io::Error),
    /// The server takes nothing.
    #[error("no progress for 10 s")]
    NoProgress,
}

/// A connection over which media is sent or comes.
#[derive(Debug)]
pub struct Connection {
    transport: Transport,
    client: Client,
    peer: SocketAddr,
    stream: u32,
    buffer: BytesMut,
    out: Vec<u8>,
    media: Vec<TagBody>,
}

impl Connection {
    /// Connects, and asks to publish or play; `ca` has authorities that vouch for the server in place of those of the system. Cancel-safe.
    ///
    /// # Errors
    /// When the server cannot be reached or does not accept.
    pub async fn open(to: &RtmpUrl, ca: Option<&Path>, purpose: Purpose, agent: String) -> Result<Self, RtmpError> {
        timeout(CONNECT_WITHIN, Self::open_at_leisure(to, ca, purpose, agent)).await.unwrap_or(Err(RtmpError::Silent))
    }

    async fn open_at_leisure(
        to: &RtmpUrl,
        ca: Option<&Path>,
        purpose: Purpose,
        agent: String,
    ) -> Result<Self, RtmpError> {
        let socket = TcpStream::connect((to.host.as_str(), to.port)).await.map_err(RtmpError::Connect)?;
        socket.set_nodelay(true).map_err(RtmpError::Connect)?;
        let peer = socket.peer_addr().map_err(RtmpError::Connect)?;
        let transport = match to.is_tls {
            true => connect(&to.host, socket, ca).await?,
            false => Transport::Plain(socket),
        };
        // An address with one part is an application without a name to some servers, and a name to others: ours takes both.
        let request = Request { purpose, app: to.app.clone(), url: to.base(), name: to.key.clone(), agent };
        let mut out = Vec::new();
        let client = Client::new(request, &mut out);
        let buffer = BytesMut::with_capacity(READ_SIZE);
        let mut connection = Self { transport, client, peer, stream: 0, buffer, out, media: Vec::new() };
        loop {
            connection.flush().await?;
            match connection.read().await? {
                Some(Answer::Accepted { stream }) => {
                    connection.stream = stream;
                    return Ok(connection);
                }
                Some(Answer::Refused(reason)) => return Err(RtmpError::Refused(reason)),
                None => {}
            }
        }
    }

    /// The address of the server.
    pub const fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The number of the message stream.
    pub const fn stream(&self) -> u32 {
        self.stream
    }

    /// Whether the server has said that it knows codecs by FourCC.
    pub const fn knows_four_cc(&self) -> bool {
        self.client.knows_four_cc()
    }

    /// Where messages of media are written.
    pub const fn transport(&mut self) -> &mut Transport {
        &mut self.transport
    }

    /// Waits for what the server says or sends. [`Connection::flush`] sends what is answered, [`Connection::take`] has the media.
    /// Cancel-safe.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn listen(&mut self) -> Result<(), RtmpError> {
        match self.read().await? {
            Some(Answer::Refused(reason)) => Err(RtmpError::Ended(reason)),
            Some(Answer::Accepted { .. }) | None => Ok(()),
        }
    }

    /// The media that came since the last time.
    pub fn take(&mut self) -> impl Iterator<Item = TagBody> + '_ {
        self.media.drain(..)
    }

    /// Signals the server that nothing more comes or is wanted, and closes.
    pub async fn close(mut self) {
        self.client.finish(&mut self.out);
        let _ = timeout(CLOSE_WITHIN, async {
            let _ = self.flush().await;
            self.transport.shutdown().await
        })
        .await;
    }

    async fn read(&mut self) -> Result<Option<Answer>, RtmpError> {
        self.buffer.clear();
        self.buffer.reserve(READ_SIZE);
        match self.transport.read_buf(&mut self.buffer).await {
            Ok(0) => Err(RtmpError::Left(io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => Ok(self.client.push(&self.buffer, &mut self.out, &mut self.media)?),
            Err(error) => Err(RtmpError::Left(error)),
        }
    }

    /// Sends what is answered. Not cancel-safe.
    ///
    /// # Errors
    /// When the server takes nothing for 10 s, or has left.
    pub async fn flush(&mut self) -> Result<(), RtmpError> {
        if self.out.is_empty() {
            return Ok(());
        }
        let sent = async {
            self.transport.write_all(&self.out).await?;
            self.transport.flush().await
        };
        timeout(PROGRESS_WITHIN, sent).await.map_err(|_| RtmpError::NoProgress)?.map_err(RtmpError::Left)?;
        self.out.clear();
        Ok(())
    }
}
