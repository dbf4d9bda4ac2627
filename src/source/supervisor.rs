//! The task that keeps one feed or stream as its [`Lifecycle`] wants it.

use super::{
    Source,
    demand::{Demand, Lease},
    flow::Flow,
    lifecycle::{Action, End, Input, Lifecycle, Policy, State},
    status::Status,
};
use crate::{
    ipc::Ended,
    stream::FanOut,
    sys::service::Pulse,
    telemetry::{Repeats, Report},
};
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// How long a source may take to end when the program does; it has its own, shorter limits.
const LAST_STOP: Duration = Duration::from_secs(6);

/// How often a device is looked for that is not there.
const LOOK: Duration = Duration::from_millis(500);

/// Everything that one supervisor needs to know.
#[derive(Debug)]
pub struct Supervisor {
    /// For the log: `feed cam0`.
    pub name: Arc<str>,
    /// What may change while it runs.
    pub terms: watch::Receiver<Terms>,
    /// What it runs.
    pub source: Source,
    /// Who wants it.
    pub demand: Demand,
    /// What has to run for this to make sense; wanted while this is not idle.
    pub needs: Vec<Demand>,
    /// Where it is in its life, for whoever asks.
    pub status: Status,
    /// Says that its task goes on.
    pub pulse: Pulse,
}

/// What may change in the life of a supervisor while its source runs.
#[derive(Debug, Clone)]
pub struct Terms {
    /// When it runs.
    pub policy: Policy,
    /// Closed while the source is dead for good.
    pub ends_with_it: Vec<FanOut>,
}

/// A source that runs.
struct Run {
    stop: CancellationToken,
    task: JoinHandle<Ended>,
    /// How its media comes, while the source may still tell.
    flow: Option<watch::Receiver<Flow>>,
}

impl Supervisor {
    /// Runs until `shutdown`, then ends the source.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut lifecycle = Lifecycle::new(self.terms.borrow_and_update().policy);
        let mut demand = self.demand.watch();
        let mut run: Option<Run> = None;
        let mut leases: Vec<Lease> = Vec::new();
        let mut repeats = Repeats::default();
        let mut device = None;
        let mut round = tokio::time::interval(Pulse::PERIOD);
        let mut clock = ClockWatch::default();
        let wanted = *demand.borrow_and_update() > 0;
        if !wanted {
            // What was there before it, in another configuration, may have left something behind.
            self.source.clear();
        }
        let mut input = Input::Wanted(wanted);
        loop {
            let before = lifecycle.state();
            let action = lifecycle.handle(Instant::now(), input);
            self.hold(lifecycle.state(), &mut leases);
            match action {
                Some(Action::Start) => run = Some(self.start()),
                Some(Action::Stop) => {
                    if let Some(run) = &run {
                        run.stop.cancel();
                    }
                }
                None => {}
            }
            self.tell(before, lifecycle.state());
            if input == Input::FirstMedia
                && let Some(failures) = repeats.recovered()
            {
                tracing::info!(name = %self.name, failures, "runs again");
            }
            input = tokio::select! {
                () = shutdown.cancelled() => break,
                // Only this task and its handles hold the demand; it cannot close before them.
                _ = demand.changed() => Input::Wanted(*demand.borrow_and_update() > 0),
                event = next_event(&mut run) => match event {
                    Event::FirstMedia => Input::FirstMedia,
                    Event::SignalLost => Input::SignalLost,
                    Event::Stalled(reason) => {
                        let reason = format!("stalled: {reason}");
                        self.status.ended(Some(&reason), SystemTime::now());
                        self.report(&reason, &mut repeats);
                        Input::Stalled
                    }
                    Event::Ended(ended) => {
                        run = None;
                        let (end, reason) = describe(&ended);
                        self.status.ended(reason.as_deref(), SystemTime::now());
                        if let Some(reason) = reason {
                            self.report(&reason, &mut repeats);
                        }
                        if let Ended::NoDevice { device: missing, .. } = ended {
                            device = Some(missing);
                        }
                        Input::Ended(end)
                    }
                },
                Ok(()) = self.terms.changed() => {
                    let terms = self.terms.borrow_and_update();
                    if lifecycle.state() == State::Dead {
                        terms.ends_with_it.iter().for_each(FanOut::close);
                    }
                    Input::Policy(terms.policy)
                }
                () = appears(device.as_deref()), if lifecycle.state() == State::WaitingDevice => Input::DeviceThere,
                _ = round.tick() => {
                    self.pulse.beat();
                    fail::fail_point!("supervisor");
                    clock.look(&self.name, self.source.clock_jumps());
                    Input::Tick
                }
                () = sleep_until(lifecycle.deadline()) => Input::Tick,
            };
        }
        // From here on time is limited by other means.
        drop(self.pulse);
        if let Some(run) = run {
            run.stop.cancel();
            let _ = tokio::time::timeout(LAST_STOP, run.task).await;
            self.status.ended(None, SystemTime::now());
        }
        // What comes after it, in another configuration, begins there.
        self.status.set_state(State::Idle, SystemTime::now());
    }

    fn start(&self) -> Run {
        tracing::debug!(name = %self.name, "starting");
        self.status.started();
        let stop = CancellationToken::new();
        let (teller, flow) = watch::channel(Flow::Nothing);
        let task = tokio::spawn(self.source.clone().run(stop.clone(), teller));
        Run { stop, task, flow: Some(flow) }
    }

    /// Wants what this needs, while it is not at rest.
    fn hold(&self, state: State, leases: &mut Vec<Lease>) {
        match state {
            State::Idle | State::Dead => leases.clear(),
            _ if leases.is_empty() => leases.extend(self.needs.iter().map(Demand::lease)),
            _ => {}
        }
    }

    fn tell(&self, before: State, now: State) {
        if before == now {
            return;
        }
        tracing::debug!(name = %self.name, state = now.word(), "is now");
        match (before, now) {
            (_, State::Dead) => {
                tracing::error!(name = %self.name, "stays dead: it is not to be resurrected");
                self.terms.borrow().ends_with_it.iter().for_each(FanOut::close);
            }
            (State::Dead, _) => self.terms.borrow().ends_with_it.iter().for_each(FanOut::open),
            _ => {}
        }
        match now {
            // From here on nobody is to join at what a run that is ending leaves behind.
            State::Idle | State::Stopping => self.source.clear(),
            State::Running { .. } if matches!(before, State::Starting) => tracing::info!(name = %self.name, "runs"),
            _ => {}
        }
        if now == State::Idle && before == State::Stopping {
            tracing::info!(name = %self.name, "stopped: nobody wants it");
        }
        self.status.set_state(now, SystemTime::now());
    }

    fn report(&self, reason: &str, repeats: &mut Repeats) {
        match repeats.failed(Instant::now()) {
            Some(Report::First) => tracing::warn!(name = %self.name, reason, "ended"),
            Some(Report::Again(times)) => tracing::warn!(name = %self.name, times, reason, "keeps ending"),
            None => {}
        }
    }
}

