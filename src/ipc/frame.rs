//! Framing of media between server and worker, in both directions.
//!
//! ```text
//!  0  payload length, u32     8  captured, u64 (ns)   24  kind, u8    26  0 (room)
//!  4  channel, u32           16  entered, u64 (ns)    25  flags, u8   32  payload … CR LF
//! ```
//! Numbers are little endian. The last ten bytes of the head and the trailing CRLF are the room in which a
//! received frame becomes an HTTP chunk in place ([`crate::media::PacketBuf`]), so that media is copied out of
//! the socket once and never again.

use crate::media::PacketBuf;
use bytes::{Buf, BufMut, BytesMut};
use std::time::Duration;

/// Bytes in front of a payload.
pub const HEAD: usize = 32;
/// Bytes behind a payload.
pub const TAIL: &[u8; 2] = b"\r\n";
/// Longest payload: a raw 8K picture as PNG fits.
pub const MAX_PAYLOAD: usize = 64 << 20;

const FLAG_DISCONTINUITY: u8 = 1;
/// `captured` of media whose capture time is unknown, `entered` of media that comes from the server.
const UNKNOWN_TIME: u64 = u64::MAX;

/// What a frame carries, and what its channel number means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    /// Worker to server: the container header of stream `channel`; it replaces an earlier one. The first header and
    /// the first packet of each run have the discontinuity flag: what comes without it is left of the run before.
    Header = 1,
    /// Worker to server: a packet of stream `channel` that is a join point.
    Keyframe = 2,
    /// Worker to server: any other packet of stream `channel`.
    Delta = 3,
    /// Worker to server: the encoded picture that answers picture request `channel`.
    Picture = 4,
    /// Server to worker: muxed bytes for feed `channel`, whose source is not in the worker.
    /// The discontinuity flag tells that bytes are missing in front of it, or that the source began anew.
    FeedBytes = 5,
    /// Server to worker: muxed bytes, from a join point on, that picture request `channel` is to decode.
    PictureBytes = 6,
}

impl FrameKind {
    const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Header,
            2 => Self::Keyframe,
            3 => Self::Delta,
            4 => Self::Picture,
            5 => Self::FeedBytes,
            6 => Self::PictureBytes,
            _ => return None,
        })
    }
}

/// A received frame.
#[derive(Debug)]
pub struct Frame {
    /// What it carries.
    pub kind: FrameKind,
    /// Whose it is; see [`FrameKind`].
    pub channel: u32,
    /// The timeline jumped in front of this payload.
    pub discontinuity: bool,
    /// When the media was captured, on the machine's monotonic clock.
    pub captured: Option<Duration>,
    /// The bytes, and when they left the worker's muxer.
    pub payload: PacketBuf,
}

/// Why a media socket cannot be read on.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FrameError {
    /// A kind that this version does not know.
    #[error("read a media frame of unknown kind {0}")]
    UnknownKind(u8),
    /// More than [`MAX_PAYLOAD`].
    #[error("read a media frame of {0} bytes: at most {MAX_PAYLOAD} are allowed")]
    TooLong(usize),
}

/// The head to write in front of a payload of `length` bytes; [`TAIL`] follows the payload.
pub fn head(
    kind: FrameKind,
    channel: u32,
    discontinuity: bool,
    captured: Option<Duration>,
    entered: Option<Duration>,
    length: usize,
) -> [u8; HEAD] {
    let mut head = [0; HEAD];
    let mut at = head.as_mut_slice();
    at.put_u32_le(u32::try_from(length).unwrap_or(u32::MAX));
    at.put_u32_le(channel);
    for time in [captured, entered] {
        at.put_u64_le(time.and_then(|time| u64::try_from(time.as_nanos()).ok()).unwrap_or(UNKNOWN_TIME));
    }
    at.put_u8(kind as u8);
    at.put_u8(if discontinuity { FLAG_DISCONTINUITY } else { 0 });
    head
}

