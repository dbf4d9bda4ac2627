//! voyandz, a live audio/video server. `docs/ARCHITECTURE.md` is the map of this crate.

pub mod config;
pub mod ipc;
pub mod media;
