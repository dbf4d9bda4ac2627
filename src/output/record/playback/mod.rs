//! What was recorded, over HTTP: lists, a film of any span of time, and playlists.
//!
//! [`ask`] reads paths and parameters (pure). [`library`] finds and reads files; it blocks, and [`reading`] runs it on threads for that. [`answer`]
//! makes responses; bodies of [`films`] are read from the disk piece by piece, and [`remux`] makes other containers of them (pure). [`changes`] protects and deletes,
//! [`clips`] copies spans into files of their own, [`shared`] has files that people put into a folder.
//! [`pictures`] has stills and thumbnails, which a worker decodes. [`past`] has what live playlists list beyond what is in memory.

mod answer;
pub mod ask;
mod changes;
mod clips;
mod films;
mod images;
mod library;
mod list;
mod past;
mod pictures;
mod reading;
mod remux;
mod shared;

pub use answer::{Request, refused};
pub use clips::SavedClip;
pub use library::LibraryError;
pub use list::Listed;
pub use past::StoredSegment;
pub use reading::{Playback, PlaybackError};
pub use shared::is_name;
