//! Matroska and WebM as live streams (RFC 9559, and RFC 8794 for the EBML below).
//!
//! [`Muxer`] makes them of samples, [`Demuxer`] makes samples of them. `Scan` finds the header and the clusters that a reader may begin with, [`same_tracks`] returns whether a reader of
//! one header can continue with another.

mod coding;
mod demuxer;
mod element;
mod header;
mod muxer;
mod scan;
mod timeline;
mod tracks;
mod write;

pub use demuxer::Demuxer;
pub use muxer::Muxer;
pub(super) use scan::Scan;
pub use tracks::same_tracks;
pub(super) use tracks::{doc_type, setups};
