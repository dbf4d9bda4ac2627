//! What a push does next. Pure.

use std::time::{Duration, Instant};

/// The first wait after a failure; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait for a target that refuses or leaves, before it is varied.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// The longest wait for a target that is away, before it is varied: a push is established within 2 s of its return.
const LONGEST_AWAY: Duration = Duration::from_millis(1400);
/// A connection that lasts this long was good: failures before it do not count any more.
const GOOD: Duration = Duration::from_secs(60);
/// The wait is varied by up to so many hundredths, so that many pushes do not come at the same instant.
const VARIED: u32 = 20;

/// The life of one push.
#[derive(Debug)]
pub struct Machine {
    state: State,
    failures: u32,
}

/// Where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The stream delivers nothing: there is nothing to connect for.
    Waiting,
    Connecting,
    Established {
        since: Instant,
    },
    Backoff {
        until: Instant,
    },
}

/// Why there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Nobody is there. To try costs nobody much.
    Away,
    /// The target is there, and refuses or has left. Each try costs it something.
    Refused,
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Wait for media, then call [`Machine::media`].
    Wait,
    /// Connect, then call [`Machine::established`] or [`Machine::failed`].
    Connect,
    /// Send, until [`Machine::failed`] or [`Machine::silent`].
    Send,
    /// Wait for this long.
    Sleep(Duration),
}

impl Default for Machine {
    fn default() -> Self {
        Self { state: State::Waiting, failures: 0 }
    }
}

impl Machine {
    /// What is to be done at this time.
    pub fn step(&mut self, now: Instant) -> Step {
        match self.state {
            State::Waiting => Step::Wait,
            State::Connecting => Step::Connect,
            State::Established { .. } => Step::Send,
            State::Backoff { until } => match until.saturating_duration_since(now) {
                Duration::ZERO => {
                    self.state = State::Waiting;
                    Step::Wait
                }
                left => Step::Sleep(left),
            },
        }
    }

    /// The stream delivers media.
    pub fn media(&mut self) {
        if self.state == State::Waiting {
            self.state = State::Connecting;
        }
    }

    /// The target takes it.
    pub fn established(&mut self, now: Instant) {
        self.state = State::Established { since: now };
    }

    /// The stream delivers nothing any more, and the connection was closed for it.
    pub fn silent(&mut self, now: Instant) {
        self.settle(now);
        self.state = State::Waiting;
    }

    /// There is no connection, or none any more. `random` varies the wait, which is returned.
    pub fn failed(&mut self, failure: Failure, now: Instant, random: u32) -> Duration {
        self.settle(now);
        let longest = match failure {
            Failure::Away => LONGEST_AWAY,
            Failure::Refused => LONGEST_WAIT,
        };
        let doubled = FIRST_WAIT.saturating_mul(1 << self.failures.min(10)).min(longest);
        let percent = 100 - VARIED + random % (2 * VARIED + 1);
        let wait = doubled * percent / 100;
        match failure {
            // What comes back is another program: how often the former one refused does not matter.
            Failure::Away => self.failures = 1,
            Failure::Refused => self.failures = self.failures.saturating_add(1),
        }
        self.state = State::Backoff { until: now + wait };
        wait
    }

    /// Forgets failures before a good connection.
    fn settle(&mut self, now: Instant) {
        if let State::Established { since } = self.state
            && now.saturating_duration_since(since) >= GOOD
        {
            self.failures = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);
    /// Varies nothing.
    const EXACT: u32 = VARIED;

    #[test]
    fn waits_grow_up_to_a_limit_and_a_good_connection_ends_that() {
        let (mut machine, mut now) = (Machine::default(), Instant::now());
        let mut waits = Vec::new();
        for _ in 0..7 {
            assert_eq!(machine.step(now), Step::Wait);
            machine.media();
            assert_eq!(machine.step(now), Step::Connect);
            let wait = machine.failed(Failure::Refused, now, EXACT);
            assert_eq!(machine.step(now), Step::Sleep(wait));
            now += wait;
            waits.push(wait.as_secs());
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        // One that lasts for a moment is a failure more.
        let again = |machine: &mut Machine, now: Instant| {
            machine.step(now);
            machine.media();
            machine.established(now);
            assert_eq!(machine.step(now), Step::Send);
        };
        again(&mut machine, now);
        assert_eq!(machine.failed(Failure::Refused, now + SECOND * 59, EXACT), SECOND * 30);
        now += SECOND * 100;
        again(&mut machine, now);
        assert_eq!(machine.failed(Failure::Refused, now + SECOND * 60, EXACT), SECOND);
    }

    #[test]
    fn who_is_away_is_found_soon_after_coming_back() {
        let (mut machine, now) = (Machine::default(), Instant::now());
        // However often it refused before.
        for _ in 0..7 {
            machine.failed(Failure::Refused, now, EXACT);
        }
        for _ in 0..100 {
            assert_eq!(machine.failed(Failure::Away, now, EXACT), LONGEST_AWAY);
        }
        assert!(machine.failed(Failure::Away, now, 2 * VARIED) < SECOND * 2, "with what it takes to connect");
        let refused: Vec<_> = (0..3).map(|_| machine.failed(Failure::Refused, now, EXACT).as_secs()).collect();
        assert_eq!(refused, [2, 4, 8]);
        let first = Machine::default().failed(Failure::Away, now, EXACT);
        assert_eq!(first, FIRST_WAIT);
    }

    #[test]
    fn silence_is_no_failure() {
        let (mut machine, now) = (Machine::default(), Instant::now());
        machine.media();
        machine.established(now);
        machine.silent(now + SECOND);
        assert_eq!(machine.step(now + SECOND), Step::Wait);
        machine.media();
        assert_eq!(machine.failed(Failure::Refused, now + SECOND, EXACT), SECOND);
    }

    proptest! {
        #[test]
        fn waits_are_within_their_bounds(failures in prop::collection::vec(any::<bool>(), 1..100), random: u32) {
            let (mut machine, now) = (Machine::default(), Instant::now());
            for is_away in failures {
                machine.media();
                let (failure, longest) = match is_away {
                    true => (Failure::Away, LONGEST_AWAY),
                    false => (Failure::Refused, LONGEST_WAIT),
                };
                let wait = machine.failed(failure, now, random);
                prop_assert!(wait >= FIRST_WAIT * 8 / 10 && wait <= longest * 12 / 10);
            }
        }
    }
}
