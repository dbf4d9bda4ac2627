//! The thread that numbers facts and writes them down.

use super::{audit::AuditLog, folder::Folder, reader::Journal, record::Record};
use crate::telemetry::{Fact, Facts, FailureLog, JournalStats, Message, Report};
use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError},
    },
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime},
};

/// What was written is on the disk after this.
const SYNC: Duration = Duration::from_secs(1);
/// Most facts that are written together.
const TOGETHER: usize = 1024;
/// Lines that wait for a disk that fails, in bytes.
const UNSAVED: usize = 1 << 20;
/// Numbers that are skipped after a crash: more than may have been lost with the last second, so that no number stands for two facts.
const AFTER_CRASH: u64 = 100_000;
/// The last fact of a server that was not killed.
pub(super) const LAST: &str = "server.stopped";

/// The running thread.
#[derive(Debug)]
pub struct Writer {
    facts: Facts,
    thread: JoinHandle<()>,
}

struct Task {
    coming: Receiver<Message>,
    facts: Facts,
    journal: Journal,
    folder: Option<Folder>,
    audit: Option<AuditLog>,
    /// Lines that are not in the audit log.
    unaudited: Vec<u8>,
    stats: Arc<JournalStats>,
    /// The number of the newest record.
    number: u64,
    /// Lines that are not in a file, with the first number of them.
    unsaved: (u64, Vec<u8>),
    unsaved_count: u64,
    failures: FailureLog,
}

impl Writer {
    /// Starts a journal in `folder`, or in memory only. Where the folder cannot be used, that is logged, and it is in memory only.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn start(folder: Option<&Path>, stats: Arc<JournalStats>) -> io::Result<(Self, Journal, Facts)> {
        let (facts, coming) = Facts::queue();
        let opened = folder.and_then(|path| match Folder::open(path) {
            Ok((folder, last)) => Some((path, folder, last)),
            Err(error) => {
                tracing::error!(folder = %path.display(), %error, "journal kept in memory only");
                None
            }
        });
        let (path, folder, last) = match opened {
            Some((path, folder, last)) => (Some(path), Some(folder), last),
            None => (None, None, None),
        };
        let number = match last {
            Some(last) if last.kind == LAST => last.number,
            Some(last) => last.number + AFTER_CRASH,
            None => first(SystemTime::now()),
        };
        let oldest = folder.as_ref().and_then(Folder::oldest);
        stats.bytes.store(folder.as_ref().map_or(0, Folder::bytes), Ordering::Relaxed);
        let journal = Journal::new(path, number, oldest);
        // Beside the journal, for people to find.
        let audit = path.and_then(Path::parent).map(AuditLog::new);
        let task = Task {
            coming,
            facts: facts.clone(),
            journal: journal.clone(),
            folder,
            audit,
            unaudited: Vec::new(),
            stats,
            number,
            unsaved: (0, Vec::new()),
            unsaved_count: 0,
            failures: FailureLog::default(),
        };
        let thread = std::thread::Builder::new().name("journal".to_owned()).spawn(move || task.run())?;
        Ok((Self { facts: facts.clone(), thread }, journal, facts))
    }

    /// Writes the last fact and returns when all is on the disk. Blocking.
    pub fn end(self) {
        self.facts.report(Fact::server(LAST));
        self.facts.end();
        let _ = self.thread.join();
    }
}

/// Where a new journal begins: at the milliseconds since 1970, so that its numbers are greater than those of one that was lost.
fn first(now: SystemTime) -> u64 {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(0)
}

impl Task {
    fn run(mut self) {
        let mut synced = Instant::now();
        let mut is_dirty = false;
        loop {
            let wait = SYNC.saturating_sub(synced.elapsed());
            let first = if is_dirty || !self.unsaved.1.is_empty() || !self.unaudited.is_empty() {
                self.coming.recv_timeout(wait)
            } else {
                self.coming.recv().map_err(|_| RecvTimeoutError::Disconnected)
            };
            let mut batch = Vec::new();
            let mut ends = matches!(first, Err(RecvTimeoutError::Disconnected));
            for message in first.into_iter().chain(self.coming.try_iter()).take(TOGETHER) {
                match message {
                    Message::Fact(fact) => batch.push(*fact),
                    Message::End => ends = true,
                }
            }
            let lost = self.facts.take_lost();
            if lost > 0 {
                self.stats.lost.fetch_add(lost, Ordering::Relaxed);
                batch.push(Fact::server("journal.lost").with("count", lost));
            }
            is_dirty |= !batch.is_empty();
            self.take(batch);
            self.save();
            self.save_audit();
            if ends || synced.elapsed() >= SYNC {
                if is_dirty {
                    let synced = self.folder.as_ref().map(Folder::sync).into_iter();
                    let synced = synced.chain(self.audit.as_ref().map(AuditLog::sync)).find_map(Result::err);
                    synced.into_iter().for_each(|error| self.failed(&error));
                }
                synced = Instant::now();
                is_dirty = false;
            }
            if ends {
                return;
            }
        }
    }

