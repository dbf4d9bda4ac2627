//! Fragmented MP4 (ISO/IEC 14496-12, section 8.8), also of CMAF and DASH: what its boxes say, and a muxer for live tracks.

mod boxes;
mod coding;
mod fragment;
mod movie;
mod muxer;
mod scan;
mod setup;
mod timing;

pub use coding::{Chroma, Coding, CodingError, Shape, Track};
pub use muxer::{Made, Muxer};
pub(super) use scan::Mp4;
pub(super) use setup::setups;
