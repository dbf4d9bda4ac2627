//! What was recorded, over HTTP: lists, a film of any span of time, and playlists.
//!
//! [`ask`] reads paths and parameters (pure). [`library`] finds and reads files; it blocks, and runs on threads for that. [`answer`]
//! makes responses, whose bodies are read from the disk piece by piece.

mod answer;
pub mod ask;
mod library;

pub use answer::{Playback, refused};
