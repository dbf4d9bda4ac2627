//! How far a hook is: the number of the last event that needs no delivery any more, in a file of its own. It is written in place, as text
//! of one length, so that a crash leaves the old number or the new one.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _},
    path::Path,
    time::{Duration, Instant},
};

/// What was written is on the disk after this, also before a power cut.
const SYNC: Duration = Duration::from_secs(1);

/// The position of one hook. Blocking.
#[derive(Debug)]
pub(super) struct Cursor {
    number: u64,
    file: Option<File>,
    synced: Instant,
}

impl Cursor {
    /// That in the folder, or one at `new` where there is none yet. In memory only without a folder.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn open(folder: Option<&Path>, hook: &str, new: u64) -> io::Result<Self> {
        let Some(folder) = folder else { return Ok(Self::in_memory(new)) };
        let synced = Instant::now();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let path = folder.join(hook);
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).clone();
        let mut file = options.open(path)?;
        let mut text = String::new();
        let known = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
        let mut cursor = Self { number: known.unwrap_or(new), file: Some(file), synced };
        if known.is_none() {
            cursor.set(new)?;
        }
        Ok(cursor)
    }

    /// One that is kept in memory only.
    pub(super) fn in_memory(number: u64) -> Self {
        Self { number, file: None, synced: Instant::now() }
    }

    /// The number.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// It is there now.
    ///
    /// # Errors
    /// What the system says; it counts for as long as this runs.
    pub(super) fn set(&mut self, number: u64) -> io::Result<()> {
        self.number = number;
        let Some(file) = &self.file else { return Ok(()) };
        file.write_all_at(format!("{number:020}\n").as_bytes(), 0)?;
        if self.synced.elapsed() >= SYNC {
            self.synced = Instant::now();
            file.sync_data()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_where_it_was() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join("hooks");
        let open = |new| Cursor::open(Some(&folder), "alarm", new).unwrap();
        let mut cursor = open(7);
        assert_eq!(cursor.number(), 7);
        cursor.set(12).unwrap();
        drop(cursor);
        assert_eq!(open(99).number(), 12);
        fs::write(folder.join("alarm"), "").unwrap();
        assert_eq!(open(99).number(), 99);
        assert_eq!(Cursor::open(None, "alarm", 3).unwrap().number(), 3);
    }
}
