//! What the name of a file says of it, by the pattern that made it.

use super::{Field, FilePattern, Part};
use jiff::civil::DateTime;

/// What a name says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileName {
    /// The stream, if it is in the name.
    pub stream: Option<String>,
    /// The begin of the file, in microseconds since 1970, if its day and time are in the name.
    pub begin: Option<i64>,
    /// Its number.
    pub sequence: Option<u64>,
}

/// Values of placeholders.
#[derive(Debug, Clone, Default)]
struct Values {
    stream: Option<String>,
    /// Year, month, day, hour, minute, second, millisecond.
    date: [Option<i64>; 7],
    /// Seconds ahead of UTC.
    offset: Option<i64>,
    unix: Option<i64>,
    sequence: Option<u64>,
}

impl FilePattern {
    /// Reads the path of a file, without its extension. `stream`: it is of this stream, if the stream is in the name. `None` when another pattern
    /// made it.
    pub fn read(&self, path: &str, stream: Option<&str>) -> Option<FileName> {
        let read = |path: &str| read(&self.parts, path, Values::default(), stream);
        // Of files with one name all but the first have a number after it.
        let numbered = || {
            let (name, number) = path.rsplit_once('-')?;
            number.parse::<u32>().ok().filter(|number| *number > 1)?;
            read(name)
        };
        let values = read(path).or_else(numbered)?;
        let begin = values.begin();
        Some(FileName { stream: values.stream, begin, sequence: values.sequence })
    }
}

impl Values {
    fn begin(&self) -> Option<i64> {
        if let Some(unix) = self.unix {
            return unix.checked_mul(1_000_000);
        }
        let [year, month, day, hour, minute, second, milli] = self.date;
        let small = |value: i64| i8::try_from(value).ok();
        let nanos = i32::try_from(milli.unwrap_or(0).checked_mul(1_000_000)?).ok()?;
        let (year, second) = (i16::try_from(year?).ok()?, small(second?)?);
        let date = DateTime::new(year, small(month?)?, small(day?)?, small(hour?)?, small(minute?)?, second, nanos);
        let local = jiff::tz::Offset::UTC.to_timestamp(date.ok()?).ok()?.as_microsecond();
        local.checked_sub(self.offset.unwrap_or(0).checked_mul(1_000_000)?)
    }

    fn set(&mut self, from: usize, text: &str, lengths: &[usize]) -> Option<()> {
        let mut rest = text;
        for (place, length) in (from..).zip(lengths) {
            let (digits, after) = rest.split_at_checked(*length)?;
            let slot = self.date.get_mut(place)?;
            let value = number(digits)?;
            // A value that is there twice is the same.
            if slot.replace(value).is_some_and(|known| known != value) {
                return None;
            }
            rest = after;
        }
        rest.is_empty().then_some(())
    }
}

