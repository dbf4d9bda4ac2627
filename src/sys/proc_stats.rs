//! CPU time and memory of processes, from `/proc` (proc(5)).

use std::{fs, time::Duration};

/// CPU time and memory of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// CPU time of all its threads, in user and kernel mode.
    pub cpu: Duration,
    /// Resident memory, in bytes.
    pub resident: u64,
}

/// The current values of a process; `None` when it has exited.
pub fn of(pid: u32) -> Option<Usage> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    read(&text, rustix::param::clock_ticks_per_second(), rustix::param::page_size() as u64)
}

/// Resident memory of a process and its descendants, in bytes. Shared memory counts for each.
pub fn resident_with_descendants(pid: u32) -> u64 {
    let own = of(pid).map_or(0, |usage| usage.resident);
    children(pid).into_iter().map(resident_with_descendants).fold(own, u64::saturating_add)
}

/// The children of a process. Those that start or exit meanwhile may be missing.
pub fn children(pid: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

/// A message that a process exceeds its memory limit, to follow its name.
pub fn excess(resident: u64, most: u64) -> String {
    format!("took {} MiB of memory: `memory_max` is {} MiB", resident >> 20, most >> 20)
}

/// The start time of a process, in ticks since boot; `None` when it has exited or is a zombie.
pub fn began(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    (fields.next()? != "Z").then_some(())?;
    // Counted from 3, the state.
    fields.nth(22 - 4)?.parse().ok()
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
    fn a_process_begins_once() {
        let began_at = began(std::process::id()).unwrap();
        let child = std::process::Command::new("true").spawn().unwrap();
        assert!(began(child.id()).is_none_or(|later| later >= began_at && began_at > 0));
        child.wait_with_output().unwrap();
        assert_eq!(began(u32::MAX), None);
    }

    #[test]
    fn this_process_uses_something() {
        let usage = of(std::process::id()).unwrap();
        assert!(usage.resident > 1 << 20 && descriptors() > Some(2));
        assert_eq!(of(u32::MAX), None);
    }
}
