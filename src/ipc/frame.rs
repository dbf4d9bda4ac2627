//! Framing of media between server and worker, in both directions.
//!
//! ```text
//!  0  payload length, u32     16  entered, u64 (ns)     28  run, u32             48  duration, u64 (ns)
//!  4  channel, u32            24  kind, u8              32  dts, i64 (ns)        56  0 (room)
//!  8  captured, u64 (ns)      25  flags, u8             40  pts, i64 (ns)        66  payload … CR LF
//!                             26  track, u8
//! ```
//! Numbers are little endian. The last ten bytes of the head and the trailing CRLF are the room in which a
//! received frame becomes an HTTP chunk in place ([`crate::media::PacketBuf`]), so that media is copied out of
//! the socket once and never again.

use crate::media::{PacketBuf, Sample, Time, TrackId};
use bytes::{Buf, BufMut, BytesMut};
use std::time::Duration;

/// Bytes before a payload.
pub const HEAD: usize = 66;
/// Bytes after a payload.
pub const TAIL: &[u8; 2] = b"\r\n";
/// Longest payload: a raw 8K frame as PNG fits.
pub const MAX_PAYLOAD: usize = 64 << 20;

const FLAG_DISCONTINUITY: u8 = 1;
const FLAG_SYNC: u8 = 2;
/// A time that is not known.
const UNKNOWN_TIME: u64 = u64::MAX;

/// What a frame carries, and what its channel number means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    /// Worker to server: the track set of stream `channel` for the samples that follow, as JSON ([`crate::media::TrackSet`]).
    Tracks = 1,
    /// Worker to server: a sample of stream `channel`.
    Sample = 2,
    /// Worker to server: muxed bytes of stream `channel`, whose muxer is not ours. The discontinuity flag reports that bytes
    /// are missing before it.
    Bytes = 3,
    /// Worker to server: the encoded still that answers request `channel`.
    Still = 4,
    /// Server to worker: muxed bytes for feed `channel`, whose source is not in the worker.
    /// The discontinuity flag reports that bytes are missing before it, or that the source restarted.
    FeedBytes = 5,
    /// Server to worker: muxed bytes, from a join point on, that still request `channel` is to decode.
    StillBytes = 6,
}

impl FrameKind {
    const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Tracks,
            2 => Self::Sample,
            3 => Self::Bytes,
            4 => Self::Still,
            5 => Self::FeedBytes,
            6 => Self::StillBytes,
            _ => return None,
        })
    }
}

/// All that a frame says besides its payload. What a kind does not use is zero or `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHead {
    /// What it carries.
    pub kind: FrameKind,
    /// Whose it is; see [`FrameKind`].
    pub channel: u32,
    /// Which run of the stream it belongs to, see [`ToWorker::Start`](super::ToWorker::Start).
    pub run: u32,
    /// The timeline jumps before this payload, or media is missing.
    pub discontinuity: bool,
    /// When the media was captured, on the machine's monotonic clock.
    pub captured: Option<Duration>,
    /// When it was handed to the socket, on the same clock.
    pub entered: Option<Duration>,
    /// Of a sample: its track.
    pub track: TrackId,
    /// Of a sample: see [`Sample::is_sync`].
    pub is_sync: bool,
    /// Of a sample.
    pub dts: Time,
    /// Of a sample.
    pub pts: Time,
    /// Of a sample.
    pub duration: Option<Duration>,
}

impl FrameHead {
    /// The head of a frame that is no sample.
    pub const fn new(kind: FrameKind, channel: u32) -> Self {
        Self {
            kind,
            channel,
            run: 0,
            discontinuity: false,
            captured: None,
            entered: None,
            track: TrackId(0),
            is_sync: false,
            dts: Time::ZERO,
            pts: Time::ZERO,
            duration: None,
        }
    }

    /// The bytes before a payload of `length` bytes; [`TAIL`] follows the payload.
    pub fn encode(&self, length: usize) -> [u8; HEAD] {
        let mut head = [0; HEAD];
        let mut at = head.as_mut_slice();
        at.put_u32_le(u32::try_from(length).unwrap_or(u32::MAX));
        at.put_u32_le(self.channel);
        at.put_u64_le(nanos(self.captured));
        at.put_u64_le(nanos(self.entered));
        at.put_u8(self.kind as u8);
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        at.put_u8(flag(self.discontinuity, FLAG_DISCONTINUITY) | flag(self.is_sync, FLAG_SYNC));
        at.put_u8(self.track.0);
        at.put_u8(0);
        at.put_u32_le(self.run);
        at.put_i64_le(self.dts.nanos());
        at.put_i64_le(self.pts.nanos());
        at.put_u64_le(nanos(self.duration));
        head
    }

