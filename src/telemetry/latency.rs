//! Latencies: quantiles of the last minute, and a histogram of all. Pure: time is passed in.
//!
//! Durations are rounded up to two significant digits of a microsecond and counted, so that any quantile is known to a tenth
//! from a table of fixed size, as in HdrHistogram.

use std::time::{Duration, Instant};

/// Quantiles cover between this and twice this time.
const HALF: Duration = Duration::from_secs(30);
/// 0 to 99 µs, and 90 values for each power of ten from 100 µs up to 10 s, which counts everything longer.
const PLACES: usize = 100 + 5 * 90 + 1;
/// Upper bounds of the histogram buckets, in milliseconds. Few, as each is a series per stream.
const BOUNDS: [u16; 8] = [1, 2, 5, 10, 20, 50, 100, 1000];

/// A number of durations.
#[derive(Debug, Clone, Default)]
pub struct Times {
    /// Indexed by [`place_of`]; empty until there is something to count.
    counts: Vec<u32>,
    count: u64,
    sum: Duration,
    longest: Duration,
}

/// A latency: quantiles of the last minute, and a histogram of all.
#[derive(Debug, Default)]
pub struct Latency {
    recent: Times,
    before: Times,
    /// When `recent` started.
    turned: Option<Instant>,
    /// The counts up to each bound and above the previous one; the last bucket is above all bounds.
    buckets: [u64; BOUNDS.len() + 1],
    sum: Duration,
}

/// The values of a [`Latency`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// The median of the last minute; `None` without values.
    pub median: Option<Duration>,
    /// The 99th percentile of the last minute.
    pub p99: Option<Duration>,
    /// The maximum of the last minute.
    pub longest: Option<Duration>,
    buckets: [u64; BOUNDS.len() + 1],
    sum: Duration,
}

/// A histogram as in Prometheus.
#[derive(Debug, Clone, PartialEq)]
pub struct Spread {
    /// Upper bounds in seconds, with cumulative counts.
    pub up_to: Vec<(f64, u64)>,
    /// The number of values.
    pub count: u64,
    /// The sum of all values, in seconds.
    pub sum: f64,
}

impl Times {
    /// Counts one duration.
    pub fn add(&mut self, took: Duration) {
        self.counts.resize(PLACES, 0);
        if let Some(count) = self.counts.get_mut(place_of(took)) {
            *count = count.saturating_add(1);
        }
        self.count += 1;
        self.sum += took;
        self.longest = self.longest.max(took);
    }

    /// Whether there are no durations.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Removes all durations, and keeps the memory.
    pub fn clear(&mut self) {
        self.counts.fill(0);
        (self.count, self.sum, self.longest) = (0, Duration::ZERO, Duration::ZERO);
    }

    fn append(&mut self, other: &Self) {
        self.counts.resize(PLACES, 0);
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count = count.saturating_add(*more);
        }
        self.count += other.count;
        self.sum += other.sum;
        self.longest = self.longest.max(other.longest);
    }

    /// The given percentile.
    fn percentile(&self, percent: u64) -> Option<Duration> {
        let wanted = (self.count * percent).div_ceil(100).max(1);
        let mut count = 0;
        let place = self.counts.iter().position(|here| {
            count += u64::from(*here);
            count >= wanted
        })?;
        Some(longest_at(place).min(self.longest))
    }
}

impl Latency {
    /// Counts one duration at `now`.
    pub fn add(&mut self, took: Duration, now: Instant) {
        self.turn(now);
        self.recent.add(took);
        self.sum += took;
        self.count_coarsely(place_of(took), 1);
    }

    /// Counts durations measured shortly before `now`.
    pub fn append(&mut self, times: &Times, now: Instant) {
        self.turn(now);
        self.recent.append(times);
        self.sum += times.sum;
        for (place, count) in times.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            self.count_coarsely(place, u64::from(*count));
        }
    }

    fn count_coarsely(&mut self, place: usize, count: u64) {
        let took = longest_at(place);
        let bucket = BOUNDS.partition_point(|bound| Duration::from_millis((*bound).into()) < took);
        if let Some(bucket) = self.buckets.get_mut(bucket) {
            *bucket += count;
        }
    }

    /// Drops old durations.
    fn turn(&mut self, now: Instant) {
        let since = *self.turned.get_or_insert(now);
        let age = now.saturating_duration_since(since);
        if age < HALF {
            return;
        }
        std::mem::swap(&mut self.recent, &mut self.before);
        self.recent.clear();
        if age >= 2 * HALF {
            self.before.clear();
        }
        self.turned = Some(now);
    }

    /// The values at `now`.
    pub fn read(&self, now: Instant) -> Figures {
        let age = self.turned.map_or(Duration::ZERO, |turned| now.saturating_duration_since(turned));
        let mut times = Times::default();
        if age < 2 * HALF {
            times.append(&self.recent);
        }
        if age < HALF {
            times.append(&self.before);
        }
        let longest = (!times.is_empty()).then_some(times.longest);
        let (median, p99) = (times.percentile(50), times.percentile(99));
        Figures { median, p99, longest, buckets: self.buckets, sum: self.sum }
    }
}

