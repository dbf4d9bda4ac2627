//! Requests for keyframes: of several within a short time one is forwarded immediately, and one at the end. And what is asked for
//! again, as it did not come. Pure.

use std::time::{Duration, Instant};

/// Keyframes are asked for at most this often.
const PERIOD: Duration = Duration::from_millis(250);
/// When one that has not come is asked for again, and how many times: libwebrtc makes none within 300 ms of the one before.
const REPEAT: Duration = Duration::from_millis(400);
const REPEATS: u32 = 5;

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

/// Whether a source has made the keyframe that it was asked for: browsers ignore requests that come soon after another one.
#[derive(Debug, Clone, Default)]
pub struct AwaitedKeyframe {
    /// When it is asked for again, and how many times after that.
    again: Option<(Instant, u32)>,
}

impl AwaitedKeyframe {
    /// It was asked for now.
    pub fn requested(&mut self, now: Instant) {
        self.again = Some((now + REPEAT, REPEATS));
    }

    /// It came.
    pub fn came(&mut self) {
        self.again = None;
    }

    /// When [`AwaitedKeyframe::take`] is to be called.
    pub fn due(&self) -> Option<Instant> {
        self.again.map(|(at, _)| at)
    }

    /// Whether it is to be asked for again now. A source that never makes one is left alone after a while.
    pub fn take(&mut self, now: Instant) -> bool {
        let Some((_, left)) = self.again.filter(|(at, _)| now >= *at) else { return false };
        self.again = left.checked_sub(1).filter(|left| *left > 0).map(|left| (now + REPEAT, left));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyframe_that_does_not_come_is_asked_for_again() {
        let begin = Instant::now();
        let mut awaited = AwaitedKeyframe::default();
        assert!(awaited.due().is_none() && !awaited.take(begin));
        let asked = |awaited: &mut AwaitedKeyframe, begin: Instant| -> Vec<u64> {
            awaited.requested(begin);
            (0..10_000).filter(|millis| awaited.take(begin + Duration::from_millis(*millis))).collect()
        };
        assert_eq!(asked(&mut awaited, begin), [400, 800, 1200, 1600, 2000]);
        awaited.requested(begin);
        assert!(awaited.take(begin + Duration::from_millis(450)));
        assert_eq!(awaited.due(), Some(begin + Duration::from_millis(850)));
        awaited.came();
        assert!(!awaited.take(begin + Duration::from_secs(9)));
    }

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
