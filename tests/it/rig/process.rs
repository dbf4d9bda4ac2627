//! The processes of the machine, from `/proc`.

use rustix::process::{Pid, Signal};
use std::{fs, time::Duration};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    pub pid: i32,
    pub parent: i32,
    /// As in `ps`: `Z` is a zombie.
    pub state: char,
    /// Words of the command line, joined by blanks.
    pub command: String,
}

/// All processes.
pub fn all() -> Vec<Process> {
    let folders = fs::read_dir("/proc").unwrap();
    folders.filter_map(|entry| look(entry.ok()?.file_name().to_str()?.parse().ok()?)).collect()
}

/// One process, if it is there.
pub fn look(pid: i32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it may contain anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let command = String::from_utf8_lossy(&command).replace('\0', " ").trim().to_owned();
    Some(Process { pid, parent, state, command })
}

/// Everybody who inherited this environment variable, however far away by now. Zombies have no environment.
pub fn marked(variable: &str) -> Vec<Process> {
    let is_marked = |process: &Process| {
        let environment = fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|pair| pair == variable.as_bytes())
    };
    all().into_iter().filter(is_marked).collect()
}

pub fn children(pid: i32) -> Vec<Process> {
    all().into_iter().filter(|process| process.parent == pid).collect()
}

pub fn is_alive(pid: i32) -> bool {
    look(pid).is_some_and(|process| process.state != 'Z')
}

/// Sends a signal; who is gone already does not get it.
pub fn send(pid: i32, signal: Signal) {
    let _ = rustix::process::kill_process(Pid::from_raw(pid).unwrap(), signal);
}

/// How many descriptors a process has open.
pub fn descriptors(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// How many threads a process has.
pub fn threads(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/task")).unwrap().count()
}

/// Memory that a process holds, in KiB.
pub fn resident(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Time on a processor so far.
pub fn cpu(pid: i32) -> Duration {
    times(pid, 2).unwrap()
}

/// The same, with that of its children that have ended; nothing of a process that is gone.
pub fn cpu_with_ended(pid: i32) -> Duration {
    times(pid, 4).unwrap_or_default()
}

/// The first of the four times of a process (proc_pid_stat(5), `utime` and on).
fn times(pid: i32, count: usize) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields = stat.rsplit_once(')')?.1.split_whitespace();
    let ticks: u64 = fields.skip(11).take(count).filter_map(|field| field.parse::<u64>().ok()).sum();
    Some(Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second()))
}
