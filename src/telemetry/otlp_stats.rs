//! Statistics of the spans that go to a collector.

use std::sync::atomic::{AtomicU64, Ordering};

/// What became of the spans of sampled traces.
#[derive(Debug, Default)]
pub struct OtlpStats {
    sent: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
}

impl OtlpStats {
    /// The collector took so many.
    pub fn sent(&self, spans: usize) {
        add(&self.sent, spans);
    }

    /// The queue had no room for so many.
    pub fn dropped(&self, spans: usize) {
        add(&self.dropped, spans);
    }

    /// So many were given up: the collector did not take them.
    pub fn failed(&self, spans: usize) {
        add(&self.failed, spans);
    }

    /// The counts by the result.
    pub fn read(&self) -> [(&'static str, u64); 3] {
        let counts = [("sent", &self.sent), ("dropped", &self.dropped), ("failed", &self.failed)];
        counts.map(|(result, count)| (result, count.load(Ordering::Relaxed)))
    }
}

fn add(count: &AtomicU64, spans: usize) {
    count.fetch_add(spans as u64, Ordering::Relaxed);
}
