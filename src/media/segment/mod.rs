//! Segments of live media, for HLS and DASH. Pure: time comes in as a value.
//!
//! In go [`Piece`]s, the packets of a muxer with their times. The [`Segmenter`] cuts them into parts and segments, and keeps
//! those of a bounded window in [`Rendition`]s. [`hls`] and [`dash`] render these as text, [`wait`] decides whether a request
//! can be answered yet. Nothing is muxed again and nothing is copied: a part is a list of packets, a segment a list of parts. Of segments
//! that recordings have, times are kept and packets are not.

mod clock;
mod cut;
pub mod dash;
pub mod hls;
mod key;
mod past;
mod piece;
mod rendition;
mod section;
mod settings;
mod step;
#[cfg(test)]
mod testing;
mod text;
pub mod wait;

pub use cut::{Segmenter, Wish};
pub use key::{KeyId, Keys};
pub use past::{First, PastSegment};
pub use piece::{Moment, Piece, TrackHeader};
pub use rendition::{Header, Part, Rendition, Segment};
pub use section::Section;
pub use settings::Settings;
