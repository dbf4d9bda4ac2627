//! Values for people: short, with units. Pure.

use serde_yaml::Value;

/// A value for people; the end of its name tells the unit.
pub fn readable(name: &str, value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::Bool(flag) => if *flag { "yes" } else { "no" }.to_owned(),
        Value::Number(number) => with_unit(name, number.as_f64().unwrap_or_default()),
        Value::String(text) if is_time(name) => time(text),
        Value::String(text) => text.clone(),
        Value::Sequence(items) if items.is_empty() => "–".to_owned(),
        Value::Sequence(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Mapping(_) | Value::Tagged(_) => plain(value),
    }
}

/// The value for programs: as in the JSON, lists with one item per line.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Sequence(items) => items.iter().map(plain).collect::<Vec<_>>().join("\n"),
        Value::Mapping(_) | Value::Tagged(_) => String::new(),
    }
}

/// The label of a value.
pub fn label(name: &str) -> String {
    let name = match name {
        "readers" => "viewers now",
        "readers_ever" => "viewers so far",
        "reduced_readers" => "viewers of keyframes only",
        "dropped_readers" => "viewers dropped",
        // Nothing is wrong with the stream: a viewer whose connection is slow skips to what is newer.
        "gaps" => "skips of slow viewers",
        "lost_packets" => "packets skipped for them",
        "reductions" => "slowed to keyframes",
        "worker_pid" | "pid" => "process",
        "idle_seconds" => "silent for",
        "gop_seconds" => "between join points",
        "sample_rate" => "rate",
        "latency" => "latency of the server",
        "capture_latency" => "from capture to packet",
        "first_bytes" => "first bytes after",
        name => name,
    };
    let words = name.trim_end_matches("_seconds").replace('_', " ");
    let mut letters = words.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn is_time(name: &str) -> bool {
    ["time", "since", "started", "loaded"].iter().any(|end| name.ends_with(end))
}

/// `2026-01-02T03:04:05.678Z` → `2026-01-02 03:04:05 UTC`.
fn time(text: &str) -> String {
    let seconds = text.split('.').next().unwrap_or_default();
    format!("{} UTC", seconds.trim_end_matches('Z').replace('T', " "))
}

fn with_unit(name: &str, number: f64) -> String {
    if name.ends_with("_seconds") {
        duration(number)
    } else if name.starts_with("bytes") {
        scaled(number, &["B", "kB", "MB", "GB", "TB", "PB"])
    } else if name.starts_with("bit_rate") {
        scaled(number, &["bit/s", "kbit/s", "Mbit/s", "Gbit/s"])
    } else {
        number.to_string()
    }
}

fn scaled(mut number: f64, units: &[&str]) -> String {
    let mut units = units.iter();
    let mut unit = units.next();
    while number >= 1000.0
        && let Some(larger) = units.next()
    {
        number /= 1000.0;
        unit = Some(larger);
    }
    let unit = unit.copied().unwrap_or_default();
    if number < 10.0 && number.fract() != 0.0 { format!("{number:.1} {unit}") } else { format!("{number:.0} {unit}") }
}

fn duration(seconds: f64) -> String {
    if seconds > 0.0 && seconds < 0.1 {
        let millis = seconds * 1000.0;
        return if millis < 10.0 {
            format!("{} ms", (millis * 100.0).round() / 100.0)
        } else {
            format!("{millis:.0} ms")
        };
    }
    if seconds < 60.0 {
        return format!("{} s", (seconds * 100.0).round() / 100.0);
    }
    // Below 2^53 whole seconds are exact.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and far below the limit")]
    let whole = seconds as u64;
    let (days, hours, minutes) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes} min {} s", whole % 60),
        (0, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, value: impl Into<Value>, expect: &str) {
        assert_eq!(readable(name, &value.into()), expect, "{name}");
    }

    #[test]
    fn values_have_their_units() {
        check("packets", 1_234_567, "1234567");
        check("bytes_out", 999, "999 B");
        check("bytes_in", 1_500, "1.5 kB");
        check("bytes", 12_345_678_u64, "12 MB");
        check("bit_rate", 2_000_000, "2 Mbit/s");
        check("bit_rate_in", 0, "0 bit/s");
        check("gop_seconds", 0.48, "0.48 s");
        check("p50_seconds", 0.000_31, "0.31 ms");
        check("p99_seconds", 0.0012, "1.2 ms");
        check("max_seconds", 0.0456, "46 ms");
        check("idle_seconds", 0.0, "0 s");
        check("uptime_seconds", 61, "1 min 1 s");
        check("uptime_seconds", 7_260, "2 h 1 min");
        check("uptime_seconds", 200_000, "2 d 7 h");
        check("fps", 29.97, "29.97");
        check("since", "2026-01-02T03:04:05.678Z", "2026-01-02 03:04:05 UTC");
        check("resurrect", true, "yes");
        check("last_error", Value::Null, "–");
        check("source", "2026.1", "2026.1");
        assert_eq!((label("uptime_seconds"), label("worker_pid")), ("Uptime".to_owned(), "Process".to_owned()));
    }
}
