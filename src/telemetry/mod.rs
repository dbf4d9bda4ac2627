//! Log lines: their form, where they go, and how repeats are kept from flooding it; and counts of what is answered.

mod file;
mod line;
mod log;
mod repeats;
mod traffic;

pub use file::Reopen;
pub use line::Format;
pub use log::{LogGuard, init};
pub use repeats::{Repeats, Report};
pub use traffic::{Histogram, Protocol, Refusal, Traffic};
