//! Requests for keyframes: of several within a short time one is forwarded immediately, and one at the end. Pure.

use std::time::{Duration, Instant};

/// Keyframes are asked for at most this often.
const PERIOD: Duration = Duration::from_millis(250);

/// The requests to one source.
#[derive(Debug, Clone)]
pub struct KeyframeRequests {
    is_wanted: bool,
    /// When one may be forwarded.
    next: Instant,
}

impl KeyframeRequests {
    /// None yet.
    pub fn new(now: Instant) -> Self {
        Self { is_wanted: false, next: now }
    }

    /// A keyframe is needed.
    pub fn want(&mut self) {
        self.is_wanted = true;
    }

    /// When [`KeyframeRequests::take`] is to be called.
    pub fn due(&self) -> Option<Instant> {
        self.is_wanted.then_some(self.next)
    }

    /// Whether one is to be asked for now.
    pub fn take(&mut self, now: Instant) -> bool {
        let is_due = self.is_wanted && now >= self.next;
        if is_due {
            *self = Self { is_wanted: false, next: now + PERIOD };
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_last_of_many_are_forwarded() {
        let begin = Instant::now();
        let mut requests = KeyframeRequests::new(begin);
        assert!(requests.due().is_none() && !requests.take(begin));
        let mut forwarded = Vec::new();
        for millis in 0..1000 {
            let now = begin + Duration::from_millis(millis);
            if millis < 300 {
                requests.want();
            }
            // Nobody has to look before it is due, and nobody looks in vain then.
            let is_due = requests.due().is_some_and(|due| due <= now);
            assert_eq!(requests.take(now), is_due);
            forwarded.extend(is_due.then_some(millis));
        }
        assert_eq!(forwarded, [0, 250, 500]);
    }
}
