//! One initialised worker in reserve, so that a start on demand does not wait for a process.

use super::worker::Worker;
use std::sync::Arc;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// The reserve. Clones are the same.
#[derive(Debug, Clone)]
pub struct Pool {
    spare: Arc<Mutex<Option<Worker>>>,
    stop: CancellationToken,
}

impl Pool {
    /// An empty reserve, which is filled by the first [`Pool::refill`] and emptied when `stop` is cancelled.
    pub fn new(stop: CancellationToken) -> Self {
        Self { spare: Arc::default(), stop }
    }

    /// A worker, at once if there is one in reserve. The reserve is filled again in the background.
    ///
    /// # Errors
    /// When no worker process can be started.
    pub async fn take(&self) -> std::io::Result<Worker> {
        let spare = self.spare.lock().await.take();
        let worker = match spare.map(|mut worker| (worker.is_alive(), worker)) {
            Some((true, worker)) => Ok(worker),
            Some((false, _)) | None => Worker::spawn().await,
        };
        let pool = self.clone();
        tokio::spawn(async move { pool.refill().await });
        worker
    }

    /// Puts a worker in reserve if there is none.
    pub async fn refill(&self) {
        let mut spare = self.spare.lock().await;
        if self.stop.is_cancelled() || spare.as_mut().is_some_and(Worker::is_alive) {
            return;
        }
        match Worker::spawn().await {
            Ok(worker) => *spare = Some(worker),
            Err(error) => tracing::error!(%error, "no worker in reserve"),
        }
    }

    /// Ends the one in reserve.
    pub async fn drain(&self) {
        self.stop.cancelled().await;
        let spare = self.spare.lock().await.take();
        if let Some(worker) = spare {
            worker.end().await;
        }
    }
}
