//! How a worker process ends: immediately on a memory fault, and before the server when memory runs out.

use nix::sys::signal::{SigSet, Signal, raise};

/// Enough for the kernel to choose a process that can be restarted, not the one that holds all viewers.
const OOM_SCORE: i32 = 500;

/// When memory runs out, the kernel kills this process and its children before the server (proc(5), `oom_score_adj`).
pub fn prefer_for_oom_kill() {
    const FILE: &str = "/proc/self/oom_score_adj";
    let now = std::fs::read_to_string(FILE).ok().and_then(|score| score.trim().parse::<i32>().ok());
    // A higher score is kept. On a system without scores nothing can be done.
    if now.is_some_and(|now| now < OOM_SCORE) {
        let _ = std::fs::write(FILE, OOM_SCORE.to_string());
    }
}

/// Makes SIGSEGV and SIGBUS fatal wherever they come from. To be called before other threads start, which inherit it.
///
/// The Rust runtime catches both to report stack overflows, and returns from a signal that another process sent: the process
/// would survive the first one. While they are blocked, the kernel still ends the process on its own fault, and a thread
/// waits for signals from outside and ends the process.
pub fn abort_on_fault() {
    let faults = SigSet::from_iter([Signal::SIGSEGV, Signal::SIGBUS]);
    if faults.thread_block().is_err() {
        return;
    }
    let watcher = std::thread::Builder::new().name("sigsegv".to_owned()).spawn(move || {
        let Ok(signal) = faults.wait() else { return };
        // The first signal removes the handler of the runtime, the second ends the process.
        let _ = faults.thread_unblock();
        let _ = raise(signal);
        let _ = raise(signal);
    });
    if let Err(error) = watcher {
        tracing::warn!(%error, "SIGSEGV watcher not started");
    }
}
