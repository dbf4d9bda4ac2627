//! A connection to a server of RTSP, to which we publish by ANNOUNCE and RECORD.

use crate::{
    config::RtspUrl,
    link::server::{LinkError, ServerConnection, within},
    output::rtsp::{
        client::{Answer, Client, Offer},
        describe::{description, track_count},
    },
};
use aws_lc_rs::rand;
use bytes::Bytes;
use data_encoding::HEXLOWER;
use std::{
    path::Path,
    time::{Duration, Instant},
};
use tokio::time::sleep_until;

/// A session is kept alive this often; servers end those that are silent for 60 s.
const KEEP_ALIVE: Duration = Duration::from_secs(25);

/// A connection over which packets may be sent.
#[derive(Debug)]
pub(super) struct RtspConnection {
    server: ServerConnection,
    client: Client,
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
    ) -> Result<Self, LinkError> {
        within(Self::open_at_leisure(to, ca, agent, (name, tracks))).await
    }

    async fn open_at_leisure(
        to: &RtspUrl,
        ca: Option<&Path>,
        agent: String,
        (name, tracks): (&str, &str),
    ) -> Result<Self, LinkError> {
        let mut server = ServerConnection::open(&to.host, to.port, to.is_tls, ca).await?;
        let mut random = [0; 8];
        // Without random numbers there would be no gate either.
        let _ = rand::fill(&mut random);
        let offer = Offer {
            url: to.request(),
            user: to.user.clone(),
            agent,
            description: description(name, server.own().ip(), tracks),
            tracks: track_count(tracks),
            random: HEXLOWER.encode(&random),
        };
        let client = Client::new(offer, &mut server.out);
        let mut connection = Self { server, client, kept: Instant::now() };
        loop {
            connection.flush().await?;
            match connection.read().await? {
                Some(Answer::Accepted) => return Ok(connection),
                Some(Answer::Refused(reason)) => return Err(LinkError::Refused(reason)),
                None => {}
            }
        }
    }

    /// Waits for what the server says, or until the session has to be kept alive. [`RtspConnection::flush`] sends what is to be said.
    /// Cancel-safe.
    pub(super) async fn listen(&mut self) -> Result<(), LinkError> {
        let due = self.kept + KEEP_ALIVE;
        tokio::select! {
            answer = self.read() => match answer? {
                Some(Answer::Refused(reason)) => Err(LinkError::Ended(reason)),
                Some(Answer::Accepted) | None => Ok(()),
            },
            () = sleep_until(due.into()) => {
                self.kept = Instant::now();
                self.client.keep_alive(&mut self.server.out);
                Ok(())
            }
        }
    }

    /// Sends packets, framed as the ring has them. Returns the bytes. Not cancel-safe.
    pub(super) async fn send(&mut self, packets: Bytes) -> Result<u64, LinkError> {
        self.server.write(&packets).await?;
        Ok(packets.len() as u64)
    }

    /// Sends what is to be said. Not cancel-safe.
    pub(super) async fn flush(&mut self) -> Result<(), LinkError> {
        self.server.flush().await
    }

    /// Signals the server that nothing more comes, and closes.
    pub(super) async fn close(mut self) {
        self.client.finish(&mut self.server.out);
        self.server.close().await;
    }

    async fn read(&mut self) -> Result<Option<Answer>, LinkError> {
        let read = self.server.read().await?;
        self.client.push(&read, &mut self.server.out).map_err(LinkError::protocol)
    }
}
