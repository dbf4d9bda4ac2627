//! Dying of a fault at once, as one would expect of a process.

use nix::sys::signal::{SigSet, Signal, raise};

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
