//! The names of files of recordings, as a pattern. A name never leaves the folder that it is in.

use jiff::Timestamp;
use std::fmt;

/// A path below a folder, without the extension, with placeholders in braces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePattern(Vec<Part>);

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
}

impl Field {
    const ALL: [(&'static str, Self); 12] = [
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
        Self(vec![stream, text("/"), date, text("/"), time, text("-"), field(Field::Sequence)])
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
        if parts.iter().any(varies) { Ok(Self(parts)) } else { Err(PatternError::Constant) }
    }

    /// The path of a file that begins at `begin`, in microseconds since 1970: in UTC, without an extension.
    pub fn path(&self, stream: &str, begin: i64, sequence: u64) -> String {
        let time = Timestamp::from_microsecond(begin).unwrap_or_default();
        let date = jiff::tz::Offset::UTC.to_datetime(time);
        let mut out = String::new();
        for part in &self.0 {
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
                Field::Time => format!("{hour:02}{minute:02}{second:02}.{millis:03}Z"),
                Field::Year => format!("{year:04}"),
                Field::Month => format!("{month:02}"),
                Field::Day => format!("{day:02}"),
                Field::Hour => format!("{hour:02}"),
                Field::Minute => format!("{minute:02}"),
                Field::Second => format!("{second:02}"),
                Field::Millisecond => format!("{millis:03}"),
                Field::Unix => begin.div_euclid(1_000_000).to_string(),
                Field::Sequence => format!("{sequence:07}"),
            });
        }
        out
    }
}

impl fmt::Display for FilePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
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
