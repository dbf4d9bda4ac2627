//! The standard error output of programs and workers: to the log, at a bounded rate, and to a bounded file.

use super::{status::Status, unit_id::UnitId};
use crate::telemetry::{FailureLog, Report};
use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    fs::File,
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader},
};

/// Lines a second of one program that reach the log.
const LINES_PER_SECOND: u32 = 50;
/// Lines of one [`SLICE`] that are considered for the log; the others only go to the file.
const LINES_PER_SLICE: u32 = 500;
/// The period in which [`LINES_PER_SLICE`] are counted.
const SLICE: Duration = Duration::from_millis(100);
/// Capacity of a pipe: what a program wrote in one slice is read in one call.
const PIPE: usize = 64 << 10;
/// Longest line; a longer one is cut there.
const LINE_LENGTH: u64 = 1024;
/// A file of this size is renamed to `….1`, which it replaces.
const FILE_SIZE: u64 = 5 << 20;
/// Most bytes of the end of the output that are kept in memory.
const TAIL_SIZE: usize = 8 << 10;
/// Lines that are remembered to recognise a repetition.
const REMEMBERED: usize = 64;
/// A line that was absent for this long is logged again.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// The log of one program over all its runs: a repeated line is not logged again, but counted. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct StderrLog(Arc<Mutex<LineFilter>>);

/// Decides which lines reach the log.
#[derive(Debug, Default)]
struct LineFilter {
    /// Lines without their numbers, and when each was last seen.
    recent: VecDeque<(String, Instant)>,
    repeats: FailureLog,
    /// The second that is counted, and the lines in it.
    second: Option<(Instant, u32)>,
    suppressed: u64,
}

/// What to do with a line.
#[derive(Debug, PartialEq, Eq)]
enum LineAction {
    Log,
    /// Log that this many lines were suppressed so far.
    Summarise(u64),
    Suppress,
}

impl LineFilter {
    fn line(&mut self, line: &str, now: Instant) -> LineAction {
        let pattern = without_numbers(line);
        self.recent.retain(|(_, at)| now.saturating_duration_since(*at) < FORGOTTEN);
        let is_repeated =
            self.recent.iter_mut().find(|(recent, _)| *recent == pattern).map(|(_, at)| *at = now).is_some();
        if !is_repeated {
            self.recent.push_back((pattern, now));
            if self.recent.len() > REMEMBERED {
                self.recent.pop_front();
            }
        }
        let (second, lines) = self.second.get_or_insert((now, 0));
        if now.saturating_duration_since(*second) >= Duration::from_secs(1) {
            (*second, *lines) = (now, 0);
        }
        *lines += 1;
        if !is_repeated && *lines <= LINES_PER_SECOND {
            return LineAction::Log;
        }
        self.suppressed += 1;
        match self.repeats.failed(now) {
            Some(Report::Again(_)) => LineAction::Summarise(self.suppressed),
            _ => LineAction::Suppress,
        }
    }
}

fn without_numbers(line: &str) -> String {
    line.chars().filter(|c| !c.is_ascii_digit()).collect()
}

/// The end of a program's output, without empty lines.
#[derive(Debug, Default)]
pub struct StderrTail(String);

impl StderrTail {
    fn add(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
        while self.0.len() > TAIL_SIZE {
            let end = self.0.find('\n').map_or(self.0.len(), |end| end + 1);
            self.0.drain(..end);
        }
    }

    /// All of it, each line with its line end.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The last line.
    pub fn last_line(&self) -> Option<&str> {
        self.0.lines().next_back()
    }
}

/// Reads the standard error output of one process.
#[derive(Debug)]
pub struct StderrReader {
    /// The unit of a program.
    unit: Option<UnitId>,
    /// The process id of a worker.
    worker: Option<u32>,
    log: StderrLog,
    /// Where each line is reported.
    status: Status,
    /// Where all of it is kept.
    file: Option<PathBuf>,
}

impl StderrReader {
    /// A reader for a run of a unit's program.
    pub fn of_program(unit: UnitId, log: StderrLog, status: Status, file: Option<PathBuf>) -> Self {
        Self { unit: Some(unit), worker: None, log, status, file }
    }

    /// A reader for a worker process.
    pub fn of_worker(pid: u32) -> Self {
        Self { unit: None, worker: Some(pid), log: StderrLog::default(), status: Status::default(), file: None }
    }