    /// Numbers them and shows them to readers.
    fn take(&mut self, batch: Vec<Fact>) {
        if batch.is_empty() {
            return;
        }
        let mut records = Vec::with_capacity(batch.len());
        for fact in batch {
            self.number += 1;
            let record = Record::new(self.number, fact);
            let line = record.line();
            if self.audit.is_some() && record.is_audit() {
                self.unaudited.extend(&line);
            }
            if self.folder.is_some() {
                if self.unsaved.1.is_empty() {
                    self.unsaved.0 = self.number;
                }
                self.unsaved.1.extend(&line);
                self.unsaved_count += 1;
            }
            records.push((Arc::new(record), line.len()));
        }
        self.stats.written.fetch_add(records.len() as u64, Ordering::Relaxed);
        self.journal.add(records);
    }

    /// Brings what is not in a file into one. A disk that fails is tried again with the next facts, or after a second.
    fn save(&mut self) {
        let Some(folder) = &mut self.folder else { return };
        let (first, lines) = &self.unsaved;
        if lines.is_empty() {
            return;
        }
        let appended = folder.append(*first, lines);
        self.journal.set_oldest(folder.oldest());
        self.stats.bytes.store(folder.bytes(), Ordering::Relaxed);
        match appended {
            Ok(()) => {
                self.unsaved.1.clear();
                self.unsaved_count = 0;
                if self.failures.is_failing() {
                    let failures = self.failures.recovered().unwrap_or(1);
                    tracing::info!(failures, "journal written again");
                }
            }
            Err(error) => {
                self.failed(&error);
                if self.unsaved.1.len() > UNSAVED {
                    self.stats.unsaved.fetch_add(self.unsaved_count, Ordering::Relaxed);
                    self.unsaved.1.clear();
                    self.unsaved_count = 0;
                }
            }
        }
    }

    /// The same with the audit log. What a disk that fails for long does not take is in the journal's memory only.
    fn save_audit(&mut self) {
        let Some(audit) = self.audit.as_mut().filter(|_| !self.unaudited.is_empty()) else { return };
        match audit.append(&self.unaudited) {
            Ok(()) => self.unaudited.clear(),
            Err(error) => {
                if self.unaudited.len() > UNSAVED {
                    self.unaudited.clear();
                }
                self.failed(&error);
            }
        }
    }

    fn failed(&mut self, error: &io::Error) {
        match self.failures.failed(Instant::now()) {
            Some(Report::First) => tracing::error!(%error, "journal not written: retrying every second"),
            Some(Report::Again(failures)) => tracing::error!(%error, failures, "journal still not written"),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(journal: &Journal, count: usize) -> Vec<Arc<Record>> {
        let mut newest = journal.subscribe();
        loop {
            let batch = journal.after(0, 10_000).await;
            if batch.records.len() >= count {
                return batch.records;
            }
            newest.changed().await.unwrap();
        }
    }

    #[tokio::test]
    async fn numbers_grow_over_restarts_and_crashes() {
        let temporary = tempfile::tempdir().unwrap();
        let start = || Writer::start(Some(temporary.path()), Arc::default()).unwrap();
        let (writer, journal, facts) = start();
        for count in 0..3000 {
            facts.report(Fact::stream("viewer.joined", "cam").with("count", count));
        }
        let records = all(&journal, 3000).await;
        assert!(records.windows(2).all(|pair| pair[1].number == pair[0].number + 1));
        tokio::task::spawn_blocking(|| writer.end()).await.unwrap();
        let last = journal.newest();
        assert_eq!(last, records[2999].number + 1);
        let (writer, journal, facts) = start();
        assert_eq!(journal.newest(), last);
        facts.report(Fact::server("server.started"));
        assert_eq!(all(&journal, 3002).await[3001].number, last + 1);
        // Without its last fact.
        facts.end();
        tokio::task::spawn_blocking(|| writer.thread.join()).await.unwrap().unwrap();
        let (writer, journal, facts) = start();
        facts.report(Fact::server("server.started"));
        assert_eq!(all(&journal, 3003).await[3002].number, last + 2 + AFTER_CRASH);
        tokio::task::spawn_blocking(|| writer.end()).await.unwrap();
    }

    #[tokio::test]
    async fn without_a_folder_it_is_in_memory() {
        let file = tempfile::NamedTempFile::new().unwrap();
        // A file is no folder.
        for folder in [None, Some(file.path())] {
            let (_writer, journal, facts) = Writer::start(folder, Arc::default()).unwrap();
            assert!(journal.newest() > 1_700_000_000_000);
            facts.report(Fact::server("server.started"));
            assert_eq!(all(&journal, 1).await[0].kind, "server.started");
        }
    }
}
