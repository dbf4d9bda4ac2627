//! A folder of recordings: its lock, its index, its files. Blocking; called by the thread of its disk, and for reading the index by
//! requests.

mod edit;
mod lost;
mod sums;

pub use edit::{Change, Edited, Which};
pub(super) use lost::known_paths;

use super::index::{Entry, Line, day_name, day_of, day_of_name, entries};
use crate::{
    config::Keep,
    media::{avi, mp4::file},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read, Write},
    os::{
        fd::AsRawFd,
        unix::fs::{FileExt, MetadataExt},
    },
    path::{Path, PathBuf},
    sync::Arc,
};

/// Where the index of a folder is, with the lock of the server that writes it.
const OWN: &str = ".voyandz";
/// Names that a file is given before that is given up, when there is one of its name already.
const NAMES: u32 = 1000;
/// Most lines that wait for room; files whose lines are lost are repaired at the next start.
const MAX_OWED: usize = 1024;
/// Longest index of one day and stream that is read.
const MAX_INDEX: u64 = 256 << 20;

/// Why nothing can be recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiskError {
    /// There is no room.
    #[error("the disk is full: free some space, or set `keep`")]
    Full,
    /// It was there, and is not any more.
    #[error("the folder is not the same as before: is its disk mounted?")]
    Missing,
    /// Another server has it.
    #[error("another server records into this folder")]
    InUse,
    /// It takes too long.
    #[error("the disk is too slow: {0} MiB wait for it")]
    Slow(u64),
    /// The system says why.
    #[error("{0}")]
    Other(String),
}

impl From<io::Error> for DiskError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Other(error.to_string()),
        }
    }
}

impl DiskError {
    /// Its name as a state.
    pub const fn state(&self) -> &'static str {
        match self {
            Self::Full => "disk-full",
            Self::Missing => "folder-missing",
            Self::InUse => "folder-in-use",
            Self::Slow(_) => "disk-slow",
            Self::Other(_) => "disk-error",
        }
    }
}

/// What is known of the files of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamFiles {
    /// For each day that has files: how many, and their bytes.
    pub days: BTreeMap<i64, (u64, u64)>,
    /// The number of the next file.
    pub next: u64,
    /// What is kept, also after the stream has left the configuration.
    pub keep: Keep,
    /// Days before this have protected files only.
    pub cleaned: i64,
    /// Days whose index has not been read yet, while that is done in the background.
    pub unread: BTreeSet<i64>,
    /// Bytes of the index of each day that was read.
    lengths: BTreeMap<i64, u64>,
    /// The numbers of files of this server begin with it.
    first: u64,
    /// The files that are written, with their days.
    open: BTreeMap<u64, i64>,
}

impl StreamFiles {
    /// Files and bytes.
    pub fn sum(&self) -> (u64, u64) {
        self.days.values().fold((0, 0), |(files, bytes), (more, length)| (files + more, bytes + length))
    }

    /// Days of these that may have files, oldest first.
    fn all_days(&self, days: impl std::ops::RangeBounds<i64>) -> Vec<i64> {
        let bounds = (days.start_bound().cloned(), days.end_bound().cloned());
        let read = self.days.range(bounds).map(|(day, _)| *day);
        let all: BTreeSet<i64> = read.chain(self.unread.range(bounds).copied()).collect();
        all.into_iter().collect()
    }

    /// The oldest day that may have files that are not protected.
    pub fn oldest(&self) -> Option<i64> {
        self.all_days(self.cleaned..).first().copied()
    }

    fn count(&mut self, day: i64, files: i64, bytes: i64) {
        let entry = self.days.entry(day).or_default();
        entry.0 = entry.0.saturating_add_signed(files);
        entry.1 = entry.1.saturating_add_signed(bytes);
        if entry.0 == 0 {
            self.days.remove(&day);
        }
    }
}

/// [`Keep`] as it is written.
#[derive(Debug, Serialize, Deserialize)]
struct WrittenKeep {
    age_seconds: Option<u64>,
    size: Option<u64>,
    free: Option<u64>,
}

/// A folder that is locked for this server.
#[derive(Debug)]
pub struct Folder {
    /// As it is configured.
    configured: PathBuf,
    /// The folder itself, whatever is mounted or moved over the configured path.
    root: Arc<Root>,
    lock: File,
    /// What is known of each stream.
    pub streams: BTreeMap<String, StreamFiles>,
    /// Lines of the index that could not be written: the disk was full.
    owed: Vec<(String, i64, Line)>,
    /// What of the index was lost.
    lost: Lost,
}

