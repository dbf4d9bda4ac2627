//! How many want something, told to the one task that provides it.

use tokio::sync::watch;

/// Counts leases. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Demand(watch::Sender<usize>);

/// Someone wants it, until this is dropped.
#[derive(Debug)]
pub struct Lease(watch::Sender<usize>);

impl Demand {
    /// One more wants it.
    pub fn lease(&self) -> Lease {
        self.0.send_modify(|count| *count += 1);
        Lease(self.0.clone())
    }

    /// Waits until nobody wants it. Cancel-safe.
    pub async fn unwanted(&self) {
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