/// Says that the clock of a source jumps, once a minute at most.
#[derive(Debug, Default)]
struct ClockWatch {
    told: u64,
    next: Option<Instant>,
}

impl ClockWatch {
    fn look(&mut self, name: &str, jumps: u64) {
        let now = Instant::now();
        if jumps == self.told || self.next.is_some_and(|next| now < next) {
            return;
        }
        let times = jumps.saturating_sub(self.told);
        tracing::warn!(name, times, "the clock of the source jumped: its timestamps are set right");
        self.told = jumps;
        self.next = Some(now + Duration::from_secs(60));
    }
}

enum Event {
    FirstMedia,
    SignalLost,
    Stalled(String),
    Ended(Ended),
}

/// What the running source does next; for ever when none runs. Cancel-safe.
async fn next_event(run: &mut Option<Run>) -> Event {
    let Some(run) = run else { return std::future::pending().await };
    while let Some(flow) = &mut run.flow {
        tokio::select! {
            biased;
            changed = flow.changed() => match changed.map(|()| flow.borrow_and_update().clone()) {
                Ok(Flow::Nothing) => {}
                Ok(Flow::Media) => return Event::FirstMedia,
                Ok(Flow::NoSignal) => return Event::SignalLost,
                Ok(Flow::Stalled(reason)) => {
                    run.flow = None;
                    return Event::Stalled(reason);
                }
                Err(_) => run.flow = None,
            },
            ended = &mut run.task => return Event::Ended(flatten(ended)),
        }
    }
    Event::Ended(flatten((&mut run.task).await))
}

/// What an end means to the lifecycle, and why it came unless it was wanted.
fn describe(ended: &Ended) -> (End, Option<String>) {
    match ended {
        Ended::Stopped => (End::Clean, None),
        Ended::EndOfStream => (End::Clean, Some("came to its end".to_owned())),
        Ended::Failed(reason) => (End::Failed, Some(reason.clone())),
        Ended::NoDevice { device, why } => (End::NoDevice, Some(format!("{} is not there: {why}", device.display()))),
    }
}

/// Until there is something at `path`. Cancel-safe.
async fn appears(path: Option<&Path>) {
    let Some(path) = path else { return };
    while !tokio::fs::try_exists(path).await.unwrap_or(false) {
        tokio::time::sleep(LOOK).await;
    }
}

fn flatten(ended: Result<Ended, tokio::task::JoinError>) -> Ended {
    ended.unwrap_or_else(|error| Ended::Failed(format!("its task panicked: {error}")))
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
