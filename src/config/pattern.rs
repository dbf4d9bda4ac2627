//! The names of files of recordings, as a pattern. A name never leaves the folder that it is in.

mod read;

pub use read::FileName;

use jiff::{
    Timestamp,
    tz::{Offset, TimeZone},
};
use std::fmt;

/// A path below a folder, without the extension, with placeholders in braces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePattern {
    parts: Vec<Part>,
    zone: Zone,
}

/// Whose time names have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Zone {
    /// That of all.
    #[default]
    Utc,
    /// That of the machine.
    Local,
}

impl Zone {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Utc, Self::Local];

    /// As the configuration names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Utc => "utc",
            Self::Local => "local",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(Field),
}

/// What a placeholder stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Stream,
    Date,
    Time,
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    Millisecond,
    Offset,
    Unix,
    Sequence,
}

/// Why a text is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// The placeholders.
    #[error("one of the placeholders {}", placeholders())]
    Placeholder,
    /// It may leave the folder, or hide in it.
    #[error(
        "a path below the folder like `{{stream}}/{{date}}/{{time}}-{{sequence}}`: without empty parts, parts that begin with a dot, control characters and backslashes, and below 200 bytes"
    )]
    Path,
    /// All files would have one name.
    #[error("`{{sequence}}`, `{{time}}` or `{{unix}}` in it, or all files would have one name")]
    Constant,
    /// An hour of a year is there twice in local time.
    #[error("`{{time}}` or `{{offset}}` in it, with `zone: local`: an hour of the year is there twice")]
    Ambiguous,
}

impl Field {
    const ALL: [(&'static str, Self); 13] = [
        ("stream", Self::Stream),
        ("date", Self::Date),
        ("time", Self::Time),
        ("year", Self::Year),
        ("month", Self::Month),
        ("day", Self::Day),
        ("hour", Self::Hour),
        ("minute", Self::Minute),
        ("second", Self::Second),
        ("ms", Self::Millisecond),
        ("offset", Self::Offset),
        ("unix", Self::Unix),
        ("sequence", Self::Sequence),
    ];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, field)| *field == self).map_or("", |(name, _)| name)
    }
}

fn placeholders() -> String {
    Field::ALL.map(|(name, _)| format!("{{{name}}}")).join(", ")
}

impl Default for FilePattern {
    fn default() -> Self {
        let (text, field) = (|text: &str| Part::Text(text.to_owned()), Part::Field);
        let (stream, date, time) = (field(Field::Stream), field(Field::Date), field(Field::Time));
        let parts = vec![stream, text("/"), date, text("/"), time, text("-"), field(Field::Sequence)];
        Self { parts, zone: Zone::Utc }
    }
}

impl FilePattern {
    /// Longest pattern in bytes.
    const MAX: usize = 200;

    /// Reads a pattern.
    ///
    /// # Errors
    /// What was expected.
    pub fn new(text: &str) -> Result<Self, PatternError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or(PatternError::Placeholder)?;
            let field = Field::ALL.iter().find(|(known, _)| *known == name);
            let (_, field) = field.ok_or(PatternError::Placeholder)?;
            parts.extend((!before.is_empty()).then(|| Part::Text(before.to_owned())));
            parts.push(Part::Field(*field));
            rest = after;
        }
        parts.extend((!rest.is_empty()).then(|| Part::Text(rest.to_owned())));
        let is_good = |name: &str| {
            !name.is_empty()
                && !name.starts_with('.')
                && !name.chars().any(|c| c.is_control() || matches!(c, '\\' | '}'))
        };
        // Values of placeholders are names and digits: with a letter for each, the path is as good as with any.
        let example: String = parts.iter().map(|part| if let Part::Text(text) = part { text } else { "x" }).collect();
        if text.len() >= Self::MAX || !example.split('/').all(is_good) {
            return Err(PatternError::Path);
        }
        let varies = |part: &Part| matches!(part, Part::Field(Field::Sequence | Field::Time | Field::Unix));
        if parts.iter().any(varies) { Ok(Self { parts, zone: Zone::Utc }) } else { Err(PatternError::Constant) }
    }

    /// The same with the time of a zone.
    ///
    /// # Errors
    /// When names would not say which time they have.
    pub fn in_zone(self, zone: Zone) -> Result<Self, PatternError> {
        let has_date = |part: &Part| {
            matches!(
                part,
                Part::Field(Field::Year | Field::Month | Field::Day | Field::Hour | Field::Minute | Field::Date)
            )
        };
        let has_offset = |part: &Part| matches!(part, Part::Field(Field::Time | Field::Offset));
        let is_ambiguous = self.parts.iter().any(has_date) && !self.parts.iter().any(has_offset);
        if zone == Zone::Local && is_ambiguous { Err(PatternError::Ambiguous) } else { Ok(Self { zone, ..self }) }
    }

    /// Whose time names have.
    pub const fn zone(&self) -> Zone {
        self.zone
    }

    /// The path of a file that begins at `begin`, in microseconds since 1970: without an extension.
    pub fn path(&self, stream: &str, begin: i64, sequence: u64) -> String {
        let time = Timestamp::from_microsecond(begin).unwrap_or_default();
        let offset = match self.zone {
            Zone::Utc => Offset::UTC,
            Zone::Local => TimeZone::system().to_offset(time),
        };
        self.path_at(stream, time, offset, sequence)
    }

    fn path_at(&self, stream: &str, time: Timestamp, offset: Offset, sequence: u64) -> String {
        let date = offset.to_datetime(time);
        let offset = match self.zone {
            Zone::Utc => "Z".to_owned(),
            Zone::Local => {
                let (sign, minutes) = (if offset.is_negative() { '-' } else { '+' }, offset.seconds().abs() / 60);
                format!("{sign}{:02}{:02}", minutes / 60, minutes % 60)
            }
        };
        let mut out = String::new();
        for part in &self.parts {
            let field = match part {
                Part::Text(text) => {
                    out.push_str(text);
                    continue;
                }
                Part::Field(field) => field,
            };
            let millis = date.millisecond();
            let (year, month, day) = (date.year(), date.month(), date.day());
            let (hour, minute, second) = (date.hour(), date.minute(), date.second());
            out.push_str(&match field {
                Field::Stream => stream.to_owned(),
                Field::Date => format!("{year:04}-{month:02}-{day:02}"),
                Field::Time => format!("{hour:02}{minute:02}{second:02}.{millis:03}{offset}"),
                Field::Year => format!("{year:04}"),
                Field::Month => format!("{month:02}"),
                Field::Day => format!("{day:02}"),
                Field::Hour => format!("{hour:02}"),
                Field::Minute => format!("{minute:02}"),
                Field::Second => format!("{second:02}"),
                Field::Millisecond => format!("{millis:03}"),
                Field::Offset => offset.clone(),
                Field::Unix => time.as_microsecond().div_euclid(1_000_000).to_string(),
                Field::Sequence => format!("{sequence:07}"),
            });
        }
        out
    }
}

