//! The protocol between the server and a worker process. Both sides share these types.
//!
//! Two inherited sockets: *control* carries [`ToWorker`] and [`FromWorker`] as length-prefixed JSON
//! ([`control`]), *media* carries [`Frame`]s with a fixed binary head ([`frame`]). Pure: no IO in here.

pub mod control;
pub mod declaration;
pub mod frame;
mod message;
mod still_spec;

pub use frame::{Frame, FrameHead, FrameKind};
pub use message::{
    EncoderProbe, Encoding, Ended, FeedPlan, FeedSource, FrameChoice, FromWorker, Item, LogLevel, PictureFault,
    PictureOf, PictureRequest, Plan, StreamPlan, TextFault, TextKind, ToWorker, Track, TrackKind, TracksMessage,
};
pub use still_spec::{PictureFormat, Pixels, StillSpec};

/// Version of the protocol. Server and worker are one binary; the check guards against a binary that
/// was replaced on disk while the server ran.
pub const VERSION: u32 = 9;

/// Descriptor that a worker inherits its control socket as.
pub const CONTROL_FD: i32 = 0;
/// Descriptor that a worker inherits its media socket as.
pub const MEDIA_FD: i32 = 1;

/// Pause between two [`FromWorker::Beat`]s.
pub const BEAT: std::time::Duration = std::time::Duration::from_millis(500);
