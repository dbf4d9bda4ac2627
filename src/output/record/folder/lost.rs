//! An index that was lost, or is damaged: how that is noticed, and how files that were found get into it again.

use super::{
    DiskError, Folder, OWN, Root, StreamFiles, finish_file, index_file, index_folder, index_text, read_keep, signed,
};
use crate::{
    config::StreamName,
    output::record::index::{Entry, Found, Line, day_of, entries},
};
use std::{
    collections::{BTreeSet, HashSet},
    fs,
    path::Path,
    sync::Arc,
};

/// A search has begun and did not end: the next start searches as well.
const MARK: &str = "searching";
/// Why a file that was found has ended.
const REBUILT: &str = "rebuilt";

impl Folder {
    /// Notices that all of the index is gone, or that a search did not come to its end.
    pub(super) fn find_loss(&mut self) -> Result<(), DiskError> {
        let own = self.path().join(OWN);
        let has_index = fs::read_dir(own.join("index")).is_ok_and(|mut names| names.next().is_some());
        let mut others = fs::read_dir(self.path())?.filter_map(Result::ok);
        let has_files = others.any(|name| !name.file_name().as_encoded_bytes().starts_with(b"."));
        if (!has_index && has_files) || own.join(MARK).exists() {
            self.lost.all();
        }
        Ok(())
    }

    /// A stream is recorded: when it has files and no index, that was lost.
    pub(super) fn expect(&mut self, stream: &str) {
        if !self.streams.contains_key(stream) && self.path().join(stream).is_dir() {
            self.lost.all();
        }
    }

    /// Whether something was lost, once: a search is to begin, which is noted. Also returns the streams that have an index.
    pub fn take_lost(&mut self) -> Option<BTreeSet<String>> {
        if !std::mem::take(&mut self.lost.is_lost) {
            return None;
        }
        // Without the mark it is not continued after a crash.
        let _ = fs::write(self.path().join(OWN).join(MARK), b"");
        let has_files = |files: &StreamFiles| !files.days.is_empty() || !files.unread.is_empty();
        Some(self.streams.iter().filter(|(_, files)| has_files(files)).map(|(stream, _)| stream.clone()).collect())
    }

    /// A search came to its end: what could not be read of the index is not needed any more.
    ///
    /// # Errors
    /// When an index cannot be written: it is searched again at the next start.
    pub fn found_all(&mut self) -> Result<(), DiskError> {
        while let Some((stream, day)) = self.lost.damaged.pop_first() {
            let path = index_file(self.path(), &stream, day);
            let text: String =
                entries(&index_text(&path)?).into_values().map(|entry| Line::Open(entry).text()).collect();
            let new = path.with_extension("new");
            fs::write(&new, &text)?;
            fs::File::open(&new)?.sync_data()?;
            fs::rename(&new, &path)?;
            if let Some(files) = self.streams.get_mut(&stream) {
                files.lengths.insert(day, text.len() as u64);
            }
        }
        Ok(fs::remove_file(self.path().join(OWN).join(MARK))?)
    }

    /// The folder itself.
    pub(in crate::output::record) fn root(&self) -> Arc<Root> {
        self.root.clone()
    }

    /// Adds a file that the index does not have; returns whether it was added.
    ///
    /// # Errors
    /// When the index cannot be read or written.
    pub fn adopt(&mut self, found: Found) -> Result<bool, DiskError> {
        let Found { stream, path, from, lasts, sequence, codecs } = found;
        if StreamName::new(&stream).is_err() {
            return Ok(false);
        }
        if !self.streams.contains_key(&stream) {
            let keep = read_keep(&index_folder(self.path()).join(&stream));
            self.streams.insert(stream.clone(), StreamFiles { next: 1, keep, ..StreamFiles::default() });
        }
        let day = day_of(from);
        self.read_day(&stream, day)?;
        let known = entries(&index_text(&index_file(self.path(), &stream, day))?);
        if known.values().any(|entry| entry.path == path) {
            return Ok(false);
        }
        let whole = self.path().join(&path);
        // What a crash has left unfinished is finished, now that it is known not to be written.
        let finished = if path.ends_with(".mp4") { finish_file(&whole, from).ok() } else { None };
        let (to, bytes) = match finished {
            Some(finished) => finished,
            None => (from.saturating_add(lasts), fs::metadata(&whole)?.len()),
        };
        let Some(files) = self.streams.get_mut(&stream) else { return Ok(false) };
        let sequence = sequence.filter(|own| !known.contains_key(own)).unwrap_or(files.next.max(1));
        files.next = files.next.max(sequence.saturating_add(1));
        files.cleaned = files.cleaned.min(day);
        // Their timeline is that of the clock: which ones follow each other is seen by it.
        let media = from.saturating_mul(1000);
        let ended = Some(REBUILT.to_owned());
        let entry = Entry { sequence, path, from, to, bytes, codecs, run: 0, media, ended, protected: false };
        self.append(&stream, day, &Line::Open(entry))?;
        if let Some(files) = self.streams.get_mut(&stream) {
            files.count(day, 1, signed(bytes));
        }
        Ok(true)
    }
}

/// The paths of all files of a stream that the index of a day has.
pub fn known_paths(folder: &Path, stream: &str, day: i64) -> HashSet<String> {
    if StreamName::new(stream).is_err() {
        return HashSet::new();
    }
    let text = index_text(&index_file(folder, stream, day)).unwrap_or_default();
    entries(&text).into_values().map(|entry| entry.path).collect()
}
