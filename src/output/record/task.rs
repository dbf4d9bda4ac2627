//! The task that records one stream.

use super::{
    core::{Action, Now, Recorder, Settings},
    disk::{Disk, Ticket},
    folder::DiskError,
    preroll::PreRoll,
};
use crate::{
    config::{Plan, Recording},
    engine::registry::StreamHandle,
    source::{demand::Lease, status::Status},
    stream::{SampleReader, Tapped},
    sys::monotonic,
    telemetry::{FailureLog, Report},
};
use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};
use tokio_util::sync::CancellationToken;

/// How often time is looked at while nothing comes.
const TICK: Duration = Duration::from_millis(200);
/// A disk that cannot be written to is tried again after this.
const AGAIN: Duration = Duration::from_secs(2);
/// A stream that cannot be recorded is tried again after this.
const OPEN_AGAIN: Duration = Duration::from_secs(10);
/// How long the end waits for what is still to be written.
const DRAIN: Duration = Duration::from_secs(5);
/// A stream without viewers is recorded for so long, by the plan `wanted`.
const UNWANTED: Duration = Duration::from_secs(3);
/// A file of a session ends at midnight at the latest.
const LONGEST: Duration = Duration::from_secs(86_400);
/// The system clock was set when it is off by more than this, in microseconds.
const STEP: i64 = 1_000_000;

/// What is recorded, and where.
#[derive(Debug, Clone)]
pub struct RecorderTask {
    /// The stream.
    pub stream: Arc<StreamHandle>,
    /// The feeds that it is made of: each start of one is another run.
    pub feeds: Vec<Status>,
    /// How.
    pub recording: Recording,
    /// Where.
    pub disk: Disk,
}

/// Records until it is stopped.
struct Running {
    task: RecorderTask,
    ticket: Ticket,
    core: Recorder,
    failures: FailureLog,
    /// Nothing is begun before.
    paused_until: Option<Instant>,
    /// Since when there are no viewers.
    unwatched: Option<Instant>,
    /// What is before a request, with the plan `clips`.
    preroll: Option<PreRoll>,
    /// How often its feeds were started.
    starts: u64,
    /// UTC minus the monotonic clock, in microseconds.
    offset: i64,
}

impl RecorderTask {
    fn name(&self) -> &str {
        self.stream.config.name.as_str()
    }

    fn settings(&self) -> Settings {
        let Recording { format, every, part, plan, .. } = &self.recording;
        // The tables of a file are in memory: it is no longer than a day.
        let every = Some(every.unwrap_or(LONGEST));
        Settings { container: *format, every, part: *part, is_session: *plan == Plan::Session }
    }

    fn starts(&self) -> u64 {
        self.feeds.iter().map(Status::starts).sum()
    }

    fn is_watched(&self) -> bool {
        self.stream.viewers.stats().now > 0
    }

    /// Whether there is a reason to record now.
    fn has_reason(&self) -> bool {
        match self.recording.plan {
            Plan::Always | Plan::Session => true,
            Plan::Wanted => self.is_watched(),
            Plan::Manual => self.stream.recorder.is_requested(),
            // What is before a request is in memory.
            Plan::Clips => true,
        }
    }

    /// Records until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let status = self.stream.recorder.clone();
        status.set("waiting", None);
        self.disk.keep(self.name(), Some(self.recording.keep), &self.recording.name);
        while !stop.is_cancelled() {
            if !self.has_reason() {
                stop.run_until_cancelled(tokio::time::sleep(TICK)).await;
                continue;
            }
            let opened = stop.run_until_cancelled(self.stream.open_samples(self.recording.format)).await;
            let error = match opened {
                None => break,
                Some(Ok(Some((lease, reader)))) => {
                    Running::new(self.clone()).run(lease, reader, &stop).await;
                    status.set("waiting", None);
                    continue;
                }
                Some(Ok(None)) => "it arrives as bytes of another program's muxer".to_owned(),
                Some(Err(refused)) => refused.to_string(),
            };
            if status.set("unsupported", Some(error.clone())) {
                status.hindered(&error);
                tracing::warn!(stream = self.name(), reason = error, "stream cannot be recorded");
            }
            stop.run_until_cancelled(tokio::time::sleep(OPEN_AGAIN)).await;
        }
        status.set("off", None);
    }
}

/// The time since 1970 in microseconds.
fn utc() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_micros()).unwrap_or(i64::MAX)
}

fn now() -> Now {
    Now { monotonic: monotonic(), utc: utc(), instant: Instant::now() }
}

fn offset(now: Now) -> i64 {
    now.utc - i64::try_from(now.monotonic.as_micros()).unwrap_or(0)
}

impl Running {
    fn new(task: RecorderTask) -> Self {
        let run = utc().unsigned_abs();
        let ticket = Ticket::new(task.name(), &task.recording, run, task.stream.recorder.clone());
        Self {
            ticket,
            core: Recorder::new(task.settings(), 0),
            failures: FailureLog::default(),
            paused_until: None,
            unwatched: None,
            preroll: (task.recording.plan == Plan::Clips).then(|| PreRoll::new(task.recording.before)),
            starts: task.starts(),
            offset: offset(now()),
            task,
        }
    }

