//! MPEG transport streams (ISO/IEC 13818-1, equal to ITU-T H.222.0).
//!
//! `Scan` finds join points and tables in bytes of unknown origin, [`Splicer`] makes one continuous stream of a
//! source that begins again and again, and whose `clock` may jump. All look at whole packets of 188 bytes, and never at the
//! time of day. Stamps in front of packets are taken away first.

mod clock;
mod packet;
mod psi;
mod scan;
mod splice;
mod stamped;
mod unit;

pub use packet::PACKET;
pub(super) use packet::SYNC;
pub(super) use scan::Scan;
pub use splice::Splicer;
pub(super) use stamped::sniff as sniff_stamped;
