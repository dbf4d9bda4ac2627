//! Packets of FLV as messages of RTMP. Of each packet only the heads of chunks differ from those of a file, so all who are sent it share
//! one copy.

use crate::link::rtmp::wire::{command::STREAM, control::CHUNK};
use crate::media::{Packet, flv::tag};
use bytes::{Bytes, BytesMut};
use std::io::{self, IoSlice};
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// The header of a file, and the size of the tag before the first one.
const FILE_HEAD: usize = 9 + tag::FRAME_TAIL;

/// Longest head of a chunk.
const MESSAGE_HEAD: usize = 16;

/// A message, as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// [`tag::AUDIO`], [`tag::VIDEO`] or [`tag::SCRIPT`].
    pub kind: u8,
    /// In milliseconds, with wraps.
    pub time: u32,
    /// The body.
    pub body: Bytes,
}

/// The tags in a packet or header of FLV, without a copy.
pub fn tags(bytes: Bytes) -> impl Iterator<Item = Tag> {
    let mut rest = if bytes.starts_with(b"FLV") { bytes.slice(FILE_HEAD.min(bytes.len())..) } else { bytes };
    std::iter::from_fn(move || {
        let &[kind, a, b, c, d, e, f, high, ..] = rest.first_chunk::<{ tag::FRAME_HEAD }>()?;
        let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).ok()?;
        let end = tag::FRAME_HEAD + length;
        let body = (rest.len() >= end).then(|| rest.slice(tag::FRAME_HEAD..end))?;
        rest = rest.slice((end + tag::FRAME_TAIL).min(rest.len())..);
        Some(Tag { kind, time: u32::from_be_bytes([high, d, e, f]), body })
    })
}

/// The pieces of a message in chunks of [`CHUNK`] bytes: heads, and parts of the body between them.
fn pieces(tag: &Tag, stream: u32) -> (Vec<u8>, Vec<u8>) {
    let number: u8 = match tag.kind {
        tag::AUDIO => 4,
        tag::VIDEO => 6,
        _ => 5,
    };
    let extended = (tag.time >= 0xff_ffff).then(|| tag.time.to_be_bytes());
    let [_, time @ ..] = tag.time.min(0xff_ffff).to_be_bytes();
    let [_, length @ ..] = u32::try_from(tag.body.len()).unwrap_or(0xff_ffff).to_be_bytes();
    let mut first = vec![number];
    first.extend_from_slice(&time);
    first.extend_from_slice(&length);
    first.push(tag.kind);
    first.extend_from_slice(&stream.to_le_bytes());
    let mut next = vec![0xc0 | number];
    if let Some(time) = extended {
        first.extend_from_slice(&time);
        next.extend_from_slice(&time);
    }
    (first, next)
}

/// A packet or header of FLV as messages of the stream that is played.
pub fn messages(packet: &Packet) -> Bytes {
    let mut bytes = BytesMut::with_capacity(packet.len() + MESSAGE_HEAD * (2 + packet.len() / CHUNK));
    for tag in tags(packet.payload()) {
        let (first, next) = pieces(&tag, STREAM);
        for (place, part) in tag.body.chunks(CHUNK).enumerate() {
            bytes.extend_from_slice(if place == 0 { &first } else { &next });
            bytes.extend_from_slice(part);
        }
    }
    bytes.freeze()
}

/// Sends a message of this message stream; returns its bytes. Not cancel-safe.
///
/// # Errors
/// When the other side has left.
pub async fn send(transport: &mut (impl AsyncWrite + Unpin), tag: &Tag, stream: u32) -> io::Result<u64> {
    let (first, next) = pieces(tag, stream);
    let mut slices = Vec::new();
    for (place, part) in tag.body.chunks(CHUNK).enumerate() {
        slices.extend([IoSlice::new(if place == 0 { &first } else { &next }), IoSlice::new(part)]);
    }
    let total: usize = slices.iter().map(|slice| slice.len()).sum();
    let mut rest = &mut slices[..];
    while !rest.is_empty() {
        let written = transport.write_vectored(rest).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        IoSlice::advance_slices(&mut rest, written);
    }
    transport.flush().await?;
    Ok(total as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::rtmp::wire::{
        chunk::{ChunkReader, Message},
        command, kind,
    };
    use crate::media::Kind;

    #[test]
    fn tags_become_messages_that_are_read_again() {
        let tag = |kind, time, body: &[u8]| {
            [&tag::frame_head(kind, body.len(), time)[..], body, &tag::frame_tail(body.len())].concat()
        };
        let long = vec![7; 2 * CHUNK + 5];
        let file = [
            b"FLV\x01\x05\0\0\0\x09\0\0\0\0".to_vec(),
            tag(18, 0, b"meta"),
            tag(8, 20, b"audio"),
            tag(9, 0x0100_0000, &long),
        ]
        .concat();
        let mut bytes = Vec::new();
        crate::link::rtmp::wire::chunk::write(&command::control(kind::CHUNK_SIZE, CHUNK as u32), 128, &mut bytes);
        bytes.extend_from_slice(&messages(&Packet::copy_of(Kind::Keyframe, &file)));
        let mut found = Vec::new();
        ChunkReader::default().push(&bytes, &mut found).unwrap();
        let message =
            |kind, time, body: &[u8]| Message { kind, stream: STREAM, time, payload: Bytes::copy_from_slice(body) };
        let expect = [
            message(kind::DATA, 0, b"meta"),
            message(kind::AUDIO, 20, b"audio"),
            message(kind::VIDEO, 0x0100_0000, &long),
        ];
        assert_eq!(found, expect);
        assert_eq!(tags(Bytes::from_static(b"\x09\0\0\xff cut off")).next(), None);
    }
}
