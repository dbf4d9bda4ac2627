//! How many users a feed or stream has, for the task that runs it.

use crate::stream::OutputLease;
use tokio::sync::watch;

/// Counts leases. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Demand(watch::Sender<usize>);

/// One user of some units and of an output, until this is dropped.
#[derive(Debug, Default)]
pub struct Lease {
    units: Vec<UnitLease>,
    output: Option<OutputLease>,
}

#[derive(Debug)]
struct UnitLease(watch::Sender<usize>);

impl Demand {
    /// Adds a user.
    pub fn lease(&self) -> Lease {
        self.0.send_modify(|count| *count += 1);
        Lease { units: vec![UnitLease(self.0.clone())], output: None }
    }

    /// Whether there are users now.
    pub fn is_used(&self) -> bool {
        *self.0.borrow() > 0
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

impl Lease {
    /// Holds an output of what is leased as well.
    pub fn with(self, output: OutputLease) -> Self {
        let mut this = self;
        this.output = Some(output);
        this
    }

    /// Holds what another lease holds as well.
    pub fn add(&mut self, mut other: Self) {
        self.units.append(&mut other.units);
        self.output = self.output.take().or(other.output.take());
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // While its sources still run, or it would be muxed without readers.
        self.output = None;
        self.units.clear();
    }
}

impl Drop for UnitLease {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}
