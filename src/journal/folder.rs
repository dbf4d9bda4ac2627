//! The files of the journal: `journal/00000000000000000001.jsonl` and so on, named by the first number in them.

use super::record::Record;
use rustix::fs::{FlockOperation, flock};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// Most files.
const FILES: usize = 8;
/// A file that has so many bytes is followed by another one.
const FULL: u64 = 4 << 20;
/// What their names end in.
const ENDING: &str = ".jsonl";

/// The files, for the one who writes them.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Those before the one that is written, the oldest first, with their sizes.
    older: Vec<(u64, u64)>,
    current: Option<Current>,
    most_bytes: u64,
    /// Held while this exists: another server must not write here.
    _lock: File,
}

#[derive(Debug)]
struct Current {
    first: u64,
    file: File,
    /// Whole lines in it. What a failed write left behind them is cut.
    bytes: u64,
    is_torn: bool,
}

impl Folder {
    /// Opens the journal in this folder, which is created, and drops a torn last line. Also returns the last record.
    ///
    /// # Errors
    /// What the system says; also where another server has it.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Option<Record>)> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path.join("lock"))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
            rustix::io::Errno::WOULDBLOCK => {
                io::Error::other("another server has this journal: give it another statedir")
            }
            error => error.into(),
        })?;
        let mut older = Vec::new();
        for first in files(path)? {
            older.push((first, fs::metadata(name(path, first))?.len()));
        }
        let mut last = None;
        let mut current = None;
        // A crash may have left a file without a whole line.
        while let Some((first, _)) = older.pop() {
            let file = name(path, first);
            let (bytes, record) = recover(&file)?;
            if record.is_none() {
                fs::remove_file(&file)?;
                continue;
            }
            last = record;
            let file = OpenOptions::new().read(true).write(true).open(&file)?;
            file.set_len(bytes)?;
            current = Some(Current { first, file, bytes, is_torn: false });
            break;
        }
        let mut folder = Self { path: path.to_owned(), older, current, most_bytes: FULL, _lock: lock };
        if let Some(current) = &mut folder.current {
            current.file.seek(SeekFrom::Start(current.bytes))?;
        }
        Ok((folder, last))
    }

    /// Appends whole lines, of which `first` is the first number. A failure leaves none of them.
    ///
    /// # Errors
    /// What the system says: the disk may be full.
    pub(super) fn append(&mut self, first: u64, lines: &[u8]) -> io::Result<()> {
        if let Some(full) = self.current.take_if(|current| current.bytes >= self.most_bytes) {
            full.file.sync_data()?;
            self.older.push((full.first, full.bytes));
        }
        while self.older.len() >= FILES {
            let (oldest, _) = self.older.remove(0);
            fs::remove_file(name(&self.path, oldest))?;
        }
        let current = match &mut self.current {
            Some(current) => current,
            None => {
                let options = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).clone();
                let file = options.open(name(&self.path, first))?;
                File::open(&self.path)?.sync_all()?;
                self.current.insert(Current { first, file, bytes: 0, is_torn: false })
            }
        };
        if std::mem::replace(&mut current.is_torn, true) {
            current.file.set_len(current.bytes)?;
            current.file.seek(SeekFrom::Start(current.bytes))?;
        }
        current.file.write_all(lines)?;
        current.bytes += lines.len() as u64;
        current.is_torn = false;
        Ok(())
    }

    /// Returns when all is on the disk.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.current.as_ref().map_or(Ok(()), |current| current.file.sync_data())
    }

    /// The first number of the oldest file.
    pub(super) fn oldest(&self) -> Option<u64> {
        let current = self.current.as_ref().map(|current| current.first);
        self.older.first().map(|(first, _)| *first).or(current)
    }

    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        let current = self.current.as_ref().map_or(0, |current| current.bytes);
        self.older.iter().map(|(_, bytes)| bytes).sum::<u64>() + current
    }
}

