//! One initialised worker on standby, so that a start on demand does not wait for a process.

use super::worker::Worker;
use std::sync::Arc;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// The standby worker. Clones are the same.
#[derive(Debug, Clone)]
pub struct Pool {
    standby: Arc<Mutex<Option<Worker>>>,
    stop: CancellationToken,
}

impl Pool {
    /// An empty pool, which the first [`Pool::refill`] fills and `stop` empties.
    pub fn new(stop: CancellationToken) -> Self {
        Self { standby: Arc::default(), stop }
    }

    /// A worker, immediately if one is on standby. The pool is refilled in the background.
    ///
    /// # Errors
    /// When no worker process can be started.
    pub async fn take(&self) -> std::io::Result<Worker> {
        let standby = self.standby.lock().await.take();
        let worker = match standby.map(|mut worker| (worker.is_alive(), worker)) {
            Some((true, worker)) => Ok(worker),
            Some((false, _)) | None => Worker::spawn().await,
        };
        let pool = self.clone();
        tokio::spawn(async move { pool.refill().await });
        worker
    }

    /// Starts a standby worker if there is none.
    pub async fn refill(&self) {
        let mut standby = self.standby.lock().await;
        if self.stop.is_cancelled() || standby.as_mut().is_some_and(Worker::is_alive) {
            return;
        }
        match Worker::spawn().await {
            Ok(worker) => *standby = Some(worker),
            Err(error) => tracing::error!(%error, "cannot start standby worker"),
        }
    }

    /// Ends the standby worker when `stop` is cancelled.
    pub async fn drain(&self) {
        self.stop.cancelled().await;
        let standby = self.standby.lock().await.take();
        if let Some(worker) = standby {
            worker.end().await;
        }
    }
}
