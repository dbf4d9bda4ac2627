//! What people order of a feed or stream, beside what its users need.

use tokio::sync::watch;

/// The orders to one supervisor, or to a push. They outlive the supervisor and its source. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Control(watch::Sender<Orders>);

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
        self.0.send_modify(|orders| orders.restarts += 1);
    }

    /// Ends the source and keeps it from running until [`release`](Self::release).
    pub fn hold(&self) {
        self.0.send_modify(|orders| orders.is_held = true);
    }

    /// Lets it run again while it has users.
    pub fn release(&self) {
        self.0.send_modify(|orders| orders.is_held = false);
    }

    /// Whether it is kept from running.
    pub fn is_held(&self) -> bool {
        self.0.borrow().is_held
    }

    /// The orders, as they come.
    pub fn watch(&self) -> watch::Receiver<Orders> {
        self.0.subscribe()
    }
}
