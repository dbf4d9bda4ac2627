//! A connection to a server of RTSP, to which we publish by ANNOUNCE and RECORD.

use super::error::PushError;
use crate::{
    config::RtspUrl,
    net::tls::{Transport, client::connect},
    output::rtsp::{
        client::{Answer, Client, Offer},
        describe::{description, track_count},
    },
};
use aws_lc_rs::rand;
use bytes::{Bytes, BytesMut};
use data_encoding::HEXLOWER;
use std::{
    io,
    path::Path,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep_until, timeout},
};

/// How long it may take until a server accepts.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// A target that takes nothing for this long is dropped, as viewers are.
const PROGRESS_WITHIN: Duration = Duration::from_secs(10);
/// How long the last words may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);
/// A session is kept alive this often; servers end those that are silent for 60 s.
const KEEP_ALIVE: Duration = Duration::from_secs(25);
const READ_SIZE: usize = 4 << 10;

/// A connection over which packets may be sent.
#[derive(Debug)]
pub(super) struct RtspConnection {
    transport: Transport,
    client: Client,
    buffer: BytesMut,
    out: Vec<u8>,
    /// When the session was kept alive last.
    kept: Instant,
}

impl RtspConnection {
    /// Connects, and announces the stream with this name, whose tracks are described in `tracks`. Cancel-safe.
    pub(super) async fn open(
        to: &RtspUrl,
        ca: Option<&Path>,
        agent: String,
        (name, tracks): (&str, &str),
    ) -> Result<Self, PushError> {
        let open = Self::open_at_leisure(to, ca, agent, (name, tracks));
        timeout(CONNECT_WITHIN, open).await.unwrap_or(Err(PushError::Silent))
    }

    async fn open_at_leisure(
        to: &RtspUrl,
        ca: Option<&Path>,
        agent: String,
        (name, tracks): (&str, &str),
    ) -> Result<Self, PushError> {
        let socket = TcpStream::connect((to.host.as_str(), to.port)).await.map_err(PushError::Connect)?;
        socket.set_nodelay(true).map_err(PushError::Connect)?;
        let own = socket.local_addr().map_err(PushError::Connect)?.ip();
        let transport = match to.is_tls {
            true => connect(&to.host, socket, ca).await?,
            false => Transport::Plain(socket),
        };
        let mut random = [0; 8];
        // Without random numbers there would be no gate either.
        let _ = rand::fill(&mut random);
        let offer = Offer {
            url: to.request(),
            user: to.user.clone(),
            agent,
            description: description(name, own, tracks),
            tracks: track_count(tracks),
            random: HEXLOWER.encode(&random),
        };
        let mut out = Vec::new();
        let client = Client::new(offer, &mut out);
        let buffer = BytesMut::with_capacity(READ_SIZE);
        let mut connection = Self { transport, client, buffer, out, kept: Instant::now() };
        loop {
            connection.flush().await?;
            match connection.read().await? {
                Some(Answer::Accepted) => return Ok(connection),
                Some(Answer::Refused(reason)) => return Err(PushError::Refused(reason)),
                None => {}
            }
        }
    }

    /// Waits for what the server says, or until the session has to be kept alive. [`RtspConnection::flush`] sends what is to be said.
    /// Cancel-safe.
    pub(super) async fn listen(&mut self) -> Result<(), PushError> {
        let due = self.kept + KEEP_ALIVE;
        tokio::select! {
            answer = self.read() => match answer? {
                Some(Answer::Refused(reason)) => Err(PushError::Ended(reason)),
                Some(Answer::Accepted) | None => Ok(()),
            },
            () = sleep_until(due.into()) => {
                self.kept = Instant::now();
                self.client.keep_alive(&mut self.out);
                Ok(())
            }
        }
    }

    /// Sends packets, framed as the ring has them. Returns the bytes. Not cancel-safe.
    pub(super) async fn send(&mut self, packets: Bytes) -> Result<u64, PushError> {
        let sent = async {
            self.transport.write_all(&packets).await?;
            self.transport.flush().await
        };
        timeout(PROGRESS_WITHIN, sent).await.map_err(|_| PushError::NoProgress)?.map_err(PushError::Left)?;
        Ok(packets.len() as u64)
    }

    /// Sends what is to be said. Not cancel-safe.
    pub(super) async fn flush(&mut self) -> Result<(), PushError> {
        if self.out.is_empty() {
            return Ok(());
        }
        let out = std::mem::take(&mut self.out);
        self.send(out.into()).await.map(drop)
    }

    /// Signals the server that nothing more comes, and closes.
    pub(super) async fn close(mut self) {
        self.client.finish(&mut self.out);
        let _ = timeout(CLOSE_WITHIN, async {
            let _ = self.flush().await;
            self.transport.shutdown().await
        })
        .await;
    }

    async fn read(&mut self) -> Result<Option<Answer>, PushError> {
        self.buffer.clear();
        self.buffer.reserve(READ_SIZE);
        match self.transport.read_buf(&mut self.buffer).await {
            Ok(0) => Err(PushError::Left(io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => Ok(self.client.push(&self.buffer, &mut self.out)?),
            Err(error) => Err(PushError::Left(error)),
        }
    }
}
