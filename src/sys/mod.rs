//! The operating system: processes, signals, the service manager, clocks, and load.

mod crash_policy;
pub mod devices;
pub mod guard;
pub mod machine_load;
pub mod orphans;
pub mod output;
pub mod overload;
pub mod proc_stats;
pub mod programs;
pub mod service;
mod shutdown;
mod turns;
pub mod unfinished;

pub use crash_policy::{abort_on_fault, prefer_for_oom_kill};
pub use shutdown::Shutdown;
pub use turns::{Turn, Turns};

use std::time::{Duration, SystemTime};

/// Where a test may end the process as SIGKILL does.
pub fn kill_point(name: &str) {
    fail::fail_point!(name, |_| {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    });
    let _ = name;
}

/// Time on the monotonic clock, which server and workers share.
pub fn monotonic() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default())
}

/// A time of [`monotonic`] as time since 1970; `None` when the system clock is before that.
pub fn since_1970(time: Duration) -> Option<Duration> {
    let age = monotonic().saturating_sub(time);
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?.checked_sub(age)
}
