//! When keys of JSON Web Tokens are fetched for those who need others. Pure.

use std::time::{Duration, Instant};

/// For tokens of unknown keys there is one fetch in this time.
const PACE: Duration = Duration::from_secs(10);
/// How long a request with a token of an unknown key waits for the keys.
pub(super) const WAIT: Duration = Duration::from_secs(2);

/// When fetches may happen.
#[derive(Debug, Default)]
pub(super) struct Pace {
    started: Option<Instant>,
    is_running: bool,
}

/// What somebody may expect who needs other keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hope {
    /// A fetch is under way.
    Wait,
    /// One may be started.
    Fetch,
    /// There was one a moment ago.
    None,
}

impl Pace {
    /// What there is to be expected now.
    pub(super) fn hope(&self, now: Instant) -> Hope {
        match self.started {
            _ if self.is_running => Hope::Wait,
            Some(started) if now.saturating_duration_since(started) < PACE => Hope::None,
            _ => Hope::Fetch,
        }
    }

    /// A fetch starts.
    pub(super) fn start(&mut self, now: Instant) {
        (self.started, self.is_running) = (Some(now), true);
    }

    /// It has ended.
    pub(super) fn end(&mut self) {
        self.is_running = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_cause_one_fetch_in_a_while() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        assert_eq!(pace.hope(now), Hope::Fetch);
        pace.start(now);
        assert_eq!(pace.hope(now + 2 * PACE), Hope::Wait);
        pace.end();
        assert_eq!(pace.hope(now + PACE - Duration::from_millis(1)), Hope::None);
        assert_eq!(pace.hope(now + PACE), Hope::Fetch);
    }
}
