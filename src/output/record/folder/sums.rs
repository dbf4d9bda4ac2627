//! How many files each day has, without reading all indexes at the start: a small file of each stream has the sums of its days. One
//! counts for as long as the index of that day has the same length. The newest days are read at the start, as files that were left
//! unfinished are there; what else is not known is read in the background, a day at a time.

use super::{DiskError, Folder, Repaired, index_file, index_folder, index_text, signed};
use crate::output::record::index::{day_of_name, entries, is_damaged};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// Days that are read at the start, the newest ones: a file is no longer than a day, and lies in that of its begin.
const NEWEST: usize = 2;
/// Longest file of sums that is read: of a thousand years.
const MAX_SUMS: u64 = 32 << 20;

/// The sums of a stream, as they are written.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Sums {
    /// The number of the next file.
    next: u64,
    /// For each day: bytes of its index, files, bytes of these.
    days: BTreeMap<i64, (u64, u64, u64)>,
}

impl Folder {
    /// Finds the days of a stream: the newest ones are read, of others what is known is taken.
    pub(super) fn find_days(&mut self, stream: &str, repaired: &mut Vec<Repaired>) -> Result<(), DiskError> {
        let folder = index_folder(self.path()).join(stream);
        let sums = read_sums(&folder);
        let mut unread = BTreeSet::new();
        for found in fs::read_dir(&folder)? {
            let found = found?;
            unread.extend(found.file_name().to_str().and_then(day_of_name));
        }
        // An index does not become shorter, and is deleted with its last file only: the oldest first.
        for (day, (known, ..)) in &sums.days {
            let is_oldest = unread.first().is_some_and(|first| day < first);
            let path = index_file(self.path(), stream, *day);
            if !is_oldest && fs::metadata(path).map_or(0, |found| found.len()) < *known {
                self.lost.all();
            }
        }
        let newest: Vec<i64> = unread.iter().rev().take(NEWEST).copied().collect();
        let Some(files) = self.streams.get_mut(stream) else { return Ok(()) };
        files.next = files.next.max(sums.next);
        files.unread = unread;
        for day in &newest {
            self.read(stream, *day, repaired)?;
        }
        let Some(files) = self.streams.get_mut(stream) else { return Ok(()) };
        files.first = files.next;
        for day in files.unread.clone() {
            let length =
                fs::metadata(folder.join(crate::output::record::index::day_name(day))).map(|found| found.len());
            let known = sums.days.get(&day).filter(|(known, ..)| length.as_ref().is_ok_and(|length| length == known));
            if let Some((length, count, bytes)) = known {
                files.unread.remove(&day);
                files.lengths.insert(day, *length);
                files.days.insert(day, (*count, *bytes));
            }
        }
        Ok(())
    }

    /// Reads the index of a day if that has not been done.
    ///
    /// # Errors
    /// When it cannot be read, or a file that was left unfinished cannot be noted.
    pub(super) fn read_day(&mut self, stream: &str, day: i64) -> Result<(), DiskError> {
        if !self.streams.get(stream).is_some_and(|files| files.unread.contains(&day)) {
            return Ok(());
        }
        let mut repaired = Vec::new();
        self.read(stream, day, &mut repaired)
    }

    /// Reads the index of a day that has not been read; returns whether there may be more. What was left unfinished is repaired.
    ///
    /// # Errors
    /// As [`Folder::open`].
    pub fn read_more(&mut self, repaired: &mut Vec<Repaired>) -> Result<bool, DiskError> {
        let next = self.streams.iter().find_map(|(stream, files)| Some((stream.clone(), *files.unread.first()?)));
        let Some((stream, day)) = next else { return Ok(false) };
        self.read(&stream, day, repaired)?;
        Ok(true)
    }

    /// Days that have not been read.
    pub fn unread(&self) -> usize {
        self.streams.values().map(|files| files.unread.len()).sum()
    }

    fn read(&mut self, stream: &str, day: i64, repaired: &mut Vec<Repaired>) -> Result<(), DiskError> {
        // One that cannot be read is not tried again and again.
        if let Some(files) = self.streams.get_mut(stream) {
            files.unread.remove(&day);
        }
        let path = index_file(self.path(), stream, day);
        let length = fs::metadata(&path)?.len();
        let first = self.streams.get(stream).map_or(0, |files| files.first);
        let (mut count, mut bytes, mut next) = (0, 0, 0);
        if let Some(files) = self.streams.get_mut(stream) {
            files.lengths.insert(day, length);
        }
        let text = index_text(&path)?;
        if is_damaged(&text) {
            self.lost.damaged(stream, day);
        }
        for entry in entries(&text).into_values() {
            next = next.max(entry.sequence + 1);
            let is_own = first > 0 && entry.sequence >= first;
            let entry = match entry.ended {
                None if !is_own => self.repair(stream, day, entry, repaired)?,
                _ => Some(entry),
            };
            if let Some(entry) = entry {
                (count, bytes) = (count + 1, bytes + signed(entry.bytes));
            }
        }
        if let Some(files) = self.streams.get_mut(stream) {
            files.next = files.next.max(next);
            files.days.remove(&day);
            files.count(day, count, bytes);
        }
        Ok(())
    }

