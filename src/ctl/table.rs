//! Tables that fit a terminal. Pure, but for its width.

use jiff::Timestamp;
use serde_json::Value;
use std::fmt::Write as _;

/// Between two columns.
const GAP: usize = 2;
/// Narrowest column that is cut.
const NARROWEST: usize = 6;

/// One column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    /// Its head.
    pub(super) title: &'static str,
    /// What an item has there.
    pub(super) value: fn(&Value) -> String,
}

/// The width of the terminal; none where the output is none.
pub(super) fn width() -> Option<usize> {
    let stdout = rustix::stdio::stdout();
    rustix::termios::tcgetwinsize(stdout).ok().map(|size| usize::from(size.ws_col)).filter(|width| *width > 0)
}

/// A table of these items, at most `width` wide: the widest columns are cut.
pub(super) fn table(columns: &[Column], items: &[Value], width: Option<usize>) -> String {
    let head: Vec<_> = columns.iter().map(|column| column.title.to_owned()).collect();
    let rows = items.iter().map(|item| columns.iter().map(|column| (column.value)(item)).collect::<Vec<_>>());
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    let mut widths: Vec<_> =
        (0..columns.len()).map(|at| rows.iter().map(|row| length(row, at)).max().unwrap_or(0)).collect();
    let room = width.unwrap_or(usize::MAX).saturating_sub(GAP * columns.len().saturating_sub(1));
    while widths.iter().sum::<usize>() > room {
        let Some(widest) = widths.iter_mut().max().filter(|widest| **widest > NARROWEST) else { break };
        *widest -= 1;
    }
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{:width$}", cut(cell, *width)));
        let line = cells.collect::<Vec<_>>().join(&" ".repeat(GAP));
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn length(row: &[String], at: usize) -> usize {
    row.get(at).map_or(0, |cell| cell.chars().count())
}

fn cut(cell: &str, width: usize) -> String {
    if cell.chars().count() <= width {
        return cell.to_owned();
    }
    let mut cut: String = cell.chars().take(width.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// One entry, a line for each field.
pub(super) fn entry(value: &Value) -> String {
    let mut text = String::new();
    fields(&mut text, "", value);
    text
}

fn fields(text: &mut String, name: &str, value: &Value) {
    let below = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
    match value {
        Value::Object(entries) => entries.iter().for_each(|(key, value)| fields(text, &below(key), value)),
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            items.iter().enumerate().for_each(|(at, item)| fields(text, &below(&at.to_string()), item));
        }
        Value::Null => {}
        other => {
            let _ = writeln!(text, "{name}: {}", self::text(other));
        }
    }
}

/// A value on one line. What a server says must not move the cursor of a terminal.
pub(super) fn text(value: &Value) -> String {
    let shown = match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    };
    shown.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A field of an answer; `null` where it is missing.
pub(super) fn field<'a>(value: &'a Value, name: &str) -> &'a Value {
    value.get(name).unwrap_or(&Value::Null)
}

/// Bits a second.
pub(super) fn rate(value: &Value) -> String {
    let Some(bits) = value.as_f64() else { return text(value) };
    scaled(bits, 1000.0, &["bit/s", "kbit/s", "Mbit/s", "Gbit/s"])
}

/// Bytes.
pub(super) fn size(value: &Value) -> String {
    let Some(bytes) = value.as_f64() else { return text(value) };
    scaled(bytes, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB"])
}

fn scaled(mut number: f64, step: f64, units: &[&str]) -> String {
    let mut units = units.iter();
    let mut unit = units.next().copied().unwrap_or_default();
    let first = unit;
    while number >= step {
        let Some(next) = units.next() else { break };
        (number, unit) = (number / step, next);
    }
    if unit == first || number >= 100.0 { format!("{number:.0} {unit}") } else { format!("{number:.1} {unit}") }
}

/// How long ago a time is.
pub(super) fn duration(value: &Value) -> String {
    let Some(since) = value.as_str().and_then(|since| since.parse::<Timestamp>().ok()) else { return text(value) };
    seconds(Timestamp::now().as_second().saturating_sub(since.as_second()).max(0))
}

/// How long a number of seconds is.
pub(super) fn span(value: &Value) -> String {
    value.as_i64().map_or_else(|| text(value), seconds)
}

fn seconds(seconds: i64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const COLUMNS: &[Column] = &[
        Column { title: "NAME", value: |item| text(&item["name"]) },
        Column { title: "ERROR", value: |item| text(&item["error"]) },
    ];

    #[test]
    fn a_table_fits() {
        let items = [json!({"name": "cam0", "error": "exited with code 3"}), json!({"name": "a"})];
        let expect = "NAME  ERROR\ncam0  exited with code 3\na     -\n";
        assert_eq!(table(COLUMNS, &items, None), expect);
        let narrow = table(COLUMNS, &items, Some(16));
        assert_eq!(narrow, "NAME  ERROR\ncam0  exited wi…\na     -\n");
        assert!(narrow.lines().all(|line| line.chars().count() <= 16));
        assert_eq!(table(COLUMNS, &[], Some(3)), "NAME  ERROR\n");
    }

    #[test]
    fn values_are_for_people() {
        assert_eq!(rate(&json!(4_100_000)), "4.1 Mbit/s");
        assert_eq!(
            (size(&json!(512)), size(&json!(10_485_760)), size(&Value::Null)),
            ("512 B".into(), "10.0 MiB".into(), "-".into())
        );
        assert_eq!([0, 59, 60, 3661, 400_000].map(seconds), ["0 s", "59 s", "1 min", "1 h 1 min", "4 d"]);
        assert_eq!(text(&json!(["a", "b"])), "a,b");
        assert_eq!(text(&json!("a\u{1b}[31m\nb")), "a [31m b");
        let value =
            json!({"name": "a", "none": null, "tracks": [{"kind": "video"}], "feeds": ["x"], "life": {"starts": 1}});
        assert_eq!(entry(&value), "name: a\ntracks.0.kind: video\nfeeds: x\nlife.starts: 1\n");
    }
}
