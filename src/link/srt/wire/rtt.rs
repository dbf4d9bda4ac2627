//! The round-trip time of a connection.

use std::time::Duration;

/// Before anything is measured (section 4.10 of the draft).
const FIRST: Duration = Duration::from_millis(100);
/// Fewer round trips of latency than this leave no time to ask for a packet three times.
const AMPLE: u32 = 5;

/// A smoothed round-trip time and its variance.
#[derive(Debug, Clone, Copy)]
pub struct Rtt {
    /// The time.
    pub time: Duration,
    /// How much it varies.
    pub variance: Duration,
    is_measured: bool,
}

impl Default for Rtt {
    fn default() -> Self {
        Self { time: FIRST, variance: FIRST / 2, is_measured: false }
    }
}

impl Rtt {
    /// One round took this long.
    pub fn sample(&mut self, took: Duration) {
        if !std::mem::replace(&mut self.is_measured, true) {
            (self.time, self.variance) = (took, took / 2);
            return;
        }
        self.variance = (self.variance * 3 + self.time.abs_diff(took)) / 4;
        self.time = (self.time * 7 + took) / 8;
    }

    /// The peer has measured this. Ours counts where there is one: a peer that only sends has none.
    pub fn told(&mut self, time: Duration, variance: Duration) {
        if !self.is_measured {
            (self.time, self.variance) = (time, variance);
        }
    }

    /// By when an answer has most likely come.
    pub fn patience(&self) -> Duration {
        self.time + self.variance * 4
    }
}

/// Whether a latency has so few round trips of this time that lost packets need more than their turn.
pub fn is_tight(latency: Duration, round: Duration) -> bool {
    latency < round * AMPLE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_sample_counts_whole() {
        let (mut rtt, ms) = (Rtt::default(), Duration::from_millis);
        rtt.told(ms(30), ms(1));
        assert_eq!(rtt.patience(), ms(34));
        rtt.sample(ms(20));
        assert_eq!((rtt.time, rtt.variance), (ms(20), ms(10)));
        rtt.told(ms(90), ms(9));
        rtt.sample(ms(28));
        assert_eq!((rtt.time, rtt.variance), (ms(21), Duration::from_micros(9500)));
    }
}
