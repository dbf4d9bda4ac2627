//! Log lines: their form, where they go, and how repeats are kept from flooding it.

mod log;
mod repeats;

pub use log::{LogGuard, init};
pub use repeats::{Repeats, Report};
