//! The state of the recorder of a stream, for pages and metrics.

use crate::telemetry::{Fact, Facts};
use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

/// The state of one recorder. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct RecorderStatus {
    known: Arc<Mutex<RecorderFacts>>,
    stream: Arc<str>,
    reporter: Facts,
}

/// What is known of a recorder.
#[derive(Debug, Clone)]
pub struct RecorderFacts {
    /// `waiting`, `recording`, `off`, or what hinders it.
    pub state: &'static str,
    /// When that began.
    pub since: SystemTime,
    /// What hinders it.
    pub error: Option<String>,
    /// It was requested to record, which counts for the plans `manual` and `clips`.
    pub is_requested: bool,
    /// The request ends by itself then.
    pub until: Option<Instant>,
    /// The file that is written, below the folder.
    pub file: Option<String>,
    /// Files that were begun.
    pub files: u64,
    /// Bytes that are on the disk.
    pub bytes: u64,
    /// Times that something was lost, or a file could not be written.
    pub failures: u64,
    /// Samples that are in no file because of that.
    pub lost_samples: u64,
    /// Bytes that wait for the disk.
    pub queued: u64,
    /// The longest write of the last minute or so.
    pub slowest_write: Duration,
    /// Files that were deleted.
    pub deleted: u64,
    /// What there is, and what is to be expected.
    pub stored: Stored,
}

/// What there is of the recordings of a stream, and what is to be expected.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stored {
    /// Files that there are.
    pub files: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Room on the disk, in bytes.
    pub free: Option<u64>,
    /// Bytes a second that are recorded, on average of a day.
    pub rate: Option<f64>,
    /// How far back its recordings will reach, by what is kept.
    pub holds: Option<Duration>,
    /// When the disk is full.
    pub full_in: Option<Duration>,
}

impl Default for RecorderFacts {
    fn default() -> Self {
        Self {
            state: "off",
            since: SystemTime::now(),
            error: None,
            is_requested: false,
            until: None,
            file: None,
            files: 0,
            bytes: 0,
            failures: 0,
            lost_samples: 0,
            queued: 0,
            slowest_write: Duration::ZERO,
            deleted: 0,
            stored: Stored::default(),
        }
    }
}

impl RecorderFacts {
    fn end_request(&mut self, now: Instant) {
        if self.until.take_if(|until| *until <= now).is_some() {
            self.is_requested = false;
        }
    }
}

impl RecorderStatus {
    /// The state of the recorder of a stream, whose files are reported.
    pub fn reported(stream: &str, reporter: Facts) -> Self {
        Self { known: Arc::default(), stream: stream.into(), reporter }
    }

    /// What is known now.
    pub fn read(&self) -> RecorderFacts {
        let mut facts = self.facts();
        facts.end_request(Instant::now());
        facts.clone()
    }

    /// It is in this state. Returns whether it was in another one.
    pub fn set(&self, state: &'static str, error: Option<String>) -> bool {
        let mut facts = self.facts();
        let is_other = facts.state != state;
        if is_other {
            (facts.state, facts.since) = (state, SystemTime::now());
        }
        facts.error = error;
        if state != "recording" {
            facts.file = None;
        }
        is_other
    }

    /// It is requested to record, or not any more. Returns whether that is new.
    pub fn request(&self, on: bool) -> bool {
        self.request_until(on, None)
    }

    /// The same, until a moment.
    pub fn request_until(&self, on: bool, until: Option<Instant>) -> bool {
        let mut facts = self.facts();
        facts.end_request(Instant::now());
        facts.until = until;
        std::mem::replace(&mut facts.is_requested, on) != on
    }

    /// Whether it is requested to record.
    pub fn is_requested(&self) -> bool {
        let mut facts = self.facts();
        facts.end_request(Instant::now());
        facts.is_requested
    }

    /// Whether it records.
    pub fn is_recording(&self) -> bool {
        self.facts().state == "recording"
    }

    /// A file was begun: it records.
    pub fn began(&self, path: &str) {
        self.set("recording", None);
        let mut facts = self.facts();
        facts.files += 1;
        facts.file = Some(path.to_owned());
        drop(facts);
        self.reporter.report(self.fact("recording.started").with("file", path));
    }

    /// A file below a folder has ended, for this reason.
    pub fn ended(&self, (folder, path): (&Path, &str), bytes: u64, seconds: f64, reason: &str) {
        self.facts().file.take_if(|file| file == path);
        let fact = self.fact("recording.ended").with("file", path).with("bytes", bytes);
        let fact = fact.with("seconds", seconds).with("reason", reason);
        // Where that is is for those who manage the server.
        self.reporter.report(fact.who("folder", folder.display().to_string()));
    }

    /// It fails for this reason, which is reported.
    pub fn hindered(&self, reason: &str) {
        self.reporter.report(self.fact("recording.failed").with("reason", reason));
    }

    fn fact(&self, kind: &'static str) -> Fact {
        Fact::stream(kind, &self.stream)
    }

    /// So many bytes are on the disk, which took so long.
    pub fn written(&self, bytes: u64, took: Duration) {
        let mut facts = self.facts();
        facts.bytes += bytes;
        let before = facts.slowest_write - facts.slowest_write / 64;
        facts.slowest_write = took.max(before);
    }

    /// So many bytes wait.
    pub fn queued(&self, bytes: u64) {
        self.facts().queued = bytes;
    }

    /// A file could not be written, or something was lost.
    pub fn failed(&self) {
        self.facts().failures += 1;
    }

    /// Samples are in no file.
    pub fn lost(&self, samples: u64) {
        self.facts().lost_samples += samples;
    }

    /// A file was deleted, for this reason.
    pub fn deleted(&self, path: &str, reason: &str) {
        self.facts().deleted += 1;
        self.reporter.report(self.fact("recording.deleted").with("file", path).with("reason", reason));
    }

    /// What there is.
    pub fn kept(&self, stored: Stored) {
        self.facts().stored = stored;
    }

    fn facts(&self) -> MutexGuard<'_, RecorderFacts> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