    /// Logs the lines of `output` until it ends, and returns the last of them.
    pub async fn read(self, output: impl AsyncRead + Unpin) -> StderrTail {
        let mut output = BufReader::with_capacity(PIPE, output);
        let mut file = KeptFile::open(self.file.clone()).await;
        let (mut line, mut tail) = (Vec::new(), StderrTail::default());
        let (mut slice, mut lines) = (Instant::now(), 0);
        loop {
            if slice.elapsed() >= SLICE {
                (slice, lines) = (Instant::now(), 0);
            }
            lines += 1;
            if lines > LINES_PER_SLICE {
                tokio::time::sleep(SLICE.saturating_sub(slice.elapsed())).await;
                let Ok(flood) = output.fill_buf().await else { return tail };
                // The beginning of a line waits for its end.
                let length = flood.iter().rposition(|byte| *byte == b'\n').map_or(flood.len(), |end| end + 1);
                let (lines, _) = flood.split_at(length);
                file.write(lines).await;
                // Earlier lines would not fit into the tail.
                let (_, lines) = lines.split_at(lines.len().saturating_sub(TAIL_SIZE));
                lines.split(|byte| *byte == b'\n').filter_map(text_of).for_each(|text| tail.add(&text));
                output.consume(length);
                continue;
            }
            line.clear();
            // A program's bytes need not be UTF-8, nor have line ends. Progress lines end in a carriage return.
            match (&mut output).take(LINE_LENGTH).read_until(b'\n', &mut line).await {
                Ok(0) | Err(_) => return tail,
                Ok(_) => {}
            }
            file.write(&line).await;
            let Some(text) = text_of(&line) else { continue };
            tail.add(&text);
            self.status.add_line(&text);
            self.log(&text);
        }
    }

    fn log(&self, line: &str) {
        let (feed, stream) = self.unit.as_ref().map(UnitId::log_fields).unwrap_or_default();
        let worker = self.worker;
        let action = self.log.0.lock().unwrap_or_else(PoisonError::into_inner).line(line, Instant::now());
        match action {
            LineAction::Log => tracing::info!(feed, stream, worker, line, "stderr"),
            LineAction::Summarise(count) => tracing::info!(feed, stream, worker, count, "stderr lines suppressed"),
            LineAction::Suppress => {}
        }
    }
}

/// The text of a line, if any: the part that a terminal shows, as progress is overwritten with carriage returns.
fn text_of(line: &[u8]) -> Option<String> {
    let parts = line.rsplit(|byte| matches!(byte, b'\r' | b'\n'));
    parts.map(|part| String::from_utf8_lossy(part).trim().to_owned()).find(|part| !part.is_empty())
}

/// A file of limited size, or none. Its errors are logged once and have no other effect.
struct KeptFile {
    path: Option<PathBuf>,
    file: Option<File>,
    size: u64,
}

impl KeptFile {
    async fn open(path: Option<PathBuf>) -> Self {
        let mut kept = Self { path, file: None, size: 0 };
        let Some(path) = kept.path.clone() else { return kept };
        match open(&path).await {
            Ok((file, size)) => (kept.file, kept.size) = (Some(file), size),
            Err(error) => tracing::warn!(file = %path.display(), %error, "cannot open file for standard error output"),
        }
        kept
    }

    async fn write(&mut self, line: &[u8]) {
        let (Some(file), Some(path)) = (&mut self.file, &self.path) else { return };
        if self.size > FILE_SIZE {
            let mut old = path.clone().into_os_string();
            old.push(".1");
            let _ = tokio::fs::rename(path, old).await;
            match open(path).await {
                Ok((fresh, size)) => (*file, self.size) = (fresh, size),
                Err(_) => return self.file = None,
            }
        }
        self.size += line.len() as u64;
        if file.write_all(line).await.is_err() || file.flush().await.is_err() {
            self.file = None;
        }
    }
}

async fn open(path: &Path) -> std::io::Result<(File, u64)> {
    let file = File::options().append(true).create(true).open(path).await?;
    let size = file.metadata().await?.len();
    Ok((file, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_exits_a_thousand_times_does_not_fill_the_log() {
        let (mut filter, start) = (LineFilter::default(), Instant::now());
        let at = |run: u64| start + Duration::from_secs(run);
        let actions: Vec<_> =
            (0..1000).map(|run| filter.line(&format!("[x @ 0x{run}] out of order"), at(run))).collect();
        assert_eq!(actions.iter().filter(|action| **action == LineAction::Log).count(), 1);
        assert!(actions.iter().filter(|action| **action != LineAction::Suppress).count() < 12);
        assert_eq!(filter.line("something else", at(1000)), LineAction::Log);
        assert_eq!(
            filter.line("[x @ 0x0] out of order", at(1100)),
            LineAction::Log,
            "a minute later it is logged again"
        );
    }

    #[tokio::test]
    async fn a_file_never_grows_beyond_its_limit_and_the_last_line_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cam.log");
        let text = "x".repeat(999) + "\n";
        let flood = text.repeat(usize::try_from(FILE_SIZE / 1000 * 3).unwrap()) + "the end\r\n\n";
        let reader = StderrReader { file: Some(path.clone()), ..StderrReader::of_worker(1) };
        let tail = reader.read(flood.as_bytes()).await;
        assert_eq!(tail.last_line(), Some("the end"));
        assert!(tail.text().ends_with("x\nthe end\n") && tail.text().len() <= TAIL_SIZE);
        for file in [path.clone(), folder.path().join("cam.log.1")] {
            let size = std::fs::metadata(file).unwrap().len();
            assert!(size > 0 && size <= FILE_SIZE + PIPE as u64, "{size}");
        }
    }
}
