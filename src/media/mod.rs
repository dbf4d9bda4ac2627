//! What media is: packets, containers, and one pure scanner or parser for each container.
//!
//! In go bytes or packets, out come packets that know whether a reader may begin with them. Nothing
//! in here does IO, reads a clock, or names tokio or GStreamer.

mod announcer;
mod audio;
pub mod avi;
mod bits;
mod byte_window;
mod clock_drift;
pub mod codec;
mod container;
pub mod demux;
mod field_pairs;
mod flac;
pub mod flv;
pub mod frames;
mod framing;
pub mod jfif;
mod jpeg;
pub mod matroska;
pub mod mp4;
pub mod multipart;
pub mod mux;
mod muxer;
pub mod ogg;
mod packet;
pub mod raw_frame;
pub mod reorder;
mod repair;
pub mod rtp;
mod sample;
mod scanned;
mod scanner;
pub mod segment;
mod sniff;
mod sniffed;
mod stall_detector;
#[cfg(test)]
pub(crate) mod testing;
mod time;
pub mod track;
pub mod ts;
pub mod unpack;
mod wav;
pub mod webrtc;

pub use clock_drift::DriftEstimator;
pub use codec::rfc6381::codecs;
pub use container::Container;
pub use field_pairs::FieldPairs;
pub use mux::{Codecs, HeaderChange, Muxed, NotCarried};
pub use muxer::{Muxer, Selected};
pub use packet::{Kind, Packet, PacketBuf};
pub use repair::StampRepair;
pub use sample::Sample;
pub use scanned::Scanned;
pub use scanner::Scanner;
pub use sniff::{MAX_SNIFFED, sniff};
pub use sniffed::Sniffed;
pub use stall_detector::StallDetector;
pub use time::Time;
pub use track::{MediaKind, TrackId, TrackInfo, TrackSet};
