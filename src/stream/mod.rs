//! One writer, many readers: a stream's packets on their way from its source to its viewers.
//!
//! In go packets, from a worker or a scanner ([`Writer`]); they wait in a bounded ring ([`FanOut`]); out they come to
//! each [`Reader`] at its own speed. The writer never waits for a reader.

mod audience;
mod entrances;
mod fanout;
mod gop;
mod input;
mod keyframes;
mod meter;
mod news;
mod packager;
mod ring;
mod sample_writer;
mod shared;
mod stamina;
mod tap;
mod writer;

pub use audience::{Arrival, Attendance, Audience, Member, Progress, Seat, Waits};
pub use entrances::Entrances;
pub use fanout::{FanOut, Reader, Version};
pub use gop::Gop;
pub use input::{NotTaken, OutputLease, SampleReader, StreamInput, StreamOutput};
pub use keyframes::{KeyframeRequests, SeenKeyframeRequests};
pub use meter::Reading;
pub use news::News;
pub use ring::{Delivery, Entry, Join, NewestGroup};
pub use shared::SharedWriter;
pub use stamina::{Stamina, Step};
pub use tap::Tapped;
pub use writer::Writer;
