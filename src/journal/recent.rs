//! The newest records, in memory. Pure.

use super::record::Record;
use std::{collections::VecDeque, sync::Arc};

/// The newest records, up to a number of bytes.
#[derive(Debug)]
pub(super) struct Recent {
    records: VecDeque<(Arc<Record>, usize)>,
    bytes: usize,
    most: usize,
}

impl Recent {
    /// Keeps at most so many bytes of lines, and always the newest record.
    pub(super) fn new(most: usize) -> Self {
        Self { records: VecDeque::new(), bytes: 0, most }
    }

    /// Adds a record whose line has so many bytes.
    pub(super) fn push(&mut self, record: Arc<Record>, bytes: usize) {
        self.records.push_back((record, bytes));
        self.bytes += bytes;
        while self.bytes > self.most && self.records.len() > 1 {
            let Some((_, bytes)) = self.records.pop_front() else { return };
            self.bytes -= bytes;
        }
    }

    /// The number of the oldest.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.records.front().map(|(record, _)| record.number)
    }

    /// At most `most` records with greater numbers than `after`, the oldest first.
    pub(super) fn after(&self, after: u64, most: usize) -> Vec<Arc<Record>> {
        let start = self.records.partition_point(|(record, _)| record.number <= after);
        self.records.range(start..).take(most).map(|(record, _)| record.clone()).collect()
    }

    /// The position before the last `count` records.
    pub(super) fn before_last(&self, count: usize) -> Option<u64> {
        let first = self.records.len().saturating_sub(count);
        self.records.get(first).map(|(record, _)| record.number.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Fact;

    #[test]
    fn the_newest_are_kept() {
        let mut recent = Recent::new(50);
        for number in [3, 4, 10, 11, 12, 13] {
            recent.push(Arc::new(Record::new(number, Fact::server("server.started"))), 10);
        }
        let numbers = |after, most| recent.after(after, most).iter().map(|record| record.number).collect::<Vec<_>>();
        assert_eq!(recent.oldest(), Some(4));
        assert_eq!(numbers(0, 9), [4, 10, 11, 12, 13]);
        assert_eq!(numbers(5, 2), [10, 11]);
        assert_eq!(numbers(10, 9), [11, 12, 13]);
        assert!(numbers(13, 9).is_empty());
        assert_eq!((recent.before_last(2), recent.before_last(100)), (Some(11), Some(3)));
    }

    #[test]
    fn one_that_is_too_long_is_kept_alone() {
        let mut recent = Recent::new(5);
        for number in [1, 2] {
            recent.push(Arc::new(Record::new(number, Fact::server("server.started"))), 10);
        }
        assert_eq!(recent.after(0, 9).len(), 1);
        assert_eq!(Recent::new(5).before_last(1), None);
    }
}