/// What of an index was lost.
#[derive(Debug, Default)]
pub(super) struct Lost {
    is_lost: bool,
    /// Streams and days with lines that cannot be read.
    damaged: BTreeSet<(String, i64)>,
}

impl Lost {
    /// There may be files anywhere.
    fn all(&mut self) {
        self.is_lost = true;
    }

    /// The index of this day has lines that cannot be read.
    fn damaged(&mut self, stream: &str, day: i64) {
        self.is_lost = true;
        self.damaged.insert((stream.to_owned(), day));
    }
}

/// A folder by its file descriptor: what is written below it is in this folder, never in what has taken its place.
#[derive(Debug)]
pub(super) struct Root {
    _folder: File,
    path: PathBuf,
}

impl Root {
    fn open(path: &Path) -> io::Result<Self> {
        let folder = File::open(path)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd()));
        Ok(Self { _folder: folder, path })
    }

    /// Its path, for as long as this exists.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// What an unfinished file was found as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repaired {
    /// Its stream.
    pub stream: String,
    /// Where it is.
    pub path: String,
    /// What was done with it.
    pub outcome: &'static str,
}

impl Folder {
    /// Opens a folder, which is created if it is not there, and finishes what was left unfinished.
    ///
    /// # Errors
    /// When it cannot be had.
    pub fn open(path: &Path) -> Result<(Self, Vec<Repaired>), DiskError> {
        fs::create_dir_all(path)?;
        let root = Arc::new(Root::open(path)?);
        let own = root.path.join(OWN);
        fs::create_dir_all(&own)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(own.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(DiskError::InUse),
            Err(fs::TryLockError::Error(error)) => return Err(error.into()),
        }
        let mut folder = Self {
            configured: path.to_owned(),
            root,
            lock,
            streams: BTreeMap::new(),
            owed: Vec::new(),
            lost: Lost::default(),
        };
        let repaired = folder.load()?;
        Ok((folder, repaired))
    }

    /// Whether what is at its path is still this folder: not that a disk was mounted over, or is not mounted any more.
    pub fn is_there(&self) -> bool {
        let own = self.lock.metadata().map(|own| (own.dev(), own.ino()));
        let found = fs::metadata(self.configured.join(OWN).join("lock")).map(|found| (found.dev(), found.ino()));
        own.ok().zip(found.ok()).is_some_and(|(own, found)| own == found)
    }

    /// The path of this folder, as long as it is open, wherever it is moved to.
    pub fn path(&self) -> &Path {
        &self.root.path
    }

    /// Bytes that are free for this server.
    pub fn free(&self) -> Option<u64> {
        let found = rustix::fs::fstatvfs(&self.lock).ok()?;
        Some(found.f_bavail.saturating_mul(found.f_frsize))
    }

    fn load(&mut self) -> Result<Vec<Repaired>, DiskError> {
        let mut repaired = Vec::new();
        let folder = index_folder(self.path());
        self.find_loss()?;
        fs::create_dir_all(&folder)?;
        for stream in fs::read_dir(&folder)? {
            let stream = stream?;
            let Ok(name) = stream.file_name().into_string() else { continue };
            let files = StreamFiles { next: 1, keep: read_keep(&stream.path()), ..StreamFiles::default() };
            self.streams.insert(name.clone(), files);
            self.find_days(&name, &mut repaired)?;
        }
        Ok(repaired)
    }

