//! The connection of a client: its socket with the protocol on it.

use crate::{
    link::rtmp::wire::server::{Event, Server},
    net::tls::Transport,
    output::shard::{PROGRESS_WITHIN, socket::LiveSocket},
};
use bytes::BytesMut;
use std::{io, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout, timeout_at},
};

/// How long a client that was refused may take to read why.
const REFUSED: Duration = Duration::from_secs(1);
/// Most bytes of one read.
const READ_SIZE: usize = 64 << 10;

/// A connection with what is on its way.
pub(super) struct Wire {
    transport: Transport,
    pub(super) server: Server,
    buffer: BytesMut,
    pub(super) out: Vec<u8>,
    pub(super) events: Vec<Event>,
}

impl Wire {
    /// A connection on which nothing has been said.
    pub(super) fn new(transport: Transport) -> Self {
        let buffer = BytesMut::with_capacity(READ_SIZE);
        Self { transport, server: Server::new(), buffer, out: Vec::new(), events: Vec::new() }
    }

    /// The first thing that the client wants; `None` when it leaves, or speaks something else.
    pub(super) async fn wanted(&mut self) -> Option<Event> {
        loop {
            self.read().await.ok()?;
            self.flush().await.ok()?;
            if !self.events.is_empty() {
                return Some(self.events.remove(0));
            }
        }
    }

    /// Reads and understands what has come. What is to be said is in `out`, and what the client does in `events`. Cancel-safe.
    ///
    /// # Errors
    /// When the client has left, or what it sends is not RTMP.
    pub(super) async fn read(&mut self) -> io::Result<()> {
        self.buffer.clear();
        self.buffer.reserve(READ_SIZE);
        if self.transport.read_buf(&mut self.buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let understood = self.server.push(&self.buffer, &mut self.out, &mut self.events);
        understood.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// Sends what is in `out`.
    ///
    /// # Errors
    /// When the client has left, or takes nothing.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        let sent = async {
            self.transport.write_all(&self.out).await?;
            self.transport.flush().await
        };
        timeout(PROGRESS_WITHIN, sent).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        self.out.clear();
        Ok(())
    }

    /// The socket and the protocol, for a shard, when all is sent.
    pub(super) fn into_live(self) -> Option<(LiveSocket, Server)> {
        Some((LiveSocket::of(self.transport)?, self.server))
    }

    /// Refuses what the client wants, with a reason that it gets.
    pub(super) async fn refuse(mut self, code: &str, reason: &str) {
        self.server.refuse(code, reason, &mut self.out);
        self.close().await;
    }

    /// Sends what is left, and reads what comes, so that the client gets it before the connection is gone.
    pub(super) async fn close(mut self) {
        let until = Instant::now() + REFUSED;
        let _ = self.flush().await;
        let _ = timeout_at(until, self.transport.shutdown()).await;
        let mut rest = [0; 4096];
        while let Ok(Ok(1..)) = timeout_at(until, self.transport.read(&mut rest)).await {}
    }
}
