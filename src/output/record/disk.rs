//! The thread that writes the files of one folder. No caller waits for it: what it cannot take is lost, and counted.

use super::{
    core::{Begin, End},
    folder::{Change, DiskError, Edited, Folder, Repaired, Which, finish_file},
    forecast::{Forecast, Growing, Meter, forecast},
    index::Entry,
    retention::{Kept, deletions},
    search::{Counts, Search, Step},
};
use crate::{
    config::{FilePattern, Keep, Recording},
    engine::recorder_status::{RecorderStatus, Stored},
    sys::since_1970,
};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    time::{Duration, Instant},
};
use tokio::sync::{Notify, oneshot};

/// Most bytes of one recorder that wait for the disk: half a minute of 16 Mbit/s.
const MAX_QUEUED: u64 = 64 << 20;
/// Most bytes of all recorders that wait.
const MAX_ALL: u64 = 512 << 20;
/// Most jobs that wait: hundreds of recorders, each with parts for half a minute.
const MAX_JOBS: usize = 16_384;
/// How often limits of what is kept are looked at.
const CHORES: Duration = Duration::from_secs(1);
/// Files that are deleted at a time: what else waits for the disk waits for that.
const DELETIONS: usize = 10;
/// Files that are changed by request at a time, for the same reason.
const EDITS: usize = 20;
/// How often sums of days are written.
const SUMS: Duration = Duration::from_secs(600);
/// How long the thread waits for something to write before it looks at what a search has found.
const SEARCH: Duration = Duration::from_millis(20);
/// Room without which no file is begun.
const LEAST_ROOM: u64 = 4 << 20;
/// A folder that could not be opened is tried again after this.
const AGAIN: Duration = Duration::from_secs(2);

/// Bytes that wait for all disks.
static ALL_QUEUED: AtomicU64 = AtomicU64::new(0);

/// The thread of one folder. Clones are the same.
#[derive(Debug, Clone)]
pub struct Disk {
    jobs: SyncSender<Job>,
    path: Arc<Path>,
}

/// One recorder, as its disk sees it. Clones are the same.
#[derive(Debug, Clone)]
pub struct Ticket(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Unique in this process.
    number: u64,
    stream: String,
    name: FilePattern,
    extension: &'static str,
    run: u64,
    status: RecorderStatus,
    queued: AtomicU64,
    is_overflowing: AtomicBool,
    failures: Mutex<Vec<(u64, DiskError)>>,
    news: Notify,
}

#[derive(Debug)]
enum Job {
    Keep(String, Option<Keep>, FilePattern),
    Begin(Ticket, Begin),
    Write(Ticket, u64, Vec<u8>, i64),
    End(Ticket, End),
    Abandon(Ticket, u64),
    Edit(Edit, oneshot::Sender<Result<Edited, DiskError>>),
}

/// Files of a stream are to be changed by request.
#[derive(Debug, Clone)]
pub struct Edit {
    /// The stream.
    pub stream: String,
    /// Which of its files.
    pub which: Which,
    /// What becomes of them.
    pub change: Change,
    /// Who asks, for the log.
    pub by: Option<String>,
}

impl Ticket {
    /// A recorder of a stream; `run` numbers its timeline.
    pub fn new(stream: &str, recording: &Recording, run: u64, status: RecorderStatus) -> Self {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        Self(Arc::new(Shared {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            stream: stream.to_owned(),
            name: recording.name.clone(),
            extension: recording.format.name(),
            run,
            status,
            queued: AtomicU64::new(0),
            is_overflowing: AtomicBool::new(false),
            failures: Mutex::default(),
            news: Notify::new(),
        }))
    }

    /// Bytes that wait for the disk.
    pub fn queued(&self) -> u64 {
        self.0.queued.load(Ordering::Acquire)
    }

    /// Waits until files failed; which, and why. Cancel-safe.
    pub async fn failed(&self) -> Vec<(u64, DiskError)> {
        loop {
            let failed = std::mem::take(&mut *self.failures());
            if !failed.is_empty() {
                return failed;
            }
            self.0.news.notified().await;
        }
    }

