//! How often media comes, and when it has stayed away for too long.

use std::time::{Duration, Instant};

/// Silence that no live source explains with its pace, if it has one.
const LEAST: Duration = Duration::from_secs(4);
/// The same while the pace is not known yet: one frame may come in many pieces, and the next one much later. Whoever is
/// slower than this is never known.
const UNKNOWN: Duration = Duration::from_secs(300);
/// The pace is known when media has come for this long.
const LEARNED: Duration = Duration::from_secs(1);
/// Silence of this many times the longest usual pause is no pause.
const TIMES: u32 = 3;
/// Pauses count for as long as this, and twice that at most.
const WINDOW: Duration = Duration::from_secs(60);

/// The pace of one source of media, learned from the pauses between its arrivals.
#[derive(Debug, Clone)]
pub struct StallDetector {
    first: Instant,
    last: Instant,
    window: Instant,
    /// Longest pause in the window before this one.
    before: Duration,
    /// Longest pause in this window.
    longest: Duration,
}

impl StallDetector {
    /// The first media came now.
    pub fn new(now: Instant) -> Self {
        Self { first: now, last: now, window: now, before: Duration::ZERO, longest: Duration::ZERO }
    }

    /// More media came.
    pub fn observe(&mut self, now: Instant) {
        if now.saturating_duration_since(self.window) > WINDOW {
            self.before = std::mem::take(&mut self.longest);
            self.window = now;
        }
        self.longest = self.longest.max(now.saturating_duration_since(self.last));
        self.last = now;
    }

    /// How long it has been silent.
    pub fn silence(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.last)
    }

    /// From when on its silence is a fault, unless media comes before.
    pub fn deadline(&self) -> Instant {
        let known = self.last.saturating_duration_since(self.first) >= LEARNED;
        self.last + LEAST.max(TIMES * self.longest.max(self.before)).max(if known { LEAST } else { UNKNOWN })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: u64 = 1_000_000;

    /// Silence that is allowed after media at these milliseconds.
    fn allowed(arrivals: impl IntoIterator<Item = u64>) -> Duration {
        let zero = Instant::now();
        let mut arrivals = arrivals.into_iter().map(|millis| zero + Duration::from_millis(START + millis));
        let mut pace = StallDetector::new(arrivals.next().unwrap());
        arrivals.for_each(|at| pace.observe(at));
        pace.deadline() - pace.last
    }

    #[test]
    fn silence_is_measured_by_the_pace() {
        let every = |step: u64, count: u64| (0..count).map(move |n| n * step);
        let seconds = Duration::from_secs;
        for (what, arrivals, expected) in [
            ("one arrival says nothing", vec![0], seconds(300)),
            ("nor does one frame in pieces", vec![0, 1, 2, 3, 900], seconds(300)),
            ("25 frames a second", every(40, 50).collect(), seconds(4)),
            ("one frame a second", every(1000, 10).collect(), seconds(4)),
            ("one frame in two seconds", every(2000, 10).collect(), seconds(6)),
            ("one frame in ten seconds", every(10_000, 3).collect(), seconds(30)),
            ("one frame in an hour", every(3_600_000, 3).collect(), seconds(10_800)),
            (
                "slow frames in pieces",
                every(10_000, 9).flat_map(|at| [at, at + 1, at + 2]).collect(),
                Duration::from_millis(29_994),
            ),
            (
                "a pause is remembered",
                [0, 40, 10_000].into_iter().chain(every(40, 500).map(|at| at + 10_040)).collect(),
                Duration::from_millis(29_880),
            ),
            (
                "but not for ever",
                [0, 40, 10_000].into_iter().chain(every(40, 4000).map(|at| at + 10_040)).collect(),
                seconds(4),
            ),
        ] {
            assert_eq!(allowed(arrivals), expected, "{what}");
        }
    }

    proptest! {
        #[test]
        fn what_goes_on_as_it_began_never_stalls(step in 1u64..290_000, pieces in 1u64..20) {
            let zero = Instant::now();
            let mut pace = StallDetector::new(zero);
            for n in 1..100 {
                for piece in 0..pieces {
                    let now = zero + Duration::from_millis(n * step.max(pieces) + piece);
                    prop_assert!(now < pace.deadline(), "{n}, {pace:?}");
                    pace.observe(now);
                }
            }
        }
    }
}
