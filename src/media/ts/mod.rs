//! MPEG transport streams (ISO/IEC 13818-1, equal to ITU-T H.222.0).
//!
//! [`Muxer`] makes one from the samples of live tracks. `Scan` finds join points and tables in bytes of unknown origin.
//! [`ContinuityRewriter`] makes one continuous stream of a source that restarts, and whose clock may jump. All look at whole packets
//! of 188 bytes, and never at the time of day. What surrounds packets of other lengths is removed first.

mod clock;
mod coding;
mod continuity;
mod keyframe;
mod m2ts;
mod muxer;
mod obu;
mod packet;
mod pcr;
mod pes;
mod psi;
mod scan;
mod section;

pub use coding::{Coding, CodingError, Track};
pub use continuity::ContinuityRewriter;
pub(super) use m2ts::PacketFraming;
pub use muxer::{Made, Muxer};
pub use packet::PACKET;
pub(super) use packet::SYNC;
pub(super) use scan::Scan;
