//! Streams that are made for each request: a run of their command for one viewer, or for one shot.
//!
//! Each run is a task that leases what the command reads, and ends with its client.

use super::{
    command::CommandSource,
    demand::{Demand, Lease},
    flow::Flow,
    program::{Exit, Program},
    status::Status,
};
use crate::{
    config,
    ipc::Ended,
    media::Container,
    stream::{Entry, FanOut, Join, Pauses, Reader, Viewers, Writer, WriterHandle},
    sys::{Shutdown, guard},
    telemetry::{FailureLog, Report},
};
use bytes::{Bytes, BytesMut};
use std::{
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};
use tokio::{
    io::AsyncReadExt,
    process::ChildStdout,
    sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// Concurrent runs of one stream. A further request is answered with 503 and `Retry-After`.
const MAX_RUNS: usize = 16;
/// How long a shot may take, including the start of a camera.
const SHOT_WITHIN: Duration = Duration::from_secs(15);
/// Longest shot. It is held in memory, because its length is sent first.
const MAX_SHOT_SIZE: usize = 32 << 20;
/// Most bytes of one read from the command of a shot.
const READ_SIZE: usize = 64 << 10;

/// A stream that is made for each request.
#[derive(Debug)]
pub struct PerRequestStream {
    /// Its configuration.
    pub config: config::Stream,
    /// Its viewers.
    pub viewers: Viewers,
    /// What keeps it from its viewers: orders to its feeds.
    pub pauses: Pauses,
    program: Program,
    needs: Vec<Demand>,
    runs: Arc<Semaphore>,
    failures: Mutex<FailureLog>,
    shutdown: Shutdown,
    stop: CancellationToken,
}

/// Why a request got no run.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{MAX_RUNS} runs of this stream's command are in progress, which is the limit")]
pub struct Busy;

/// Why there is no shot.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShotError {
    /// See [`Busy`].
    #[error(transparent)]
    Busy(#[from] Busy),
    /// See the message.
    #[error("the command did not finish within {} s", SHOT_WITHIN.as_secs())]
    Late,
    /// See the message.
    #[error("the server is ending")]
    Ending,
    /// See the message.
    #[error("the command wrote more than {} MiB", MAX_SHOT_SIZE >> 20)]
    TooLong,
    /// The command failed: the end of its standard error output, or how it ended.
    #[error("{0}")]
    Failed(String),
}

impl PerRequestStream {
    /// A stream of this program, which reads what `needs` start. While it is paused, its viewers get nothing.
    pub fn new(
        config: config::Stream,
        program: Program,
        needs: Vec<Demand>,
        viewers: Viewers,
        pauses: Pauses,
        shutdown: Shutdown,
    ) -> Self {
        let runs = Arc::new(Semaphore::new(MAX_RUNS));
        let stop = shutdown.token().child_token();
        Self { config, viewers, pauses, program, needs, runs, failures: Mutex::default(), shutdown, stop }
    }

    /// How many runs there are now.
    pub fn runs(&self) -> usize {
        MAX_RUNS.saturating_sub(self.runs.available_permits())
    }

    /// The state of all runs together.
    pub fn status(&self) -> &Status {
        &self.program.status
    }

    /// Ends all runs, as the end of the server does.
    pub fn close(&self) {
        self.stop.cancel();
    }

    /// Starts the command for one viewer, who gets its output from the first byte on. The command ends when the lease is
    /// dropped; when it ends by itself, so does the reader.
    ///
    /// # Errors
    /// When too many are running.
    pub fn open(self: &Arc<Self>) -> Result<(Reader, Lease), Busy> {
        let run = self.begin_run()?;
        let fanout = FanOut::new();
        let reader = fanout.subscribe(Entry { join: Join::Live, header: true });
        let demand = Demand::default();
        let lease = demand.lease();
        let mut writer = Writer::new(fanout.clone(), false);
        writer.set_pauses(self.pauses.clone());
        let writer = WriterHandle::new(writer);
        // There are no late joiners: bytes are passed through, but the parts of Motion JPEG get our boundary.
        let container = (self.config.container != Container::Mjpeg).then_some(Container::Raw);
        let source = CommandSource { program: self.program.clone(), container, writer };
        let stream = self.clone();
        let task = async move {
            let _run = run;
            let stop = stream.stop.child_token();
            let (flow, _) = watch::channel(Flow::Nothing);
            let mut ended = pin!(source.run(stop.clone(), flow));
            let ended = tokio::select! {
                ended = &mut ended => ended,
                () = demand.unused() => {
                    stop.cancel();
                    ended.await
                }
            };
            fanout.finish();
            match ended {
                Ended::Stopped => stream.succeeded(),
                Ended::EndOfStream => tracing::debug!(stream = %stream.config.name, "end of stream"),
                // A command reports no devices.
                Ended::Failed(reason) | Ended::NoDevice { why: reason, .. } => stream.failed(&reason),
            }
        };
        self.spawn(task);
        Ok((reader, lease))
    }

    /// Runs the command and returns what it wrote. Cancel-safe: the command ends when this is dropped.
    ///
    /// # Errors
    /// When there are too many runs, or this one failed or became too long.
    pub async fn shot(self: &Arc<Self>) -> Result<Bytes, ShotError> {
        let run = self.begin_run()?;
        let (mut answer, shot) = oneshot::channel();
        let stream = self.clone();
        let task = async move {
            let _run = run;
            let cancel = CancellationToken::new();
            let mut taken = pin!(stream.take(cancel.clone()));
            let taken = tokio::select! {
                taken = &mut taken => taken,
                () = answer.closed() => {
                    cancel.cancel();
                    taken.await
                }
            };
            match &taken {
                Err(ShotError::Failed(_) | ShotError::Late | ShotError::TooLong) if cancel.is_cancelled() => {}
                Err(fault @ (ShotError::Failed(_) | ShotError::Late | ShotError::TooLong)) => {
                    stream.failed(&fault.to_string())
                }
                _ => stream.succeeded(),
            }
            let _ = answer.send(taken);
        };
        self.spawn(task);
        shot.await.unwrap_or(Err(ShotError::Ending))
    }

    async fn take(&self, cancel: CancellationToken) -> Result<Bytes, ShotError> {
        let cannot = |error| ShotError::Failed(format!("cannot start: {error}"));
        let (running, mut stdout) = self.program.start().map_err(cannot)?;
        let read = tokio::select! {
            read = read_all(&mut stdout) => read,
            () = tokio::time::sleep(SHOT_WITHIN) => Err(ShotError::Late),
            () = cancel.cancelled() => Err(ShotError::Ending),
            () = self.stop.cancelled() => Err(ShotError::Ending),
        };
        let exit = match read {
            Ok(_) => running.leave().await,
            Err(_) => {
                // The rest of its output is dropped. The command may block until it has written it.
                let rest = tokio::time::timeout(3 * guard::GRACE, async { while drain(&mut stdout).await {} });
                tokio::join!(running.end(), rest).0
            }
        };
        let shot = read?;
        if exit.is_success() { Ok(shot) } else { Err(ShotError::Failed(failure_of(&exit))) }
    }

    /// A permit for a run, and leases on what it needs.
    fn begin_run(&self) -> Result<(OwnedSemaphorePermit, Vec<Lease>), Busy> {
        let permit = self.runs.clone().try_acquire_owned().map_err(|_| Busy)?;
        self.program.status.started();
        Ok((permit, self.needs.iter().map(Demand::lease).collect()))
    }

    /// Spawns a task whose log lines belong to the request.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.shutdown.spawn(self.program.id.to_string(), task.in_current_span());
    }

    fn failed(&self, reason: &str) {
        let stream = &self.config.name;
        self.program.status.ended(Some(reason.trim_end()), SystemTime::now());
        // The log has its other lines already.
        let reason = reason.lines().next_back().unwrap_or_default();
        match self.failures.lock().unwrap_or_else(PoisonError::into_inner).failed(Instant::now()) {
            Some(Report::First) => tracing::warn!(%stream, reason, "failed"),
            Some(Report::Again(times)) => tracing::warn!(%stream, times, reason, "keeps failing"),
            None => {}
        }
    }

    fn succeeded(&self) {
        if let Some(failures) = self.failures.lock().unwrap_or_else(PoisonError::into_inner).recovered() {
            tracing::info!(stream = %self.config.name, failures, "recovered");
        }
    }
}

/// Everything up to the end.
async fn read_all(stdout: &mut ChildStdout) -> Result<Bytes, ShotError> {
    let mut bytes = BytesMut::new();
    loop {
        bytes.reserve(READ_SIZE);
        let read = stdout.read_buf(&mut bytes).await;
        match read.map_err(|error| ShotError::Failed(format!("cannot read its output: {error}")))? {
            0 => return Ok(bytes.freeze()),
            _ if bytes.len() > MAX_SHOT_SIZE => return Err(ShotError::TooLong),
            _ => {}
        }
    }
}

/// Reads some output and drops it; `false` at the end.
async fn drain(stdout: &mut ChildStdout) -> bool {
    let mut bytes = BytesMut::with_capacity(READ_SIZE);
    matches!(stdout.read_buf(&mut bytes).await, Ok(1..))
}

/// Why a command made no shot, for its client.
fn failure_of(exit: &Exit) -> String {
    if exit.stderr.text().is_empty() { format!("the command {}", exit.reason()) } else { exit.stderr.text().to_owned() }
}
