//! How streams did in the last minutes: a few numbers each, at a constant distance. Pure but for the clock of [`History::keep`].

use serde::Serialize;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::{MissedTickBehavior, interval};

/// From one sample to the next.
pub const PERIOD: Duration = Duration::from_secs(5);
/// Samples that are kept of each stream: ten minutes.
pub const LENGTH: usize = 120;

/// The history of all streams. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct History(Arc<Mutex<BTreeMap<String, Kept>>>);

#[derive(Debug, Default)]
struct Kept {
    samples: VecDeque<Sample>,
    /// Sums at the last sample.
    gaps: u64,
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
    /// Takes a sample of each stream that `read` returns by its name, each [`PERIOD`]. Never returns; may be dropped at any time.
    pub async fn keep(self, read: impl Fn() -> Vec<(String, Reading)>) {
        let mut round = interval(PERIOD);
        round.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            round.tick().await;
            self.note(read());
        }
    }

    /// The samples of a stream, the oldest first.
    pub fn of(&self, name: &str) -> Vec<Sample> {
        self.lock().get(name).map(|kept| kept.samples.iter().copied().collect()).unwrap_or_default()
    }

    /// These are the streams now; those that are gone are forgotten.
    fn note(&self, streams: Vec<(String, Reading)>) {
        let mut all = self.lock();
        let mut before = std::mem::take(&mut *all);
        for (name, now) in streams {
            let mut kept = before.remove(&name).unwrap_or_else(|| Kept { gaps: now.gaps, ..Kept::default() });
            // A sum begins at 0 again with another stream of the same name.
            let gaps = now.gaps.saturating_sub(kept.gaps);
            kept.gaps = now.gaps;
            if kept.samples.len() == LENGTH {
                kept.samples.pop_front();
            }
            kept.samples.push_back(Sample { bit_rate: now.bit_rate, viewers: now.viewers, gaps });
            all.insert(name, kept);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(history: &History, streams: &[(&str, u64, u64)]) {
        let now = |(name, bit_rate, gaps): &(&str, u64, u64)| {
            ((*name).to_owned(), Reading { bit_rate: *bit_rate, viewers: 1, gaps: *gaps })
        };
        history.note(streams.iter().map(now).collect());
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
}
