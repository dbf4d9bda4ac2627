//! The operating system: how the program is told to end, and how it ends others.

mod faults;
pub mod guard;
pub mod service;
mod shutdown;
pub mod usage;

pub use faults::die_of_faults;
pub use shutdown::Shutdown;

use std::time::Duration;

/// Time on the machine's monotonic clock, which workers share.
pub fn monotonic() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default())
}
