//! What a process and the kernel's network use (proc(5)).

use anyhow::Context;
use std::{fs, time::Duration};

/// Time of all threads of a process on a processor, to the nanosecond where the kernel counts so.
pub fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let mut nanos = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task")).context("the server is gone")? {
        let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        nanos += text.split(' ').next().and_then(|field| field.parse::<u64>().ok()).unwrap_or_default();
    }
    if nanos > 0 {
        return Ok(Duration::from_nanos(nanos));
    }
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may have blanks.
    let (_, fields) = stat.rsplit_once(')').context("no line of a process")?;
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(Duration::from_secs(ticks) / u32::try_from(rustix::param::clock_ticks_per_second())?)
}

/// Memory of a process, in kB.
pub fn resident(pid: u32) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the server is gone")?;
    number(status.lines().find(|line| line.starts_with("VmRSS:")), 1).context("no VmRSS")
}

/// Memory of all TCP sockets of the machine, in kB.
pub fn tcp() -> f64 {
    let text = fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("TCP:"));
    let words = line.map_or(0, |line| line.split_whitespace().count());
    number(line, words.saturating_sub(1)).unwrap_or_default() * rustix::param::page_size() as f64 / 1024.0
}

fn number(line: Option<&str>, place: usize) -> Option<f64> {
    line?.split_whitespace().nth(place)?.parse().ok()
}
