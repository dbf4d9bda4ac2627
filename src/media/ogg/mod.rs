//! Ogg (RFC 3533): logical streams of packets in pages.

mod demuxer;
mod mapping;
mod muxer;
mod page;
mod position;
mod scan;
#[cfg(test)]
mod testing;

pub use demuxer::Demuxer;
pub use muxer::Muxer;
pub(super) use scan::{Ogg, setups};
