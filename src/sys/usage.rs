//! What a process uses of the machine, as `/proc` tells (proc(5)).

use std::{fs, time::Duration};

/// What a process uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Time of all its threads on a processor, in the program and in the kernel.
    pub cpu: Duration,
    /// Memory that is not swapped out, in bytes.
    pub resident: u64,
}

/// What this process uses now; `None` when it is gone.
pub fn of(pid: u32) -> Option<Usage> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    read(&text, rustix::param::clock_ticks_per_second(), rustix::param::page_size() as u64)
}

/// Open descriptors of this process.
pub fn descriptors() -> Option<usize> {
    Some(fs::read_dir("/proc/self/fd").ok()?.count())
}

fn read(stat: &str, ticks_per_second: u64, page_size: u64) -> Option<Usage> {
    // The name of the program comes second, in parentheses; it may have blanks and parentheses itself.
    let (_, fields) = stat.rsplit_once(')')?;
    // Counted from 3, the state.
    let field = |number: usize| fields.split_ascii_whitespace().nth(number - 3)?.parse::<u64>().ok();
    let ticks = field(14)? + field(15)?;
    let cpu = Duration::from_millis((ticks * 1000).checked_div(ticks_per_second)?);
    Some(Usage { cpu, resident: field(24)? * page_size })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_proc_is_read() {
        let line = "42 (a ) b) S 1 42 42 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 4 0 1000 99999 321 1844 1 1 0";
        assert_eq!(read(line, 100, 4096), Some(Usage { cpu: Duration::from_secs(2), resident: 321 * 4096 }));
        assert_eq!(read("42 (a", 100, 4096), None);
    }

    #[test]
    fn this_process_uses_something() {
        let usage = of(std::process::id()).unwrap();
        assert!(usage.resident > 1 << 20 && descriptors() > Some(2));
        assert_eq!(of(u32::MAX), None);
    }
}
