//! One writer, many readers: a stream's packets on their way from its source to its viewers.
//!
//! In go packets, from a worker or a scanner ([`Writer`]); they wait in a bounded ring ([`FanOut`]); out they come to
//! each [`Reader`] at its own speed. The writer never waits for a reader.

mod batch;
mod entrances;
mod fanout;
mod gop;
mod input;
mod keyframes;
mod lag_policy;
mod packager;
mod pause;
mod ring;
mod rtp_stats;
mod sample_writer;
mod stats;
mod tap;
mod viewers;
mod writer;
mod writer_handle;

pub use batch::Batch;
pub use entrances::Entrances;
pub use fanout::{FanOut, Reader, Version};
pub use gop::Gop;
pub use input::{NotTaken, OutputLease, SampleReader, StreamInput, StreamOutput};
pub use keyframes::{KeyframeRequests, SeenKeyframeRequests};
pub use lag_policy::{LagAction, LagPolicy};
pub use pause::{Pause, Pauses};
pub use ring::{Delivery, Entry, Join, NewestGroup};
pub use rtp_stats::RtpStats;
pub use sample_writer::source_of;
pub use stats::StreamStats;
pub use tap::Tapped;
pub use viewers::{Arrival, Progress, ViewerHandle, ViewerInfo, ViewerStats, Viewers, Waits};
pub use writer::Writer;
pub use writer_handle::WriterHandle;
