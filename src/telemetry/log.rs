//! One form for every line of the log: `YYYY-mm-dd hh:mm:ss.sss LEVEL message key=value …`.
//!
//! Lines of a text of several lines (a backtrace) each begin with the time, so that every line of the log can be
//! sorted and cut by it. A writer thread owns standard error: whoever logs never waits for a blocked terminal.

use super::{Repeats, Report};
use std::{
    collections::HashMap,
    fmt, panic,
    sync::{Mutex, PoisonError},
    time::Instant,
};
use tracing::{Event, Level, Subscriber, field::Field, field::Visit};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    EnvFilter,
    fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields, format::Writer},
    registry::LookupSpan,
};

/// Lines that may wait for the writer thread; more are dropped, never waited for.
const WAITING_LINES: usize = 8192;

/// Writes out what is waiting when dropped.
#[derive(Debug)]
pub struct LogGuard(#[allow(dead_code, reason = "held for its drop")] WorkerGuard);

/// Installs the log and the panic hook. `verbosity` 0 is `info`, 1 `debug`, more `trace`; the environment variable
/// `VOYANDZ_LOG` (directives as in `info,voyandz::feed=debug`) takes precedence.
pub fn init(verbosity: u8) -> LogGuard {
    let level = match verbosity {
        0 => "info",
        1 => "info,voyandz=debug",
        _ => "info,voyandz=trace",
    };
    let filter = EnvFilter::try_from_env("VOYANDZ_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let (writer, guard) = NonBlockingBuilder::default().buffered_lines_limit(WAITING_LINES).finish(std::io::stderr());
    let subscriber = tracing_subscriber::fmt().event_format(Lines).with_env_filter(filter).with_writer(writer).finish();
    // Fails only when a subscriber is there already, which then serves as well.
    let _ = tracing::subscriber::set_global_default(subscriber);
    let panics = Panics::default();
    panic::set_hook(Box::new(move |info| panics.report(info)));
    LogGuard(guard)
}

/// Panics by the place they come from: each place has its backtrace logged once, and is counted from then on.
#[derive(Default)]
struct Panics(Mutex<HashMap<String, Repeats>>);

impl Panics {
    fn report(&self, info: &panic::PanicHookInfo<'_>) {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let report = places.entry(place.clone()).or_default().failed(Instant::now());
        // The log itself must not run under the lock.
        drop(places);
        match report {
            Some(Report::First) => {
                let backtrace = std::backtrace::Backtrace::force_capture();
                let thread = std::thread::current();
                tracing::error!("panic in thread {}: {info}\n{backtrace}", thread.name().unwrap_or("unnamed"));
            }
            Some(Report::Again(times)) => tracing::error!(place, times, "panics again and again"),
            None => {}
        }
    }
}

struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut text = Text::default();
        event.record(&mut text);
        for span in context.event_scope().into_iter().flatten() {
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>() {
                text.fields.push(' ');
                text.fields.push_str(fields);
            }
        }
        let time = jiff::Zoned::now().strftime("%Y-%m-%d %H:%M:%S%.3f").to_string();
        text.write(&mut writer, &time, *event.metadata().level())
    }
}

/// The message and the fields of one event.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Text {
    fn write(&self, writer: &mut impl fmt::Write, time: &str, level: Level) -> fmt::Result {
        let mut lines = self.message.lines();
        writeln!(writer, "{time} {level} {}{}", Clean(lines.next().unwrap_or_default()), Clean(&self.fields))?;
        lines.try_for_each(|line| writeln!(writer, "{time}   {}", Clean(line)))
    }
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message.push_str(value);
        } else if value.is_empty() || value.contains(|c: char| c.is_whitespace() || c == '"' || c == '=') {
            self.fields.push_str(&format!(" {}={value:?}", field.name()));
        } else {
            self.fields.push_str(&format!(" {}={value}", field.name()));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // `%value` and the message arrive here too: their Debug is their Display.
        self.record_str(field, &format!("{value:?}"));
    }
}

/// Text without control characters, which could forge lines or colour a terminal.
struct Clean<'a>(&'a str);

impl fmt::Display for Clean<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '\t' => f.write_str(" "),
            c if c.is_control() => write!(f, "{}", c.escape_default()),
            c => fmt::Write::write_char(f, c),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_begins_with_the_time_and_none_can_be_forged() {
        let text = Text { message: "panic\nat\x1b[31m here".to_owned(), fields: " path=/a\r".to_owned() };
        let mut out = String::new();
        text.write(&mut out, "T", Level::ERROR).unwrap();
        assert_eq!(out, "T ERROR panic path=/a\\r\nT   at\\u{1b}[31m here\n");
    }
}
