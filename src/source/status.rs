//! The state of a feed or stream: the tasks that run it report it, outputs and pages read it.

use super::lifecycle::State;
use crate::{ipc::Track, telemetry::StartTimes};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::{Instant, SystemTime},
};

/// Most characters of a reason or of a line that are kept.
const LENGTH: usize = 500;
/// Most lines that are kept.
const LINES: usize = 10;

/// The state of one unit. Clones are the same.
#[derive(Debug, Clone)]
pub struct Status {
    record: Arc<Mutex<Record>>,
    times: StartTimes,
}

/// What is known of a unit at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Where it is in its lifecycle.
    pub state: State,
    /// Since when, by the wall clock.
    pub since: SystemTime,
    /// Times that its source was started.
    pub starts: u64,
    /// How many of them were because it had ended by itself.
    pub restarts: u64,
    /// Why it last ended by itself, shortened, and when.
    pub last_failure: Option<(String, SystemTime)>,
    /// The last lines of its program's standard error output, or messages of its pipeline, shortened.
    pub last_lines: VecDeque<String>,
    /// The process that runs it, while one does: a worker, or the guard of its program.
    pub pid: Option<u32>,
    /// Its tracks, once they are known.
    pub tracks: Vec<Track>,
    /// Its tracks when they were last known: also while it restarts.
    pub last_tracks: Vec<Track>,
    /// Viewers see its placeholder, because its feeds deliver nothing.
    pub shows_placeholder: bool,
    /// It ended by itself, and has not been idle since.
    has_failed: bool,
}

impl Default for Status {
    /// The state of a unit that is idle from now on.
    fn default() -> Self {
        let record = Record {
            state: State::Idle,
            since: SystemTime::now(),
            starts: 0,
            restarts: 0,
            last_failure: None,
            last_lines: VecDeque::new(),
            pid: None,
            tracks: Vec::new(),
            last_tracks: Vec::new(),
            shows_placeholder: false,
            has_failed: false,
        };
        Self { record: Arc::new(Mutex::new(record)), times: StartTimes::default() }
    }
}

impl Status {
    /// It is in this state from `now` on. States that differ in their times only are the same.
    pub fn set_state(&self, state: State, now: SystemTime) {
        self.change(|record| {
            if record.state.word() != state.word() {
                record.since = now;
            }
            record.has_failed &= state != State::Idle;
            record.state = state;
        });
    }

    /// Its source is being started.
    pub fn started(&self) {
        self.times.began(Instant::now());
        self.change(|record| {
            record.starts += 1;
            record.restarts += u64::from(record.has_failed);
            record.tracks.clear();
        });
    }

    /// When it started last, step by step.
    pub fn start_times(&self) -> &StartTimes {
        &self.times
    }

    /// Its source has ended; for this reason, if by itself.
    pub fn ended(&self, reason: Option<&str>, now: SystemTime) {
        self.change(|record| {
            record.pid = None;
            if let Some(reason) = reason {
                record.last_failure = Some((shortened(reason), now));
                record.has_failed = true;
            }
        });
    }

    /// Its source runs in this process.
    pub fn set_pid(&self, pid: Option<u32>) {
        self.change(|record| record.pid = pid);
    }

    /// Its program or pipeline reports a line.
    pub fn add_line(&self, line: &str) {
        self.change(|record| {
            record.last_lines.push_back(shortened(line));
            if record.last_lines.len() > LINES {
                record.last_lines.pop_front();
            }
        });
    }

    /// It has these tracks.
    pub fn set_tracks(&self, tracks: Vec<Track>) {
        self.change(|record| {
            if !tracks.is_empty() {
                record.last_tracks.clone_from(&tracks);
            }
            record.tracks = tracks;
        });
    }

    /// Viewers see its placeholder from now on, or no longer.
    pub fn set_placeholder(&self, is_on: bool) {
        self.change(|record| record.shows_placeholder = is_on);
    }

    /// Starts so far.
    pub fn starts(&self) -> u64 {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).starts
    }

    /// What is known now.
    pub fn read(&self) -> Record {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut Record)) {
        change(&mut self.record.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(LENGTH).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::TrackKind;
    use std::time::{Duration, Instant};

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_state_begins_when_its_word_changes() {
        let status = Status::default();
        status.set_state(State::Backoff { until: Instant::now() }, at(2));
        status.set_state(State::Backoff { until: Instant::now() }, at(3));
        assert_eq!(status.read().since, at(2));
        status.set_state(State::Starting, at(4));
        assert_eq!((status.read().state, status.read().since), (State::Starting, at(4)));
    }

    #[test]
    fn a_start_after_a_failure_is_a_restart_and_one_after_idling_is_not() {
        let status = Status::default();
        status.started();
        status.ended(Some("no such device"), at(2));
        status.started();
        status.ended(Some(&"é".repeat(10 * LENGTH)), at(3));
        status.set_state(State::Stopping, at(4));
        status.set_state(State::Idle, at(4));
        status.started();
        status.set_pid(Some(7));
        assert_eq!(status.read().pid, Some(7));
        status.ended(None, at(5));
        let record = status.read();
        assert_eq!((record.starts, record.restarts, record.pid), (3, 1, None));
        assert_eq!(record.last_failure, Some(("é".repeat(LENGTH), at(3))));
    }

    #[test]
    fn the_tracks_of_the_last_run_stay_known() {
        let status = Status::default();
        let track = Track { kind: TrackKind::Video, encoded: false, caps: "video/x-raw".to_owned() };
        status.set_tracks(vec![track.clone()]);
        status.started();
        status.set_tracks(Vec::new());
        let record = status.read();
        assert_eq!((record.tracks, record.last_tracks), (vec![], vec![track]));
    }

    #[test]
    fn last_lines_are_kept_within_bounds() {
        let status = Status::default();
        (0..100).for_each(|line| status.add_line(&format!("{line} {}", "x".repeat(10 * LENGTH))));
        let lines = status.read().last_lines;
        assert_eq!(lines.len(), LINES);
        assert!(lines[0].starts_with("90 ") && lines.iter().all(|line| line.len() == LENGTH));
    }
}
