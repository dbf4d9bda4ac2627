//! Matroska and WebM as live streams (RFC 9559, and RFC 8794 for the EBML below).
//!
//! `Scan` finds the header and the clusters that a reader may begin with, [`same_tracks`] tells whether a reader of
//! one header can go on with another.

mod element;
mod scan;
mod tracks;

pub(super) use scan::Scan;
pub use tracks::same_tracks;
pub(super) use tracks::{doc_type, setups};