    /// Finishes a file that an earlier server has left; `None` when there is nothing of it.
    fn repair(
        &mut self,
        stream: &str,
        day: i64,
        mut entry: Entry,
        repaired: &mut Vec<Repaired>,
    ) -> Result<Option<Entry>, DiskError> {
        let outcome = match finish_file(&self.path().join(&entry.path), entry.from) {
            Ok((to, bytes)) => {
                (entry.to, entry.bytes, entry.ended) = (to.max(entry.to), bytes, Some("repaired".to_owned()));
                "repaired"
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.append(stream, day, &Line::Delete { sequence: entry.sequence })?;
                repaired.push(Repaired { stream: stream.to_owned(), path: entry.path, outcome: "not there" });
                return Ok(None);
            }
            // It was killed before its first part.
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                fs::remove_file(self.path().join(&entry.path))?;
                self.append(stream, day, &Line::Delete { sequence: entry.sequence })?;
                repaired.push(Repaired { stream: stream.to_owned(), path: entry.path, outcome: "empty: deleted" });
                return Ok(None);
            }
            Err(_) => {
                let bytes = fs::metadata(self.path().join(&entry.path)).map_or(0, |found| found.len());
                (entry.bytes, entry.ended) = (bytes, Some("unfinished".to_owned()));
                "left as it is"
            }
        };
        let ended = entry.ended.clone().unwrap_or_default();
        self.append(stream, day, &Line::Close { sequence: entry.sequence, to: entry.to, bytes: entry.bytes, ended })?;
        repaired.push(Repaired { stream: stream.to_owned(), path: entry.path.clone(), outcome });
        Ok(Some(entry))
    }

    /// Notes what is kept of a stream.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn set_keep(&mut self, stream: &str, keep: Keep) -> Result<(), DiskError> {
        self.expect(stream);
        let files =
            self.streams.entry(stream.to_owned()).or_insert_with(|| StreamFiles { next: 1, ..StreamFiles::default() });
        if files.keep == keep {
            return Ok(());
        }
        files.keep = keep;
        let folder = index_folder(self.path()).join(stream);
        fs::create_dir_all(&folder)?;
        let Keep { age, size, free } = keep;
        let written = WrittenKeep { age_seconds: age.map(|age| age.as_secs()), size, free };
        let text = serde_json::to_string(&written).unwrap_or_default();
        let new = folder.join("keep.json.new");
        fs::write(&new, text)?;
        Ok(fs::rename(new, folder.join("keep.json"))?)
    }

    /// Creates a file under the first free name; `path` is without its extension. Also returns its entry.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn create(&mut self, stream: &str, entry: Entry, extension: &str) -> Result<(File, Entry), DiskError> {
        for number in 1..NAMES {
            let more = if number == 1 { String::new() } else { format!("-{number}") };
            let path = format!("{}{more}.{extension}", entry.path);
            let whole = self.path().join(&path);
            if let Some(parent) = whole.parent() {
                fs::create_dir_all(parent)?;
            }
            match OpenOptions::new().read(true).write(true).create_new(true).open(&whole) {
                Ok(file) => {
                    let entry = Entry { path, ..entry };
                    let day = day_of(entry.from);
                    if let Err(error) = self.append(stream, day, &Line::Open(entry.clone())) {
                        let _ = fs::remove_file(whole);
                        return Err(error);
                    }
                    let files = self.streams.entry(stream.to_owned()).or_default();
                    files.next = files.next.max(entry.sequence + 1);
                    files.open.insert(entry.sequence, day);
                    files.count(day, 1, 0);
                    return Ok((file, entry));
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(DiskError::Other(format!("there are {NAMES} files named {} already", entry.path)))
    }

    /// Notes that a file ended.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn ended(&mut self, stream: &str, entry: &Entry) -> Result<(), DiskError> {
        let day = day_of(entry.from);
        let ended = entry.ended.clone().unwrap_or_default();
        if let Some(files) = self.streams.get_mut(stream) {
            files.open.remove(&entry.sequence);
            files.count(day, 0, signed(entry.bytes));
        }
        let line = Line::Close { sequence: entry.sequence, to: entry.to, bytes: entry.bytes, ended };
        self.append_sometime(stream, day, line)
    }

    /// Writes lines of the index that could not be written before.
    pub fn write_owed(&mut self) {
        for (stream, day, line) in std::mem::take(&mut self.owed) {
            let _ = self.append_sometime(&stream, day, line);
        }
    }

    /// Appends a line of what has happened, later if there is no room.
    fn append_sometime(&mut self, stream: &str, day: i64, line: Line) -> Result<(), DiskError> {
        let appended = self.append(stream, day, &line);
        if appended.is_err() && self.owed.len() < MAX_OWED {
            self.owed.push((stream.to_owned(), day, line));
        }
        appended
    }

    /// Deletes a file that has nothing in it.
    pub fn discard(&mut self, stream: &str, entry: &Entry) {
        let _ = fs::remove_file(self.path().join(&entry.path));
        let _ = self.append(stream, day_of(entry.from), &Line::Delete { sequence: entry.sequence });
        if let Some(files) = self.streams.get_mut(stream) {
            files.open.remove(&entry.sequence);
            files.count(day_of(entry.from), -1, 0);
        }
    }

    /// Deletes the oldest files of a stream that have ended, are not protected, and ended before `before` (microseconds since
    /// 1970), at most `most` of them. Returns these.
    ///
    /// # Errors
    /// When the index cannot be read or written.
    pub fn delete_oldest(&mut self, stream: &str, before: Option<i64>, most: usize) -> Result<Vec<Entry>, DiskError> {
        let Some(files) = self.streams.get(stream) else { return Ok(Vec::new()) };
        let mut deleted = Vec::new();
        for day in files.all_days(files.cleaned..) {
            self.read_day(stream, day)?;
            let all = read_index(&index_file(self.path(), stream, day))?;
            let may_go = |entry: &&Entry| entry.ended.is_some() && !entry.protected;
            let is_old = |entry: &&Entry| before.is_none_or(|before| entry.to < before);
            let mut left = all.len();
            for entry in all.values().filter(may_go).filter(is_old).take(most - deleted.len()) {
                self.delete_file(stream, day, entry)?;
                left -= 1;
                deleted.push(entry.clone());
            }
            if left == 0 {
                let _ = fs::remove_file(index_file(self.path(), stream, day));
            } else if !all.values().any(|entry| !entry.protected)
                && let Some(files) = self.streams.get_mut(stream)
            {
                files.cleaned = day + 1;
            }
            let has_young = all.values().filter(may_go).any(|entry| !is_old(&entry));
            if deleted.len() >= most || has_young {
                break;
            }
        }
        Ok(deleted)
    }

    /// Deletes a file that has ended.
    fn delete_file(&mut self, stream: &str, day: i64, entry: &Entry) -> Result<(), DiskError> {
        match fs::remove_file(self.path().join(&entry.path)) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        self.append(stream, day, &Line::Delete { sequence: entry.sequence })?;
        if let Some(files) = self.streams.get_mut(stream) {
            files.count(day, -1, -signed(entry.bytes));
        }
        self.remove_empty_folders(&entry.path);
        Ok(())
    }

    /// Folders that a deleted file leaves empty go with it.
    fn remove_empty_folders(&self, path: &str) {
        let mut path = Path::new(path);
        while let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            if fs::remove_dir(self.path().join(parent)).is_err() {
                return;
            }
            path = parent;
        }
    }

    fn append(&mut self, stream: &str, day: i64, line: &Line) -> Result<(), DiskError> {
        let path = index_file(self.path(), stream, day);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut file = OpenOptions::new().create(true).append(true).read(true).open(path)?;
        let length = file.metadata()?.len();
        // A line that was torn by a crash is ended first.
        let mut last = [b'\n'];
        if length > 0 {
            file.read_exact_at(&mut last, length - 1)?;
        }
        let text = line.text();
        let text = if last == [b'\n'] { text } else { format!("\n{text}") };
        if let Err(error) = file.write_all(text.as_bytes()) {
            let _ = file.set_len(length);
            return Err(error.into());
        }
        if let Some(files) = self.streams.get_mut(stream) {
            files.lengths.insert(day, length + text.len() as u64);
        }
        Ok(file.sync_data()?)
    }
}

