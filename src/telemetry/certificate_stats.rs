//! Statistics of the certificate of the server. No clock in here.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

/// What is known of the certificate of now, and what became of orders.
#[derive(Debug, Default)]
pub struct CertificateStats {
    /// Seconds since 1970; 0 where there is none.
    expires: AtomicU64,
    obtained: AtomicU64,
    failed: AtomicU64,
}

impl CertificateStats {
    /// A certificate that is good until then is used, or none.
    pub fn used(&self, until: Option<SystemTime>) {
        let seconds = until.and_then(|until| until.duration_since(UNIX_EPOCH).ok()).map_or(0, |time| time.as_secs());
        self.expires.store(seconds, Ordering::Relaxed);
    }

    /// An order by ACME ended.
    pub fn ordered(&self, is_obtained: bool) {
        if is_obtained { &self.obtained } else { &self.failed }.fetch_add(1, Ordering::Relaxed);
    }

    /// When the certificate of now expires, in seconds since 1970; `None` where there is none.
    pub fn expires(&self) -> Option<u64> {
        Some(self.expires.load(Ordering::Relaxed)).filter(|seconds| *seconds > 0)
    }

    /// The counts of orders by the result.
    pub fn orders(&self) -> [(&'static str, u64); 2] {
        [("obtained", &self.obtained), ("failed", &self.failed)]
            .map(|(result, count)| (result, count.load(Ordering::Relaxed)))
    }
}
