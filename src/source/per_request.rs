//! Streams that are made for each request: a run of their command for one viewer, or for one picture.
//!
//! Each run is a task of its own that holds what the command reads, and ends with who asked for it.

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
    stream::{Audience, Entry, FanOut, Join, Reader, SharedWriter, Writer},
    sys::{Shutdown, guard},
    telemetry::{Repeats, Report},
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

/// Runs at a time of one stream. A request beyond is told to come again.
const RUNS: usize = 16;
/// How long a shot may take, a camera that has to start included.
const SHOT_WITHIN: Duration = Duration::from_secs(15);
/// Longest shot. It is held in memory, because its length stands in front of it.
const SHOT_SIZE: usize = 32 << 20;
/// Most bytes taken from the command of a shot at once.
const READ_SIZE: usize = 64 << 10;

/// A stream that is made for each request.
#[derive(Debug)]
pub struct PerRequestStream {
    /// What the configuration says of it.
    pub config: config::Stream,
    /// Who watches it.
    pub audience: Audience,
    program: Program,
    needs: Vec<Demand>,
    runs: Arc<Semaphore>,
    failures: Mutex<Repeats>,
    shutdown: Shutdown,
    stop: CancellationToken,
}

/// Why a request got no run.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{RUNS} runs of this stream's command are under way, which is the most")]
pub struct Busy;

/// Why there is no shot.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShotError {
    /// See [`Busy`].
    #[error(transparent)]
    Busy(#[from] Busy),
    /// See the message.
    #[error("the command was not done within {} s", SHOT_WITHIN.as_secs())]
    Late,
    /// See the message.
    #[error("the server ends")]
    Ending,
    /// See the message.
    #[error("the command wrote more than {} MiB", SHOT_SIZE >> 20)]
    TooLong,
    /// The command failed. What it said last, or what happened to it.
    #[error("{0}")]
    Failed(String),
}

impl PerRequestStream {
    /// A stream of this program, which reads what `needs` start.
    pub fn new(
        config: config::Stream,
        program: Program,
        needs: Vec<Demand>,
        audience: Audience,
        shutdown: Shutdown,
    ) -> Self {
        let runs = Arc::new(Semaphore::new(RUNS));
        let stop = shutdown.token().child_token();
        Self { config, audience, program, needs, runs, failures: Mutex::default(), shutdown, stop }
    }

    /// How many runs there are now.
    pub fn runs(&self) -> usize {
        RUNS.saturating_sub(self.runs.available_permits())
    }

    /// How the runs are, all together.
    pub fn status(&self) -> &Status {
        &self.program.status
    }

    /// Ends all runs, as the end of the server does.
    pub fn close(&self) {
        self.stop.cancel();
    }

    /// Starts the command for one viewer, who gets all that it writes, from the first byte on. It ends when the lease is
    /// dropped; when it ends by itself, so does the reader.
    ///
    /// # Errors
    /// When too many are running.
    pub fn open(self: &Arc<Self>) -> Result<(Reader, Lease), Busy> {
        let run = self.run()?;
        let fanout = FanOut::new(false);
        let reader = fanout.subscribe(Entry { join: Join::Live, header: true });
        let demand = Demand::default();
        let lease = demand.lease();
        let writer = SharedWriter::new(Writer::new(fanout.clone(), false));
        // Nobody joins later: every byte is passed on as it is, except that pictures have a boundary of ours.
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
                () = demand.unwanted() => {
                    stop.cancel();
                    ended.await
                }
            };
            fanout.finish();
            match ended {
                Ended::Stopped => stream.worked(),
                Ended::EndOfStream => tracing::debug!(name = %stream.program.name, "came to its end"),
                // Of a command nobody hears of devices.
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
        let run = self.run()?;
        let (mut answer, shot) = oneshot::channel();
        let stream = self.clone();
        let task = async move {
            let _run = run;
            let unwanted = CancellationToken::new();
            let mut taken = pin!(stream.take(unwanted.clone()));
            let taken = tokio::select! {
                taken = &mut taken => taken,
                () = answer.closed() => {
                    unwanted.cancel();
                    taken.await
                }
            };
            match &taken {
                Err(ShotError::Failed(_) | ShotError::Late | ShotError::TooLong) if unwanted.is_cancelled() => {}
                Err(fault @ (ShotError::Failed(_) | ShotError::Late | ShotError::TooLong)) => {
                    stream.failed(&fault.to_string())
                }
                _ => stream.worked(),
            }
            let _ = answer.send(taken);
        };
        self.spawn(task);
        shot.await.unwrap_or(Err(ShotError::Ending))
    }

