//! FLV, as Adobe defined it and as Enhanced RTMP extends it.
//!
//! In go samples or bytes, out come tags or samples. Bodies of tags are those of RTMP messages as well.

pub mod amf;
pub mod config;
mod demuxer;
pub mod metadata;
mod muxer;
mod reader;
mod scan;
mod stamps;
pub mod tag;
mod timeline;

pub use demuxer::Demuxer;
pub use muxer::Muxer;
pub(in crate::media) use scan::{Flv, setups};
pub use stamps::Stamps;
