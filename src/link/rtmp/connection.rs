//! A connection to a server of RTMP, to which we publish, or from which we play.

use super::wire::{
    client::{Answer, Client, Purpose, Request},
    tag_body::TagBody,
};
use crate::{
    config::RtmpUrl,
    link::server::{LinkError, ServerConnection, within},
    net::tls::Transport,
};
use std::{net::SocketAddr, path::Path};

/// A connection over which media is sent or comes.
#[derive(Debug)]
pub struct Connection {
    server: ServerConnection,
    client: Client,
    stream: u32,
    media: Vec<TagBody>,
}

impl Connection {
    /// Connects, and asks to publish or play; `ca` has authorities that vouch for the server in place of those of the system. Cancel-safe.
    ///
    /// # Errors
    /// When the server cannot be reached or does not accept.
    pub async fn open(to: &RtmpUrl, ca: Option<&Path>, purpose: Purpose, agent: String) -> Result<Self, LinkError> {
        within(Self::open_at_leisure(to, ca, purpose, agent)).await
    }

    async fn open_at_leisure(
        to: &RtmpUrl,
        ca: Option<&Path>,
        purpose: Purpose,
        agent: String,
    ) -> Result<Self, LinkError> {
        let mut server = ServerConnection::open(&to.host, to.port, to.is_tls, ca).await?;
        // An address with one part is an application without a name to some servers, and a name to others: ours takes both.
        let request = Request { purpose, app: to.app.clone(), url: to.base(), name: to.key.clone(), agent };
        let client = Client::new(request, &mut server.out);
        let mut connection = Self { server, client, stream: 0, media: Vec::new() };
        loop {
            connection.flush().await?;
            match connection.read().await? {
                Some(Answer::Accepted { stream }) => {
                    connection.stream = stream;
                    return Ok(connection);
                }
                Some(Answer::Refused(reason)) => return Err(LinkError::Refused(reason)),
                None => {}
            }
        }
    }

    /// The address of the server.
    pub const fn peer(&self) -> SocketAddr {
        self.server.peer()
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
        self.server.transport()
    }

    /// Waits for what the server says or sends. [`Connection::flush`] sends what is answered, [`Connection::take`] has the media.
    /// Cancel-safe.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn listen(&mut self) -> Result<(), LinkError> {
        match self.read().await? {
            Some(Answer::Refused(reason)) => Err(LinkError::Ended(reason)),
            Some(Answer::Accepted { .. }) | None => Ok(()),
        }
    }

    /// The media that came since the last time.
    pub fn take(&mut self) -> impl Iterator<Item = TagBody> + '_ {
        self.media.drain(..)
    }

    /// Sends what is answered. Not cancel-safe.
    ///
    /// # Errors
    /// When the server takes nothing for 10 s, or has left.
    pub async fn flush(&mut self) -> Result<(), LinkError> {
        self.server.flush().await
    }

    /// Signals the server that nothing more comes or is wanted, and closes.
    pub async fn close(mut self) {
        self.client.finish(&mut self.server.out);
        self.server.close().await;
    }

    async fn read(&mut self) -> Result<Option<Answer>, LinkError> {
        let read = self.server.read().await?;
        self.client.push(&read, &mut self.server.out, &mut self.media).map_err(LinkError::protocol)
    }
}
