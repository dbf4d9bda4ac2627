//! From when to when a certificate is good (RFC 5280, section 4.1.2.5). Pure.

use super::der::{Der, SEQUENCE, VERSION};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Tags of the two forms of a time.
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// From when to when a certificate is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// Its first second.
    pub from: SystemTime,
    /// Its last second.
    pub until: SystemTime,
}

impl Validity {
    /// That of a certificate, as DER; `None` where it is not as it should be.
    pub fn of(certificate: &[u8]) -> Option<Self> {
        let mut fields = Der(certificate).inside(SEQUENCE)?.inside(SEQUENCE)?;
        if fields.peek() == Some(VERSION) {
            fields.next()?;
        }
        // Serial number, algorithm, issuer.
        for _ in 0..3 {
            fields.next()?;
        }
        let mut times = fields.inside(SEQUENCE)?;
        let (from, until) = (times.next()?, times.next()?);
        Some(Self { from: time(from)?, until: time(until)? })
    }

    /// When two thirds of the time are over: what renews then has the last third for more tries.
    pub fn last_third(&self) -> SystemTime {
        let whole = self.until.duration_since(self.from).unwrap_or_default();
        self.from + whole / 3 * 2
    }
}

/// A time before 1970 is that moment: it is over in any case.
fn time((tag, digits): (u8, &[u8])) -> Option<SystemTime> {
    let digits = digits.strip_suffix(b"Z")?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = digits.split_at_checked(2)?;
            let year = number(year)?;
            // What is 49 and below is of this century.
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = digits.split_at_checked(4)?;
            (number(year)?, rest)
        }
        _ => return None,
    };
    let (fields, []) = rest.as_chunks::<2>() else { return None };
    let [month, day, hour, minute, second] = fields else { return None };
    let (month, day) = (number(month)?, number(day)?);
    let (hour, minute, second) = (number(hour)?, number(minute)?, number(second)?);
    let is_time = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second < 61;
    if !is_time {
        return None;
    }
    let seconds = days(year, month, day).checked_mul(86_400)?.checked_add(hour * 3600 + minute * 60 + second)?;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0')))
}

/// Days from 1970 to a date of the Gregorian calendar; 0 for earlier ones. Years are counted from March, so that a leap day is the last
/// one of its year.
fn days(year: u64, month: u64, day: u64) -> u64 {
    if year < 1970 {
        return 0;
    }
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let of_years = year * 365 + year / 4 - year / 100 + year / 400;
    // 1970-03-01 is 719468 days after the March of year 0.
    (of_years + (month * 153 + 2) / 5 + day - 1).saturating_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    fn certificate(from: (i32, u8, u8), until: (i32, u8, u8)) -> Vec<u8> {
        let mut parameters = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        parameters.not_before = date_time_ymd(from.0, from.1, from.2);
        parameters.not_after = date_time_ymd(until.0, until.1, until.2);
        parameters.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    fn at(text: &str) -> SystemTime {
        text.parse::<jiff::Timestamp>().unwrap().into()
    }

    #[test]
    fn both_forms_are_read() {
        let read = |from, until| Validity::of(&certificate(from, until)).unwrap();
        let validity = read((2026, 2, 28), (2026, 3, 1));
        assert_eq!((validity.from, validity.until), (at("2026-02-28T00:00:00Z"), at("2026-03-01T00:00:00Z")));
        let validity = read((2049, 12, 31), (2050, 1, 1));
        assert_eq!((validity.from, validity.until), (at("2049-12-31T00:00:00Z"), at("2050-01-01T00:00:00Z")));
        assert_eq!(validity.last_third(), at("2049-12-31T16:00:00Z"));
        assert_eq!(read((1965, 1, 1), (1970, 1, 2)).from, UNIX_EPOCH);
        let time = |text: &[u8]| time((GENERALIZED_TIME, text));
        assert_eq!(time(b"20240229235960Z"), Some(at("2024-03-01T00:00:00Z")));
        // RFC 5280: there is no end.
        assert!(time(b"99991231235959Z").is_some());
        for bad in
            ["", "Z", "20240229235959", "20241329235959Z", "2024022923595Z", "202402292359591Z", "2024022923595aZ"]
        {
            assert_eq!(time(bad.as_bytes()), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn days_are_those_of_the_calendar(seconds in 0i64..=4_102_444_800) {
            let known = jiff::Timestamp::from_second(seconds).unwrap();
            let digits = known.strftime("%Y%m%d%H%M%SZ").to_string();
            prop_assert_eq!(time((GENERALIZED_TIME, digits.as_bytes())), Some(known.into()));
        }

        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), at in 0usize..300, value in any::<u8>(), digits in "[0-9]{0,20}Z?") {
            let _ = Validity::of(&bytes);
            let _ = (time((UTC_TIME, digits.as_bytes())), time((GENERALIZED_TIME, digits.as_bytes())));
            let mut whole = certificate((2026, 1, 1), (2026, 4, 1));
            let at = at % whole.len();
            whole[at] = value;
            let _ = Validity::of(&whole);
        }
    }
}
