//! AVI files (AVI RIFF File Reference; codes of audio formats as in RFC 2361), for programs that read nothing else.
//!
//! AVI has no times: the frames of a track follow one another at a constant rate. [`FileWriter`] keeps that true. Where video is
//! missing it writes chunks without data, which show the frame before for longer; where audio is missing it writes silence, or the
//! frame before once more. An index ends the file, and the lengths in its header are written then; [`scan()`] finds both again in a file
//! that was left open.

mod codecs;
mod header;
mod scan;
#[cfg(test)]
mod tests;
mod writer;

pub use codecs::carries;
pub use scan::{ScannedFile, scan};
pub use writer::{FileWriter, Finish, MAX_LENGTH};
