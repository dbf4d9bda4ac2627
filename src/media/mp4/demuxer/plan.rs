//! Which samples come next, in the order of their bytes.

use super::{Located, table::Table};
use std::collections::VecDeque;

/// Most samples of fragments that are planned. A stream whose data never comes would fill memory.
const MAX_PLANNED: usize = 200_000;
/// So many samples after one another that are passed end their table: its movie is of no use in a stream.
const MAX_PASSED: usize = 1000;

/// The samples to come.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Of fragments, by offset.
    fragments: VecDeque<Located>,
    /// Of tables, each with its next sample.
    tables: Vec<Cursor>,
}

#[derive(Debug)]
struct Cursor {
    track: usize,
    table: Table,
    /// Where offsets count from.
    origin: u64,
    next: Option<Located>,
}

impl Cursor {
    fn advance(&mut self) {
        let (track, origin) = (self.track, self.origin);
        self.next = self.table.by_ref().find(|entry| entry.size > 0).map(|entry| Located {
            track,
            offset: origin.saturating_add(entry.offset),
            size: entry.size,
            decode: entry.decode,
            composition: entry.composition,
            duration: entry.duration,
            is_sync: entry.is_sync,
        });
    }
}

impl Plan {
    /// Adds the tables of a movie that began at `origin`.
    pub(super) fn add_table(&mut self, track: usize, table: Table, origin: u64) {
        let mut cursor = Cursor { track, table, origin, next: None };
        cursor.advance();
        self.tables.push(cursor);
    }

    /// Adds the samples of a fragment, in the order of their bytes.
    pub(super) fn add_fragment(&mut self, samples: Vec<Located>) {
        let is_behind =
            self.fragments.back().zip(samples.first()).is_none_or(|(last, first)| last.offset <= first.offset);
        self.fragments.extend(samples);
        if !is_behind {
            self.fragments.make_contiguous().sort_by_key(|sample| sample.offset);
        }
        self.fragments.truncate(MAX_PLANNED);
    }

    /// The next sample that begins at `at` or after it; those before it are `passed`, each with its track.
    pub(super) fn next(&mut self, at: u64, mut passed: impl FnMut(usize)) -> Option<Located> {
        while let Some(sample) = self.fragments.front().filter(|sample| sample.offset < at) {
            passed(sample.track);
            self.fragments.pop_front();
        }
        for cursor in &mut self.tables {
            let mut count = 0;
            while let Some(sample) = cursor.next.filter(|sample| sample.offset < at) {
                passed(sample.track);
                cursor.advance();
                count += 1;
                if count > MAX_PASSED {
                    cursor.next = None;
                }
            }
        }
        self.tables.retain(|cursor| cursor.next.is_some());
        let heads = self.tables.iter().filter_map(|cursor| cursor.next);
        heads.chain(self.fragments.front().copied()).min_by_key(|sample| sample.offset)
    }

    /// This one is done with.
    pub(super) fn remove(&mut self, sample: &Located) {
        if self.fragments.front() == Some(sample) {
            self.fragments.pop_front();
        } else if let Some(cursor) = self.tables.iter_mut().find(|cursor| cursor.next.as_ref() == Some(sample)) {
            cursor.advance();
        }
    }
}
