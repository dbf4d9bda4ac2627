//! Room on the machine: a test starts its server when others leave it some, so that it sees the server and not its neighbours.

use super::{millis, secs};
use std::{
    cell::Cell,
    fs,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The part of all processors that is room.
const ROOM: f64 = 0.25;
/// How long the machine is looked at. The next test looks after that, so that it sees what this one does.
const LOOK: Duration = millis(150);
/// A machine that is never idle has room after this.
const PATIENCE: Duration = secs(15);

thread_local! {
    /// A test has a thread of its own. It has begun.
    static BEGUN: Cell<bool> = const { Cell::new(false) };
}

/// Waits until there is room, before the first server of a test.
pub fn wait() {
    static TURN: Mutex<()> = Mutex::new(());
    if BEGUN.replace(true) {
        return;
    }
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let patience = Instant::now() + PATIENCE;
    while Instant::now() < patience {
        let before = times();
        std::thread::sleep(LOOK);
        let after = times();
        let Some((before, after)) = before.zip(after) else { return };
        let (free, all) = (after.0 - before.0, after.1 - before.1);
        if free >= all * ROOM {
            return;
        }
    }
}

/// What all processors did so far: nothing that matters, and anything. What is `nice` gives way (proc_stat(5)).
fn times() -> Option<(f64, f64)> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let fields = text.lines().next()?.split_ascii_whitespace().skip(1).take(8).map(str::parse);
    let fields: Vec<f64> = fields.collect::<Result<_, _>>().ok()?;
    let [_, nice, _, idle, wait, ..] = fields[..] else { return None };
    Some((nice + idle + wait, fields.iter().sum()))
}