    async fn take(&self, unwanted: CancellationToken) -> Result<Bytes, ShotError> {
        let cannot = |error| ShotError::Failed(format!("cannot be started: {error}"));
        let (running, mut stdout) = self.program.start().map_err(cannot)?;
        let read = tokio::select! {
            read = read_all(&mut stdout) => read,
            () = tokio::time::sleep(SHOT_WITHIN) => Err(ShotError::Late),
            () = unwanted.cancelled() => Err(ShotError::Ending),
            () = self.stop.cancelled() => Err(ShotError::Ending),
        };
        let exit = match read {
            Ok(_) => running.leave().await,
            Err(_) => {
                // What it still writes is of no use, but it may have to write it to see that it is to end.
                let rest = tokio::time::timeout(3 * guard::GRACE, async { while drain(&mut stdout).await {} });
                tokio::join!(running.end(), rest).0
            }
        };
        let shot = read?;
        if exit.is_success() { Ok(shot) } else { Err(ShotError::Failed(words_of(&exit))) }
    }

    /// A place among the runs, and what a run needs.
    fn run(&self) -> Result<(OwnedSemaphorePermit, Vec<Lease>), Busy> {
        let permit = self.runs.clone().try_acquire_owned().map_err(|_| Busy)?;
        self.program.status.started();
        Ok((permit, self.needs.iter().map(Demand::lease).collect()))
    }

    /// What such a task logs is of the request that it is for.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.shutdown.spawn(self.program.name.to_string(), task.in_current_span());
    }

    fn failed(&self, reason: &str) {
        let name = &self.program.name;
        self.program.status.ended(Some(reason.trim_end()), SystemTime::now());
        // What it said is in the log already.
        let reason = reason.lines().next_back().unwrap_or_default();
        match self.failures.lock().unwrap_or_else(PoisonError::into_inner).failed(Instant::now()) {
            Some(Report::First) => tracing::warn!(%name, reason, "failed"),
            Some(Report::Again(times)) => tracing::warn!(%name, times, reason, "keeps failing"),
            None => {}
        }
    }

    fn worked(&self) {
        if let Some(failures) = self.failures.lock().unwrap_or_else(PoisonError::into_inner).recovered() {
            tracing::info!(name = %self.program.name, failures, "works again");
        }
    }
}

/// Everything up to the end.
async fn read_all(stdout: &mut ChildStdout) -> Result<Bytes, ShotError> {
    let mut bytes = BytesMut::new();
    loop {
        bytes.reserve(READ_SIZE);
        let read = stdout.read_buf(&mut bytes).await;
        match read.map_err(|error| ShotError::Failed(format!("its output cannot be read: {error}")))? {
            0 => return Ok(bytes.freeze()),
            _ if bytes.len() > SHOT_SIZE => return Err(ShotError::TooLong),
            _ => {}
        }
    }
}

/// Takes something and forgets it; `false` at the end.
async fn drain(stdout: &mut ChildStdout) -> bool {
    let mut bytes = BytesMut::with_capacity(READ_SIZE);
    matches!(stdout.read_buf(&mut bytes).await, Ok(1..))
}

/// What a command said last, for who asked for its shot.
fn words_of(exit: &Exit) -> String {
    if exit.words.text().is_empty() { format!("the command {}", exit.reason()) } else { exit.words.text().to_owned() }
}