    /// Reads a head; the length of the payload comes with it.
    ///
    /// # Errors
    /// When the peer does not speak this protocol.
    fn decode(mut fields: &[u8]) -> Result<(Self, usize), FrameError> {
        let length = fields.get_u32_le() as usize;
        if length > MAX_PAYLOAD {
            return Err(FrameError::TooLong(length));
        }
        let channel = fields.get_u32_le();
        let (captured, entered) = (duration(fields.get_u64_le()), duration(fields.get_u64_le()));
        let (kind, flags, track, _) = (fields.get_u8(), fields.get_u8(), fields.get_u8(), fields.get_u8());
        let kind = FrameKind::from_byte(kind).ok_or(FrameError::UnknownKind(kind))?;
        let run = fields.get_u32_le();
        let (dts, pts) = (Time::from_nanos(fields.get_i64_le()), Time::from_nanos(fields.get_i64_le()));
        let head = Self {
            kind,
            channel,
            run,
            discontinuity: flags & FLAG_DISCONTINUITY != 0,
            captured,
            entered,
            track: TrackId(track),
            is_sync: flags & FLAG_SYNC != 0,
            dts,
            pts,
            duration: duration(fields.get_u64_le()),
        };
        Ok((head, length))
    }
}

fn nanos(time: Option<Duration>) -> u64 {
    time.and_then(|time| u64::try_from(time.as_nanos()).ok()).unwrap_or(UNKNOWN_TIME)
}

fn duration(nanos: u64) -> Option<Duration> {
    (nanos != UNKNOWN_TIME).then(|| Duration::from_nanos(nanos))
}

/// A received frame.
#[derive(Debug)]
pub struct Frame {
    /// What it is.
    pub head: FrameHead,
    /// The bytes.
    pub payload: PacketBuf,
}

impl Frame {
    /// The sample that it carries.
    pub fn into_sample(self) -> Sample {
        let FrameHead { discontinuity, captured, entered, track, is_sync, dts, pts, duration, .. } = self.head;
        let data = self.payload.into_bytes();
        Sample { track, dts, pts, duration, is_sync, discontinuity, captured, entered, data }
    }
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

/// Takes the next whole frame out of `buffer`; `None` when more bytes are needed, for which it then has room.
///
/// # Errors
/// When the peer does not speak this protocol; the socket is of no use afterwards.
pub fn decode(buffer: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
    let Some(head) = buffer.first_chunk::<HEAD>() else {
        buffer.reserve(HEAD);
        return Ok(None);
    };
    let (head, length) = FrameHead::decode(head)?;
    let whole = HEAD + length + TAIL.len();
    if buffer.len() < whole {
        buffer.reserve(whole - buffer.len());
        return Ok(None);
    }
    let mut frame = buffer.split_to(whole);
    frame.truncate(HEAD + length);
    let mut payload = PacketBuf::from_buffer(frame, HEAD).unwrap_or_default();
    payload.entered = head.entered;
    Ok(Some(Frame { head, payload }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Kind;
    use proptest::prelude::*;

    fn wire(head: FrameHead, payload: &[u8]) -> Vec<u8> {
        [&head.encode(payload.len())[..], payload, TAIL].concat()
    }

    fn sample(at: u32) -> FrameHead {
        let time = Some(Duration::from_nanos(at.into()));
        FrameHead {
            run: at ^ 77,
            discontinuity: at.is_multiple_of(2),
            captured: time,
            entered: time.map(|time| time + Duration::from_millis(3)),
            track: TrackId((at % 3) as u8),
            is_sync: at.is_multiple_of(5),
            dts: Time::from_nanos(-i64::from(at)),
            pts: Time::from_nanos(i64::from(at)),
            duration: at.is_multiple_of(2).then_some(Duration::from_millis(40)),
            ..FrameHead::new(FrameKind::Sample, at)
        }
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in_however_they_are_split(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 1..6), piece in 1usize..50,
        ) {
            let bytes: Vec<u8> =
                payloads.iter().zip(0..).flat_map(|(payload, at)| wire(sample(at), payload)).collect();
            let (mut buffer, mut seen) = (BytesMut::new(), Vec::new());
            for piece in bytes.chunks(piece) {
                buffer.extend_from_slice(piece);
                while let Some(frame) = decode(&mut buffer).unwrap() {
                    prop_assert_eq!(frame.head, sample(u32::try_from(seen.len()).unwrap()));
                    let (head, sample) = (frame.head, frame.into_sample());
                    prop_assert_eq!((sample.dts, sample.pts, sample.is_sync), (head.dts, head.pts, head.is_sync));
                    seen.push(sample.data.to_vec());
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
        let mut buffer = BytesMut::from(&wire(FrameHead::new(FrameKind::Bytes, 7), b"media")[..]);
        let place = buffer.as_ptr() as usize + HEAD;
        let frame = decode(&mut buffer).unwrap().unwrap();
        assert_eq!((frame.head.kind, frame.head.channel, frame.head.captured), (FrameKind::Bytes, 7, None));
        let packet = frame.payload.finish(Kind::Keyframe);
        let chunk: Vec<_> = packet.chunk_pieces().collect();
        assert_eq!(chunk, [&b"00000005\r\nmedia\r\n"[..]]);
        assert_eq!(packet.payload().as_ptr() as usize, place);
    }

    #[test]
    fn an_announced_giant_is_refused_before_it_is_read() {
        let mut buffer = BytesMut::from(&FrameHead::new(FrameKind::Sample, 0).encode(MAX_PAYLOAD + 1)[..]);
        assert_eq!(decode(&mut buffer).unwrap_err(), FrameError::TooLong(MAX_PAYLOAD + 1));
    }
}
