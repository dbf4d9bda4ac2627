//! What WebRTC sessions send: the frames of a stream, cut into RTP payloads once for all viewers. Pure.
//!
//! It is handled as a container, so that a stream is encoded, joined, read and skipped as in any other: each sample becomes a packet,
//! which [`Frame`] reads; the header is the list of the tracks.

mod frame;
mod muxer;
mod vp9;

pub use frame::Frame;
pub use muxer::{Muxer, is_reordered, tracks_of};

/// Most bytes of a payload: 1200 bytes of a datagram, which any path takes, without the header of RTP, its extensions, and the tag
/// of SRTP.
pub const MAX_PAYLOAD: usize = 1160;
