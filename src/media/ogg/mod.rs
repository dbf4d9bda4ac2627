//! Ogg (RFC 3533): logical streams of packets in pages.

mod mapping;
mod muxer;
mod page;
mod position;
mod scan;
#[cfg(test)]
mod testing;

pub use muxer::Muxer;
pub(super) use scan::{Ogg, setups};