/// Makes a file that was left unfinished whole; returns when it ends, in microseconds since 1970, and its bytes.
///
/// # Errors
/// When it cannot be read or written, or is in a container that has no end; [`ErrorKind::InvalidData`] when it has no media.
pub fn finish_file(path: &Path, from: i64) -> io::Result<(i64, u64)> {
    let handle = OpenOptions::new().read(true).write(true).open(path)?;
    let length = handle.metadata()?.len();
    if length == 0 {
        return Err(io::Error::new(ErrorKind::InvalidData, "it has no media"));
    }
    if path.extension().is_some_and(|extension| extension == "avi") {
        return finish_avi(&handle, length, from);
    }
    let found = file::scan(length, read_from(&handle)).map_err(io::Error::other)?;
    let to = from.saturating_add(duration(&found));
    if found.is_finished {
        return Ok((to, length));
    }
    let created = u64::try_from(from / 1_000_000).unwrap_or(0);
    let finish =
        file::finish(&found, created).ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "it has no media"))?;
    handle.set_len(found.end)?;
    handle.write_all_at(&finish.tail, found.end)?;
    handle.sync_data()?;
    let (at, patch) = finish.patch;
    handle.write_all_at(&patch, at)?;
    handle.sync_data()?;
    Ok((to, found.end + finish.tail.len() as u64))
}

