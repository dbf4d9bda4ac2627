//! MPEG transport streams (ISO/IEC 13818-1, equal to ITU-T H.222.0).
//!
//! [`Muxer`] makes one from samples, and [`Demuxer`] gives the samples of one, from any position. [`Muxer`] makes one from
//! what GStreamer's encoders give, for the worker. `Scan` finds join points and tables in bytes of unknown origin.
//! [`ContinuityRewriter`] makes one continuous stream of a source that restarts, and whose clock may jump. None of them looks at
//! the time of day.

mod audio_frames;
mod clock;
mod continuity;
mod demuxer;
mod elementary;
mod gate;
mod keyframe;
mod latm;
mod m2ts;
mod muxer;
mod obu;
mod packet;
mod parameter_sets;
mod pcr;
mod pes;
mod pes_reader;
mod program;
mod psi;
mod scan;
mod section;
mod stamps;
mod stream;
mod sync;
mod tables;
mod timeline;
mod video_units;

pub use continuity::ContinuityRewriter;
pub use demuxer::Demuxer;
pub(super) use elementary::Elementary;
pub(super) use m2ts::PacketFraming;
pub use muxer::Muxer;
pub use packet::PACKET;
pub(super) use packet::SYNC;
pub(super) use program::Coding;
pub(super) use scan::Scan;
pub use stamps::{UnitClock, UnitTimes};
pub(super) use video_units::VideoUnits;
