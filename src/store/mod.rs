//! What survives a restart.

mod write;

pub use write::{Prepared, WriteError};
