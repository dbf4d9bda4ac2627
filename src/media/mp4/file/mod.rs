//! MP4 files of live tracks: fragments while they are written, an ordinary movie with one table for each track once they are
//! finished, and the movie of any span of several such files.
//!
//! A file begins with `ftyp`, an empty `free` and a `moov` without samples; then a fragment follows another. At the end a
//! second `moov` lists all samples where they are, and `free` becomes the head of one `mdat` that hides all between:
//! [`FileWriter`] writes that, [`scan()`] reads a file of either form back, and [`Clip`] is a span.

mod clip;
mod fragment;
mod frame;
mod lapse;
mod movie;
mod scan;
mod segment;
mod table;
mod writer;

pub use clip::{Clip, ClipBuilder, Cut, Extent, Piece, Source, TooLong};
pub use frame::{Excerpt, Thumbnail, frame_at, keyframe_at, row};
pub use lapse::Lapse;
pub use movie::TrackHead;
pub use scan::{NotOurs, ScannedFile, finish, has_header, scan};
pub use segment::{Span, Stretch, segment, spans, stretch};
pub use table::{Placed, SampleTable};
pub use writer::{FileWriter, Finish};

#[cfg(test)]
mod tests;
