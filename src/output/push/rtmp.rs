//! A connection to a server of RTMP, to which we publish.

use super::error::PushError;
use crate::{
    config::RtmpUrl,
    media::flv::tag,
    net::tls::{Transport, client::connect},
    output::rtmp::{
        tags::{Tag, send, tags},
        wire::client::{Answer, Client, Offer},
    },
};
use bytes::{Bytes, BytesMut};
use std::{io, path::Path, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// How long it may take until a server accepts.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// A target that takes nothing for this long is dropped, as viewers are.
const PROGRESS_WITHIN: Duration = Duration::from_secs(10);
/// How long the last words may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);
const READ_SIZE: usize = 16 << 10;
/// Precedes `onMetaData` when it is sent to a server: a string of AMF0.
const SET_DATA_FRAME: &[u8] = b"\x02\0\x0d@setDataFrame";

/// A connection over which media may be sent.
#[derive(Debug)]
pub(super) struct RtmpConnection {
    transport: Transport,
    client: Client,
    stream: u32,
    buffer: BytesMut,
    out: Vec<u8>,
    /// The time of the first tag: those of the target count from it.
    begin: Option<u32>,
}

impl RtmpConnection {
    /// Connects, and asks to publish. Cancel-safe.
    pub(super) async fn open(to: &RtmpUrl, ca: Option<&Path>, agent: String) -> Result<Self, PushError> {
        timeout(CONNECT_WITHIN, Self::open_at_leisure(to, ca, agent)).await.unwrap_or(Err(PushError::Silent))
    }

    async fn open_at_leisure(to: &RtmpUrl, ca: Option<&Path>, agent: String) -> Result<Self, PushError> {
        let socket = TcpStream::connect((to.host.as_str(), to.port)).await.map_err(PushError::Connect)?;
        socket.set_nodelay(true).map_err(PushError::Connect)?;
        let transport = match to.is_tls {
            true => connect(&to.host, socket, ca).await?,
            false => Transport::Plain(socket),
        };
        // An address with one part is an application without a name to some servers, and a name to others: ours takes both.
        let offer = Offer { app: to.app.clone(), url: to.base(), name: to.key.clone(), agent };
        let mut out = Vec::new();
        let client = Client::new(offer, &mut out);
        let buffer = BytesMut::with_capacity(READ_SIZE);
        let mut connection = Self { transport, client, stream: 0, buffer, out, begin: None };
        loop {
            connection.flush().await?;
            match connection.read().await? {
                Some(Answer::Accepted { stream }) => {
                    connection.stream = stream;
                    return Ok(connection);
                }
                Some(Answer::Refused(reason)) => return Err(PushError::Refused(reason)),
                None => {}
            }
        }
    }

    /// Whether the server has said that it knows codecs by FourCC.
    pub(super) const fn knows_four_cc(&self) -> bool {
        self.client.knows_four_cc()
    }

    /// Waits for what the server says. [`RtmpConnection::flush`] sends what is answered. Cancel-safe.
    pub(super) async fn listen(&mut self) -> Result<(), PushError> {
        match self.read().await? {
            Some(Answer::Refused(reason)) => Err(PushError::Ended(reason)),
            Some(Answer::Accepted { .. }) | None => Ok(()),
        }
    }

    /// Sends a packet or header of FLV. Returns the bytes. Not cancel-safe.
    pub(super) async fn send(&mut self, packet: Bytes) -> Result<u64, PushError> {
        let mut sent = 0;
        for tag in tags(packet) {
            let begin = *self.begin.get_or_insert(tag.time);
            let tag = rebased(tag, begin);
            let written = timeout(PROGRESS_WITHIN, send(&mut self.transport, &tag, self.stream)).await;
            sent += written.map_err(|_| PushError::NoProgress)?.map_err(PushError::Left)?;
        }
        Ok(sent)
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

    /// Sends what is answered. Not cancel-safe.
    pub(super) async fn flush(&mut self) -> Result<(), PushError> {
        if self.out.is_empty() {
            return Ok(());
        }
        let sent = async {
            self.transport.write_all(&self.out).await?;
            self.transport.flush().await
        };
        timeout(PROGRESS_WITHIN, sent).await.map_err(|_| PushError::NoProgress)?.map_err(PushError::Left)?;
        self.out.clear();
        Ok(())
    }
}

/// A tag as servers expect it: its time counts from the first one, and metadata is to be kept for players.
fn rebased(tag: Tag, begin: u32) -> Tag {
    let time = tag.time.wrapping_sub(begin);
    // One that is earlier than the first is of its time: frames of audio beside the keyframe.
    let time = if time > u32::MAX / 2 { 0 } else { time };
    match tag.kind {
        tag::SCRIPT if !tag.body.starts_with(SET_DATA_FRAME) => {
            Tag { body: [SET_DATA_FRAME, &tag.body].concat().into(), time, ..tag }
        }
        _ => Tag { time, ..tag },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_count_from_the_first_tag_and_metadata_is_kept() {
        let check = |kind, time, body: &'static [u8], begin, expect: (u32, &[u8])| {
            let tag = rebased(Tag { kind, time, body: Bytes::from_static(body) }, begin);
            assert_eq!((tag.time, &tag.body[..]), expect);
        };
        check(tag::VIDEO, 1040, b"frame", 1000, (40, b"frame"));
        check(tag::AUDIO, 990, b"frame", 1000, (0, b"frame"));
        check(tag::VIDEO, 10, b"frame", u32::MAX - 9, (20, b"frame"));
        check(tag::SCRIPT, 1000, b"\x02\0\x0aonMetaData", 1000, (0, b"\x02\0\x0d@setDataFrame\x02\0\x0aonMetaData"));
    }
}
