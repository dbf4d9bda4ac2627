//! Instants and spans on the timeline of media.

use serde::{Deserialize, Serialize};
use std::{
    ops::{Add, Sub},
    time::Duration,
};

/// An instant on the timeline of a rendition: nanoseconds, signed, one clock for all its tracks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(i64);

impl Time {
    /// The origin of the timeline.
    pub const ZERO: Self = Self(0);

    /// So many nanoseconds after the origin.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// So many milliseconds after the origin.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// So many ticks of a clock with `rate` ticks a second, rounded to the nearest nanosecond.
    pub fn from_ticks(ticks: i64, rate: u32) -> Self {
        let rate = i128::from(rate.max(1));
        Self(narrow((i128::from(ticks) * 1_000_000_000 + rate / 2).div_euclid(rate)))
    }

    /// Nanoseconds after the origin.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Milliseconds after the origin, rounded to the nearest.
    pub const fn millis(self) -> i64 {
        self.0.saturating_add(500_000).div_euclid(1_000_000)
    }

    /// Ticks of a clock with `rate` ticks a second, rounded to the nearest.
    pub fn ticks(self, rate: u32) -> i64 {
        narrow((i128::from(self.0) * i128::from(rate) + 500_000_000).div_euclid(1_000_000_000))
    }

    /// Nanoseconds from `earlier` to this instant, negative when that is later.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This instant moved by so many nanoseconds.
    pub const fn shifted(self, nanos: i64) -> Self {
        Self(self.0.saturating_add(nanos))
    }
}

fn narrow(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

impl Add<Duration> for Time {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        self.shifted(nanos(duration))
    }
}

impl Sub<Duration> for Time {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(duration)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_rounded_to_the_nearest() {
        assert_eq!(Time::from_ticks(1, 90_000), Time::from_nanos(11_111));
        assert_eq!(Time::from_nanos(11_111).ticks(90_000), 1);
        assert_eq!(Time::from_millis(-40).ticks(90_000), -3600);
        assert_eq!(Time::from_ticks(-3600, 90_000), Time::from_millis(-40));
        assert_eq!(Time::from_nanos(i64::MAX).ticks(u32::MAX), i64::MAX);
        for ticks in -1000..1000 {
            assert_eq!(Time::from_ticks(ticks, 90_000).ticks(90_000), ticks);
        }
    }

    #[test]
    fn milliseconds_are_rounded_to_the_nearest() {
        assert_eq!(Time::from_nanos(1_500_000).millis(), 2);
        assert_eq!(Time::from_nanos(-1_600_000).millis(), -2);
        assert_eq!((Time::from_millis(5) - Duration::from_millis(7) + Duration::from_millis(1)).millis(), -1);
    }
}
