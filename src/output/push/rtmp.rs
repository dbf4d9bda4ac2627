//! A stream on its way to a server of RTMP.

use crate::{
    config::RtmpUrl,
    link::{
        rtmp::{Connection, wire::client::Purpose},
        server::{LinkError, progressing},
    },
    media::flv::tag,
    output::rtmp::tags::{Tag, send, tags},
};
use bytes::Bytes;
use std::path::Path;

/// Precedes `onMetaData` when it is sent to a server: a string of AMF0.
const SET_DATA_FRAME: &[u8] = b"\x02\0\x0d@setDataFrame";

/// A connection over which media may be sent.
#[derive(Debug)]
pub(super) struct RtmpConnection {
    connection: Connection,
    /// The time of the first tag: those of the target count from it.
    begin: Option<u32>,
}

impl RtmpConnection {
    /// Connects, and asks to publish. Cancel-safe.
    pub(super) async fn open(to: &RtmpUrl, ca: Option<&Path>, agent: String) -> Result<Self, LinkError> {
        Ok(Self { connection: Connection::open(to, ca, Purpose::Publish, agent).await?, begin: None })
    }

    /// Whether the server has said that it knows codecs by FourCC.
    pub(super) const fn knows_four_cc(&self) -> bool {
        self.connection.knows_four_cc()
    }

    /// Waits for what the server says. [`RtmpConnection::flush`] sends what is answered. Cancel-safe.
    pub(super) async fn listen(&mut self) -> Result<(), LinkError> {
        self.connection.listen().await
    }

    /// Sends a packet or header of FLV. Returns the bytes. Not cancel-safe.
    pub(super) async fn send(&mut self, packet: Bytes) -> Result<u64, LinkError> {
        let (mut sent, stream) = (0, self.connection.stream());
        for tag in tags(packet) {
            let begin = *self.begin.get_or_insert(tag.time);
            let tag = rebased(tag, begin);
            sent += progressing(send(self.connection.transport(), &tag, stream)).await?;
        }
        Ok(sent)
    }

    /// Signals the server that nothing more comes, and closes.
    pub(super) async fn close(self) {
        self.connection.close().await;
    }

    /// Sends what is answered. Not cancel-safe.
    pub(super) async fn flush(&mut self) -> Result<(), LinkError> {
        self.connection.flush().await
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
