//! The journal as clients of the API share it.

use crate::journal::Journal;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Most clients at a time: programs and pages, not viewers.
pub(super) const MOST_CLIENTS: usize = 128;

/// The journal for clients of the API. Clones are the same.
#[derive(Debug, Clone)]
pub struct Events {
    pub(super) journal: Journal,
    pub(super) permits: Arc<Semaphore>,
    pub(super) stop: CancellationToken,
    /// Names the server in events.
    pub(super) source: Arc<str>,
}

impl Events {
    /// Events of this journal of the server that `source` names, until `stop`.
    pub fn new(journal: Journal, source: Arc<str>, stop: CancellationToken) -> Self {
        Self { journal, permits: Arc::new(Semaphore::new(MOST_CLIENTS)), stop, source }
    }
}
