//! Sets up logging. A writer thread owns standard error or the file: a thread that logs never waits for a blocked terminal or a
//! slow disk.

use super::{
    FailureLog, Report,
    file::{LogFile, Reopen},
    format::{Format, LogRecord},
};
use jiff::Zoned;
use std::{
    collections::HashMap,
    io::{self, Write},
    panic,
    path::Path,
    sync::{Mutex, PoisonError},
    time::Instant,
};
use tracing::{Event, Subscriber, span};
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    EnvFilter, Layer,
    layer::{Context, SubscriberExt},
    registry::{LookupSpan, Registry},
};

/// Lines that may wait for the writer thread; more are dropped, never waited for.
const WAITING_LINES: usize = 8192;

/// The log. Writes the queued lines when dropped.
#[derive(Debug)]
pub struct LogGuard {
    reopen: Reopen,
    _writer: WorkerGuard,
}

impl LogGuard {
    /// Reopens its file.
    pub fn reopener(&self) -> Reopen {
        self.reopen.clone()
    }
}

/// Installs the log and the panic hook. `verbosity` 0 is `info`, 1 `debug`, more `trace`; the environment variable
/// `VOYANDZ_LOG` (directives as in `info,voyandz::feed=debug`) takes precedence. Without a `file` the log goes to standard
/// error.
///
/// # Errors
/// When the file cannot be opened.
pub fn init(verbosity: u8, format: Format, file: Option<&Path>) -> io::Result<LogGuard> {
    let level = match verbosity {
        0 => "info",
        1 => "info,voyandz=debug",
        _ => "info,voyandz=trace",
    };
    let filter = EnvFilter::try_from_env("VOYANDZ_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let reopen = Reopen::default();
    let builder = NonBlockingBuilder::default().buffered_lines_limit(WAITING_LINES);
    let (writer, guard) = match file {
        Some(path) => builder.finish(LogFile::open(path, reopen.clone())?),
        None => builder.finish(io::stderr()),
    };
    // Fails only when a subscriber is installed already, which then serves as well.
    let _ = tracing::subscriber::set_global_default(Registry::default().with(filter).with(Lines { format, writer }));
    let panics = Panics::default();
    panic::set_hook(Box::new(move |info| panics.report(info)));
    Ok(LogGuard { reopen, _writer: guard })
}

/// Panics by source location: the first one of each location is logged with its backtrace, others are counted.
#[derive(Default)]
struct Panics(Mutex<HashMap<String, FailureLog>>);

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
            Some(Report::Again(times)) => tracing::error!(location = place, times, "panicked repeatedly"),
            None => {}
        }
    }
}

/// Formats each event with the fields of the spans around it.
struct Lines {
    format: Format,
    writer: NonBlocking,
}

impl<S> Layer<S> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        let mut record = LogRecord::default();
        attributes.record(&mut record);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(record);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut record = LogRecord::default();
        event.record(&mut record);
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(span) = span.extensions().get::<LogRecord>() {
                record.inherit(span);
            }
        }
        let line = record.line(self.format, &Zoned::now(), *event.metadata().level());
        // The queue takes the line or drops it.
        let _ = self.writer.clone().write_all(line.as_bytes());
    }
}
