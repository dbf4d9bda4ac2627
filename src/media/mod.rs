//! What media is: packets, containers, and one pure scanner or parser for each container.
//!
//! In go bytes or packets, out come packets that know whether a reader may begin with them. Nothing
//! in here does IO, reads a clock, or names tokio or GStreamer.

mod container;
mod packet;

pub use container::Container;
pub use packet::{Kind, Packet, PacketBuf};
