//! The versions of the configuration: what each change made of the files, on the disk and bounded. Clones are the same.

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Most versions.
const MOST: usize = 50;
/// Most bytes of all of them; in memory a quarter of it.
const MOST_BYTES: u64 = 16 << 20;
/// What their names end in.
const ENDING: &str = ".json";

/// The versions of a configuration.
#[derive(Debug, Clone, Default)]
pub struct History(Arc<Mutex<Kept>>);

/// One change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Counts changes; 0 before it is added.
    pub number: u64,
    /// When, as RFC 3339 in UTC.
    pub time: String,
    /// Who made it; `None` for an edit on the disk.
    pub by: Option<String>,
    /// The address of that.
    pub address: Option<String>,
    /// What was done, one word: `change`, `text`, `undo`, `restore`, `disk`.
    pub action: String,
    /// What it changed: `feeds.cam0.url`.
    pub paths: Vec<String>,
    /// The files that it changed.
    pub files: Vec<VersionFile>,
}

/// What a change made of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionFile {
    /// As the configuration names it.
    pub name: String,
    /// Its text before.
    pub before: String,
    /// Its text afterwards.
    pub after: String,
}

#[derive(Debug, Default)]
struct Kept {
    /// Where they are; none where nothing survives a restart.
    folder: Option<PathBuf>,
    /// The oldest first.
    versions: Vec<Entry>,
    last: u64,
    /// Held while this exists: another server must not write there.
    _lock: Option<File>,
}

/// A version without its texts, where these are on the disk.
#[derive(Debug)]
struct Entry {
    version: Version,
    bytes: u64,
}

