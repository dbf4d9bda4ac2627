//! Even times for live frames that have none of their own: those of their arrival, without its jitter.

/// At most so many intervals is a time away from that of the arrival.
const MOST_OFF: i64 = 4;
/// A longer pause says nothing of the interval, in nanoseconds.
const PAUSE: i64 = 2_000_000_000;

/// Gives frames their times, in nanoseconds.
#[derive(Debug)]
pub struct Cadence {
    interval: i64,
    /// When the last frame came, and the time that it was given.
    last: Option<(i64, i64)>,
}

impl Cadence {
    /// For frames that come about this often, in nanoseconds.
    pub fn new(interval: i64) -> Self {
        Self { interval: interval.clamp(1, PAUSE), last: None }
    }

    /// The time of a frame that comes now.
    pub fn place(&mut self, now: i64) -> i64 {
        let Some((arrived, given)) = self.last else {
            self.last = Some((now, now));
            return now;
        };
        let since = now.saturating_sub(arrived);
        if (0..PAUSE).contains(&since) {
            self.interval = (self.interval + (since - self.interval) / 16).max(1);
        }
        let expected = given.saturating_add(self.interval);
        let off = now.saturating_sub(expected);
        let time = match off.saturating_abs() > MOST_OFF * self.interval {
            true => now,
            false => expected + off / 8,
        };
        let time = time.max(given.saturating_add(1));
        self.last = Some((now, time));
        time
    }

    /// From one frame to the next, in nanoseconds.
    pub const fn interval(&self) -> i64 {
        self.interval
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: i64 = 1_000_000;

    #[test]
    fn bursts_are_evened_out_and_the_interval_is_learned() {
        let mut cadence = Cadence::new(40 * MS);
        // Two frames at a time, 15 a second.
        let times: Vec<_> = (0..200).map(|number| cadence.place(number / 2 * 133 * MS)).collect();
        let late = &times[100..];
        let steps: Vec<_> = late.windows(2).map(|pair| (pair[1] - pair[0]) / MS).collect();
        assert!(steps.iter().all(|step| (40..95).contains(step)), "{steps:?}");
        assert!((60 * MS..75 * MS).contains(&cadence.interval()), "{}", cadence.interval());
        // A pause is followed.
        let after = cadence.place(60_000 * MS);
        assert_eq!(after, 60_000 * MS);
    }

    proptest! {
        #[test]
        fn times_grow_and_stay_near(steps in prop::collection::vec(0i64..500, 1..300), hint in 1i64..5_000_000_000) {
            let (mut cadence, mut now, mut last) = (Cadence::new(hint), 0, i64::MIN);
            for step in steps {
                now += step * MS;
                let time = cadence.place(now);
                prop_assert!(time > last);
                last = time;
                prop_assert!((time - now).abs() <= (MOST_OFF + 1) * PAUSE);
            }
        }

        #[test]
        fn any_times_do_not_panic(times: Vec<i64>, hint: i64) {
            let mut cadence = Cadence::new(hint);
            times.iter().for_each(|now| {
                let _ = cadence.place(*now);
            });
        }
    }
}
