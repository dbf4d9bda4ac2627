//! How the journal is read.

use super::{folder::read_after, recent::Recent, record::Record};
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::watch;

/// Records in memory, in bytes of their lines.
const RECENT: usize = 1 << 20;

/// The journal, for those who read it. Clones are the same.
#[derive(Debug, Clone)]
pub struct Journal(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Where its files are.
    folder: Option<PathBuf>,
    recent: Mutex<Recent>,
    /// The smallest number in a file; 0 where there is none.
    oldest: AtomicU64,
    newest: watch::Sender<u64>,
}

/// What a reader gets next.
#[derive(Debug, Default)]
pub struct Batch {
    /// What there is no more.
    pub lost: Option<Lost>,
    /// The oldest first.
    pub records: Vec<Arc<Record>>,
}

/// Numbers whose records there are no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// The first of them.
    pub from: u64,
    /// The last of them.
    pub to: u64,
}

impl Journal {
    /// A journal whose newest number is `newest`, and the oldest one in a file `oldest`.
    pub(super) fn new(folder: Option<&Path>, newest: u64, oldest: Option<u64>) -> Self {
        Self(Arc::new(Inner {
            folder: folder.map(Path::to_owned),
            recent: Mutex::new(Recent::new(RECENT)),
            oldest: AtomicU64::new(oldest.unwrap_or(0)),
            newest: watch::Sender::new(newest),
        }))
    }

    pub(super) fn add(&self, records: Vec<(Arc<Record>, usize)>) {
        let Some(newest) = records.last().map(|(record, _)| record.number) else { return };
        let mut recent = self.recent();
        records.into_iter().for_each(|(record, bytes)| recent.push(record, bytes));
        drop(recent);
        self.0.newest.send_replace(newest);
    }

    pub(super) fn set_oldest(&self, oldest: Option<u64>) {
        self.0.oldest.store(oldest.unwrap_or(0), Ordering::Relaxed);
    }

    /// The number of the newest record, or of the last one of the server before.
    pub fn newest(&self) -> u64 {
        *self.0.newest.borrow()
    }

    /// The smallest number that there is, as far as is known: a file that is gone takes up to 4 MiB of records with it.
    pub fn oldest(&self) -> Option<u64> {
        match self.0.oldest.load(Ordering::Relaxed) {
            0 => self.recent().oldest(),
            oldest => Some(oldest),
        }
    }

    /// Changes with each new record.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.newest.subscribe()
    }

    /// The position before about the last `count` records of this server.
    pub fn before_last(&self, count: usize) -> u64 {
        let before = self.recent().before_last(count);
        before.unwrap_or_else(|| self.newest())
    }

    /// At most `most` records with greater numbers than `after`. Cancel-safe.
    pub async fn after(&self, after: u64, most: usize) -> Batch {
        let (oldest_recent, recent) = {
            let recent = self.recent();
            (recent.oldest().unwrap_or(u64::MAX), recent.after(after, most))
        };
        let in_files = self.0.oldest.load(Ordering::Relaxed);
        let oldest = if in_files == 0 { oldest_recent } else { in_files.min(oldest_recent) };
        // The first start of a reader that wants all there is loses nothing.
        let lost = (after > 0 && oldest != u64::MAX && after.saturating_add(1) < oldest)
            .then_some(Lost { from: after.saturating_add(1), to: oldest.saturating_sub(1) });
        let is_recent = after.saturating_add(1) >= oldest_recent || in_files == 0 || after >= self.newest();
        let Some(folder) = self.0.folder.clone().filter(|_| !is_recent) else {
            return Batch { lost, records: recent };
        };
        let read = tokio::task::spawn_blocking(move || read_after(&folder, after, most)).await;
        let read = read.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        let records = match read {
            Ok(records) if !records.is_empty() => records.into_iter().map(Arc::new).collect(),
            Ok(_) => recent,
            Err(error) => {
                tracing::debug!(%error, "cannot read the journal");
                recent
            }
        };
        Batch { lost, records }
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.0.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Fact;

    #[tokio::test]
    async fn a_reader_that_comes_late_learns_what_it_lost() {
        let journal = Journal::new(None, 4, None);
        let add = |number: u64, bytes| {
            let record = Record::new(number, Fact::server("server.started"));
            journal.add(vec![(Arc::new(record), bytes)]);
        };
        assert!(journal.after(2, 9).await.records.is_empty());
        add(5, RECENT);
        add(6, RECENT / 2);
        add(7, RECENT / 2);
        let batch = journal.after(2, 9).await;
        assert_eq!(batch.lost, Some(Lost { from: 3, to: 5 }));
        assert_eq!(batch.records.iter().map(|record| record.number).collect::<Vec<_>>(), [6, 7]);
        assert_eq!(journal.after(5, 9).await.lost, None);
        assert_eq!(journal.after(0, 9).await.lost, None);
        assert_eq!((journal.newest(), journal.before_last(1)), (7, 6));
        assert!(journal.after(u64::MAX, 9).await.records.is_empty());
    }
}
