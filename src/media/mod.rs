//! What media is: packets, containers, and one pure scanner or parser for each container.
//!
//! In go bytes or packets, out come packets that know whether a reader may begin with them. Nothing
//! in here does IO, reads a clock, or names tokio or GStreamer.

pub mod access_unit;
mod audio;
mod bits;
pub mod codec;
mod codecs;
mod container;
pub mod demux;
mod drift;
mod flac;
pub mod flv;
pub mod frame;
mod jpeg;
pub mod matroska;
pub mod mp4;
pub mod multipart;
pub mod mux;
mod ogg;
mod pace;
mod packet;
pub mod reorder;
mod sample;
mod scanner;
mod sniff;
#[cfg(test)]
mod testing;
mod time;
pub mod track;
pub mod ts;
mod units;
mod wav;
mod window;

pub use codecs::codecs;
pub use container::Container;
pub use drift::Drift;
pub use pace::Pace;
pub use packet::{Kind, Packet, PacketBuf};
pub use sample::Sample;
pub use scanner::{Scanned, Scanner};
pub use sniff::{MAX_SNIFFED, Sniffed, sniff};
pub use time::Time;
pub use track::{TrackId, TrackInfo, TrackSet};
