//! A writer that a source's successive runs, and what stands in for them, take turns with.

use super::{Writer, writer::Origin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The one writer of a fan-out, handed from run to run of its source. Never locked across an await.
#[derive(Debug, Clone)]
pub struct WriterHandle {
    writer: Arc<Mutex<Writer>>,
    origin: Origin,
}

impl WriterHandle {
    /// Shares `writer`.
    pub fn new(writer: Writer) -> Self {
        Self { writer: Arc::new(Mutex::new(writer)), origin: Origin::Source }
    }

    /// The same writer, for what is shown while nothing comes from the source.
    pub fn for_placeholder(&self) -> Self {
        Self { writer: self.writer.clone(), origin: Origin::Placeholder }
    }

    /// The writer, which takes what comes as of this origin. A panic while it was held costs at most a packet.
    pub fn lock(&self) -> MutexGuard<'_, Writer> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.writes_for(self.origin);
        writer
    }
}
