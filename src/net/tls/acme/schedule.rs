//! When the next certificate is ordered. Pure.

use crate::net::tls::validity::Validity;
use std::time::{Duration, Instant, SystemTime};

/// Interval until the second try. Authorities count failed tries: Let's Encrypt permits five an hour for a name.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
/// Longest interval between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(86_400);

/// When the next certificate is ordered.
#[derive(Debug, Default)]
pub struct Schedule {
    failures: u32,
    /// No try before this moment.
    paused_until: Option<Instant>,
}

impl Schedule {
    /// Whether one should be ordered now, where this is how long the present one is good; there is none that fits without it.
    pub fn is_due(&self, held: Option<Validity>, (now, clock): (Instant, SystemTime)) -> bool {
        is_over(held, clock) && self.paused_until.is_none_or(|until| until <= now)
    }

    /// A try failed; how long to wait. `random` is any number: servers that failed together do not return together.
    pub fn failed(&mut self, now: Instant, random: u64) -> Duration {
        let doubled = FIRST_PAUSE.saturating_mul(1 << self.failures.min(16)).min(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        // Three quarters of it, and up to as much again less a quarter.
        let share = u32::try_from(random % 1000).unwrap_or_default();
        let pause = doubled / 4 * 3 + doubled / 4 * share / 1000;
        self.pause(now, pause);
        pause
    }

    /// No try for so long.
    pub fn pause(&mut self, now: Instant, pause: Duration) {
        self.paused_until = Some(now + pause);
    }

    /// There is another certificate, which is good so long; `false` where the next one is due already: then the clock is wrong, and to order
    /// more of them would not help.
    pub fn succeeded(&mut self, held: Option<Validity>, clock: SystemTime) -> bool {
        if is_over(held, clock) {
            return false;
        }
        *self = Self::default();
        true
    }
}

fn is_over(held: Option<Validity>, clock: SystemTime) -> bool {
    held.is_none_or(|held| held.last_third() <= clock)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn a_certificate_is_renewed_when_a_third_of_its_life_is_left() {
        let (now, from) = (Instant::now(), SystemTime::UNIX_EPOCH + 20_000 * DAY);
        let held = Some(Validity { from, until: from + 90 * DAY });
        let schedule = Schedule::default();
        assert!(schedule.is_due(None, (now, from)));
        assert!(!schedule.is_due(held, (now, from + 59 * DAY)));
        assert!(schedule.is_due(held, (now, from + 60 * DAY)));
        assert!(schedule.is_due(held, (now, from + 400 * DAY)));
        // A clock that is behind orders nothing.
        assert!(!schedule.is_due(held, (now, from - DAY)));
    }

    #[test]
    fn failures_wait_from_a_minute_to_a_day() {
        let (mut now, clock) = (Instant::now(), SystemTime::now());
        let mut schedule = Schedule::default();
        let mut longest = FIRST_PAUSE;
        for number in 0..40 {
            let pause = schedule.failed(now, number * 777);
            assert!(pause <= longest && pause >= longest / 4 * 3, "{number}: {pause:?}");
            assert!(!schedule.is_due(None, (now + pause - Duration::from_millis(1), clock)));
            now += pause;
            assert!(schedule.is_due(None, (now, clock)));
            longest = (longest * 2).min(LONGEST_PAUSE);
        }
        assert_eq!(longest, LONGEST_PAUSE);
        assert_ne!(Schedule::default().failed(now, 1), Schedule::default().failed(now, 501));
        let held = Some(Validity { from: clock, until: clock + 90 * DAY });
        assert!(schedule.succeeded(held, clock));
        assert!(schedule.failed(now, 0) < FIRST_PAUSE);
    }

    #[test]
    fn a_certificate_that_is_over_when_it_comes_is_a_failure() {
        let clock = SystemTime::now();
        let held = Some(Validity { from: clock - 90 * DAY, until: clock - DAY });
        let mut schedule = Schedule::default();
        assert!(!schedule.succeeded(held, clock) && !schedule.succeeded(None, clock));
    }
}
