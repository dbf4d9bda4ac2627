//! Processes that outlived their server. Their guards end them, unless those were killed too, or stopped.
//!
//! Whatever a server starts, and what that starts, has the server's mark in its environment. A server that begins looks for
//! marks of servers that are gone: what they left may still hold a device or a port.

use super::usage;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;

/// The environment variable with the mark.
pub const MARK: &str = "VOYANDZ_SERVER";

/// This server's mark: its pid and when it began, which no other process of this run of the machine has.
pub fn mark() -> String {
    let pid = std::process::id();
    format!("{pid}:{}", usage::began(pid).unwrap_or_default())
}

/// Kills what servers that are gone have left, as far as this user may. Returns the pids.
pub fn sweep() -> Vec<u32> {
    // Pids mean something else in another namespace of them, say in a container.
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let Some(ours) = namespace("self") else { return Vec::new() };
    let Ok(folders) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = folders.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|&pid| {
        is_left(pid)
            && namespace(&pid.to_string()).as_ref() == Some(&ours)
            && Pid::from_raw(pid.cast_signed()).is_some_and(|pid| kill_process(pid, Signal::KILL).is_ok())
    })
    .collect()
}

/// Whether its mark is that of a server that is gone.
fn is_left(pid: u32) -> bool {
    // The environment of other users' processes cannot be read.
    let Ok(environment) = fs::read(format!("/proc/{pid}/environ")) else { return false };
    let server = environment.split(|byte| *byte == 0).find_map(|variable| {
        let text = std::str::from_utf8(variable).ok()?;
        text.strip_prefix(MARK)?.strip_prefix('=')?.split_once(':')
    });
    let Some((server, began)) = server else { return false };
    let (Ok(server), Ok(began)) = (server.parse(), began.parse()) else { return false };
    usage::began(server) != Some(began)
}