    async fn run(mut self, lease: Lease, reader: SampleReader, stop: &CancellationToken) {
        let reason = loop {
            let wait = self.core.due(now()).unwrap_or(TICK).min(TICK);
            let mut actions = Vec::new();
            tokio::select! {
                biased;
                () = stop.cancelled() => break "stopped",
                failed = self.ticket.failed() => failed.into_iter().for_each(|(file, error)| self.fail(file, &error)),
                item = reader.next() => self.take(item, &mut actions),
                () = tokio::time::sleep(wait) => self.core.tick(now(), &mut actions),
            }
            self.end_clip(&mut actions);
            self.act(actions, Some(&reader));
            self.note_clock();
            self.note_recovery();
            if let Some(reason) = self.unwanted() {
                break reason;
            }
        };
        let mut actions = Vec::new();
        self.core.stop(reason, &mut actions);
        self.act(actions, None);
        drop((reader, lease));
        let until = Instant::now() + DRAIN;
        while self.ticket.queued() > 0 && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if self.ticket.queued() > 0 {
            let (stream, bytes) = (self.task.name(), self.ticket.queued());
            tracing::warn!(stream, bytes, "end of a recording not written: repaired at the next start");
        }
    }

    fn take(&mut self, item: Tapped, actions: &mut Vec<Action>) {
        let starts = self.task.starts();
        if std::mem::replace(&mut self.starts, starts) != starts {
            self.core.restarted(actions);
        }
        match item {
            Tapped::Tracks(tracks) => {
                self.preroll.iter_mut().for_each(|preroll| preroll.tracks(&tracks));
                self.core.tracks(tracks, actions);
            }
            Tapped::Sample(sample) if !self.is_clip() => {
                if let Some(preroll) = &mut self.preroll {
                    preroll.push(sample);
                }
            }
            Tapped::Sample(sample) if self.is_paused() => {
                drop(sample);
                self.task.stream.recorder.lost(1);
            }
            Tapped::Sample(sample) => {
                let before: Vec<_> = self.preroll.iter_mut().flat_map(PreRoll::take).collect();
                before.into_iter().for_each(|sample| self.core.sample(sample, now(), actions));
                self.core.sample(sample, now(), actions);
            }
            Tapped::Restarted => self.core.restarted(actions),
            Tapped::Lost(samples) => {
                self.task.stream.recorder.lost(samples);
                self.task.stream.recorder.failed();
                tracing::warn!(stream = self.task.name(), samples, "recorder lagged: samples are lost");
                self.core.stop("gap", actions);
            }
            Tapped::Refused(refused) => {
                self.core.stop("tracks changed", actions);
                let error = refused.to_string();
                if self.task.stream.recorder.set("unsupported", Some(error.clone())) {
                    self.task.stream.recorder.hindered(&error);
                    tracing::warn!(stream = self.task.name(), reason = error, "stream cannot be recorded");
                }
            }
        }
    }

    /// Whether what comes is recorded: with the plan `clips` after a request only.
    fn is_clip(&self) -> bool {
        self.preroll.is_none() || self.task.stream.recorder.is_requested()
    }

    /// A clip ends with its request.
    fn end_clip(&mut self, actions: &mut Vec<Action>) {
        if self.is_clip() {
            return;
        }
        if self.core.is_recording() {
            self.core.stop("stopped by request", actions);
        }
        // Not before its file is closed, which sets the state as well.
        let status = &self.task.stream.recorder;
        if actions.is_empty() && self.ticket.queued() == 0 && status.is_recording() {
            status.set("waiting", None);
        }
    }

    fn is_paused(&mut self) -> bool {
        self.paused_until.take_if(|until| *until <= Instant::now());
        self.paused_until.is_some()
    }

    fn act(&mut self, actions: Vec<Action>, reader: Option<&SampleReader>) {
        for action in actions {
            let (file, sent) = match action {
                Action::WantKeyframe => {
                    reader.into_iter().for_each(SampleReader::want_keyframe);
                    continue;
                }
                Action::Begin(begin) => (begin.file, self.task.disk.begin(&self.ticket, begin)),
                Action::Write { file, bytes, to } => (file, self.task.disk.write(&self.ticket, file, bytes, to)),
                Action::End(end) => (end.file, self.task.disk.end(&self.ticket, end)),
            };
            if let Err(error) = sent {
                self.task.disk.abandon(&self.ticket, file);
                self.fail(file, &error);
            }
        }
    }

    /// A file cannot be written.
    fn fail(&mut self, file: u64, error: &DiskError) {
        self.core.abandon(file);
        self.paused_until = Some(Instant::now() + AGAIN);
        let status = &self.task.stream.recorder;
        status.failed();
        status.set(error.state(), Some(error.to_string()));
        let (stream, folder) = (self.task.name(), self.task.disk.path().display());
        match self.failures.failed(Instant::now()) {
            Some(Report::First) => {
                status.hindered(&error.to_string());
                tracing::error!(stream, %folder, %error, "recording failed: retrying every 2 s");
            }
            Some(Report::Again(failures)) => {
                tracing::error!(stream, %folder, %error, failures, "recording still fails");
            }
            None => {}
        }
    }

    fn note_recovery(&mut self) {
        if self.failures.is_failing() && self.task.stream.recorder.is_recording() {
            let failures = self.failures.recovered().unwrap_or(1);
            tracing::info!(stream = self.task.name(), failures, "recording resumed");
        }
    }

    /// The system clock may be set at any time: files that are open keep to the clock that they began by.
    fn note_clock(&mut self) {
        let offset = offset(now());
        let step = offset - self.offset;
        if step.abs() >= STEP {
            let seconds = step as f64 / 1e6;
            tracing::warn!(
                stream = self.task.name(),
                seconds,
                "the system clock was set: the next file has the new time"
            );
        }
        self.offset = offset;
    }

    /// Why there is no reason to record any more.
    fn unwanted(&mut self) -> Option<&'static str> {
        if self.task.has_reason() {
            self.unwatched = None;
            return None;
        }
        if self.task.recording.plan == Plan::Manual {
            return Some("stopped by request");
        }
        let is_long = self.unwatched.get_or_insert_with(Instant::now).elapsed() >= UNWANTED;
        is_long.then_some("no viewers")
    }
}
