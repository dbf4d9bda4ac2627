//! Times as text: seconds with a fixed number of decimals, and dates.

use std::fmt;

const SECOND: i64 = 1_000_000_000;

/// Seconds with five decimals, rounded to the nearest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seconds {
    /// Ticks of a clock.
    pub(super) ticks: u64,
    /// Ticks a second of this clock.
    pub(super) rate: u32,
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNIT: u128 = 100_000;
        let rate = u128::from(self.rate.max(1));
        let value = (u128::from(self.ticks) * UNIT + rate / 2) / rate;
        write!(f, "{}.{:05}", value / UNIT, value % UNIT)
    }
}

/// Seconds with six decimals, of microseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Micros(u128);

impl Micros {
    /// The least number of microseconds that is more than so many ticks of a clock, of which a second has `rate`.
    pub(super) fn above(ticks: u64, rate: u32) -> Self {
        Self(u128::from(ticks) * 1_000_000 / u128::from(rate.max(1)) + 1)
    }
}

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// Seconds with three decimals, of milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Millis(pub(super) u64);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}

/// A date with milliseconds (RFC 3339), of nanoseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(super) struct Date(pub(super) i64);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
        let (seconds, nanos) = (self.0.div_euclid(SECOND), self.0.rem_euclid(SECOND));
        let (days, time) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let days = days + 719_468;
        let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", nanos / 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use proptest::prelude::*;

    #[test]
    fn seconds_are_rounded_to_the_nearest() {
        let check = |ticks, rate, expect| assert_eq!(Seconds { ticks, rate }.to_string(), expect);
        check(180_000, 90_000, "2.00000");
        check(18_018, 90_000, "0.20020");
        check(1, 90_000, "0.00001");
        check(8192, 44_100, "0.18576");
        check(5, 0, "5.00000");
        assert_eq!(Millis(10_205).to_string(), "10.205");
    }

    #[test]
    fn microseconds_are_more_than_the_time() {
        let check = |ticks, rate, expect| assert_eq!(Micros::above(ticks, rate).to_string(), expect);
        check(180_000, 90_000, "2.000001");
        check(18_750, 90_000, "0.208334");
        check(200, 1000, "0.200001");
        check(5, 0, "5.000001");
    }

    proptest! {
        /// No part is longer than the part target, which is in milliseconds that are no less than those of the part.
        #[test]
        fn order_is_kept(ticks in 0u64..10_000_000, rate in 1u32..200_000) {
            let millis = (u128::from(ticks) * 1000).div_ceil(u128::from(rate));
            prop_assert!(Micros::above(ticks, rate).0 <= Micros::above(millis.try_into().unwrap(), 1000).0);
            prop_assert!(Micros::above(ticks, rate).0 * u128::from(rate) > u128::from(ticks) * 1_000_000);
        }

        #[test]
        fn dates_are_those_of_another_library(nanos in 0i64..4_102_444_800_000_000_000) {
            let expect = Timestamp::from_millisecond(nanos / 1_000_000).unwrap();
            prop_assert_eq!(Date(nanos).to_string(), format!("{expect:.3}"));
        }
    }
}
