//! Keeps up with a source whose clock is not ours: timestamps that run ahead of the time at which they arrive, or fall behind.

/// What is watched before a conclusion, in nanoseconds. A pause of the source makes it longer.
const WINDOW: i64 = 2_000_000_000;
/// A difference that is jitter, in nanoseconds.
const SLACK: i64 = 10_000_000;
/// What comes in bursts differs from one burst to the next: the part of a burst that is jitter.
const BURST_SLACK: i64 = 4;
/// Corrections are spread: a second is stretched or shrunk by this part of it at most.
const RATE: i64 = 50;

/// The difference between the clock of one source and ours, learned from the arrivals of its media.
///
/// Whatever is on the way can only make media late. So the least lateness in a window is what the way costs at least, and
/// when that changes for good it is the clock. Times are nanoseconds, of whatever beginning.
#[derive(Debug, Clone, Default)]
pub struct DriftEstimator {
    /// The least lateness of the first window.
    usual: Option<i64>,
    window: Option<Window>,
    /// What the clock differs by, as far as it is known.
    known: i64,
    /// What is corrected of that.
    corrected: i64,
    newest: Option<i64>,
}

#[derive(Debug, Clone)]
struct Window {
    began: i64,
    least: i64,
    most: i64,
}

impl DriftEstimator {
    /// Media with the timestamp `time` arrived at `now`. Returns what to add to its timestamps.
    pub fn follow(&mut self, time: i64, now: i64) -> i64 {
        let late = now.saturating_sub(time);
        match &mut self.window {
            Some(window) if now.saturating_sub(window.began) < WINDOW => {
                window.least = window.least.min(late);
                window.most = window.most.max(late);
            }
            window => {
                if let Some(past) = window.replace(Window { began: now, least: late, most: late }) {
                    self.conclude(&past);
                }
            }
        }
        let newest = self.newest.map_or(time, |newest| newest.max(time));
        let step = newest.saturating_sub(self.newest.unwrap_or(newest)) / RATE;
        self.newest = Some(newest);
        self.corrected += self.known.saturating_sub(self.corrected).clamp(-step, step);
        self.corrected
    }

    fn conclude(&mut self, window: &Window) {
        let usual = *self.usual.get_or_insert(window.least);
        let slack = SLACK.max(window.most.saturating_sub(window.least) / BURST_SLACK);
        let found = window.least.saturating_sub(usual);
        if found.abs_diff(self.known) > slack.unsigned_abs() {
            self.known = found;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MILLI: i64 = 1_000_000;
    const SECOND: i64 = 1000 * MILLI;
    const HOUR: i64 = 3600 * SECOND;

    /// A source that sends a frame every 40 ms of its own clock, which is `ppm` millionths too fast.
    struct Source {
        ppm: i64,
        /// Latest arrival behind the moment it was sent.
        jitter: i64,
        /// Frames that are sent together.
        burst: i64,
        drift: DriftEstimator,
        sent: i64,
        random: u64,
        last: Option<i64>,
    }

    impl Source {
        fn new(ppm: i64, jitter: i64, burst: i64) -> Self {
            Self { ppm, jitter, burst, drift: DriftEstimator::default(), sent: 0, random: 1, last: None }
        }

        /// Its next arrival, and the timestamp as it was corrected.
        fn next(&mut self) -> (i64, i64) {
            let time = self.sent * 40 * MILLI;
            let last_of_burst = (self.sent / self.burst + 1) * self.burst - 1;
            self.sent += 1;
            let due = last_of_burst * 40 * MILLI;
            self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let jitter = if self.jitter == 0 { 0 } else { i64::try_from(self.random >> 33).unwrap() % self.jitter };
            let now = due - due / 1_000_000 * self.ppm + jitter;
            let stamp = time + self.drift.follow(time, now);
            assert!(self.last.is_none_or(|last| stamp > last), "stamps rise");
            self.last = Some(stamp);
            (now, stamp)
        }

        /// The least and most lateness of its timestamps up to then, without the first ten seconds.
        fn until(&mut self, end: i64) -> (i64, i64) {
            let (mut least, mut most) = (i64::MAX, i64::MIN);
            loop {
                let (now, stamp) = self.next();
                if now > 10 * SECOND {
                    least = least.min(now - stamp);
                    most = most.max(now - stamp);
                }
                if now >= end {
                    return (least, most);
                }
            }
        }
    }

    #[test]
    fn a_clock_that_is_off_costs_no_latency_in_a_day() {
        for ppm in [-200, 200] {
            let (least, most) = Source::new(ppm, 5 * MILLI, 1).until(24 * HOUR);
            assert!(least > -20 * MILLI && most < 25 * MILLI, "{ppm}: {least} to {most} ns");
        }
    }

    #[test]
    fn sound_and_picture_of_two_clocks_stay_together_for_an_hour() {
        let (mut picture, mut sound) = (Source::new(200, 8 * MILLI, 1), Source::new(-200, 3 * MILLI, 1));
        let ((early, _), (_, late)) = (picture.until(HOUR), sound.until(HOUR));
        assert!(late - early < 60 * MILLI, "{early} and {late} ns");
        let ((_, late), (early, _)) = (picture.until(2 * HOUR), sound.until(2 * HOUR));
        assert!(late - early < 60 * MILLI, "{early} and {late} ns");
    }

    #[test]
    fn a_clock_that_is_a_hundredth_off_is_followed() {
        for ppm in [-10_000, 10_000] {
            let (least, most) = Source::new(ppm, 5 * MILLI, 1).until(2 * HOUR);
            assert!(most - least < 100 * MILLI, "{ppm}: {least} to {most} ns");
        }
    }

    #[test]
    fn good_clocks_are_left_alone() {
        for (jitter, burst) in [(0, 1), (9 * MILLI, 1), (30 * MILLI, 25), (SECOND, 150)] {
            let mut source = Source::new(0, jitter, burst);
            source.until(HOUR);
            assert_eq!(source.drift.corrected, 0, "{jitter} {burst}");
        }
    }

    proptest! {
        #[test]
        fn any_arrivals_are_corrected_by_a_part_of_what_went_by(steps in prop::collection::vec((0..SECOND, 0..3 * SECOND), 2..300)) {
            let (mut drift, mut time, mut now, mut last) = (DriftEstimator::default(), 0, 0, None::<i64>);
            for (media, wait) in steps {
                time += media;
                now += wait;
                let correction = drift.follow(time, now);
                if let Some(last) = last {
                    prop_assert!((correction - last).abs() <= media / RATE);
                }
                last = Some(correction);
            }
        }

        #[test]
        fn foreign_stamps_never_panic(stamps: Vec<(i64, i64)>) {
            let mut drift = DriftEstimator::default();
            for (time, now) in stamps {
                drift.follow(time, now);
            }
        }
    }
}