    fn failures(&self) -> MutexGuard<'_, Vec<(u64, DiskError)>> {
        self.0.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, file: u64, error: DiskError) {
        let mut failures = self.failures();
        // A recorder has two files open at most.
        if failures.len() < 16 {
            failures.push((file, error));
        }
        drop(failures);
        self.0.news.notify_one();
    }

    fn add(&self, bytes: u64) {
        ALL_QUEUED.fetch_add(bytes, Ordering::AcqRel);
        let queued = self.0.queued.fetch_add(bytes, Ordering::AcqRel) + bytes;
        self.0.status.queued(queued);
    }

    fn remove(&self, bytes: u64) {
        ALL_QUEUED.fetch_sub(bytes, Ordering::AcqRel);
        let queued = self.0.queued.fetch_sub(bytes, Ordering::AcqRel) - bytes;
        self.0.status.queued(queued);
    }
}

impl Disk {
    /// Starts the thread of a folder. It ends with the last handle.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn start(path: &Path) -> io::Result<Self> {
        let (jobs, waiting) = sync_channel(MAX_JOBS);
        let path: Arc<Path> = path.into();
        let folder = path.to_path_buf();
        std::thread::Builder::new().name("recordings".to_owned()).spawn(move || Worker::new(folder).run(&waiting))?;
        Ok(Self { jobs, path })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is kept of a stream from now on, and how its files are named; `None` leaves what was.
    pub fn keep(&self, stream: &str, keep: Option<Keep>, name: &FilePattern) {
        let _ = self.jobs.try_send(Job::Keep(stream.to_owned(), keep, name.clone()));
    }

    /// A file begins.
    ///
    /// # Errors
    /// When too much waits for the disk.
    pub fn begin(&self, ticket: &Ticket, begin: Begin) -> Result<(), DiskError> {
        let bytes = begin.header.len() as u64;
        // After it was too slow, it has to have time.
        let queued = ticket.queued();
        if ticket.0.is_overflowing.load(Ordering::Acquire) && queued > max_queued() / 4 {
            return Err(DiskError::Slow(queued >> 20));
        }
        ticket.0.is_overflowing.store(false, Ordering::Release);
        self.send(ticket, bytes, |ticket| Job::Begin(ticket, begin))
    }

    /// A part of a file is to be appended.
    ///
    /// # Errors
    /// As [`Disk::begin`]; the part is lost, and nothing more of the file is to be written.
    pub fn write(&self, ticket: &Ticket, file: u64, bytes: Vec<u8>, to: i64) -> Result<(), DiskError> {
        let length = bytes.len() as u64;
        self.send(ticket, length, |ticket| Job::Write(ticket, file, bytes, to))
    }

    /// A file ends.
    ///
    /// # Errors
    /// As [`Disk::write`].
    pub fn end(&self, ticket: &Ticket, end: End) -> Result<(), DiskError> {
        let length = end.tail.len() as u64;
        self.send(ticket, length, |ticket| Job::End(ticket, end))
    }

    /// A file ends where it is, because something of it was lost.
    pub fn abandon(&self, ticket: &Ticket, file: u64) {
        // If there is no room for this, the file is repaired at the next start.
        let _ = self.jobs.try_send(Job::Abandon(ticket.clone(), file));
    }

    /// Changes files of a stream, some at a time: [`Edited::has_more`] says that there may be more.
    ///
    /// # Errors
    /// When too much waits for the disk.
    pub fn edit(&self, edit: Edit) -> Result<oneshot::Receiver<Result<Edited, DiskError>>, DiskError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.jobs.try_send(Job::Edit(edit, reply));
        sent.map(|()| answer).map_err(|_| DiskError::Slow(ALL_QUEUED.load(Ordering::Acquire) >> 20))
    }

    /// Each job counts as a byte more than it has, so that none is overlooked.
    fn send(&self, ticket: &Ticket, bytes: u64, job: impl FnOnce(Ticket) -> Job) -> Result<(), DiskError> {
        let (queued, bytes) = (ticket.queued(), bytes + 1);
        if queued + bytes > max_queued() || ALL_QUEUED.load(Ordering::Acquire) + bytes > MAX_ALL {
            ticket.0.is_overflowing.store(true, Ordering::Release);
            return Err(DiskError::Slow(queued >> 20));
        }
        ticket.add(bytes);
        self.jobs.try_send(job(ticket.clone())).map_err(|error| {
            ticket.remove(bytes);
            ticket.0.is_overflowing.store(true, Ordering::Release);
            match error {
                TrySendError::Full(_) => DiskError::Slow(queued >> 20),
                TrySendError::Disconnected(_) => DiskError::Other("its thread has ended".to_owned()),
            }
        })
    }
}

