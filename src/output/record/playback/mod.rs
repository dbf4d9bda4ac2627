//! What was recorded, over HTTP: lists, a film of any span of time, and playlists.
//!
//! [`ask`] reads paths and parameters (pure). [`library`] finds and reads files; it blocks, and runs on threads for that. [`answer`]
//! makes responses, whose bodies are read from the disk piece by piece. [`changes`] protects and deletes.

mod answer;
pub mod ask;
mod changes;
mod library;

pub use answer::{Listed, Playback, refused};
pub use changes::ChangeError;