/// Takes the next whole frame out of `buffer`; `None` when more bytes are needed, for which it then has room.
///
/// # Errors
/// When the peer does not speak this protocol; the socket is of no use afterwards.
pub fn decode(buffer: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
    let Some(head) = buffer.first_chunk::<HEAD>() else {
        buffer.reserve(HEAD);
        return Ok(None);
    };
    let mut fields = &head[..];
    let length = fields.get_u32_le() as usize;
    if length > MAX_PAYLOAD {
        return Err(FrameError::TooLong(length));
    }
    let channel = fields.get_u32_le();
    let mut time = || Some(fields.get_u64_le()).filter(|nanos| *nanos != UNKNOWN_TIME).map(Duration::from_nanos);
    let (captured, entered) = (time(), time());
    let (kind, flags) = (fields.get_u8(), fields.get_u8());
    let kind = FrameKind::from_byte(kind).ok_or(FrameError::UnknownKind(kind))?;
    let whole = HEAD + length + TAIL.len();
    if buffer.len() < whole {
        buffer.reserve(whole - buffer.len());
        return Ok(None);
    }
    let mut frame = buffer.split_to(whole);
    frame.truncate(HEAD + length);
    let mut payload = PacketBuf::from_buffer(frame, HEAD).unwrap_or_default();
    payload.entered = entered;
    Ok(Some(Frame { kind, channel, discontinuity: flags & FLAG_DISCONTINUITY != 0, captured, payload }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Kind;
    use proptest::prelude::*;

    fn wire(kind: FrameKind, channel: u32, captured: Option<Duration>, payload: &[u8]) -> Vec<u8> {
        let entered = captured.map(|captured| captured + Duration::from_millis(3));
        let mut wire = head(kind, channel, true, captured, entered, payload.len()).to_vec();
        wire.extend_from_slice(payload);
        wire.extend_from_slice(TAIL);
        wire
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in_however_they_are_split(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 1..6), piece in 1usize..50,
        ) {
            let bytes: Vec<u8> = payloads.iter().enumerate()
                .flat_map(|(at, payload)| wire(FrameKind::Delta, at as u32, Some(Duration::from_nanos(at as u64)), payload))
                .collect();
            let (mut buffer, mut seen) = (BytesMut::new(), Vec::new());
            for piece in bytes.chunks(piece) {
                buffer.extend_from_slice(piece);
                while let Some(frame) = decode(&mut buffer).unwrap() {
                    prop_assert_eq!(frame.channel as usize, seen.len());
                    prop_assert!(frame.discontinuity);
                    let captured = Duration::from_nanos(frame.channel.into());
                    prop_assert_eq!(frame.captured, Some(captured));
                    prop_assert_eq!(frame.payload.entered, Some(captured + Duration::from_millis(3)));
                    seen.push(frame.payload.finish(Kind::Delta).payload().to_vec());
                }
            }
            prop_assert_eq!(seen, payloads);
        }

        #[test]
        fn foreign_bytes_never_panic(bytes: Vec<u8>) {
            let mut buffer = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = decode(&mut buffer) {}
        }
    }

    #[test]
    fn a_frame_becomes_a_chunk_where_it_lies() {
        let mut buffer = BytesMut::from(&wire(FrameKind::Keyframe, 7, None, b"media")[..]);
        let place = buffer.as_ptr() as usize + HEAD;
        let frame = decode(&mut buffer).unwrap().unwrap();
        assert_eq!((frame.kind, frame.channel, frame.captured), (FrameKind::Keyframe, 7, None));
        let packet = frame.payload.finish(Kind::Keyframe);
        assert_eq!(packet.chunk().as_ref(), b"00000005\r\nmedia\r\n");
        assert_eq!(packet.payload().as_ptr() as usize, place);
    }

    #[test]
    fn an_announced_giant_is_refused_before_it_is_read() {
        let mut buffer = BytesMut::from(&head(FrameKind::Delta, 0, false, None, None, MAX_PAYLOAD + 1)[..]);
        assert_eq!(decode(&mut buffer).unwrap_err(), FrameError::TooLong(MAX_PAYLOAD + 1));
    }
}