/// [`MAX_QUEUED`], which tests make smaller.
fn max_queued() -> u64 {
    fail::fail_point!("recording-queue", |most| most.and_then(|most| most.parse().ok()).unwrap_or(MAX_QUEUED));
    MAX_QUEUED
}

/// A file that is written.
#[derive(Debug)]
struct Open {
    file: File,
    entry: Entry,
    /// Who writes it.
    ticket: Ticket,
}

/// What the thread has.
#[derive(Debug)]
struct Worker {
    path: PathBuf,
    folder: Option<Folder>,
    /// Why there is no folder, and when that was found.
    missing: Option<(DiskError, Instant)>,
    /// A folder that was there and is not may be a disk that is not mounted: it is not created again.
    was_there: bool,
    open: BTreeMap<(u64, u64), Open>,
    keeps: BTreeMap<String, Option<Keep>>,
    /// How files are named.
    names: BTreeMap<String, FilePattern>,
    statuses: BTreeMap<String, RecorderStatus>,
    meters: BTreeMap<String, Meter>,
    chores: Instant,
    /// Of the index there is more to read.
    has_unread: bool,
    /// When the sums of days were written.
    summed: Instant,
    /// Looks for files that the index has lost, and how many it found.
    search: Option<(Search, u64)>,
}

impl Worker {
    fn new(path: PathBuf) -> Self {
        Self {
            path,
            folder: None,
            missing: None,
            was_there: false,
            open: BTreeMap::new(),
            keeps: BTreeMap::new(),
            names: BTreeMap::new(),
            statuses: BTreeMap::new(),
            meters: BTreeMap::new(),
            chores: Instant::now(),
            has_unread: false,
            summed: Instant::now(),
            search: None,
        }
    }

    fn run(mut self, jobs: &Receiver<Job>) {
        loop {
            let wait = match self.search {
                _ if self.has_unread => Duration::ZERO,
                Some(_) => SEARCH,
                None => CHORES.saturating_sub(self.chores.elapsed()),
            };
            match jobs.recv_timeout(wait) {
                Ok(job) => self.job(job),
                Err(RecvTimeoutError::Timeout) => {
                    self.read_more();
                    self.take_found();
                }
                Err(RecvTimeoutError::Disconnected) => return self.write_sums(),
            }
            if self.chores.elapsed() >= CHORES {
                self.chores();
                self.chores = Instant::now();
            }
        }
    }

    fn job(&mut self, job: Job) {
        fail::fail_point!("recording-disk");
        match job {
            Job::Keep(stream, keep, name) => {
                self.names.insert(stream.clone(), name);
                if let (Some(folder), Some(keep)) = (&mut self.folder, keep)
                    && let Err(error) = folder.set_keep(&stream, keep)
                {
                    tracing::warn!(stream, %error, "list of kept recordings not written");
                }
                self.keeps.insert(stream, keep);
            }
            Job::Begin(ticket, begin) => {
                let (bytes, file) = (begin.header.len() as u64, begin.file);
                self.statuses.insert(ticket.0.stream.clone(), ticket.0.status.clone());
                if let Err(error) = self.begin(&ticket, begin) {
                    ticket.fail(file, error);
                }
                ticket.remove(bytes + 1);
            }
            Job::Write(ticket, file, bytes, to) => {
                let began = Instant::now();
                let length = bytes.len() as u64;
                let key = (ticket.0.number, file);
                if let Some(open) = self.open.get_mut(&key) {
                    match open.append(&bytes) {
                        Ok(()) => {
                            open.entry.to = to;
                            ticket.0.status.written(length, began.elapsed());
                            self.meter(&ticket.0.stream, length);
                        }
                        Err(error) => self.broke(&ticket, file, error.into()),
                    }
                }
                ticket.remove(length + 1);
            }
            Job::End(ticket, end) => {
                let length = end.tail.len() as u64;
                self.end(&ticket, end);
                ticket.remove(length + 1);
            }
            Job::Abandon(ticket, file) => self.settle(&ticket, file, "gap"),
            Job::Edit(edit, reply) => drop(reply.send(self.edit(&edit))),
        }
    }

