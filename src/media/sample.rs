//! The unit that encodings, demuxers and publishers make, and that muxers and packetizers take.

use super::{Time, track::TrackId};
use bytes::Bytes;
use std::time::Duration;

/// One access unit: a coded video frame or audio frame, in the canonical form of its codec
/// ([`CodecParameters`](super::codec::CodecParameters)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Whose it is.
    pub track: TrackId,
    /// When it is decoded. Grows within a track, but for a discontinuity.
    pub dts: Time,
    /// When it is shown. Never before `dts`.
    pub pts: Time,
    /// For how long, if its source says so.
    pub duration: Option<Duration>,
    /// A decoder may begin with it.
    pub is_sync: bool,
    /// The timeline jumps before it, or samples were lost.
    pub discontinuity: bool,
    /// When its media was captured, on the monotonic clock of this machine; `None` when unknown.
    pub captured: Option<Duration>,
    /// When it came to the server, or out of an encoder, on the same clock.
    pub entered: Option<Duration>,
    /// The coded frame.
    pub data: Bytes,
}