    /// Writes the sums of all streams that were read, for the next start.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write_sums(&self) -> Result<(), DiskError> {
        for (stream, files) in &self.streams {
            let known = files.days.iter().filter_map(|(day, (count, bytes))| {
                let length = files.lengths.get(day).filter(|_| !files.open.values().any(|open| open == day))?;
                Some((*day, (*length, *count, *bytes)))
            });
            let sums = Sums { next: files.next, days: known.collect() };
            let folder = index_folder(self.path()).join(stream);
            let text = serde_json::to_string(&sums).unwrap_or_default();
            if fs::metadata(folder.join(NAME)).is_ok_and(|found| found.len() == text.len() as u64)
                && fs::read(folder.join(NAME)).is_ok_and(|found| found == text.as_bytes())
            {
                continue;
            }
            fs::create_dir_all(&folder)?;
            let new = folder.join("days.json.new");
            fs::write(&new, text)?;
            fs::rename(new, folder.join(NAME))?;
        }
        Ok(())
    }
}

const NAME: &str = "days.json";

fn read_sums(folder: &Path) -> Sums {
    let path = folder.join(NAME);
    if fs::metadata(&path).is_ok_and(|found| found.len() > MAX_SUMS) {
        return Sums::default();
    }
    serde_json::from_str(&fs::read_to_string(path).unwrap_or_default()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::record::{
        folder::{Change, Which},
        index::{Entry, Line, day_of},
    };
    use std::io::Write as _;

    const DAY: i64 = 86_400_000_000;

    fn entry(sequence: u64, from: i64, is_open: bool) -> Entry {
        Entry {
            sequence,
            path: format!("cam/{sequence}.ts"),
            from,
            to: from + 1000,
            bytes: 100,
            codecs: String::new(),
            run: 0,
            media: 0,
            ended: (!is_open).then(|| "cut".to_owned()),
            protected: false,
        }
    }

    /// Files of ten days, two each, as an earlier server has left them; that of day 3 is unfinished.
    fn left() -> tempfile::TempDir {
        let temp = tempfile::tempdir().unwrap();
        let (mut folder, _) = Folder::open(temp.path()).unwrap();
        for number in 0..20 {
            let from = i64::try_from(number / 2).unwrap() * DAY + 10;
            let entry = entry(number + 1, from, number == 7);
            folder.append("cam", day_of(from), &Line::Open(entry)).unwrap();
        }
        temp
    }

    fn read_all(folder: &mut Folder) -> Vec<Repaired> {
        let mut repaired = Vec::new();
        while folder.read_more(&mut repaired).unwrap() {}
        repaired
    }

    #[test]
    fn the_newest_days_are_read_at_the_start_and_others_later_once() {
        let temp = left();
        let (mut folder, repaired) = Folder::open(temp.path()).unwrap();
        assert_eq!((folder.unread(), repaired.len(), folder.streams["cam"].next), (8, 0, 21));
        assert_eq!(folder.streams["cam"].sum(), (4, 400));
        assert_eq!(folder.streams["cam"].oldest(), Some(0));
        // A file of this server is not repaired while it is written, whatever day the clock says.
        let (_, own) =
            folder.create("cam", Entry { path: "cam/new".to_owned(), ..entry(21, 5 * DAY, true) }, "ts").unwrap();
        let repaired = read_all(&mut folder);
        assert_eq!(repaired.iter().map(|found| &*found.path).collect::<Vec<_>>(), ["cam/8.ts"], "which is not there");
        assert_eq!(folder.streams["cam"].sum(), (20, 2000));
        folder.ended("cam", &Entry { ended: Some("cut".to_owned()), ..own }).unwrap();
        folder.write_sums().unwrap();
        let known = folder.streams["cam"].days.clone();
        drop(folder);
        let (folder, repaired) = Folder::open(temp.path()).unwrap();
        assert_eq!((folder.unread(), repaired.len(), folder.streams["cam"].next), (0, 0, 22));
        assert_eq!(folder.streams["cam"].days, known);
    }

    #[test]
    fn sums_count_while_the_index_has_the_same_length() {
        let temp = left();
        let (mut folder, _) = Folder::open(temp.path()).unwrap();
        read_all(&mut folder);
        folder.write_sums().unwrap();
        drop(folder);
        let path = index_file(temp.path(), "cam", 5);
        let mut index = fs::OpenOptions::new().append(true).open(path).unwrap();
        index.write_all(Line::Delete { sequence: 11 }.text().as_bytes()).unwrap();
        let (mut folder, _) = Folder::open(temp.path()).unwrap();
        assert_eq!(folder.streams["cam"].unread.iter().copied().collect::<Vec<_>>(), [5]);
        read_all(&mut folder);
        assert_eq!(folder.streams["cam"].days[&5], (1, 100));
        drop(folder);
        fs::write(index_folder(temp.path()).join("cam").join(NAME), "{\"next\": tor").unwrap();
        assert_eq!(Folder::open(temp.path()).unwrap().0.unread(), 8);
    }

    #[test]
    fn days_that_were_not_read_are_deleted_and_edited() {
        let temp = left();
        let (mut folder, _) = Folder::open(temp.path()).unwrap();
        let deleted = folder.delete_oldest("cam", Some(2 * DAY), 3).unwrap();
        assert_eq!(deleted.iter().map(|entry| entry.sequence).collect::<Vec<_>>(), [1, 2, 3]);
        let edited = folder.edit("cam", Which::Span { from: 4 * DAY, to: 5 * DAY }, Change::Delete, 9).unwrap();
        assert_eq!(edited.files.iter().map(|entry| entry.sequence).collect::<Vec<_>>(), [9, 10]);
        read_all(&mut folder);
        // The unfinished one was not there.
        assert_eq!(folder.streams["cam"].sum(), (14, 1400));
    }
}