impl fmt::Display for FilePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Field(field) => write!(f, "{{{}}}", field.name()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn placeholders_are_replaced() {
        // 2026-11-28T08:30:00.250Z
        let begin = 1_795_854_600_250_000;
        let check = |pattern: &str, expect: &str| {
            let pattern = FilePattern::new(pattern).unwrap();
            assert_eq!(pattern.path("yard", begin, 42), expect);
            assert_eq!(FilePattern::new(&pattern.to_string()), Ok(pattern));
        };
        check("{stream}/{date}/{time}-{sequence}", "yard/2026-11-28/083000.250Z-0000042");
        check("{year}/{month}/{day}/{hour}{minute}{second}{ms}-{unix}", "2026/11/28/083000250-1795854600");
        assert_eq!(FilePattern::default().to_string(), "{stream}/{date}/{time}-{sequence}");
    }

    #[test]
    fn local_time_says_how_far_it_is_from_utc() {
        let begin = Timestamp::from_microsecond(1_795_854_600_250_000).unwrap();
        let check = |pattern: &str, hours: i8, expect: &str| {
            let pattern = FilePattern::new(pattern).unwrap().in_zone(Zone::Local).unwrap();
            let found = pattern.path_at("yard", begin, Offset::constant(hours), 42);
            assert_eq!(found, expect);
            let read = pattern.read(&found, Some("yard")).unwrap();
            assert_eq!(read.begin.map(|begin| begin / 1_000_000), Some(begin.as_second()), "{found}");
        };
        check("{stream}/{date}/{time}-{sequence}", 1, "yard/2026-11-28/093000.250+0100-0000042");
        check("{stream}/{date}/{time}-{sequence}", -9, "yard/2026-11-27/233000.250-0900-0000042");
        check("{date} {hour}{minute}{second}{offset} {sequence}", 2, "2026-11-28 103000+0200 0000042");
        let ambiguous = FilePattern::new("{date}/{hour}{minute}-{sequence}").unwrap();
        assert_eq!(ambiguous.clone().in_zone(Zone::Local), Err(PatternError::Ambiguous));
        assert!(ambiguous.in_zone(Zone::Utc).is_ok());
        assert!(FilePattern::new("{sequence}").unwrap().in_zone(Zone::Local).is_ok());
    }

    #[test]
    fn no_pattern_leaves_its_folder() {
        let check = |pattern: &str, expect| assert_eq!(FilePattern::new(pattern), Err(expect), "{pattern}");
        for pattern in
            ["", "/{time}", "../{time}", "a/../{time}", "{time}/", "a//{time}", ".a/{time}", "a\\{time}", "{time}}"]
        {
            check(pattern, PatternError::Path);
        }
        check(&format!("{}{{time}}", "a".repeat(200)), PatternError::Path);
        check("{nothing}", PatternError::Placeholder);
        check("{time", PatternError::Placeholder);
        check("{stream}/{date}", PatternError::Constant);
    }

    proptest! {
        #[test]
        fn every_path_stays_below(pattern in "[a{}./ ]{0,6}(\\{time\\}|\\{sequence\\})[a./]{0,4}", begin: i64, sequence: u64) {
            if let Ok(pattern) = FilePattern::new(&pattern) {
                let path = pattern.path("a b.ts", begin, sequence);
                prop_assert!(path.split('/').all(|part| !part.is_empty() && !part.starts_with('.')), "{}", path);
            }
        }
    }
}
