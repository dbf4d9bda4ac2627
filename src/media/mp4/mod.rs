//! Fragmented MP4 (ISO/IEC 14496-12, section 8.8), also of CMAF and DASH: what its boxes say of tracks and time.

mod boxes;
mod fragment;
mod scan;
mod setup;
mod timeline;

pub(super) use scan::Mp4;
pub(super) use setup::setups;
pub use timeline::Timeline;
