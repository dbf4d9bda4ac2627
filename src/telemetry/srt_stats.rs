//! Statistics of SRT connections. No clock in here.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Counts of all connections.
#[derive(Debug, Default)]
pub struct SrtStats {
    accepted: AtomicU64,
    /// By the reason. The reasons are constants, so that their number is bounded.
    refused: Mutex<BTreeMap<&'static str, u64>>,
    packets: [AtomicU64; PACKETS.len()],
}

/// What happens to packets.
const PACKETS: [&str; 5] = ["received", "lost", "sent", "resent", "dropped"];

impl SrtStats {
    /// A connection was accepted.
    pub fn accepted(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection was refused.
    pub fn refused(&self, reason: &'static str) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default() += 1;
    }

    /// So many packets were received, given up, sent, sent again, and dropped because they were too late.
    pub fn moved(&self, packets: &[u64; PACKETS.len()]) {
        for (sum, more) in self.packets.iter().zip(packets) {
            sum.fetch_add(*more, Ordering::Relaxed);
        }
    }

    /// Connections that were accepted.
    pub fn accepted_so_far(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Connections that were refused, by the reason.
    pub fn refusals(&self) -> Vec<(&'static str, u64)> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.iter().map(|(reason, count)| (*reason, *count)).collect()
    }

    /// Packets by what happened to them.
    pub fn packets(&self) -> impl Iterator<Item = (&'static str, u64)> {
        PACKETS.into_iter().zip(self.packets.iter().map(|count| count.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up() {
        let stats = SrtStats::default();
        stats.accepted();
        stats.refused("b");
        stats.refused("a");
        stats.refused("b");
        stats.moved(&[1, 2, 3, 4, 5]);
        stats.moved(&[1, 0, 0, 0, 1]);
        assert_eq!((stats.accepted_so_far(), stats.refusals()), (1, vec![("a", 1), ("b", 2)]));
        let packets = [("received", 2), ("lost", 2), ("sent", 3), ("resent", 4), ("dropped", 6)];
        assert_eq!(stats.packets().collect::<Vec<_>>(), packets);
    }
}
