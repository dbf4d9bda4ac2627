//! What programs and workers say on their standard error output: to the log, at a bounded rate, and to a bounded file.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    fs::File,
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader},
};

/// Lines a second and program that reach the log.
const LINES_PER_SECOND: u32 = 50;
/// Longest line; a longer one is cut there.
const LINE_LENGTH: u64 = 1024;
/// A file that grew to this is renamed to `….1`, in place of the one before.
const FILE_SIZE: u64 = 5 << 20;

/// Logs the lines of `output` under `name` until it ends, and returns the last one that said something.
pub async fn keep(name: Arc<str>, output: impl AsyncRead + Unpin, file: Option<PathBuf>) -> Option<String> {
    let mut output = BufReader::new(output);
    let mut file = KeptFile::open(file).await;
    let (mut line, mut last) = (Vec::new(), None);
    let (mut window, mut lines, mut held_back) = (Instant::now(), 0, 0u64);
    loop {
        line.clear();
        // A program's bytes are no promise of UTF-8, nor of line ends. Progress lines end in a carriage return.
        match (&mut output).take(LINE_LENGTH).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => break,
            Ok(_) => {}
        }
        file.write(&line).await;
        if window.elapsed() > Duration::from_secs(1) {
            if held_back > 0 {
                tracing::warn!(name = %name, lines = held_back, "says more than fits the log");
            }
            (window, lines, held_back) = (Instant::now(), 0, 0);
        }
        let text = String::from_utf8_lossy(&line);
        let Some(text) = text.rsplit('\r').map(str::trim).find(|part| !part.is_empty()) else { continue };
        last = Some(text.to_owned());
        lines += 1;
        if lines > LINES_PER_SECOND {
            held_back += 1;
        } else {
            tracing::info!(name = %name, "says: {text}");
        }
    }
    if held_back > 0 {
        tracing::warn!(name = %name, lines = held_back, "said more than fits the log");
    }
    last
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

    #[tokio::test]
    async fn a_file_never_grows_beyond_its_limit_and_the_last_line_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cam.log");
        let text = "x".repeat(999) + "\n";
        let flood = text.repeat(usize::try_from(FILE_SIZE / 1000 * 3).unwrap()) + "the end\r\n\n";
        let last = keep("feed cam".into(), flood.as_bytes(), Some(path.clone())).await;
        assert_eq!(last.as_deref(), Some("the end"));
        for file in [path.clone(), folder.path().join("cam.log.1")] {
            let size = std::fs::metadata(file).unwrap().len();
            assert!(size > 0 && size <= FILE_SIZE + 2000, "{size}");
        }
    }
}
