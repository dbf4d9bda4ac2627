//! FLV, as Adobe defined it and as Enhanced RTMP extends it.
//!
//! In go samples or bytes, out come tags or samples. Bodies of tags are those of RTMP messages as well.

pub mod amf;
mod codec;
pub mod config;
mod demuxer;
pub mod metadata;
mod muxer;
mod part;
mod reader;
mod scan;
pub mod tag;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod timeline;
mod units;

pub use demuxer::Demuxer;
pub use muxer::Muxer;
pub(in crate::media) use scan::{Flv, setups};