    fn meter(&mut self, stream: &str, bytes: u64) {
        let now = crate::sys::monotonic();
        match self.meters.get_mut(stream) {
            Some(meter) => meter.count(now, bytes),
            None => self.meters.entry(stream.to_owned()).or_default().count(now, bytes),
        }
    }

    fn edit(&mut self, edit: &Edit) -> Result<Edited, DiskError> {
        let Edit { stream, which, change, by } = edit;
        let edited = self.folder()?.edit(stream, *which, *change, EDITS)?;
        for Entry { path, bytes, .. } in &edited.files {
            match change {
                Change::Delete => {
                    tracing::info!(stream, file = path, bytes, reason = "request", by, "recording deleted")
                }
                Change::Protect(on) => tracing::info!(stream, file = path, on, by, "recording protected"),
            }
        }
        self.count_all();
        Ok(edited)
    }

    fn begin(&mut self, ticket: &Ticket, begin: Begin) -> Result<(), DiskError> {
        let Begin { file, from, media, codecs, header } = begin;
        let shared = &ticket.0;
        let folder = self.folder()?;
        if folder.free().is_some_and(|free| free < LEAST_ROOM) {
            return Err(DiskError::Full);
        }
        let sequence = folder.streams.get(&shared.stream).map_or(1, |files| files.next.max(1));
        let entry = Entry {
            sequence,
            path: shared.name.path(&shared.stream, from, sequence),
            from,
            to: from,
            bytes: 0,
            codecs,
            run: shared.run,
            media,
            ended: None,
            protected: false,
        };
        let (handle, entry) = folder.create(&shared.stream, entry, shared.extension)?;
        let mut open = Open { file: handle, entry, ticket: ticket.clone() };
        if let Err(error) = open.append(&header) {
            folder.discard(&shared.stream, &open.entry);
            return Err(error.into());
        }
        shared.status.began(&open.entry.path);
        tracing::info!(stream = shared.stream, file = open.entry.path, "recording file opened");
        self.open.insert((shared.number, file), open);
        Ok(())
    }

    fn end(&mut self, ticket: &Ticket, end: End) {
        let End { file, tail, patch, to, reason } = end;
        let key = (ticket.0.number, file);
        let Some(open) = self.open.get_mut(&key) else { return };
        let finished = open.append(&tail).and_then(|()| match patch {
            Some((at, bytes)) => open.file.write_all_at(&bytes, at).and_then(|()| open.file.sync_data()),
            None => Ok(()),
        });
        if let Err(error) = finished {
            // All whole parts are there.
            self.broke(ticket, file, error.into());
            return;
        }
        let Some(mut open) = self.open.remove(&key) else { return };
        open.entry.to = to;
        self.ended(ticket, open, reason);
    }

    /// Notes that a file has ended.
    fn ended(&mut self, ticket: &Ticket, open: Open, reason: &str) {
        let Open { mut entry, .. } = open;
        entry.ended = Some(reason.to_owned());
        let seconds = (entry.to - entry.from) as f64 / 1e6;
        let stream = &ticket.0.stream;
        // The index first: who hears that the file has ended finds it as ended in the list.
        if let Some(folder) = &mut self.folder
            && let Err(error) = folder.ended(stream, &entry)
        {
            tracing::warn!(stream, file = entry.path, %error, "end of a recording not written to the index");
        }
        tracing::info!(stream, file = entry.path, bytes = entry.bytes, seconds, reason, "recording file closed");
        ticket.0.status.ended((&self.path, &entry.path), entry.bytes, seconds, reason);
        self.count_all();
    }

    /// A file cannot be written any more.
    fn broke(&mut self, ticket: &Ticket, file: u64, error: DiskError) {
        let reason = error.state();
        self.settle(ticket, file, reason);
        ticket.fail(file, error);
    }

