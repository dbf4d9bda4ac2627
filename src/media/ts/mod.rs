//! MPEG transport streams (ISO/IEC 13818-1, equal to ITU-T H.222.0).
//!
//! [`Muxer`] makes one of the samples of live tracks. `Scan` finds join points and tables in bytes of unknown origin, [`Splicer`] makes one continuous stream of a
//! source that begins again and again, and whose `clock` may jump. All look at whole packets of 188 bytes, and never at the
//! time of day. What is around packets of
//! other lengths is taken away first.

mod clock;
mod coding;
mod muxer;
mod obu;
mod packet;
mod pes;
mod psi;
mod reference;
mod scan;
mod section;
mod splice;
mod unit;
mod wrapping;

pub use coding::{Coding, CodingError, Track};
pub use muxer::{Made, Muxer};
pub use packet::PACKET;
pub(super) use packet::SYNC;
pub(super) use scan::Scan;
pub use splice::Splicer;
pub(super) use wrapping::Wrapping;
