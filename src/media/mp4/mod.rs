//! Fragmented MP4 (ISO/IEC 14496-12, section 8.8), also of CMAF and DASH: what its boxes say, a muxer for live tracks, and a demuxer.

mod box_writer;
mod boxes;
mod demuxer;
pub mod file;
mod fragment;
mod front;
mod header;
mod live_fragment;
mod muxer;
mod sample_entry;
mod scan;
mod setup;
mod timeline;
mod timing;

pub use demuxer::Demuxer;
pub use header::header_for;
pub use live_fragment::{HeaderTrack, LiveFragment, header_tracks};
pub use muxer::Muxer;
pub(super) use scan::Mp4;
pub(super) use setup::setups;