impl Figures {
    /// The histogram of all values; `None` without values.
    pub fn spread(&self) -> Option<Spread> {
        let bounds = BOUNDS.iter().map(|bound| f64::from(*bound) / 1000.0);
        Some(Spread::of(bounds, &self.buckets, self.sum)).filter(|spread| spread.count > 0)
    }
}

impl Spread {
    /// From the counts between these bounds; the last count is above all bounds.
    pub(super) fn of(bounds: impl Iterator<Item = f64>, counts: &[u64], sum: Duration) -> Self {
        let mut count = 0;
        let mut sums = counts.iter().map(|more| {
            count += more;
            count
        });
        let up_to = bounds.zip(sums.by_ref()).collect();
        sums.for_each(drop);
        Self { up_to, count, sum: sum.as_secs_f64() }
    }
}

/// The index at which a duration is counted: that of the next longer one with two significant digits.
fn place_of(took: Duration) -> usize {
    let micros = u64::try_from(took.as_nanos().div_ceil(1000)).unwrap_or(u64::MAX);
    let exact = micros.min(longest_micros(PLACES - 1));
    let place = match exact.checked_ilog10() {
        None | Some(0 | 1) => exact,
        Some(digits) => {
            let unit = 10u64.pow(digits - 1);
            // 10 to 100: the last is the first of the next power of ten.
            100 + 90 * u64::from(digits - 2) + exact.div_ceil(unit) - 10
        }
    };
    usize::try_from(place).unwrap_or(PLACES - 1)
}

/// The longest duration that is counted at an index.
fn longest_at(place: usize) -> Duration {
    Duration::from_micros(longest_micros(place))
}

const fn longest_micros(place: usize) -> u64 {
    let Some(beyond) = place.checked_sub(100) else { return place as u64 };
    let (mut unit, mut powers) = (10, beyond / 90);
    while powers > 0 {
        unit *= 10;
        powers -= 1;
    }
    (10 + (beyond % 90) as u64) * unit
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn percentiles_are_exact_to_a_tenth() {
        let (mut latency, now) = (Latency::default(), Instant::now());
        assert_eq!((latency.read(now), latency.read(now).spread()), (Figures::default(), None));
        let mut times = Times::default();
        (1..=100).for_each(|at| times.add(millis(at)));
        latency.append(&times, now);
        let read = latency.read(now);
        assert_eq!((read.median, read.p99, read.longest), (Some(millis(50)), Some(millis(99)), Some(millis(100))));
        let spread = read.spread().unwrap();
        let counts: Vec<_> = spread.up_to.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [1, 2, 5, 10, 20, 50, 100, 100]);
        assert_eq!((spread.count, spread.sum, spread.up_to[2].0), (100, 5.05, 0.005));
        latency.add(Duration::from_secs(70), now);
        let read = latency.read(now);
        assert_eq!((read.longest, read.spread().unwrap().count), (Some(Duration::from_secs(70)), 101));
    }

    #[test]
    fn figures_are_those_of_the_last_minute_and_counts_stay() {
        let (mut latency, begin) = (Latency::default(), Instant::now());
        let longest = |latency: &Latency, at: u64| latency.read(begin + millis(at)).longest;
        latency.add(millis(500), begin);
        latency.add(millis(2), begin + millis(31_000));
        assert_eq!((longest(&latency, 31_000), longest(&latency, 60_999)), (Some(millis(500)), Some(millis(500))));
        assert_eq!((longest(&latency, 61_001), longest(&latency, 91_001)), (Some(millis(2)), None));
        latency.add(millis(1), begin + millis(200_000));
        let read = latency.read(begin + millis(200_000));
        assert_eq!((read.longest, read.spread().unwrap().count), (Some(millis(1)), 3));
    }

    proptest! {
        #[test]
        fn a_time_is_counted_no_shorter_and_a_tenth_longer_at_most(micros in 0u64..10_000_000) {
            let upper = longest_micros(place_of(Duration::from_micros(micros)));
            prop_assert!(upper >= micros && upper <= micros + micros / 10, "{micros} as {upper}");
        }

        #[test]
        fn any_time_has_a_place(seconds: u64, nanos in 0u32..1_000_000_000) {
            prop_assert!(place_of(Duration::new(seconds, nanos)) < PLACES);
        }
    }
}
