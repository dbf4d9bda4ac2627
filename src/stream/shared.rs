//! A writer that a source's successive runs take turns with.

use super::Writer;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The one writer of a fan-out, handed from run to run of its source. Never locked across an await.
#[derive(Debug, Clone)]
pub struct SharedWriter(Arc<Mutex<Writer>>);

impl SharedWriter {
    /// Shares `writer`.
    pub fn new(writer: Writer) -> Self {
        Self(Arc::new(Mutex::new(writer)))
    }

    /// The writer. A panic while it was held costs at most a packet.
    pub fn lock(&self) -> MutexGuard<'_, Writer> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
