//! Dying at once of a fault, and before others where memory is short, as one would expect of a process.

use nix::sys::signal::{SigSet, Signal, raise};

/// What makes the kernel's choice sure enough between a process that can be started again and one that holds all viewers.
const DISPENSABLE: i32 = 500;

/// When memory is short, the kernel ends this process and its children before the server (proc(5), `oom_score_adj`).
pub fn die_before_the_server() {
    const SCORE: &str = "/proc/self/oom_score_adj";
    let now = std::fs::read_to_string(SCORE).ok().and_then(|score| score.trim().parse::<i32>().ok());
    // Whoever may be ended even sooner stays so. A system without such scores is one where nothing can be done.
    if now.is_some_and(|now| now < DISPENSABLE) {
        let _ = std::fs::write(SCORE, DISPENSABLE.to_string());
    }
}

/// Makes SIGSEGV and SIGBUS deadly however they arrive. To be called before other threads begin, which inherit it.
///
/// Rust's runtime catches both to report overflown stacks, and returns from those that another process sent: such a signal
/// would be survived once. Blocked, a fault of our own still ends the process in the kernel, and one from outside is taken
/// by a thread that waits for it and dies of it.
pub fn die_of_faults() {
    let faults = SigSet::from_iter([Signal::SIGSEGV, Signal::SIGBUS]);
    if faults.thread_block().is_err() {
        return;
    }
    let waiting = std::thread::Builder::new().name("faults".to_owned()).spawn(move || {
        let Ok(signal) = faults.wait() else { return };
        // The first one makes the runtime's handler step aside, the second one ends us.
        let _ = faults.thread_unblock();
        let _ = raise(signal);
        let _ = raise(signal);
    });
    if let Err(error) = waiting {
        tracing::warn!(%error, "no thread that waits for faults");
    }
}
