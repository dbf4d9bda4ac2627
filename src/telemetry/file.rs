//! The log file. It is reopened on request, after log rotation has renamed it.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// The file. Owned by the writer thread of the log.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: File,
    reopen: Reopen,
}

/// Requests that the log file is reopened. Clones share the request; without a file nothing happens.
#[derive(Debug, Clone, Default)]
pub struct Reopen(Arc<AtomicBool>);

impl Reopen {
    /// Lines from now on go to the file that has the path then.
    pub fn reopen(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl LogFile {
    /// Opens or creates the file, and appends.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn open(path: &Path, reopen: Reopen) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), file: append(path)?, reopen })
    }
}

impl Write for LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.reopen.0.swap(false, Ordering::Acquire) {
            match append(&self.path) {
                Ok(file) => self.file = file,
                // The line goes to the old file.
                Err(error) => tracing::error!(file = %self.path.display(), %error, "cannot reopen the log file"),
            }
        }
        self.file.write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn lines_go_to_the_reopened_file() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("log"), folder.path().join("log.1"));
        let reopen = Reopen::default();
        let mut log = LogFile::open(&path, reopen.clone()).unwrap();
        log.write_all(b"one\n").unwrap();
        fs::rename(&path, &old).unwrap();
        log.write_all(b"two\n").unwrap();
        reopen.reopen();
        log.write_all(b"three\n").unwrap();
        assert_eq!((fs::read(&old).unwrap(), fs::read(&path).unwrap()), (b"one\ntwo\n".into(), b"three\n".into()));
        // A path that cannot be opened changes nothing.
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        reopen.reopen();
        log.write_all(b"four\n").unwrap();
        LogFile::open(&path, reopen).unwrap_err();
    }
}
