//! HLS, LL-HLS and DASH: playlists and segments of the streams that are muxed here.
//!
//! [`table`] finds the stream and the file for a path ([`file`](mod@file) and [`query`] parse, pure). [`feed`] is one container of a
//! stream as segments: the first request for a playlist starts its tasks, one for each rendition in `renditions:` and one for the
//! stream itself, which lease the streams, read their packets and cut them; they end some time after the last request. [`tracks`] has
//! what these encodings have together, and [`pieces`] reads the times of packets (pure). [`answer`] waits for what a
//! request is for and responds, when [`changes`] wakes it, [`growing`] with a segment while it is made; [`joined`] has parts in one piece, [`gzip`] compresses playlists (both pure); [`viewers`] counts those who ask repeatedly as one viewer, and
//! [`waiting`] limits how many requests of one client wait.

mod answer;
mod changes;
pub mod feed;
pub mod file;
mod growing;
mod gzip;
mod joined;
mod pieces;
pub mod query;
pub mod stream;
pub mod table;
mod tracks;
pub mod viewers;
mod waiting;

pub use answer::{Request, respond};
pub use table::is_file;
