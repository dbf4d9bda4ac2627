//! How streams and feeds did in the last minutes: a few numbers of each stream, the state of each feed, at a constant distance. Pure but
//! for the clock of [`History::keep`].

use serde::Serialize;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::{MissedTickBehavior, interval};

/// From one sample to the next.
pub const PERIOD: Duration = Duration::from_secs(5);
/// Samples that are kept of each stream and feed: ten minutes.
pub const LENGTH: usize = 120;

/// The history of all streams and feeds. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct History(Arc<Mutex<All>>);

#[derive(Debug, Default)]
struct All {
    streams: BTreeMap<String, Kept<Sample>>,
    feeds: BTreeMap<String, Kept<FeedSample>>,
}

#[derive(Debug)]
struct Kept<T> {
    samples: VecDeque<T>,
    /// The sum at the last sample, of which a sample has what was added: gaps, or restarts.
    sum: u64,
}

/// A stream at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// Bits per second.
    pub bit_rate: u64,
    /// Viewers.
    pub viewers: u64,
    /// Times that a viewer lost media since the sample before.
    pub gaps: u64,
}

/// A feed at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct FeedSample {
    /// The name of its state.
    pub state: &'static str,
    /// It was restarted after a failure since the sample before, whatever its state is by now.
    pub failed: bool,
}

/// What samples are made of, by the names of streams and feeds.
#[derive(Debug, Default)]
pub struct Readings {
    /// Of all streams.
    pub streams: Vec<(String, Reading)>,
    /// Of all feeds.
    pub feeds: Vec<(String, FeedReading)>,
}

/// The state of a feed that samples are made of.
#[derive(Debug, Clone, Copy)]
pub struct FeedReading {
    /// The name of its state.
    pub state: &'static str,
    /// Starts after a failure so far.
    pub restarts: u64,
}

/// The numbers of a stream that samples are made of.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// Bits per second.
    pub bit_rate: u64,
    /// Viewers.
    pub viewers: u64,
    /// Times that a viewer lost media so far.
    pub gaps: u64,
}

impl History {
    /// Takes a sample of each stream and feed that `read` returns by its name, each [`PERIOD`]. Never returns; may be dropped at any time.
    pub async fn keep(self, read: impl Fn() -> Readings) {
        let mut round = interval(PERIOD);
        round.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            round.tick().await;
            self.note(read());
        }
    }

    /// The samples of a stream, the oldest first.
    pub fn of(&self, name: &str) -> Vec<Sample> {
        self.lock().streams.get(name).map(Kept::samples).unwrap_or_default()
    }

    /// The samples of a feed, the oldest first.
    pub fn of_feed(&self, name: &str) -> Vec<FeedSample> {
        self.lock().feeds.get(name).map(Kept::samples).unwrap_or_default()
    }

    /// These are the streams and feeds now; those that are gone are forgotten.
    fn note(&self, now: Readings) {
        let mut all = self.lock();
        note(
            &mut all.streams,
            now.streams,
            |now| now.gaps,
            |now, gaps| Sample { bit_rate: now.bit_rate, viewers: now.viewers, gaps },
        );
        let feed = |now: FeedReading, restarts| FeedSample { state: now.state, failed: restarts > 0 };
        note(&mut all.feeds, now.feeds, |now| now.restarts, feed);
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Copy> Kept<T> {
    fn samples(&self) -> Vec<T> {
        self.samples.iter().copied().collect()
    }
}

/// Adds a sample of each to `all`. `sum` is what a reading has counted so far, of which `sample` gets what was added.
fn note<R, T>(
    all: &mut BTreeMap<String, Kept<T>>,
    readings: Vec<(String, R)>,
    sum: impl Fn(&R) -> u64,
    sample: impl Fn(R, u64) -> T,
) {
    let mut before = std::mem::take(all);
    for (name, now) in readings {
        let sum = sum(&now);
        let mut kept = before.remove(&name).unwrap_or_else(|| Kept { samples: VecDeque::new(), sum });
        // A sum begins at 0 again with another one of the same name.
        let added = sum.saturating_sub(kept.sum);
        kept.sum = sum;
        if kept.samples.len() == LENGTH {
            kept.samples.pop_front();
        }
        kept.samples.push_back(sample(now, added));
        all.insert(name, kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(history: &History, streams: &[(&str, u64, u64)]) {
        let now = |(name, bit_rate, gaps): &(&str, u64, u64)| {
            ((*name).to_owned(), Reading { bit_rate: *bit_rate, viewers: 1, gaps: *gaps })
        };
        history.note(Readings { streams: streams.iter().map(now).collect(), feeds: Vec::new() });
    }

    #[test]
    fn the_newest_samples_are_kept_of_what_is_there() {
        let history = History::default();
        for number in 0..LENGTH as u64 + 10 {
            note(&history, &[("cam", number, 7 + number / 100)]);
        }
        let samples = history.of("cam");
        assert_eq!((samples.len(), samples[0].bit_rate, samples[LENGTH - 1].bit_rate), (LENGTH, 10, LENGTH as u64 + 9));
        assert_eq!(
            samples.iter().map(|sample| sample.gaps).sum::<u64>(),
            1,
            "those of before it was known do not count"
        );
        note(&history, &[("other", 1, 0)]);
        assert_eq!((history.of("cam"), history.of("other").len()), (Vec::new(), 1));
        note(&history, &[("other", 1, 5)]);
        note(&history, &[("other", 1, 2)]);
        assert_eq!(history.of("other").iter().map(|sample| sample.gaps).collect::<Vec<_>>(), [0, 5, 0]);
    }
    #[test]
    fn a_feed_that_failed_between_two_samples_has_failed() {
        let history = History::default();
        for (state, restarts) in [("running", 3), ("running", 3), ("running", 4), ("idle", 4), ("running", 0)] {
            let feeds = vec![("cam".to_owned(), FeedReading { state, restarts })];
            history.note(Readings { streams: Vec::new(), feeds });
        }
        let states: Vec<_> = history.of_feed("cam").iter().map(|sample| (sample.state, sample.failed)).collect();
        let running = ("running", false);
        assert_eq!(states, [running, running, ("running", true), ("idle", false), running]);
        history.note(Readings::default());
        assert_eq!(history.of_feed("cam"), []);
    }
}
