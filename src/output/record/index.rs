//! The index of recordings: a text file for each stream and day, to which a line is appended when something happens. Pure.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// One file of a recording. Times are in microseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number among those of its stream.
    pub sequence: u64,
    /// Where it is, below the folder.
    pub path: String,
    /// When its first frame was captured.
    pub from: i64,
    /// When its last frame ended; the same as `from` while nothing of it is on the disk.
    pub to: i64,
    /// Its size, while it is written that of all whole parts.
    pub bytes: u64,
    /// Its codecs, as media types list them.
    pub codecs: String,
    /// The same for all files whose timeline is one.
    pub run: u64,
    /// Its begin on that timeline, in nanoseconds.
    pub media: i64,
    /// Why it ended; `None` while it is written.
    pub ended: Option<String>,
    /// It is not deleted by age, size or free space.
    pub protected: bool,
}

/// A file that the index does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its stream.
    pub stream: String,
    /// Where it is, below the folder.
    pub path: String,
    /// When its first frame was captured, in microseconds since 1970.
    pub from: i64,
    /// How long it lasts, in microseconds.
    pub lasts: i64,
    /// Its number, if its name has it.
    pub sequence: Option<u64>,
    /// Its codecs, as media types list them.
    pub codecs: String,
}

/// What happened to a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Line {
    /// It began.
    Open(Entry),
    /// It ended.
    Close {
        /// Which one.
        sequence: u64,
        /// See [`Entry::to`].
        to: i64,
        /// See [`Entry::bytes`].
        bytes: u64,
        /// See [`Entry::ended`].
        ended: String,
    },
    /// It is deleted.
    Delete {
        /// Which one.
        sequence: u64,
    },
    /// It is protected from now on, or not any more.
    Protect {
        /// Which one.
        sequence: u64,
        /// Whether it is.
        on: bool,
    },
}

impl Line {
    /// As it stands in the file.
    pub fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }
}

/// The files of a day, by their numbers. Lines that are torn or unknown are skipped.
pub fn entries(text: &str) -> BTreeMap<u64, Entry> {
    let mut entries = BTreeMap::new();
    for line in text.lines().filter_map(|line| serde_json::from_str(line).ok()) {
        match line {
            Line::Open(entry) => drop(entries.insert(entry.sequence, entry)),
            Line::Close { sequence, to, bytes, ended } => {
                if let Some(entry) = entries.get_mut(&sequence) {
                    (entry.to, entry.bytes, entry.ended) = (to, bytes, Some(ended));
                }
            }
            Line::Delete { sequence } => drop(entries.remove(&sequence)),
            Line::Protect { sequence, on } => {
                entries.get_mut(&sequence).into_iter().for_each(|entry| entry.protected = on);
            }
        }
    }
    entries
}

/// Whether lines cannot be read, but for the last one, which may be torn.
pub fn is_damaged(text: &str) -> bool {
    let whole = text.rfind('\n').map_or("", |end| text.get(..end).unwrap_or_default());
    whole.lines().any(|line| serde_json::from_str::<Line>(line).is_err())
}

/// The day of a time, in days since 1970.
pub fn day_of(micros: i64) -> i64 {
    micros.div_euclid(DAY)
}

/// The name of the index of a day.
pub fn day_name(day: i64) -> String {
    let time = jiff::Timestamp::from_microsecond(day.saturating_mul(DAY)).unwrap_or_default();
    format!("{}.idx", jiff::tz::Offset::UTC.to_datetime(time).date())
}

/// The day whose index has this name.
pub fn day_of_name(name: &str) -> Option<i64> {
    let date: jiff::civil::Date = name.strip_suffix(".idx")?.parse().ok()?;
    let time = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    Some(day_of(time.as_microsecond()))
}

/// When the next file begins: at the next multiple of `every` (in microseconds) since midnight in UTC, and at midnight.
pub fn next_boundary(now: i64, every: i64) -> i64 {
    let (day, time) = (now.div_euclid(DAY), now.rem_euclid(DAY));
    let every = every.max(1);
    let next = (time / every + 1).saturating_mul(every).min(DAY);
    day.saturating_mul(DAY).saturating_add(next)
}

/// For the tests of this and others.
#[cfg(test)]
pub mod testing {
    use super::Entry;

    /// A file of H.264 in MP4 that is being written; of this span, in microseconds since 1970.
    pub fn entry(sequence: u64, from: i64, to: i64) -> Entry {
        Entry {
            sequence,
            path: format!("cam/{sequence}.mp4"),
            from,
            to,
            bytes: 0,
            codecs: "avc1".to_owned(),
            run: 7,
            media: 0,
            ended: None,
            protected: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_tell_what_is_there() {
        let close = Line::Close { sequence: 1, to: 20, bytes: 99, ended: "cut".to_owned() };
        let lines = [
            Line::Open(testing::entry(1, 10, 10)),
            close,
            Line::Open(testing::entry(2, 10, 10)),
            Line::Open(testing::entry(3, 10, 10)),
            Line::Protect { sequence: 3, on: true },
            Line::Delete { sequence: 2 },
        ];
        let mut text: String = lines.iter().map(Line::text).collect();
        text.push_str("{\"Open\":{\"sequence\":4,\"pa");
        let found = entries(&text);
        assert!(!is_damaged(&text) && is_damaged(&format!("{text}\n")) && !is_damaged(""));
        let first = Entry { to: 20, bytes: 99, ended: Some("cut".to_owned()), ..testing::entry(1, 10, 10) };
        let third = Entry { protected: true, ..testing::entry(3, 10, 10) };
        assert_eq!(found.into_values().collect::<Vec<_>>(), [first, third]);
    }

    #[test]
    fn days_have_names_that_sort() {
        assert_eq!((day_name(0), day_name(20_785)), ("1970-01-01.idx".to_owned(), "2026-11-28.idx".to_owned()));
        assert_eq!((day_of_name("2026-11-28.idx"), day_of_name("keep.json")), (Some(20_785), None));
    }

    #[test]
    fn files_begin_on_the_clock() {
        const HOUR: i64 = 3_600_000_000;
        let check = |now, every, expect| assert_eq!(next_boundary(now, every), expect);
        check(0, HOUR, HOUR);
        check(HOUR - 1, HOUR, HOUR);
        check(HOUR, HOUR, 2 * HOUR);
        check(23 * HOUR, 7 * HOUR, 24 * HOUR);
        check(25 * HOUR, 7 * HOUR, 31 * HOUR);
        check(5, 24 * HOUR, 24 * HOUR);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in ".{0,200}", now: i64, every: i64) {
            entries(&text);
            next_boundary(now, every);
        }
    }
}
