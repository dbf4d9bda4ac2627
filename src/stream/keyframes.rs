//! Requests of readers for keyframes, on their way to whoever encodes. Pure.

use std::{collections::VecDeque, time::Duration};

/// Most requests for given times that wait for the encoder: each is some seconds ahead at most.
const MAX_TIMES: usize = 16;

/// What the readers of one stream have asked for. It is shared as a value that changes with each request.
#[derive(Debug, Clone, Default)]
pub struct KeyframeRequests {
    /// How often a keyframe was requested that comes as early as possible.
    soon: u64,
    /// The newest requests for a keyframe at a given time, each with its number.
    times: VecDeque<(u64, Duration)>,
    /// The number of the next one.
    next: u64,
}

/// How many of the requests have been seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SeenKeyframeRequests {
    soon: u64,
    times: u64,
}

impl KeyframeRequests {
    /// Requests a keyframe as early as possible.
    pub fn soon(&mut self) {
        self.soon += 1;
    }

    /// Requests that the first frame that is captured then or later, on the monotonic clock of the machine, is a keyframe. Encoders that
    /// know no times take no notice.
    pub fn at(&mut self, captured: Duration) {
        if self.times.iter().any(|(_, known)| *known == captured) {
            return;
        }
        if self.times.len() >= MAX_TIMES {
            self.times.pop_front();
        }
        self.times.push_back((self.next, captured));
        self.next += 1;
    }

    /// All requests count as seen.
    pub fn seen(&self) -> SeenKeyframeRequests {
        SeenKeyframeRequests { soon: self.soon, times: self.next }
    }

    /// Whether a keyframe was requested since then that comes as early as possible.
    pub fn has_soon(&self, seen: SeenKeyframeRequests) -> bool {
        self.soon != seen.soon
    }

    /// The times that were requested since then, oldest first.
    pub fn times(&self, seen: SeenKeyframeRequests) -> impl Iterator<Item = Duration> + '_ {
        self.times.iter().filter(move |(number, _)| *number >= seen.times).map(|(_, time)| *time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_is_seen_once_and_few_are_kept() {
        let mut requests = KeyframeRequests::default();
        let seen = requests.seen();
        requests.at(Duration::from_secs(4));
        requests.at(Duration::from_secs(4));
        requests.soon();
        requests.at(Duration::from_secs(6));
        assert!(requests.has_soon(seen));
        assert_eq!(requests.times(seen).map(|time| time.as_secs()).collect::<Vec<_>>(), [4, 6]);
        let seen = requests.seen();
        assert_eq!((requests.has_soon(seen), requests.times(seen).count()), (false, 0));
        for second in 0..1000 {
            requests.at(Duration::from_secs(second));
        }
        assert_eq!(requests.times(seen).count(), MAX_TIMES);
    }
}