fn read(parts: &[Part], text: &str, mut values: Values, stream: Option<&str>) -> Option<Values> {
    let Some((part, parts)) = parts.split_first() else { return text.is_empty().then_some(values) };
    let field = match part {
        Part::Text(own) => return read(parts, text.strip_prefix(own.as_str())?, values, stream),
        Part::Field(field) => *field,
    };
    if field == Field::Stream {
        if let Some(name) = stream {
            values.stream = Some(name.to_owned());
            return read(parts, text.strip_prefix(name)?, values, stream);
        }
        // The longest name first: what follows it is shorter than what it may have in it.
        let ends = text.char_indices().map(|(at, _)| at).skip(1).chain([text.len()]);
        let mut ends: Vec<usize> = ends.collect();
        ends.reverse();
        return ends.into_iter().find_map(|end| {
            let (name, rest) = text.split_at_checked(end)?;
            let known = values.stream.as_deref().is_none_or(|known| known == name);
            let values = Values { stream: Some(name.to_owned()), ..values.clone() };
            known.then(|| read(parts, rest, values, Some(name)))?
        });
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let length = match field {
        Field::Date => 10,
        Field::Time => 10 + offset_length(text.get(10..)?)?,
        Field::Offset => offset_length(text)?,
        Field::Year => 4,
        Field::Millisecond => 3,
        Field::Month | Field::Day | Field::Hour | Field::Minute | Field::Second => 2,
        Field::Unix | Field::Sequence | Field::Stream => digits,
    };
    let (own, rest) = text.split_at_checked(length)?;
    match field {
        Field::Date => values.set(0, &own.replace('-', ""), &[4, 2, 2])?,
        Field::Time => {
            let (time, offset) = own.split_at_checked(10)?;
            values.set(3, &time.replace('.', ""), &[2, 2, 2, 3])?;
            values.offset = Some(seconds(offset)?);
        }
        Field::Offset => values.offset = Some(seconds(own)?),
        Field::Year => values.set(0, own, &[4])?,
        Field::Month => values.set(1, own, &[2])?,
        Field::Day => values.set(2, own, &[2])?,
        Field::Hour => values.set(3, own, &[2])?,
        Field::Minute => values.set(4, own, &[2])?,
        Field::Second => values.set(5, own, &[2])?,
        Field::Millisecond => values.set(6, own, &[3])?,
        Field::Unix => values.unix = Some(number(own)?),
        Field::Sequence => values.sequence = Some(u64::try_from(number(own)?).ok()?),
        Field::Stream => {}
    }
    read(parts, rest, values, stream)
}

/// The length of the offset that a text begins with: `Z` or `+0100`.
fn offset_length(text: &str) -> Option<usize> {
    match text.as_bytes().first()? {
        b'Z' => Some(1),
        b'+' | b'-' => Some(5),
        _ => None,
    }
}

/// An offset in seconds.
fn seconds(offset: &str) -> Option<i64> {
    let (sign, digits) = offset.split_at_checked(1)?;
    if sign == "Z" {
        return digits.is_empty().then_some(0);
    }
    let (hours, minutes) = digits.split_at_checked(2)?;
    let seconds = number(hours)? * 3600 + number(minutes)? * 60;
    Some(if sign == "-" { -seconds } else { seconds })
}

fn number(digits: &str) -> Option<i64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    if is_number { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn named(stream: Option<&str>, begin: Option<i64>, sequence: Option<u64>) -> Option<FileName> {
        Some(FileName { stream: stream.map(str::to_owned), begin, sequence })
    }

    #[test]
    fn names_are_read_back() {
        const BEGIN: i64 = 1_795_854_600_250_000;
        let check = |pattern: &str, path: &str, stream, expected| {
            assert_eq!(FilePattern::new(pattern).unwrap().read(path, stream), expected, "{pattern} {path}");
        };
        let usual = "{stream}/{date}/{time}-{sequence}";
        let path = "live/anna/2026-11-28/083000.250Z-0000042";
        check(usual, path, None, named(Some("live/anna"), Some(BEGIN), Some(42)));
        check(usual, path, Some("live/anna"), named(Some("live/anna"), Some(BEGIN), Some(42)));
        check(usual, path, Some("live"), None);
        check(usual, &format!("{path}-3"), None, named(Some("live/anna"), Some(BEGIN), Some(42)));
        check(usual, "live/anna/2026-13-28/083000.250Z-0000042", None, named(Some("live/anna"), None, Some(42)));
        for other in ["yard/2026-11-28/083000.250-0000042", "yard/x/083000.250Z-1", "083000.250Z-1", "", "yard"] {
            check(usual, other, None, None);
        }
        check("{unix}", "1795854600", Some("a"), named(None, Some(1_795_854_600_000_000), None));
        let parts = "{year}/{month}/{day}/{hour}{minute}{second}{ms} {stream} {sequence}";
        check(parts, "2026/11/28/083000250 a b 0000007", Some("a b"), named(Some("a b"), Some(BEGIN), Some(7)));
        check("{sequence}", "12345678", None, named(None, None, Some(12_345_678)));
        check("{date} {day} {sequence}", "2026-11-28 27 0000001", None, None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            fields in prop::collection::vec(0usize..13, 1..6), begin in 0i64..4_000_000_000_000, sequence in 1u64..99_999_999,
        ) {
            let fields = fields.iter().map(|field| format!("{{{}}}", Field::ALL[*field].0));
            let text = fields.collect::<Vec<_>>().join("_") + "/{sequence}";
            let pattern = FilePattern::new(&text).unwrap();
            let path = pattern.path("cam-7", begin * 1000, sequence);
            let read = pattern.read(&path, Some("cam-7")).unwrap();
            prop_assert_eq!(read.sequence, Some(sequence));
            prop_assert!(read.begin.is_none_or(|found| found / 1_000_000 == begin / 1000));
        }

        #[test]
        fn any_name_is_read(path in ".{0,60}") {
            let _ = FilePattern::default().read(&path, None);
        }
    }
}
