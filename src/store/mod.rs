//! What survives a restart.

mod history;
mod write;

pub use history::{History, Version, VersionFile};
pub use write::{Prepared, WriteError, can_write};
