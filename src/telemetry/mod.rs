//! Log lines: their form, where they go, and how repeats are kept from flooding it.

mod file;
mod line;
mod log;
mod repeats;

pub use file::Reopen;
pub use line::Format;
pub use log::{LogGuard, init};
pub use repeats::{Repeats, Report};
