//! What all muxers have in common: samples of some tracks go in, packets of a container come out.
//!
//! A muxer never waits: each sample leaves with the call that brings it, and no track waits for another. Its state
//! (continuity counters, sequence numbers, clusters) outlives runs of the source and changes of the tracks.

use super::{Packet, TrackInfo};
use bytes::Bytes;
use std::fmt;

/// What leaves a muxer, in order.
#[derive(Debug)]
pub enum Muxed {
    /// The container's header for what follows; it replaces an earlier one.
    Header {
        /// The bytes that a new reader gets first.
        bytes: Bytes,
        /// What it means to readers that are there.
        readers: HeaderChange,
    },
    /// A piece of the container, with the capture times of its sample. A [`Kind::Keyframe`](super::Kind::Keyframe) packet is a join point.
    Packet(Packet),
    /// A keyframe soon would help players: they may drop frames until then.
    WantsKeyframe,
}

/// What a header means to readers that began with an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderChange {
    /// They need nothing: it is the first, or says what the packets say as well.
    None,
    /// They get it in line.
    Inline,
    /// They continue without the tracks that were added: packets of these need a header of this version.
    Added {
        /// Grows with each addition.
        version: u32,
    },
    /// They cannot continue: the container cannot say that its tracks changed.
    End,
}

/// Why a container cannot carry tracks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{container} cannot carry {codecs}")]
pub struct NotCarried {
    /// The container.
    pub container: super::Container,
    /// The codecs that there are, by their usual names, separated by commas.
    pub codecs: Codecs,
}

/// Names of codecs for an error text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Codecs(pub Vec<&'static str>);

impl Codecs {
    /// Those of some tracks.
    pub fn of(tracks: &[TrackInfo]) -> Self {
        Self(tracks.iter().map(|track| track.codec.name()).collect())
    }
}

impl fmt::Display for Codecs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.is_empty() {
            true => f.write_str("no tracks"),
            false => f.write_str(&self.0.join(", ")),
        }
    }
}
