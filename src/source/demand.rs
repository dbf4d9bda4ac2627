//! How many users a feed or stream has, for the task that runs it.

use crate::stream::OutputLease;
use tokio::sync::watch;

/// Counts leases. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Demand(watch::Sender<usize>);

/// One user, until this is dropped.
#[derive(Debug)]
pub struct Lease {
    demand: watch::Sender<usize>,
    output: Option<OutputLease>,
}

impl Demand {
    /// Adds a user.
    pub fn lease(&self) -> Lease {
        self.0.send_modify(|count| *count += 1);
        Lease { demand: self.0.clone(), output: None }
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
    /// Holds an output of what is wanted as well.
    pub fn with(self, output: OutputLease) -> Self {
        let mut this = self;
        this.output = Some(output);
        this
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // While its source still runs, or it would be muxed for nobody.
        self.output = None;
        self.demand.send_modify(|count| *count = count.saturating_sub(1));
    }
}
