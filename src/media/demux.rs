//! What all demuxers have in common: bytes of a container go in, samples in canonical form come out.

use super::{TrackSet, sample::Sample};

/// What a demuxer finds, in the order of the bytes.
#[derive(Debug, Clone, PartialEq)]
pub enum Demuxed {
    /// The tracks of the samples that follow; it replaces an earlier set.
    Tracks(TrackSet),
    /// The next sample. Its times are those of the container, without wraps, otherwise as they are.
    Sample(Sample),
}
