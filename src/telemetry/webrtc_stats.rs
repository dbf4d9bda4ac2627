//! Statistics of the sessions of WebRTC and of their port. No clock in here.

use std::sync::atomic::{AtomicU64, Ordering};

/// What happened since the server started.
#[derive(Debug, Default)]
pub struct WebRtcStats {
    sessions: AtomicU64,
    ended: AtomicU64,
    dropped: [AtomicU64; Dropped::ALL.len()],
    sent: [AtomicU64; SENT.len()],
}

/// What is summed up of all viewers, by the names of its metrics.
pub const SENT: [&str; 5] = ["packets_sent", "retransmitted_packets_sent", "nack", "pli", "fir"];

/// Why a datagram is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// It is of no session.
    Unknown,
    /// It came faster than it could be handled.
    Overrun,
    /// The socket did not take it.
    Unsent,
}

impl Dropped {
    /// All of them, in the order of their numbers.
    const ALL: [Self; 3] = [Self::Unknown, Self::Overrun, Self::Unsent];

    /// The value of the label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Overrun => "overrun",
            Self::Unsent => "unsent",
        }
    }
}

impl WebRtcStats {
    /// An offer was answered.
    pub fn began(&self) {
        self.sessions.fetch_add(1, Ordering::Relaxed);
    }

    /// A session ended.
    pub fn ended(&self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    /// So many datagrams were dropped.
    pub fn dropped(&self, reason: Dropped, datagrams: u64) {
        if let Some(count) = self.dropped.get(reason as usize) {
            count.fetch_add(datagrams, Ordering::Relaxed);
        }
    }

    /// A viewer was sent and asked for so much more, in the order of [`SENT`].
    pub fn sent(&self, counts: [u64; SENT.len()]) {
        for (sum, count) in self.sent.iter().zip(counts) {
            sum.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// The sums of all viewers by name.
    pub fn sums(&self) -> impl Iterator<Item = (&'static str, u64)> {
        SENT.into_iter().zip(self.sent.iter().map(|sum| sum.load(Ordering::Relaxed)))
    }

    /// Sessions so far.
    pub fn all(&self) -> u64 {
        self.sessions.load(Ordering::Relaxed)
    }

    /// Sessions now, those that are not connected yet among them.
    pub fn open(&self) -> u64 {
        self.all().saturating_sub(self.ended.load(Ordering::Relaxed))
    }

    /// The dropped datagrams by reason.
    pub fn drops(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Dropped::ALL
            .iter()
            .map(|reason| reason.name())
            .zip(self.dropped.iter().map(|count| count.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_is_counted_by_its_name() {
        let stats = WebRtcStats::default();
        stats.began();
        stats.began();
        stats.ended();
        stats.dropped(Dropped::Unsent, 1);
        assert_eq!((stats.all(), stats.open()), (2, 1));
        stats.sent([3, 1, 0, 0, 0]);
        stats.sent([2, 0, 1, 0, 0]);
        let expected = [("packets_sent", 5), ("retransmitted_packets_sent", 1), ("nack", 1), ("pli", 0), ("fir", 0)];
        assert_eq!(stats.sums().collect::<Vec<_>>(), expected);
        assert_eq!(stats.drops().collect::<Vec<_>>(), [("unknown", 0), ("overrun", 0), ("unsent", 1)]);
    }
}
