//! Log lines: their form, where they go, and how repeats are kept from flooding it; counts of what is answered, and how long things
//! take.

mod file;
mod latency;
mod line;
mod log;
mod repeats;
mod traffic;

pub use file::Reopen;
pub use latency::{Figures, Latency, Spread, Times};
pub use line::Format;
pub use log::{LogGuard, init};
pub use repeats::{Repeats, Report};
pub use traffic::{Histogram, Protocol, Refusal, Traffic};
