//! Recordings: files of streams, and what is played of them.
//!
//! [`recorders`] has a [`task`] for each recorded stream. It reads samples as they come, without encoding; [`core`] decides what is
//! in which file and [`muxing`] makes its bytes (both pure). The thread of a [`disk`] writes them into a [`folder`], whose files an
//! [`index`] lists (pure), and deletes what [`retention`] says (pure). Nothing that is live ever waits for a disk. [`playback`]
//! answers requests for what was recorded. [`preroll`] keeps what was
//! before a request, and [`forecast`] says how far back recordings will reach, and when the disk is full (pure).

pub mod core;
pub mod disk;
pub mod folder;
pub mod forecast;
pub mod index;
pub mod muxing;
pub mod playback;
pub mod preroll;
pub mod recorders;
pub mod retention;
mod search;
mod task;