/// The same of an AVI file.
fn finish_avi(handle: &File, length: u64, from: i64) -> io::Result<(i64, u64)> {
    let empty = || io::Error::new(ErrorKind::InvalidData, "it has no media");
    let found = avi::scan(length, read_from(handle)).ok_or_else(empty)?;
    let to = from.saturating_add(i64::try_from(found.duration).unwrap_or(i64::MAX));
    if found.is_finished {
        return Ok((to, length));
    }
    handle.set_len(found.end)?;
    handle.write_all_at(&found.tail, found.end)?;
    handle.sync_data()?;
    for (at, number) in &found.patches {
        handle.write_all_at(number, *at)?;
    }
    handle.sync_data()?;
    Ok((to, found.end + found.tail.len() as u64))
}

/// Microseconds of a file.
pub(super) fn duration(found: &file::ScannedFile) -> i64 {
    let micros = |ticks: u64, timescale: u32| u128::from(ticks) * 1_000_000 / u128::from(timescale.max(1));
    let longest = found.tracks.iter().map(|(head, table)| micros(table.end(), head.timescale)).max().unwrap_or(0);
    i64::try_from(longest).unwrap_or(i64::MAX)
}

/// Reads from places of a file.
pub fn read_from(handle: &File) -> impl FnMut(u64, usize) -> Option<Vec<u8>> {
    move |at, length| {
        let mut bytes = vec![0; length];
        let mut read = 0;
        while let Some(rest) = bytes.get_mut(read..).filter(|rest| !rest.is_empty()) {
            match handle.read_at(rest, at + read as u64) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
        bytes.truncate(read);
        Some(bytes)
    }
}

/// The files of a stream that have something of this time, in microseconds since 1970, in their order; at most `most`.
///
/// # Errors
/// When the index cannot be read.
pub fn files_between(folder: &Path, stream: &str, from: i64, to: i64, most: usize) -> io::Result<Vec<Entry>> {
    let own = index_folder(folder).join(stream);
    let names = match fs::read_dir(&own) {
        Ok(names) => names,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut days: Vec<i64> = names.filter_map(|name| day_of_name(name.ok()?.file_name().to_str()?)).collect();
    // A file of the day before may reach into the span.
    days.retain(|day| (day_of(from).saturating_sub(1)..=day_of(to)).contains(day));
    days.sort_unstable();
    let mut found = Vec::new();
    for day in days {
        let all = read_index(&own.join(day_name(day)))?;
        found.extend(all.into_values().filter(|entry| entry.from < to && (entry.to > from || entry.ended.is_none())));
        if found.len() > most {
            found.truncate(most);
            break;
        }
    }
    Ok(found)
}

/// The streams that have an index in a folder.
pub fn streams_of(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(index_folder(folder)).into_iter().flatten();
    names.filter_map(|name| name.ok()?.file_name().into_string().ok()).collect()
}

fn index_folder(folder: &Path) -> PathBuf {
    folder.join(OWN).join("index")
}

fn index_file(folder: &Path, stream: &str, day: i64) -> PathBuf {
    index_folder(folder).join(stream).join(day_name(day))
}

fn read_index(path: &Path) -> io::Result<BTreeMap<u64, Entry>> {
    Ok(entries(&index_text(path)?))
}

fn index_text(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => drop(file.take(MAX_INDEX).read_to_end(&mut bytes)?),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn read_keep(folder: &Path) -> Keep {
    let text = fs::read_to_string(folder.join("keep.json")).unwrap_or_default();
    let Ok(WrittenKeep { age_seconds, size, free }) = serde_json::from_str(&text) else { return Keep::default() };
    Keep { age: age_seconds.map(std::time::Duration::from_secs), size, free }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(sequence: u64, from: i64, to: i64) -> Entry {
        let path = format!("cam/{}/{sequence}", day_of(from));
        let ended = Some("cut".to_owned());
        Entry { sequence, path, from, to, bytes: 100, codecs: String::new(), run: 0, media: 0, ended, protected: false }
    }

    fn add(folder: &mut Folder, sequence: u64, from: i64, to: i64) -> Entry {
        let (_, created) = folder.create("cam", entry(sequence, from, to), "ts").unwrap();
        folder.ended("cam", &Entry { ended: Some("cut".to_owned()), ..created.clone() }).unwrap();
        created
    }

    const DAY: i64 = 86_400_000_000;

    #[test]
    fn the_oldest_are_deleted_and_protected_ones_stay() {
        let temp = tempfile::tempdir().unwrap();
        let (mut folder, _) = Folder::open(temp.path()).unwrap();
        for number in 0..6 {
            add(&mut folder, number + 1, number as i64 * DAY / 2, number as i64 * DAY / 2 + 1000);
        }
        folder.append("cam", 0, &Line::Protect { sequence: 1, on: true }).unwrap();
        let deleted = folder.delete_oldest("cam", Some(DAY + 2000), 1).unwrap();
        assert_eq!(deleted.iter().map(|entry| entry.sequence).collect::<Vec<_>>(), [2]);
        let deleted = folder.delete_oldest("cam", Some(DAY + 2000), 10).unwrap();
        assert_eq!(deleted.iter().map(|entry| entry.sequence).collect::<Vec<_>>(), [3]);
        assert_eq!(folder.delete_oldest("cam", Some(DAY + 2000), 10), Ok(Vec::new()));
        assert!(!temp.path().join("cam/1/3.ts").exists() && temp.path().join("cam/0/1.ts").exists());
        assert_eq!(folder.streams["cam"].sum(), (4, 400));
        let deleted = folder.delete_oldest("cam", None, 10).unwrap();
        assert_eq!(deleted.len(), 3);
        assert!(!temp.path().join("cam/2").exists(), "empty folders go");
        // The same is found again.
        let known = folder.streams["cam"].clone();
        drop(folder);
        let (folder, repaired) = Folder::open(temp.path()).unwrap();
        assert_eq!((folder.streams["cam"].days.clone(), repaired.len()), (known.days, 0));
    }

    #[test]
    fn nothing_is_overwritten_and_a_second_server_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let (mut folder, _) = Folder::open(temp.path()).unwrap();
        let paths = [0, 1, 2].map(|_| folder.create("cam", entry(1, 0, 0), "ts").unwrap().1.path);
        assert_eq!(paths, ["cam/0/1.ts", "cam/0/1-2.ts", "cam/0/1-3.ts"]);
        assert_eq!(Folder::open(temp.path()).err(), Some(DiskError::InUse));
        assert!(folder.is_there());
        fs::rename(temp.path().join(OWN), temp.path().join("away")).unwrap();
        assert!(!folder.is_there());
    }

    #[test]
    fn what_takes_the_place_of_a_folder_is_not_written_to() {
        let temp = tempfile::tempdir().unwrap();
        let (configured, away) = (temp.path().join("rec"), temp.path().join("away"));
        let (mut folder, _) = Folder::open(&configured).unwrap();
        let (_, first) = folder.create("cam", entry(1, 0, 0), "ts").unwrap();
        fs::rename(&configured, &away).unwrap();
        assert!(!folder.is_there());
        folder.ended("cam", &first).unwrap();
        folder.set_keep("cam", Keep { size: Some(1), ..Keep::default() }).unwrap();
        let (_, second) = folder.create("cam", entry(2, 0, 0), "ts").unwrap();
        folder.discard("cam", &second);
        assert!(!configured.exists(), "as if its disk were not mounted any more");
        let found = files_between(&away, "cam", -1, i64::MAX, 9).unwrap();
        assert_eq!(found.iter().map(|entry| (entry.sequence, entry.ended.is_some())).collect::<Vec<_>>(), [(1, true)]);
    }

    #[test]
    fn a_list_has_what_reaches_into_its_time() {
        let temp = tempfile::tempdir().unwrap();
        let (mut folder, _) = Folder::open(temp.path()).unwrap();
        add(&mut folder, 1, DAY - 1000, DAY + 1000);
        add(&mut folder, 2, DAY + 1000, DAY + 2000);
        add(&mut folder, 3, 3 * DAY, 3 * DAY + 1);
        let found = |from, to| {
            let found = files_between(temp.path(), "cam", from, to, 100).unwrap();
            found.iter().map(|entry| entry.sequence).collect::<Vec<_>>()
        };
        assert_eq!(found(DAY, DAY + 1), [1]);
        assert_eq!(found(DAY + 500, DAY + 1500), [1, 2]);
        assert_eq!(found(DAY + 2000, 3 * DAY), [] as [u64; 0]);
        assert_eq!(found(0, i64::MAX), [1, 2, 3]);
        assert_eq!(files_between(temp.path(), "other", 0, i64::MAX, 9).unwrap(), []);
    }
}
