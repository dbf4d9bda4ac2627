//! The audit log: the facts that people made, and what they were refused, in a file of their own: it reaches back further than a journal
//! in which viewers come and go.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

/// Most files: `audit.log`, and `audit.1.log` to `audit.4.log`, which are older.
const FILES: usize = 5;
/// A file that has so many bytes is followed by another one.
const FULL: u64 = 10 << 20;

/// The files, for the one who writes them.
#[derive(Debug)]
pub(super) struct AuditLog {
    folder: PathBuf,
    current: Option<(File, u64)>,
    most_bytes: u64,
}

impl AuditLog {
    /// In this folder. Nothing is created before the first line.
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), current: None, most_bytes: FULL }
    }

    fn name(&self, age: usize) -> PathBuf {
        self.folder.join(if age == 0 { "audit.log".to_owned() } else { format!("audit.{age}.log") })
    }

    /// Appends whole lines.
    ///
    /// # Errors
    /// What the system says; a part of a line may be there then.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.current.take_if(|(_, bytes)| *bytes >= self.most_bytes).is_some() {
            for age in (1..FILES).rev() {
                match fs::rename(self.name(age - 1), self.name(age)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
        let (file, bytes) = match &mut self.current {
            Some(current) => current,
            None => {
                let file = OpenOptions::new().append(true).create(true).mode(0o600).open(self.name(0))?;
                let bytes = file.metadata()?.len();
                self.current.insert((file, bytes))
            }
        };
        file.write_all(lines)?;
        *bytes += lines.len() as u64;
        Ok(())
    }

    /// Returns when all is on the disk.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.current.as_ref().map_or(Ok(()), |(file, _)| file.sync_data())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_files_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = AuditLog { most_bytes: 20, ..AuditLog::new(folder.path()) };
        for number in 0..40 {
            log.append(format!("line {number}\n").as_bytes()).unwrap();
            if number % 7 == 0 {
                // As after a restart.
                log = AuditLog { most_bytes: 20, ..AuditLog::new(folder.path()) };
            }
        }
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), FILES);
        let all = ["audit.4.log", "audit.3.log", "audit.2.log", "audit.1.log", "audit.log"].map(read).concat();
        let numbers: Vec<u32> = all.lines().map(|line| line.strip_prefix("line ").unwrap().parse().unwrap()).collect();
        assert!(numbers.len() >= 13 && numbers.last() == Some(&39), "{numbers:?}");
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
    }
}
