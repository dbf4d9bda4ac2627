//! What programs and workers say on their standard error output: to the log, at a bounded rate, and to a bounded file.

use super::status::Status;
use crate::telemetry::{Repeats, Report};
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

/// Lines a second and program that reach the log.
const LINES_PER_SECOND: u32 = 50;
/// Lines that are looked at in one [`SLICE`]; what else comes in it is only kept in the file.
const LINES_PER_SLICE: u32 = 500;
/// A moment in the life of a program that floods us.
const SLICE: Duration = Duration::from_millis(100);
/// What a pipe holds: what came in one slice is read at once.
const PIPE: usize = 64 << 10;
/// Longest line; a longer one is cut there.
const LINE_LENGTH: u64 = 1024;
/// A file that grew to this is renamed to `….1`, in place of the one before.
const FILE_SIZE: u64 = 5 << 20;

/// Most bytes of what was said last that are kept for who asks.
const TAIL_SIZE: usize = 8 << 10;

/// Lines that are remembered to know a repetition.
const REMEMBERED: usize = 64;
/// A line that was not said for this long is news again.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// What one program says, over all its runs: a repetition is not said again, but counted.
#[derive(Debug, Clone, Default)]
pub struct StderrLog(Arc<Mutex<Memory>>);

/// Who hears what a program says.
#[derive(Debug, Default)]
pub struct StderrReader {
    /// Knows what it said before.
    pub voice: StderrLog,
    /// Is told each line.
    pub status: Status,
}

#[derive(Debug, Default)]
struct Memory {
    /// Lines with their numbers taken out, and when they were last said.
    said: VecDeque<(String, Instant)>,
    repeats: Repeats,
    /// The second that is counted, and the lines in it.
    second: Option<(Instant, u32)>,
    held_back: u64,
}

/// What to do with a line.
#[derive(Debug, PartialEq, Eq)]
enum Hearing {
    Say,
    /// This many lines were kept from the log so far.
    Sum(u64),
    Silence,
}

impl Memory {
    fn hear(&mut self, line: &str, now: Instant) -> Hearing {
        let pattern = without_numbers(line);
        self.said.retain(|(_, at)| now.saturating_duration_since(*at) < FORGOTTEN);
        let known = self.said.iter_mut().find(|(said, _)| *said == pattern).map(|(_, at)| *at = now).is_some();
        if !known {
            self.said.push_back((pattern, now));
            if self.said.len() > REMEMBERED {
                self.said.pop_front();
            }
        }
        let (second, lines) = self.second.get_or_insert((now, 0));
        if now.saturating_duration_since(*second) >= Duration::from_secs(1) {
            (*second, *lines) = (now, 0);
        }
        *lines += 1;
        if !known && *lines <= LINES_PER_SECOND {
            return Hearing::Say;
        }
        self.held_back += 1;
        match self.repeats.failed(now) {
            Some(Report::Again(_)) => Hearing::Sum(self.held_back),
            _ => Hearing::Silence,
        }
    }
}

fn without_numbers(line: &str) -> String {
    line.chars().filter(|c| !c.is_ascii_digit()).collect()
}

/// The end of what a program said: lines that said something.
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

    /// All of it, each line with its end.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The last line.
    pub fn line(&self) -> Option<&str> {
        self.0.lines().next_back()
    }
}

/// Logs the lines of `output` under `name` until it ends, and returns the last of them.
pub async fn keep(
    name: Arc<str>,
    output: impl AsyncRead + Unpin,
    ear: StderrReader,
    file: Option<PathBuf>,
) -> StderrTail {
    let mut output = BufReader::with_capacity(PIPE, output);
    let mut file = KeptFile::open(file).await;
    let (mut line, mut last) = (Vec::new(), StderrTail::default());
    let (mut slice, mut lines) = (Instant::now(), 0);
    loop {
        if slice.elapsed() >= SLICE {
            (slice, lines) = (Instant::now(), 0);
        }
        lines += 1;
        if lines > LINES_PER_SLICE {
            tokio::time::sleep(SLICE.saturating_sub(slice.elapsed())).await;
            let Ok(flood) = output.fill_buf().await else { return last };
            // The beginning of a line waits for its end.
            let length = flood.iter().rposition(|byte| *byte == b'\n').map_or(flood.len(), |end| end + 1);
            let (lines, _) = flood.split_at(length);
            file.write(lines).await;
            // What is in front of them would be forgotten at once.
            let (_, lines) = lines.split_at(lines.len().saturating_sub(TAIL_SIZE));
            lines.split(|byte| *byte == b'\n').filter_map(said).for_each(|text| last.add(&text));
            output.consume(length);
            continue;
        }
        line.clear();
        // A program's bytes are no promise of UTF-8, nor of line ends. Progress lines end in a carriage return.
        match (&mut output).take(LINE_LENGTH).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return last,
            Ok(_) => {}
        }
        file.write(&line).await;
        let Some(text) = said(&line) else { continue };
        last.add(&text);
        ear.status.add_line(&text);
        let heard = ear.voice.0.lock().unwrap_or_else(PoisonError::into_inner).hear(&text, Instant::now());
        match heard {
            Hearing::Say => tracing::info!(name = %name, "says: {text}"),
            Hearing::Sum(lines) => {
                tracing::info!(name = %name, lines, "says much, or the same again; kept from the log")
            }
            Hearing::Silence => {}
        }
    }
}

/// What a line says at its end, if anything: progress is written over itself, with carriage returns.
fn said(line: &[u8]) -> Option<String> {
    let parts = line.rsplit(|byte| matches!(byte, b'\r' | b'\n'));
    parts.map(|part| String::from_utf8_lossy(part).trim().to_owned()).find(|part| !part.is_empty())
}

/// A file with a limit, or none. Its faults are logged once and cost nothing else.
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
            Err(error) => tracing::warn!(file = %path.display(), %error, "cannot keep standard error output"),
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
    fn a_program_that_dies_a_thousand_times_does_not_fill_the_log() {
        let (mut memory, start) = (Memory::default(), Instant::now());
        let at = |run: u64| start + Duration::from_secs(run);
        let heard: Vec<_> = (0..1000).map(|run| memory.hear(&format!("[x @ 0x{run}] out of order"), at(run))).collect();
        assert_eq!(heard.iter().filter(|heard| **heard == Hearing::Say).count(), 1);
        assert!(heard.iter().filter(|heard| **heard != Hearing::Silence).count() < 12);
        assert_eq!(memory.hear("something else", at(1000)), Hearing::Say);
        assert_eq!(memory.hear("[x @ 0x0] out of order", at(1100)), Hearing::Say, "a minute later it is news");
    }

    #[tokio::test]
    async fn a_file_never_grows_beyond_its_limit_and_the_last_line_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cam.log");
        let text = "x".repeat(999) + "\n";
        let flood = text.repeat(usize::try_from(FILE_SIZE / 1000 * 3).unwrap()) + "the end\r\n\n";
        let last = keep("feed cam".into(), flood.as_bytes(), StderrReader::default(), Some(path.clone())).await;
        assert_eq!(last.line(), Some("the end"));
        assert!(last.text().ends_with("x\nthe end\n") && last.text().len() <= TAIL_SIZE);
        for file in [path.clone(), folder.path().join("cam.log.1")] {
            let size = std::fs::metadata(file).unwrap().len();
            assert!(size > 0 && size <= FILE_SIZE + PIPE as u64, "{size}");
        }
    }
}
