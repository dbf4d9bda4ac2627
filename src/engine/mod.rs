//! From a configuration to what runs for it.
//!
//! [`layout`] derives the feeds, streams and worker groups from the configuration (pure), [`deployment`] runs them and
//! applies the next configuration; the [`registry`] has the streams for all outputs;
//! [`rendition`] says which encodings an output is made of. `placeholder` runs another worker
//! for a stream whose feeds deliver nothing; [`recorder_status`] is the state of recorders, and [`push_status`] that of
//! pushes.

pub mod deployment;
pub mod layout;
pub mod patterns;
mod placeholder;
pub mod push_status;
pub mod recorder_status;
pub mod registry;
pub mod rendition;
