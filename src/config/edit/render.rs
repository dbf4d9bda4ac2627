//! Values as YAML, in the style of a person: maps in block style, short lists on one line, scalars plain where they can be.

use super::super::yaml;
use serde_yaml::{Mapping, Value};
use std::fmt::Write as _;

/// Spaces that a level is indented by.
const STEP: usize = 2;
/// Longest list, in characters, that is written on one line.
const LINE: usize = 100;

/// A value after `key:`: on its line, or as lines below it.
pub(super) enum Rendered {
    /// Without blanks around it; empty for no value.
    Inline(String),
    /// Lines that end with a line feed, all indented.
    Block(String),
    /// The head of a block scalar, `|`, and its lines.
    Literal(&'static str, String),
}

/// A value below a key that is indented by `indent` spaces.
pub(super) fn value(value: &Value, indent: usize) -> Rendered {
    match value {
        Value::Mapping(entries) if !entries.is_empty() => Rendered::Block(map(entries, indent + STEP)),
        Value::Sequence(items) if !items.is_empty() => {
            let line = flow(value);
            let is_flat = items.iter().all(|item| !matches!(item, Value::Mapping(_) | Value::Sequence(_)));
            if is_flat && line.chars().count() <= LINE {
                Rendered::Inline(line)
            } else {
                Rendered::Block(list(items, indent + STEP))
            }
        }
        Value::String(text) if text.trim_end_matches('\n').contains('\n') => literal(text, indent + STEP),
        Value::Null => Rendered::Inline(String::new()),
        scalar => Rendered::Inline(flow(scalar)),
    }
}

/// An entry with its line ends.
pub(super) fn entry(key: &str, inner: &Value, indent: usize) -> String {
    let key = format!("{:indent$}{}", "", self::key(key));
    match value(inner, indent) {
        Rendered::Inline(text) if text.is_empty() => format!("{key}:\n"),
        Rendered::Inline(text) => format!("{key}: {text}\n"),
        Rendered::Block(lines) => format!("{key}:\n{lines}"),
        Rendered::Literal(head, lines) => format!("{key}: {head}\n{lines}"),
    }
}

fn map(entries: &Mapping, indent: usize) -> String {
    entries.iter().map(|(key, value)| entry(key.as_str().unwrap_or_default(), value, indent)).collect()
}

fn list(items: &[Value], indent: usize) -> String {
    let item = |item: &Value| match item {
        Value::Mapping(entries) if !entries.is_empty() => {
            let lines = map(entries, indent + STEP);
            // The first entry stands after the dash.
            format!("{:indent$}- {}", "", lines.trim_start())
        }
        other => format!("{:indent$}- {}\n", "", flow(other)),
    };
    items.iter().map(item).collect()
}

/// Text of several lines, without quotes; quoted where that would change it.
fn literal(text: &str, indent: usize) -> Rendered {
    let (head, body) = match text.strip_suffix('\n') {
        Some(body) => ("|", body),
        None => ("|-", text),
    };
    let is_plain = |line: &str| !line.ends_with([' ', '\t']) && line.chars().all(|c| c == '\t' || !c.is_control());
    let begins_well = !body.starts_with([' ', '\n', '\t']) && !body.ends_with('\n');
    if !begins_well || !body.split('\n').all(is_plain) {
        return Rendered::Inline(quoted(text));
    }
    let line = |line: &str| if line.is_empty() { "\n".to_owned() } else { format!("{:indent$}{line}\n", "") };
    Rendered::Literal(head, body.split('\n').map(line).collect())
}

/// A value on one line.
pub(super) fn flow(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::String(text) => scalar(text),
        Value::Sequence(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Mapping(entries) => {
            let entry = |(key, value): (&Value, &Value)| {
                format!("{}: {}", self::key(key.as_str().unwrap_or_default()), flow(value))
            };
            format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::Tagged(tagged) => flow(&tagged.value),
    }
}

/// A text that reads as the same text, also inside of `[]` and `{}`.
fn scalar(text: &str) -> String {
    let reads = |written: &str| {
        let list = yaml::parse(&format!("[{written}]")).map(|parsed| parsed.tree);
        list.is_ok_and(|list| list == Value::Sequence(vec![Value::String(text.to_owned())]))
    };
    let is_line = !text.contains(char::is_control) && !text.is_empty();
    if is_line && reads(text) { text.to_owned() } else { quoted(text) }
}

/// A key that reads as the same text.
fn key(text: &str) -> String {
    let reads = |written: &str| {
        let map = yaml::parse(&format!("{{{written}: x}}")).map(|parsed| parsed.tree);
        map.is_ok_and(|map| map.as_mapping().is_some_and(|map| map.len() == 1 && map.contains_key(text)))
    };
    let is_line = !text.contains(char::is_control) && !text.is_empty();
    if is_line && reads(text) { text.to_owned() } else { quoted(text) }
}

/// In double quotes (YAML 1.2, section 7.3.1).
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            '\u{7f}'..='\u{a0}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c if c < ' ' => {
                let _ = write!(quoted, "\\x{:02x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
