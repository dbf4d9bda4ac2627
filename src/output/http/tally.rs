//! How long media waited in this server before it was written to those who wait for it.

use crate::{stream::Audience, sys::monotonic, telemetry::Times};
use std::time::{Duration, Instant};

/// Most writes that share a reading of the clock. Each is taken for as late as the last of them: some 100 µs.
const TOGETHER: usize = 64;

/// The times of one stream in one shard: no lock and hardly a clock for each packet and viewer.
#[derive(Debug, Default)]
pub struct Tally {
    /// When what has just been written came to us.
    written: Vec<Duration>,
    times: Times,
}

impl Tally {
    /// Media that came at `entered` has just been written.
    pub fn note(&mut self, entered: Duration) {
        self.written.push(entered);
        if self.written.len() >= TOGETHER {
            self.settle();
        }
    }

    /// Nothing more is written for the moment.
    pub fn settle(&mut self) {
        if !self.written.is_empty() {
            let now = monotonic();
            self.written.drain(..).for_each(|entered| self.times.add(now.saturating_sub(entered)));
        }
    }

    /// Tells those who watch what there is, once.
    pub fn tell(&mut self, audience: &Audience, now: Instant) {
        audience.waited(&self.times, now);
        self.times.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_write_is_told_once() {
        let (mut tally, audience, now) = (Tally::default(), Audience::default(), Instant::now());
        let entered = monotonic().checked_sub(Duration::from_secs(2)).unwrap();
        (0..TOGETHER + 1).for_each(|_| tally.note(entered));
        tally.tell(&audience, now);
        let told = || audience.waits(now).media.spread().map(|spread| spread.count);
        assert_eq!(told(), Some(TOGETHER as u64), "the last one waits for others");
        tally.settle();
        tally.tell(&audience, now);
        tally.tell(&audience, now);
        assert_eq!(told(), Some(TOGETHER as u64 + 1));
        let median = audience.waits(now).media.median.unwrap();
        assert!((2.0..2.3).contains(&median.as_secs_f64()), "{median:?}");
    }
}
