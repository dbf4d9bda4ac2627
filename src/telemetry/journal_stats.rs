//! Statistics of the journal.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of the journal. No clock in here.
#[derive(Debug, Default)]
pub struct JournalStats {
    /// Facts that were written down.
    pub written: AtomicU64,
    /// Facts that found the queue full.
    pub lost: AtomicU64,
    /// Facts that the disk did not take.
    pub unsaved: AtomicU64,
    /// Bytes that the journal has on the disk now.
    pub bytes: AtomicU64,
}

impl JournalStats {
    /// What is counted of each of these: written, lost, unsaved, bytes.
    pub fn read(&self) -> [u64; 4] {
        [&self.written, &self.lost, &self.unsaved, &self.bytes].map(|count| count.load(Ordering::Relaxed))
    }
}