    /// Ends a file as far as it is whole.
    fn settle(&mut self, ticket: &Ticket, file: u64, reason: &str) {
        let Some(mut open) = self.open.remove(&(ticket.0.number, file)) else { return };
        // Without what was torn; where that fails, the next start does it.
        let _ = open.file.set_len(open.entry.bytes);
        let _ = open.file.sync_data();
        if let Some(path) = self.folder.as_ref().map(|folder| folder.path().join(&open.entry.path))
            && let Ok((_, bytes)) = finish_file(&path, open.entry.from)
        {
            open.entry.bytes = bytes;
        }
        self.ended(ticket, open, reason);
    }

    /// The folder, which is opened if it is not.
    fn folder(&mut self) -> Result<&mut Folder, DiskError> {
        if self.folder.as_ref().is_some_and(|folder| !folder.is_there()) {
            tracing::warn!(folder = %self.path.display(), "recording folder is missing");
            self.folder = None;
            self.search = None;
            // When it is back, what was open is found unfinished: nothing may write to it any more.
            for ((_, file), open) in std::mem::take(&mut self.open) {
                open.ticket.fail(file, DiskError::Missing);
            }
        }
        if self.folder.is_none() {
            if let Some((error, at)) = &self.missing
                && at.elapsed() < AGAIN
            {
                return Err(error.clone());
            }
            match self.open_folder() {
                Ok(()) => self.missing = None,
                Err(error) => {
                    self.missing = Some((error.clone(), Instant::now()));
                    return Err(error);
                }
            }
        }
        self.folder.as_mut().ok_or(DiskError::Missing)
    }

    fn open_folder(&mut self) -> Result<(), DiskError> {
        if self.was_there && !self.path.join(".voyandz").exists() {
            return Err(DiskError::Missing);
        }
        let (mut folder, repaired) = Folder::open(&self.path)?;
        self.was_there = true;
        note_repaired(repaired);
        let unread_days = folder.unread();
        tracing::info!(folder = %self.path.display(), streams = folder.streams.len(), unread_days, "recording folder opened");
        self.has_unread = unread_days > 0;
        for (stream, keep) in &self.keeps {
            if let Some(keep) = keep {
                folder.set_keep(stream, *keep)?;
            }
        }
        self.folder = Some(folder);
        Ok(())
    }

    /// Reads a piece of the index that was not read at the start, while nothing is to be written.
    fn read_more(&mut self) {
        let Some(folder) = self.folder.as_mut().filter(|_| self.has_unread) else {
            self.has_unread = false;
            return;
        };
        let mut repaired = Vec::new();
        match folder.read_more(&mut repaired) {
            Ok(true) => {}
            Ok(false) => {
                self.has_unread = false;
                tracing::info!(folder = %self.path.display(), "index of recordings read");
                self.write_sums();
            }
            Err(error) => tracing::warn!(folder = %self.path.display(), %error, "index of a day cannot be read"),
        }
        note_repaired(repaired);
    }

    /// Begins to look for files when something of the index was lost.
    fn search(&mut self) {
        let Some(folder) = self.folder.as_mut().filter(|_| self.search.is_none()) else { return };
        let Some(indexed) = folder.take_lost() else { return };
        tracing::warn!(folder = %self.path.display(), "index of recordings lost or damaged: looking for their files");
        match Search::start(folder.root(), self.names.clone(), indexed) {
            Ok(search) => self.search = Some((search, 0)),
            Err(error) => tracing::error!(folder = %self.path.display(), %error, "cannot look for recordings"),
        }
    }

    /// Adds some of the files that were found to the index.
    fn take_found(&mut self) {
        let (Some((search, adopted)), Some(folder)) = (&mut self.search, &mut self.folder) else { return };
        for step in search.steps.try_iter().take(EDITS) {
            let path = self.path.display();
            match step {
                Step::Found(found) => match folder.adopt(found) {
                    Ok(is_new) => *adopted += u64::from(is_new),
                    Err(error) => tracing::warn!(folder = %path, %error, "a file is not in the index"),
                },
                Step::Done(Counts { files, unknown }) => {
                    let (adopted, seconds) = (*adopted, search.began.elapsed().as_secs_f64());
                    tracing::info!(folder = %path, files, adopted, unknown, seconds, "index of recordings rebuilt");
                    if let Err(error) = folder.found_all() {
                        tracing::warn!(folder = %path, %error, "index of recordings not written: it is rebuilt again at the next start");
                    }
                    self.search = None;
                    self.write_sums();
                    return;
                }
            }
        }
    }

