//! The format of log lines. Pure.
//!
//! As text: `YYYY-mm-dd hh:mm:ss.sss LEVEL message key=value …`. Lines of a message of several lines (a backtrace) each
//! begin with the time, so that every line of the log can be sorted and cut by it. As JSON: one object a line. No
//! value can forge a line or colour a terminal.

use jiff::Zoned;
use serde_json::Value;
use std::fmt::{self, Write};
use tracing::{
    Level,
    field::{Field, Visit},
};

/// The log format.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line, for programs.
    Json,
}

/// The message and the fields of an event or span.
#[derive(Debug, Default)]
pub struct LogRecord {
    message: String,
    fields: Vec<(&'static str, Value)>,
}

impl LogRecord {
    /// Adds the fields of a surrounding span; own fields of the same name win.
    pub fn inherit(&mut self, span: &Self) {
        for (name, value) in &span.fields {
            if !self.fields.iter().any(|(own, _)| own == name) {
                self.fields.push((name, value.clone()));
            }
        }
    }

    /// The line, or lines, with the final newline.
    pub fn line(&self, format: Format, time: &Zoned, level: Level) -> String {
        let mut line = String::new();
        // Writing to a string cannot fail.
        let _ = match format {
            Format::Text => self.text(&mut line, &time.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string(), level),
            Format::Json => self.json(&mut line, &format!("{:.3}", time.timestamp()), level),
        };
        line
    }

    fn text(&self, out: &mut String, time: &str, level: Level) -> fmt::Result {
        let mut lines = self.message.lines();
        write!(out, "{time} {level} {}", Sanitized(lines.next().unwrap_or_default()))?;
        for (name, value) in &self.fields {
            match value {
                Value::String(text) if is_one_word(text) => write!(out, " {name}={}", Sanitized(text))?,
                Value::String(text) => write!(out, " {name}={}", Sanitized(&format!("{text:?}")))?,
                value => write!(out, " {name}={value}")?,
            }
        }
        out.push('\n');
        lines.try_for_each(|line| writeln!(out, "{time}   {}", Sanitized(line)))
    }

    fn json(&self, out: &mut String, time: &str, level: Level) -> fmt::Result {
        let level = level.as_str().to_ascii_lowercase();
        let string = |text: &str| Escaped(Value::from(text).to_string());
        write!(out, r#"{{"time":"{time}","level":"{level}","message":{}"#, string(&self.message))?;
        for (name, value) in &self.fields {
            write!(out, ",{}:{}", string(name), Escaped(value.to_string()))?;
        }
        out.write_str("}\n")
    }

    fn add(&mut self, field: &Field, value: impl Into<Value>) {
        self.fields.push((field.name(), value.into()));
    }
}

impl Visit for LogRecord {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message.push_str(value);
        } else {
            self.add(field, value);
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // `%value` and the message arrive here too: their Debug is their Display.
        self.record_str(field, &format!("{value:?}"));
    }
}

fn is_one_word(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c == '"' || c == '=')
}

/// Text without control characters.
struct Sanitized<'a>(&'a str);

impl fmt::Display for Sanitized<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '\t' => f.write_str(" "),
            c if c.is_control() => write!(f, "{}", c.escape_default()),
            c => f.write_char(c),
        })
    }
}

/// JSON with the control characters escaped that JSON allows in strings, and the two line separators of Unicode. Outside of
/// strings there are none.
struct Escaped(String);

impl fmt::Display for Escaped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => write!(f, "\\u{:04x}", u32::from(c)),
            c => f.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(message: &str, fields: &[(&'static str, Value)]) -> LogRecord {
        LogRecord { message: message.to_owned(), fields: fields.to_vec() }
    }

    fn line(record: &LogRecord, format: Format) -> String {
        let time = "2026-01-02T03:04:05.6789+01:00[+01:00]".parse().unwrap();
        record.line(format, &time, Level::ERROR)
    }

    #[test]
    fn every_line_starts_with_the_time_and_none_can_be_forged() {
        let evil = record("panic\nat\x1b[31m here", &[("path", "/a\r".into()), ("why", "a b".into()), ("n", 3.into())]);
        let time = "2026-01-02 03:04:05.678";
        let expected = format!("{time} ERROR panic path=\"/a\\r\" why=\"a b\" n=3\n{time}   at\\u{{1b}}[31m here\n");
        assert_eq!(line(&evil, Format::Text), expected);
    }

    #[test]
    fn a_line_of_json_is_one_object_with_all_fields() {
        let text = "a\n\"b\"\u{1b}\u{7f}\u{9b}\u{2028}<b>é";
        let line = line(&record(text, &[("why", text.into()), ("n", 3.into()), ("f", 0.5.into())]), Format::Json);
        assert!(line.starts_with(r#"{"time":"2026-01-02T02:04:05.678Z","level":"error","message":"a\n"#), "{line}");
        assert_eq!(line.find(|c: char| c.is_control() || c == '\u{2028}'), Some(line.len() - 1), "{line:?}");
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&value["message"], &value["why"]), (&text.into(), &text.into()));
        assert_eq!((&value["n"], &value["f"]), (&3.into(), &0.5.into()));
    }

    #[test]
    fn an_event_keeps_its_own_fields_in_a_span() {
        let mut event = record("m", &[("id", "own".into())]);
        event.inherit(&record("", &[("id", "outer".into()), ("more", 1.into())]));
        assert!(line(&event, Format::Text).ends_with(" m id=own more=1\n"));
    }
}
