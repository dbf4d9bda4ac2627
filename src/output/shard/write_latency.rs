//! How long media waits in this server before it is written to its viewers.

use crate::{stream::Viewers, sys::monotonic, telemetry::Times};
use std::time::{Duration, Instant};

/// Most writes that share one reading of the clock. Each counts as late as the last of them: some 100 µs.
const TOGETHER: usize = 64;

/// The latencies of one stream in one shard: no lock, and rarely a clock, for each packet and viewer.
#[derive(Debug, Default)]
pub struct LatencyRecorder {
    /// When the media that was just written arrived.
    written: Vec<Duration>,
    times: Times,
}

impl LatencyRecorder {
    /// Media that arrived at `entered` was just written.
    pub fn record(&mut self, entered: Duration) {
        self.written.push(entered);
        if self.written.len() >= TOGETHER {
            self.flush();
        }
    }

    /// No further write follows immediately.
    pub fn flush(&mut self) {
        if !self.written.is_empty() {
            let now = monotonic();
            self.written.drain(..).for_each(|entered| self.times.add(now.saturating_sub(entered)));
        }
    }

    /// Adds the recorded latencies to the statistics of the stream.
    pub fn report(&mut self, viewers: &Viewers, now: Instant) {
        viewers.waited(&self.times, now);
        self.times.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_write_is_reported_once() {
        let (mut latency, viewers, now) = (LatencyRecorder::default(), Viewers::default(), Instant::now());
        let entered = monotonic().checked_sub(Duration::from_secs(2)).unwrap();
        (0..TOGETHER + 1).for_each(|_| latency.record(entered));
        latency.report(&viewers, now);
        let reported = || viewers.waits(now).media.spread().map(|spread| spread.count);
        assert_eq!(reported(), Some(TOGETHER as u64), "the last one waits for more");
        latency.flush();
        latency.report(&viewers, now);
        latency.report(&viewers, now);
        assert_eq!(reported(), Some(TOGETHER as u64 + 1));
        let median = viewers.waits(now).media.median.unwrap();
        assert!((2.0..2.3).contains(&median.as_secs_f64()), "{median:?}");
    }
}