    fn write_sums(&mut self) {
        self.summed = Instant::now();
        if let Some(folder) = self.folder.as_ref().filter(|folder| folder.is_there())
            && let Err(error) = folder.write_sums()
        {
            tracing::warn!(folder = %self.path.display(), %error, "sums of recordings not written: the next start reads more");
        }
    }

    fn chores(&mut self) {
        // What is kept is looked at also while nothing is recorded.
        if self.folder().is_err() {
            return;
        }
        for _ in 0..DELETIONS {
            if self.delete() == 0 {
                break;
            }
        }
        self.folder.iter_mut().for_each(Folder::write_owed);
        self.search();
        self.take_found();
        self.count_all();
        if self.summed.elapsed() >= SUMS {
            self.write_sums();
        }
    }

    /// Deletes the oldest files of streams that have more than is kept; returns how many.
    fn delete(&mut self) -> usize {
        let Some(folder) = &mut self.folder else { return 0 };
        let now = since_1970(crate::sys::monotonic()).and_then(|now| i64::try_from(now.as_micros()).ok()).unwrap_or(0);
        let free = folder.free();
        let streams: Vec<String> = folder.streams.keys().cloned().collect();
        let kept: Vec<Kept<'_>> = streams
            .iter()
            .zip(folder.streams.values())
            .map(|(stream, files)| Kept { stream, keep: files.keep, bytes: files.sum().1, oldest: files.oldest() })
            .collect();
        let mut count = 0;
        for deletion in deletions(&kept, free, now) {
            // One at a time: another may not be needed.
            match folder.delete_oldest(deletion.stream, deletion.before, 1) {
                Ok(deleted) => {
                    count += deleted.len();
                    for entry in deleted {
                        let (stream, reason) = (deletion.stream, deletion.reason);
                        tracing::info!(stream, file = entry.path, bytes = entry.bytes, reason, "recording deleted");
                        if let Some(status) = self.statuses.get(stream) {
                            status.deleted(&entry.path, reason);
                        }
                    }
                }
                Err(error) => tracing::warn!(stream = deletion.stream, %error, "cannot delete recordings"),
            }
        }
        count
    }

    /// Reports to the pages how much there is of each stream, and what is to be expected.
    fn count_all(&self) {
        let Some(folder) = &self.folder else { return };
        let (free, now) = (folder.free(), crate::sys::monotonic());
        let known: Vec<_> = folder.streams.iter().map(|(stream, files)| (stream, files.keep, files.sum())).collect();
        let rate = |stream: &String| self.meters.get(stream).and_then(|meter| meter.rate(now));
        let growing = |(stream, keep, (_, bytes)): &(&String, Keep, (u64, u64))| Growing {
            keep: *keep,
            bytes: *bytes,
            rate: rate(stream),
        };
        let growing: Vec<Growing> = known.iter().map(growing).collect();
        for (((stream, _, (files, bytes)), growing), expected) in
            known.iter().zip(&growing).zip(forecast(&growing, free))
        {
            let Some(status) = self.statuses.get(*stream) else { continue };
            let Forecast { holds, full_in } = expected;
            status.kept(Stored { files: *files, bytes: *bytes, free, rate: growing.rate, holds, full_in });
        }
    }
}

fn note_repaired(repaired: Vec<Repaired>) {
    for Repaired { stream, path, outcome } in repaired {
        tracing::warn!(stream, file = path, outcome, "recording was left unfinished");
    }
}

impl Open {
    /// Appends, and has it on the disk; nothing is appended when that fails.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        fail::fail_point!("recording-write", |_| Err(io::ErrorKind::StorageFull.into()));
        if bytes.is_empty() {
            return Ok(());
        }
        self.file.write_all(bytes)?;
        self.file.sync_data()?;
        self.entry.bytes += bytes.len() as u64;
        Ok(())
    }
}
