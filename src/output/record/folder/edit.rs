//! Recordings that are protected or deleted by request.

use super::{DiskError, Folder, index_file, read_index};
use crate::output::record::index::{Entry, Line, day_of};
use std::fs;

/// Which files of a stream. Times are in microseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The one that begins then and has this number.
    File {
        /// See [`Entry::from`].
        from: i64,
        /// See [`Entry::sequence`].
        sequence: u64,
    },
    /// Those with something of this time are protected; those that are wholly in it are deleted.
    Span {
        /// From then on.
        from: i64,
        /// Before then.
        to: i64,
    },
}

/// What becomes of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// They are protected from deletion by limits, or not any more.
    Protect(bool),
    /// They are deleted.
    Delete,
}

/// What was done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edited {
    /// The files that were changed.
    pub files: Vec<Entry>,
    /// Files that are not deleted because they are written.
    pub open: usize,
    /// Files that are not deleted because they are protected.
    pub protected: usize,
    /// Files that are not deleted because they reach beyond the span.
    pub partly: usize,
    /// Files that were as asked for before.
    pub unchanged: usize,
    /// The most at a time were changed: there may be more.
    pub has_more: bool,
}

impl Edited {
    /// Whether no file was meant.
    pub fn is_nothing(&self) -> bool {
        self == &Self::default()
    }

    /// Adds what was done elsewhere, or before.
    pub fn add(&mut self, other: Self) {
        self.files.extend(other.files);
        self.open += other.open;
        self.protected += other.protected;
        self.partly += other.partly;
        self.unchanged += other.unchanged;
        self.has_more |= other.has_more;
    }
}

impl Which {
    fn days(self) -> std::ops::RangeInclusive<i64> {
        match self {
            Self::File { from, .. } => day_of(from)..=day_of(from),
            // A file of the day before may reach into the span.
            Self::Span { from, to } => day_of(from).saturating_sub(1)..=day_of(to),
        }
    }

    fn has(self, entry: &Entry) -> bool {
        match self {
            Self::File { from, sequence } => (from, sequence) == (entry.from, entry.sequence),
            Self::Span { from, to } => entry.from < to && (entry.to > from || entry.ended.is_none()),
        }
    }

    fn has_all_of(self, entry: &Entry) -> bool {
        match self {
            Self::File { .. } => true,
            Self::Span { from, to } => entry.from >= from && entry.to <= to,
        }
    }
}

