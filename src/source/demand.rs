//! How many users a feed or stream has, for the task that runs it.

use tokio::sync::watch;

/// Counts leases. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Demand(watch::Sender<usize>);

/// One user, until this is dropped.
#[derive(Debug)]
pub struct Lease(watch::Sender<usize>);

impl Demand {
    /// Adds a user.
    pub fn lease(&self) -> Lease {
        self.0.send_modify(|count| *count += 1);
        Lease(self.0.clone())
    }

    /// Waits until there are no users. Cancel-safe.
    pub async fn unused(&self) {
        // The sender lives as long as this handle.
        let _ = self.0.subscribe().wait_for(|count| *count == 0).await;
    }

    /// The count and its changes.
    pub fn watch(&self) -> watch::Receiver<usize> {
        self.0.subscribe()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}
