//! A file for the log, which is opened anew when it is to be: whoever rotates logs renames it first.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// The file. Owned by the log's writer thread.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: File,
    wish: Reopen,
}

/// Has the log's file opened anew. Clones are the same; without a file nothing happens.
#[derive(Debug, Clone, Default)]
pub struct Reopen(Arc<AtomicBool>);

impl Reopen {
    /// What is logged from now on goes into the file that has the path then.
    pub fn reopen(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl LogFile {
    /// Opens or creates the file, to write behind what it has.
    ///
    /// # Errors
    /// When the system does not let us.
    pub fn open(path: &Path, wish: Reopen) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), file: append(path)?, wish })
    }
}

impl Write for LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.wish.0.swap(false, Ordering::Acquire) {
            match append(&self.path) {
                Ok(file) => self.file = file,
                // Goes into the old one, which is better than nowhere.
                Err(error) => tracing::error!(file = %self.path.display(), %error, "cannot open the log's file anew"),
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
    fn lines_go_where_the_path_leads_when_the_file_is_opened_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("log"), folder.path().join("log.1"));
        let wish = Reopen::default();
        let mut log = LogFile::open(&path, wish.clone()).unwrap();
        log.write_all(b"one\n").unwrap();
        fs::rename(&path, &old).unwrap();
        log.write_all(b"two\n").unwrap();
        wish.reopen();
        log.write_all(b"three\n").unwrap();
        assert_eq!((fs::read(&old).unwrap(), fs::read(&path).unwrap()), (b"one\ntwo\n".into(), b"three\n".into()));
        // A path that cannot be had any more changes nothing.
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        wish.reopen();
        log.write_all(b"four\n").unwrap();
        LogFile::open(&path, wish).unwrap_err();
    }
}