/// Reads at most `most` records with greater numbers than `after`, the oldest first, while another thread writes.
///
/// # Errors
/// What the system says.
pub(super) fn read_after(path: &Path, after: u64, most: usize) -> io::Result<Vec<Record>> {
    let firsts = files(path)?;
    let start = firsts.partition_point(|first| *first <= after).saturating_sub(1);
    let mut found = Vec::new();
    for first in firsts.into_iter().skip(start) {
        let file = match File::open(name(path, first)) {
            Ok(file) => file,
            // It was the oldest one.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let mut lines = BufReader::with_capacity(64 << 10, file);
        let mut line = Vec::new();
        while found.len() < most {
            line.clear();
            lines.read_until(b'\n', &mut line)?;
            if line.last() != Some(&b'\n') {
                break;
            }
            // Lines that are not ours are skipped.
            if Record::number_of(&line).is_some_and(|number| number > after) {
                found.extend(Record::read(&line));
            }
        }
        if found.len() >= most {
            break;
        }
    }
    Ok(found)
}

/// How many bytes of a file are whole lines up to the last record, and that.
fn recover(path: &Path) -> io::Result<(u64, Option<Record>)> {
    let mut text = Vec::new();
    File::open(path)?.take(2 * FULL + (16 << 20)).read_to_end(&mut text)?;
    let mut rest = text.as_slice();
    while let Some(end) = rest.iter().rposition(|byte| *byte == b'\n') {
        let before = rest.get(..end).unwrap_or_default();
        let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        if let Some(record) = before.get(start..).and_then(Record::read) {
            return Ok((end as u64 + 1, Some(record)));
        }
        rest = rest.get(..start).unwrap_or_default();
    }
    Ok((0, None))
}

/// The first numbers of the files, the smallest first.
fn files(path: &Path) -> io::Result<Vec<u64>> {
    let mut firsts = Vec::new();
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name();
        firsts.extend(name.to_str().and_then(|name| name.strip_suffix(ENDING)?.parse::<u64>().ok()));
    }
    firsts.sort_unstable();
    Ok(firsts)
}

fn name(path: &Path, first: u64) -> PathBuf {
    path.join(format!("{first:020}{ENDING}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Fact;

    fn line(number: u64) -> Vec<u8> {
        Record::new(number, Fact::server("server.started")).line()
    }

    fn numbers(path: &Path, after: u64, most: usize) -> Vec<u64> {
        read_after(path, after, most).unwrap().iter().map(|record| record.number).collect()
    }

    #[test]
    fn what_was_written_is_read_after_a_restart() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("a/journal");
        let (mut folder, last) = Folder::open(&path).unwrap();
        assert_eq!((last, folder.oldest()), (None, None));
        folder.append(5, &[line(5), line(6)].concat()).unwrap();
        folder.append(9, &line(9)).unwrap();
        folder.sync().unwrap();
        let error = Folder::open(&path).unwrap_err().to_string();
        assert!(error.contains("another server"), "{error}");
        drop(folder);
        let (mut folder, last) = Folder::open(&path).unwrap();
        assert_eq!((last.map(|record| record.number), folder.oldest()), (Some(9), Some(5)));
        folder.append(10, &line(10)).unwrap();
        assert_eq!(numbers(&path, 0, 99), [5, 6, 9, 10]);
        assert_eq!(numbers(&path, 6, 1), [9]);
        assert_eq!(numbers(&path, 7, 9), [9, 10]);
        assert!(numbers(&path, 10, 9).is_empty());
    }

    #[test]
    fn a_torn_end_is_cut_wherever_it_was_torn() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path();
        let whole = [line(1), line(2)].concat();
        for torn in 0..=line(3).len() {
            let mut text = whole.clone();
            text.extend(&line(3)[..torn]);
            fs::write(name(path, 1), &text).unwrap();
            let (mut folder, last) = Folder::open(path).unwrap();
            let expect = if torn == line(3).len() { 3 } else { 2 };
            assert_eq!(last.unwrap().number, expect);
            folder.append(7, &line(7)).unwrap();
            assert_eq!(numbers(path, 1, 9).last(), Some(&7));
            assert_eq!(numbers(path, 0, 9).len() as u64, expect + 1);
        }
        // A block of zeros, as power cuts leave, and a file without any line.
        fs::write(name(path, 1), [whole.as_slice(), &[0; 100], b"\n"].concat()).unwrap();
        fs::write(name(path, 9), b"{\"n\":9,").unwrap();
        let (folder, last) = Folder::open(path).unwrap();
        assert_eq!((last.unwrap().number, folder.bytes()), (2, whole.len() as u64));
        assert!(!name(path, 9).exists());
    }

    #[test]
    fn the_oldest_files_go() {
        let temporary = tempfile::tempdir().unwrap();
        let (mut folder, _) = Folder::open(temporary.path()).unwrap();
        folder.most_bytes = 1;
        for number in 1..=20 {
            folder.append(number, &line(number)).unwrap();
        }
        assert_eq!(folder.oldest(), Some(13));
        assert_eq!(numbers(temporary.path(), 0, 99), (13..=20).collect::<Vec<_>>());
        assert_eq!(numbers(temporary.path(), 15, 2), [16, 17]);
        assert_eq!(folder.bytes(), 8 * line(20).len() as u64);
    }

    #[test]
    fn a_write_that_failed_is_cut_before_the_next() {
        let temporary = tempfile::tempdir().unwrap();
        let (mut folder, _) = Folder::open(temporary.path()).unwrap();
        folder.append(1, &line(1)).unwrap();
        let current = folder.current.as_mut().unwrap();
        current.file.write_all(b"{\"n\":2,").unwrap();
        current.is_torn = true;
        folder.append(2, &line(2)).unwrap();
        assert_eq!(numbers(temporary.path(), 0, 9), [1, 2]);
    }
}
