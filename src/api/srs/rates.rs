//! Rates of what is counted, from one request to later ones. Pure: time comes in as a value.
//!
//! Nothing is sampled while nobody asks. The first request gets the mean since something began.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

/// Rates are means of this time, where requests are as frequent.
const WINDOW: Duration = Duration::from_secs(30);
/// Samples are at least so far apart.
const APART: Duration = Duration::from_secs(5);
/// A mean of less says nothing.
const LEAST: Duration = Duration::from_millis(500);

/// Bytes in both directions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    pub(super) received: u64,
    pub(super) sent: u64,
}

impl Traffic {
    pub(super) fn plus(self, other: Self) -> Self {
        Self { received: self.received.saturating_add(other.received), sent: self.sent.saturating_add(other.sent) }
    }
}

/// What was counted, by the ids of things.
#[derive(Debug, Default)]
pub(super) struct Rates {
    /// Oldest first.
    samples: VecDeque<(Instant, HashMap<String, Traffic>)>,
}

impl Rates {
    /// These are the counts now.
    pub(super) fn note(&mut self, counts: impl IntoIterator<Item = (String, Traffic)>, now: Instant) {
        let age = |at: Instant| now.saturating_duration_since(at);
        if self.samples.back().is_some_and(|(at, _)| age(*at) < APART) {
            return;
        }
        self.samples.push_back((now, counts.into_iter().collect()));
        // The oldest that is kept is at least as old as the window.
        while self.samples.get(1).is_some_and(|(at, _)| age(*at) >= WINDOW) {
            self.samples.pop_front();
        }
    }

    /// Kilobits a second in both directions, of something that has existed for this long.
    pub(super) fn kbps(&self, id: &str, counts: Traffic, existed: Duration, now: Instant) -> Traffic {
        let known = self.samples.iter().find_map(|(at, known)| {
            let lasted = now.saturating_duration_since(*at);
            Some((lasted, *known.get(id)?)).filter(|_| lasted >= LEAST)
        });
        let (lasted, before) = known.unwrap_or((existed, Traffic::default()));
        let rate = |counted: u64, before: u64| {
            let bits = u128::from(counted.saturating_sub(before)) * 8;
            // Bits a millisecond are kilobits a second.
            u64::try_from(bits.checked_div(lasted.as_millis()).unwrap_or(0)).unwrap_or(u64::MAX)
        };
        Traffic { received: rate(counts.received, before.received), sent: rate(counts.sent, before.sent) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_means_of_the_window() {
        let (mut rates, begin) = (Rates::default(), Instant::now());
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        // 1000 bytes a second are sent, and from second 60 on nothing.
        let counts = |seconds: u64| Traffic { received: 0, sent: seconds.min(60) * 1000 };
        let kbps = |rates: &Rates, seconds: u64| {
            rates.kbps("a", counts(seconds), Duration::from_secs(seconds), at(seconds)).sent
        };
        assert_eq!(kbps(&rates, 10), 8, "the mean since it began");
        for second in 10..=60 {
            rates.note([("a".to_owned(), counts(second))], at(second));
        }
        assert_eq!(kbps(&rates, 60), 8);
        assert!(rates.samples.len() <= 8, "{}", rates.samples.len());
        assert_eq!(kbps(&rates, 75), 5, "nothing came for a third of the time");
        // Somebody who asks again after long gets the mean since then.
        assert_eq!(kbps(&rates, 1000), 0);
        rates.note([("a".to_owned(), counts(1000))], at(1000));
        rates.note([("a".to_owned(), counts(2000))], at(2000));
        assert_eq!(kbps(&rates, 2001), 0);
        assert_eq!(rates.samples.len(), 2);
        // Of what is new nothing is known.
        let new = Traffic { received: 4000, sent: 0 };
        assert_eq!(rates.kbps("b", new, Duration::from_secs(4), at(2001)).received, 8);
        assert_eq!(rates.kbps("b", new, Duration::ZERO, at(2001)).received, 0);
    }
}