impl Folder {
    /// Changes files of a stream, at most `most` of them.
    ///
    /// # Errors
    /// When the index or a file cannot be read, written or deleted: some files may have been changed.
    pub fn edit(&mut self, stream: &str, which: Which, change: Change, most: usize) -> Result<Edited, DiskError> {
        let Some(files) = self.streams.get(stream) else { return Ok(Edited::default()) };
        let mut edited = Edited::default();
        for day in files.all_days(which.days()) {
            self.read_day(stream, day)?;
            let path = index_file(self.path(), stream, day);
            let all = read_index(&path)?;
            let mut left = all.len();
            for entry in all.values().filter(|entry| which.has(entry)) {
                if edited.files.len() >= most {
                    edited.has_more = true;
                    return Ok(edited);
                }
                match change {
                    Change::Protect(on) if entry.protected == on => edited.unchanged += 1,
                    Change::Protect(on) => {
                        self.append(stream, day, &Line::Protect { sequence: entry.sequence, on })?;
                        if let Some(files) = self.streams.get_mut(stream).filter(|_| !on) {
                            files.cleaned = files.cleaned.min(day);
                        }
                        edited.files.push(Entry { protected: on, ..entry.clone() });
                    }
                    Change::Delete if entry.ended.is_none() => edited.open += 1,
                    Change::Delete if entry.protected => edited.protected += 1,
                    Change::Delete if !which.has_all_of(entry) => edited.partly += 1,
                    Change::Delete => {
                        self.delete_file(stream, day, entry)?;
                        left -= 1;
                        edited.files.push(entry.clone());
                    }
                }
            }
            if left == 0 && !all.is_empty() {
                let _ = fs::remove_file(path);
            }
        }
        Ok(edited)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::record::folder::files_between;

    const DAY: i64 = 86_400_000_000;

    fn folder_with(times: &[(i64, i64)]) -> (tempfile::TempDir, Folder) {
        let temp = tempfile::tempdir().unwrap();
        let (mut folder, _) = Folder::open(temp.path()).unwrap();
        for (sequence, (from, to)) in (1..).zip(times) {
            let entry = Entry {
                sequence,
                path: format!("cam/{sequence}"),
                from: *from,
                to: *from,
                bytes: 0,
                codecs: String::new(),
                run: 0,
                media: 0,
                ended: None,
                protected: false,
            };
            let (_, created) = folder.create("cam", entry, "ts").unwrap();
            if to > from {
                let ended = Some("cut".to_owned());
                folder.ended("cam", &Entry { to: *to, bytes: 100, ended, ..created }).unwrap();
            }
        }
        (temp, folder)
    }

    fn sequences(edited: &Edited) -> Vec<u64> {
        edited.files.iter().map(|entry| entry.sequence).collect()
    }

    #[test]
    fn a_span_is_protected_where_it_touches_and_deleted_where_it_covers() {
        let (temp, mut folder) =
            folder_with(&[(DAY - 10, DAY + 10), (DAY + 10, DAY + 20), (DAY + 20, DAY + 30), (DAY + 30, DAY + 30)]);
        let span = Which::Span { from: DAY, to: DAY + 25 };
        let edited = folder.edit("cam", span, Change::Delete, 9).unwrap();
        assert_eq!((sequences(&edited), edited.partly), (vec![2], 2));
        let edited = folder.edit("cam", span, Change::Protect(true), 9).unwrap();
        assert_eq!(sequences(&edited), [1, 3]);
        let all = Which::Span { from: 0, to: 3 * DAY };
        let edited = folder.edit("cam", all, Change::Delete, 9).unwrap();
        assert_eq!((sequences(&edited), edited.protected, edited.open), (vec![], 2, 1));
        let edited = folder.edit("cam", all, Change::Protect(false), 1).unwrap();
        assert_eq!((sequences(&edited), edited.has_more), (vec![1], true));
        let edited = folder.edit("cam", all, Change::Protect(false), 9).unwrap();
        assert_eq!((sequences(&edited), edited.unchanged), (vec![3], 2));
        let edited = folder.edit("cam", all, Change::Delete, 9).unwrap();
        assert_eq!((sequences(&edited), edited.open), (vec![1, 3], 1));
        let left = files_between(temp.path(), "cam", 0, 3 * DAY, 9).unwrap();
        assert_eq!(left.iter().map(|entry| entry.sequence).collect::<Vec<_>>(), [4]);
        assert!(!temp.path().join("cam/1.ts").exists() && temp.path().join("cam/4.ts").exists());
        assert_eq!(folder.streams["cam"].sum(), (1, 0));
        assert!(folder.edit("other", all, Change::Delete, 9).unwrap().is_nothing());
    }

    #[test]
    fn what_is_not_protected_any_more_goes_by_its_age() {
        let (_temp, mut folder) = folder_with(&[(0, 10), (DAY, DAY + 10)]);
        let one = Which::File { from: 0, sequence: 1 };
        folder.edit("cam", one, Change::Protect(true), 9).unwrap();
        assert_eq!(folder.delete_oldest("cam", None, 9).unwrap().len(), 1);
        assert_eq!(folder.delete_oldest("cam", None, 9).unwrap().len(), 0);
        assert_eq!(folder.edit("cam", Which::File { from: 0, sequence: 2 }, Change::Delete, 9), Ok(Edited::default()));
        folder.edit("cam", one, Change::Protect(false), 9).unwrap();
        assert_eq!(folder.delete_oldest("cam", None, 9).unwrap().len(), 1);
    }
}
