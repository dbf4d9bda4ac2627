//! Orders that end by themselves.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Counts the orders to one thing, so that the end of an older order does not undo a newer one. Clones count the same.
#[derive(Debug, Clone, Default)]
pub struct Turns(Arc<AtomicU64>);

/// One order among others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn(u64);

impl Turns {
    /// Another order, which takes the place of those before.
    pub fn take(&self) -> Turn {
        Turn(self.0.fetch_add(1, Ordering::AcqRel) + 1)
    }

    /// Does this after a time, if no newer order has come by then. To be called on a runtime.
    pub fn undo_after(&self, time: Duration, turn: Turn, undo: impl FnOnce() + Send + 'static) {
        let turns = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            if Turn(turns.0.load(Ordering::Acquire)) == turn {
                undo();
            }
        });
    }
}
