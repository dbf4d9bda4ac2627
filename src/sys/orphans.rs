//! Processes that outlived their server. Their guards end them, unless the guards were killed or stopped too.
//!
//! Every process that a server starts, and their children, carry the mark of the server in their environment. A starting
//! server looks for marks of servers that no longer run: their processes may still hold a device or a port.

use super::proc_stats;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;

/// The environment variable with the mark.
pub const MARK: &str = "VOYANDZ_SERVER";

/// The mark of this server: its pid and start time, unique until the machine reboots.
pub fn mark() -> String {
    let pid = std::process::id();
    format!("{pid}:{}", proc_stats::began(pid).unwrap_or_default())
}

/// Kills the processes of servers that no longer run, as far as this user may. Returns the pids.
pub fn kill_orphans() -> Vec<u32> {
    // Pids mean something else in another pid namespace, for example in a container.
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let Some(ours) = namespace("self") else { return Vec::new() };
    let Ok(folders) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = folders.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|&pid| {
        is_orphan(pid)
            && namespace(&pid.to_string()).as_ref() == Some(&ours)
            && Pid::from_raw(pid.cast_signed()).is_some_and(|pid| kill_process(pid, Signal::KILL).is_ok())
    })
    .collect()
}

/// Whether its mark is that of a server that no longer runs.
fn is_orphan(pid: u32) -> bool {
    // The environment of other users' processes cannot be read.
    let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else { return false };
    let server = environment.split(|byte| *byte == 0).find_map(|variable| {
        let text = std::str::from_utf8(variable).ok()?;
        text.strip_prefix(MARK)?.strip_prefix('=')?.split_once(':')
    });
    let Some((server, began)) = server else { return false };
    let (Ok(server), Ok(began)) = (server.parse(), began.parse()) else { return false };
    proc_stats::began(server) != Some(began)
}
