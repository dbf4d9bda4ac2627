//! Statistics of HLS and DASH. No clock in here.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Counts of all streams.
#[derive(Debug, Default)]
pub struct HlsStats {
    viewers: AtomicU64,
    waiting: AtomicU64,
    waited: AtomicU64,
    requests: [AtomicU64; REQUESTS.len()],
    refused: [AtomicU64; REFUSALS.len()],
    segments: AtomicU64,
    parts: AtomicU64,
    bytes: AtomicU64,
}

/// What may be requested.
const REQUESTS: [&str; 6] = ["multivariant", "manifest", "playlist", "header", "segment", "part"];
/// Why a request may be refused.
const REFUSALS: [&str; 4] = ["viewer_waits", "address_waits", "viewers", "ended"];

/// A request that waits for something that is being made, until this is dropped.
#[derive(Debug)]
pub struct WaitingRequest(Arc<HlsStats>);

impl Drop for WaitingRequest {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl HlsStats {
    /// A viewer came.
    pub fn viewer_joined(&self) {
        self.viewers.fetch_add(1, Ordering::Relaxed);
    }

    /// A viewer left.
    pub fn viewer_left(&self) {
        self.viewers.fetch_sub(1, Ordering::Relaxed);
    }

    /// Something of this kind was requested.
    pub fn requested(&self, kind: &'static str) {
        count(&REQUESTS, &self.requests, kind);
    }

    /// A request was refused.
    pub fn refused(&self, reason: &'static str) {
        count(&REFUSALS, &self.refused, reason);
    }

    /// A request waits.
    pub fn waits(self: &Arc<Self>) -> WaitingRequest {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.waited.fetch_add(1, Ordering::Relaxed);
        WaitingRequest(self.clone())
    }

    /// So many segments and parts were completed, of all renditions.
    pub fn made(&self, segments: u64, parts: u64) {
        self.segments.fetch_add(segments, Ordering::Relaxed);
        self.parts.fetch_add(parts, Ordering::Relaxed);
    }

    /// A response has so many bytes.
    pub fn sent(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Viewers now.
    pub fn viewers(&self) -> u64 {
        self.viewers.load(Ordering::Relaxed)
    }

    /// Requests that wait now, and all that have waited.
    pub fn waiting(&self) -> (u64, u64) {
        (self.waiting.load(Ordering::Relaxed), self.waited.load(Ordering::Relaxed))
    }

    /// Requests, by what was requested.
    pub fn requests(&self) -> Vec<(&'static str, u64)> {
        listed(&REQUESTS, &self.requests)
    }

    /// Requests that were refused, by the reason.
    pub fn refusals(&self) -> Vec<(&'static str, u64)> {
        listed(&REFUSALS, &self.refused)
    }

    /// Segments and parts so far.
    pub fn made_so_far(&self) -> (u64, u64) {
        (self.segments.load(Ordering::Relaxed), self.parts.load(Ordering::Relaxed))
    }

    /// Bytes of responses so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

fn count(names: &[&'static str], counts: &[AtomicU64], name: &str) {
    let known = names.iter().zip(counts).find(|(known, _)| **known == name);
    if let Some((_, count)) = known {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

fn listed(names: &[&'static str], counts: &[AtomicU64]) -> Vec<(&'static str, u64)> {
    names.iter().zip(counts).map(|(name, count)| (*name, count.load(Ordering::Relaxed))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_counted_for_as_long() {
        let stats = Arc::new(HlsStats::default());
        let (one, two) = (stats.waits(), stats.waits());
        assert_eq!(stats.waiting(), (2, 2));
        drop(one);
        assert_eq!(stats.waiting(), (1, 2));
        drop(two);
        stats.requested("part");
        stats.requested("part");
        stats.refused("ended");
        assert_eq!((stats.waiting(), stats.requests().last()), ((0, 2), Some(&("part", 2))));
        assert_eq!(stats.refusals().last(), Some(&("ended", 1)));
    }
}
