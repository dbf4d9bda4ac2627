//! The operating system: how the program is told to end, and how it ends others.

mod faults;
pub mod guard;
pub mod leftovers;
pub mod load;
pub mod service;
mod shutdown;
pub mod usage;

pub use faults::{die_before_the_server, die_of_faults};
pub use shutdown::Shutdown;

use std::time::{Duration, SystemTime};

/// Time on the machine's monotonic clock, which workers share.
pub fn monotonic() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default())
}

/// A time of [`monotonic`] as time since 1970; `None` when the clock on the wall is before that.
pub fn since_1970(time: Duration) -> Option<Duration> {
    let age = monotonic().saturating_sub(time);
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?.checked_sub(age)
}
