//! One cancellation tree and one list of tasks, so that shutdown is complete and bounded.

use std::{future::Future, sync::Arc, time::Duration};
use tokio::sync::Mutex;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Spawns tasks that the shutdown waits for.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    stop: CancellationToken,
    tasks: TaskTracker,
    alive: Arc<std::sync::Mutex<Vec<(u64, String)>>>,
    next: Arc<std::sync::atomic::AtomicU64>,
    /// Held by `drain` so that two callers do not race.
    draining: Arc<Mutex<()>>,
}

impl Shutdown {
    /// Is cancelled at shutdown.
    pub fn token(&self) -> &CancellationToken {
        &self.stop
    }

    /// Runs a task to its end; it should watch [`Shutdown::token`]. `name` appears in the log when it outlives the drain.
    pub fn spawn<F>(&self, name: impl Into<String>, future: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let id = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let entry = Alive { id, list: self.alive.clone() };
        if let Ok(mut alive) = self.alive.lock() {
            alive.push((id, name.into()));
        }
        self.tasks.spawn(async move {
            let _entry = entry;
            future.await
        })
    }

    /// Cancels all tasks and waits for them, at most `limit`. A task that still runs then is logged by name.
    pub async fn drain(&self, limit: Duration) {
        let _one = self.draining.lock().await;
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(limit, self.tasks.wait()).await.is_err() {
            let alive = self.alive.lock().map(|alive| alive.clone()).unwrap_or_default();
            for (_, name) in alive {
                tracing::warn!(task = name, "task did not end in time");
            }
        }
    }
}

/// Removes a task's name when the task ends, however it ends.
struct Alive {
    id: u64,
    list: Arc<std::sync::Mutex<Vec<(u64, String)>>>,
}

impl Drop for Alive {
    fn drop(&mut self) {
        if let Ok(mut list) = self.list.lock() {
            list.retain(|(id, _)| *id != self.id);
        }
    }
}
