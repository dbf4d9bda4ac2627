//! What people order of a feed or stream, beside what its users need.

use crate::sys::{Turn, Turns};
use std::time::Duration;
use tokio::sync::watch;

/// The orders to one supervisor, or to a push. They outlive the supervisor and its source. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Control {
    orders: watch::Sender<Orders>,
    /// How often it was held or released: a newer order takes the place of an older one.
    turns: Turns,
}

/// What was ordered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Orders {
    /// Restarts so far.
    pub restarts: u64,
    /// It is not to run, whoever uses it.
    pub is_held: bool,
}

impl Control {
    /// Restarts the source, if it runs.
    pub fn restart(&self) {
        self.orders.send_modify(|orders| orders.restarts += 1);
    }

    /// Ends the source and keeps it from running until [`release`](Self::release).
    pub fn hold(&self) {
        self.set(true);
    }

    /// The same, for this time at most. To be called on a runtime.
    pub fn hold_for(&self, time: Duration) {
        let (turn, this) = (self.set(true), self.clone());
        self.turns.undo_after(time, turn, move || this.release());
    }

    /// Lets it run again while it has users.
    pub fn release(&self) {
        self.set(false);
    }

    fn set(&self, is_held: bool) -> Turn {
        let turn = self.turns.take();
        self.orders.send_if_modified(|orders| std::mem::replace(&mut orders.is_held, is_held) != is_held);
        turn
    }

    /// Whether it is kept from running.
    pub fn is_held(&self) -> bool {
        self.orders.borrow().is_held
    }

    /// The orders, as they come.
    pub fn watch(&self) -> watch::Receiver<Orders> {
        self.orders.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_newest_order_holds() {
        let released =
            async |control: &Control| drop(control.watch().wait_for(|orders| !orders.is_held).await.unwrap());
        let (control, other) = (Control::default(), Control::default());
        control.hold_for(Duration::from_millis(20));
        assert!(control.is_held());
        released(&control).await;
        // A longer order, then one without an end, take the place of a short one.
        for longer in [Some(Duration::from_secs(3600)), None] {
            control.hold_for(Duration::from_millis(5));
            match longer {
                Some(time) => control.hold_for(time),
                None => control.hold(),
            }
            other.hold_for(Duration::from_millis(40));
            released(&other).await;
            assert!(control.is_held());
        }
        control.release();
        assert!(!control.is_held());
    }
}
