//! The recorder of a stream, as the state reports it.

use crate::engine::recorder_status::RecorderFacts;
use serde::Serialize;

/// Seconds of a day.
const DAY: f64 = 86_400.0;

/// A recorder.
#[derive(Debug, Serialize)]
pub struct Recording {
    /// `waiting`, `recording`, `off`, or what hinders it.
    pub state: &'static str,
    /// When that began.
    since: String,
    /// What hinders it.
    pub error: Option<String>,
    /// The file that it writes.
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
    pub queued_bytes: u64,
    /// The longest recent write.
    pub slowest_write_seconds: f64,
    /// Files that were deleted.
    pub deleted_files: u64,
    /// Files that there are.
    pub kept_files: u64,
    /// Bytes of those that have ended.
    pub kept_bytes: u64,
    /// Room on the disk.
    pub free_bytes: Option<u64>,
    /// What is recorded in a day, by the rate of the last day.
    pub bytes_per_day: Option<u64>,
    /// How far back its recordings will reach, by what is kept.
    pub holds_seconds: Option<u64>,
    /// The disk will be full after so many seconds.
    pub full_in_seconds: Option<u64>,
}

impl Recording {
    /// The state of a recorder.
    pub fn of(facts: &RecorderFacts) -> Self {
        let stored = facts.stored;
        let time = jiff::Timestamp::try_from(facts.since);
        Self {
            state: facts.state,
            since: time.map(|time| format!("{time:.3}")).unwrap_or_default(),
            error: facts.error.clone(),
            file: facts.file.clone(),
            files: facts.files,
            bytes: facts.bytes,
            failures: facts.failures,
            lost_samples: facts.lost_samples,
            queued_bytes: facts.queued,
            slowest_write_seconds: facts.slowest_write.as_secs_f64(),
            deleted_files: facts.deleted,
            kept_files: stored.files,
            kept_bytes: stored.bytes,
            free_bytes: stored.free,
            bytes_per_day: stored.rate.map(|rate| (rate * DAY) as u64),
            holds_seconds: stored.holds.map(|time| time.as_secs()),
            full_in_seconds: stored.full_in.map(|time| time.as_secs()),
        }
    }
}
