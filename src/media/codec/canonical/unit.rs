//! What the parts of the canonicalizer find.

use crate::media::codec::CodecParameters;
use crate::media::track::Shape;
use bytes::Bytes;

/// Codec and shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) codec: CodecParameters,
    pub(super) shape: Shape,
}

/// What a track of any codec makes of an access unit.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) data: Bytes,
    pub(super) is_sync: bool,
    /// What applies from this unit on, where something new may have come. The same as before is no change.
    pub(super) found: Option<Found>,
}
