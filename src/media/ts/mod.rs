//! MPEG transport streams (ISO/IEC 13818-1, equal to ITU-T H.222.0).
//!
//! [`Muxer`] makes one from the samples of live tracks. `Scan` finds join points and tables in bytes of unknown origin.
//! [`ContinuityRewriter`] makes one continuous stream of a source that restarts, and whose clock may jump. All look at whole packets
//! of 188 bytes, and never at the time of day. What surrounds packets of other lengths is removed first.

mod audio_frames;
mod clock;
mod coding;
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
mod pcr;
mod pes;
mod pes_reader;
mod program;
mod psi;
mod sample_muxer;
mod scan;
mod section;
mod stream;
mod sync;
mod tables;
mod timeline;
mod video_units;

pub use coding::{Coding, CodingError, Track};
pub use continuity::ContinuityRewriter;
pub use demuxer::Demuxer;
pub(super) use m2ts::PacketFraming;
pub use muxer::{Made, Muxer};
pub use packet::PACKET;
pub(super) use packet::SYNC;
pub use sample_muxer::SampleMuxer;
pub(super) use scan::Scan;