impl History {
    /// Reads what is in this folder, which is created. The newest version counts only if the files have what it says: `current` is the
    /// text of a file.
    ///
    /// # Errors
    /// What the system says; also where another server has it.
    pub fn open(&self, folder: &Path, current: impl Fn(&str) -> Option<String>) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(folder.join("lock"))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        let mut numbers: Vec<u64> = Vec::new();
        for entry in fs::read_dir(folder)? {
            let name = entry?.file_name();
            numbers.extend(name.to_str().and_then(|name| name.strip_suffix(ENDING)?.parse::<u64>().ok()));
        }
        numbers.sort_unstable();
        let mut versions = Vec::new();
        for number in &numbers {
            let path = path(folder, *number);
            let bytes = fs::metadata(&path)?.len();
            // One that cannot be read is of no use.
            if let Ok(version) = read(&path) {
                versions.push(Entry { version, bytes });
            }
        }
        // A crash came between the version and the files.
        let is_made = |entry: &Entry| {
            let has = |file: &VersionFile| current(&file.name).unwrap_or_default() != file.before;
            entry.version.files.is_empty() || entry.version.files.iter().any(has)
        };
        if let Some(last) = versions.pop_if(|last| !is_made(last)) {
            fs::remove_file(path(folder, last.version.number))?;
        }
        versions.iter_mut().for_each(|entry| entry.version.files.iter_mut().for_each(VersionFile::forget));
        let mut kept = self.lock();
        let last = versions.last().map_or(0, |entry| entry.version.number);
        *kept = Kept { folder: Some(folder.to_owned()), versions, last, _lock: Some(lock) };
        Ok(())
    }

    /// The versions without their texts, the newest first.
    pub fn list(&self) -> Vec<Version> {
        let kept = self.lock();
        let bare = |entry: &Entry| {
            let mut version = entry.version.clone();
            version.files.iter_mut().for_each(VersionFile::forget);
            version
        };
        kept.versions.iter().rev().map(bare).collect()
    }

    /// A version with its texts; `None` where there is none with this number. Blocks for the disk.
    ///
    /// # Errors
    /// What the system says.
    pub fn read(&self, number: u64) -> io::Result<Option<Version>> {
        let folder = {
            let kept = self.lock();
            let Some(entry) = kept.versions.iter().find(|entry| entry.version.number == number) else {
                return Ok(None);
            };
            match &kept.folder {
                None => return Ok(Some(entry.version.clone())),
                Some(folder) => folder.clone(),
            }
        };
        match read(&path(&folder, number)) {
            Ok(version) => Ok(Some(version)),
            // It has become too old in between.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Keeps a version and gives it its number; the oldest go where there are too many. Returns when it is on the disk.
    ///
    /// # Errors
    /// What the system says; nothing is kept then.
    pub fn add(&self, mut version: Version) -> io::Result<u64> {
        let (folder, number) = {
            let kept = self.lock();
            (kept.folder.clone(), kept.last + 1)
        };
        version.number = number;
        let text = serde_json::to_vec(&version)?;
        if let Some(folder) = &folder {
            write(folder, number, &text)?;
            version.files.iter_mut().for_each(VersionFile::forget);
        }
        let limit = if folder.is_some() { MOST_BYTES } else { MOST_BYTES / 4 };
        let mut kept = self.lock();
        kept.last = number;
        kept.versions.push(Entry { version, bytes: text.len() as u64 });
        let mut dropped = Vec::new();
        while kept.versions.len() > MOST
            || (kept.versions.len() > 1 && kept.versions.iter().map(|entry| entry.bytes).sum::<u64>() > limit)
        {
            dropped.push(kept.versions.remove(0).version.number);
        }
        drop(kept);
        if let Some(folder) = &folder {
            dropped.iter().for_each(|number| drop(fs::remove_file(path(folder, *number))));
        }
        Ok(number)
    }

    /// Takes away the newest version, which was not made after all.
    pub fn take_back(&self, number: u64) {
        let mut kept = self.lock();
        if kept.versions.pop_if(|entry| entry.version.number == number).is_some() {
            kept.last = number.saturating_sub(1);
            let folder = kept.folder.clone();
            drop(kept);
            if let Some(folder) = folder {
                let _ = fs::remove_file(path(&folder, number));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl VersionFile {
    fn forget(&mut self) {
        (self.before, self.after) = (String::new(), String::new());
    }
}

fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:010}{ENDING}"))
}

fn read(path: &Path) -> io::Result<Version> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

fn write(folder: &Path, number: u64, text: &[u8]) -> io::Result<()> {
    let new = folder.join("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&new, path(folder, number))?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(before: &str, after: &str) -> Version {
        let file = VersionFile { name: "a.yaml".into(), before: before.into(), after: after.into() };
        Version { by: Some("anna".into()), files: vec![file], ..Version::default() }
    }

    #[test]
    fn versions_survive_a_restart_and_the_oldest_go() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::default();
        history.open(folder.path(), |_| None).unwrap();
        for number in 1..=60 {
            assert_eq!(history.add(version(&(number - 1).to_string(), &number.to_string())).unwrap(), number);
        }
        assert!(History::default().open(folder.path(), |_| None).is_err());
        let list = history.list();
        drop(history);
        let history = History::default();
        history.open(folder.path(), |_| Some("60".to_owned())).unwrap();
        assert_eq!(history.list(), list);
        let numbers: Vec<_> = list.iter().map(|version| version.number).collect();
        assert_eq!(numbers, (11..=60).rev().collect::<Vec<_>>());
        assert_eq!(history.read(60).unwrap().unwrap().files[0].before, "59");
        assert_eq!(list[0].files[0].before, "");
        assert!(history.read(10).unwrap().is_none());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 51);
    }

    #[test]
    fn bytes_are_bounded() {
        for folder in [None, Some(tempfile::tempdir().unwrap())] {
            let history = History::default();
            if let Some(folder) = &folder {
                history.open(folder.path(), |_| None).unwrap();
            }
            let long = "x".repeat(1 << 20);
            for number in 1..=20 {
                assert_eq!(history.add(version(&long, &long)).unwrap(), number);
            }
            assert_eq!(history.list().len(), if folder.is_some() { 7 } else { 1 });
        }
    }

    #[test]
    fn what_was_not_made_is_no_version() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::default();
        history.open(folder.path(), |_| None).unwrap();
        history.add(version("0", "1")).unwrap();
        let number = history.add(version("1", "2")).unwrap();
        history.take_back(number);
        assert_eq!(history.add(version("1", "3")).unwrap(), number);
        // A crash before the file was written.
        drop(history);
        let history = History::default();
        history.open(folder.path(), |_| Some("1".to_owned())).unwrap();
        assert_eq!(history.list().len(), 1);
        // Somebody has edited it since.
        history.add(version("1", "3")).unwrap();
        drop(history);
        let history = History::default();
        history.open(folder.path(), |_| Some("4".to_owned())).unwrap();
        assert_eq!(history.list().len(), 2);
    }

    #[test]
    fn without_a_folder_they_are_in_memory() {
        let history = History::default();
        assert_eq!(history.add(version("0", "1")).unwrap(), 1);
        assert_eq!(history.read(1).unwrap().unwrap().files[0].after, "1");
        assert!(history.read(2).unwrap().is_none());
    }
}
