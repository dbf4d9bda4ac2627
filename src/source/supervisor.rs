//! The task that runs one feed or stream as its [`Lifecycle`] decides.

use super::{
    Source,
    control::Control,
    demand::{Demand, Lease},
    flow::Flow,
    lifecycle::{Action, End, Input, Lifecycle, Policy, State},
    status::Status,
    unit_id::UnitId,
};
use crate::{
    config::text_without_secrets,
    ipc::Ended,
    stream::FanOut,
    sys::service::Pulse,
    telemetry::{Fact, Facts, FailureLog, Report, Scope},
};
use std::{
    path::Path,
    time::{Duration, Instant, SystemTime},
};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// How long a source may take to end with the server; it has its own, shorter limits.
const LAST_STOP: Duration = Duration::from_secs(6);

/// How often the supervisor checks for an absent device.
const DEVICE_POLL: Duration = Duration::from_millis(500);

/// What is reported of a feed.
const FEED: [&str; 8] = [
    "feed.started",
    "feed.running",
    "feed.failed",
    "feed.stopped",
    "feed.dead",
    "feed.no-signal",
    "feed.waiting-device",
    "feed.waiting-publisher",
];
/// What is reported of a stream.
const STREAM: [&str; 8] = [
    "stream.started",
    "stream.running",
    "stream.failed",
    "stream.stopped",
    "stream.dead",
    "stream.no-signal",
    "stream.waiting-device",
    "stream.waiting-publisher",
];

/// What one supervisor needs.
#[derive(Debug)]
pub struct Supervisor {
    /// The unit that it runs.
    pub id: UnitId,
    /// What may change while it runs.
    pub terms: watch::Receiver<Terms>,
    /// The source of the unit.
    pub source: Source,
    /// Its users.
    pub demand: Demand,
    /// What people order.
    pub control: Control,
    /// What has to run with it; leased while this is not idle.
    pub needs: Vec<Demand>,
    /// Where its state is reported.
    pub status: Status,
    /// Shows that its task is alive.
    pub pulse: Pulse,
    /// Where its states are reported.
    pub facts: Facts,
}

/// What may change while its source runs.
#[derive(Debug, Clone)]
pub struct Terms {
    /// When it runs.
    pub policy: Policy,
    /// Closed while the source has failed and does not restart.
    pub ends_with_it: Vec<FanOut>,
}

/// A source that runs.
struct Run {
    stop: CancellationToken,
    task: JoinHandle<Ended>,
    /// What it reports of its media, until its final report.
    flow: Option<watch::Receiver<Flow>>,
}

impl Supervisor {
    /// Runs until `shutdown`, then ends the source.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut lifecycle = Lifecycle::new(self.terms.borrow_and_update().policy);
        let mut demand = self.demand.watch();
        let mut control = self.control.watch();
        let mut orders = *control.borrow_and_update();
        let mut run: Option<Run> = None;
        let mut leases: Vec<Lease> = Vec::new();
        let mut repeats = FailureLog::default();
        let mut reported = None;
        let mut device = None;
        let mut round = tokio::time::interval(Pulse::PERIOD);
        let mut clock = ClockWatch::default();
        let in_use = *demand.borrow_and_update() > 0;
        if !in_use {
            // Its predecessor, in another configuration, may have left packets behind.
            self.source.clear();
        }
        let mut input = Input::InUse(in_use);
        if orders.is_held {
            lifecycle.handle(Instant::now(), Input::Held(true));
        }
        loop {
            let before = lifecycle.state();
            let action = lifecycle.handle(Instant::now(), input);
            self.update_leases(lifecycle.state(), &mut leases);
            match action {
                Some(Action::Start) => run = Some(self.start()),
                Some(Action::Stop) => {
                    if let Some(run) = &run {
                        run.stop.cancel();
                    }
                }
                None => {}
            }
            self.entered(before, lifecycle.state(), input == Input::Restart);
            self.announce(lifecycle.state(), repeats.is_failing(), &mut reported);
            if input == Input::FirstMedia
                && let Some(failures) = repeats.recovered()
            {
                let (feed, stream) = self.id.log_fields();
                tracing::info!(feed, stream, failures, "recovered");
            }
            input = tokio::select! {
                () = shutdown.cancelled() => break,
                // This task holds the demand: it does not close before.
                _ = demand.changed() => Input::InUse(*demand.borrow_and_update() > 0),
                _ = control.changed() => {
                    let before = std::mem::replace(&mut orders, *control.borrow_and_update());
                    if orders.is_held != before.is_held { Input::Held(orders.is_held) } else { Input::Restart }
                }
                event = next_event(&mut run) => match event {
                    Event::FirstMedia => {
                        self.status.start_times().media(Instant::now());
                        Input::FirstMedia
                    }
                    Event::SignalLost => Input::SignalLost,
                    Event::NoPublisher => Input::NoPublisher,
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
                () = appearance_of(device.as_deref()), if lifecycle.state() == State::WaitingDevice => Input::DeviceThere,
                _ = round.tick() => {
                    self.pulse.beat();
                    fail::fail_point!("supervisor");
                    clock.check(&self.id, self.source.clock_jumps());
                    Input::Tick
                }
                () = sleep_until(lifecycle.deadline()) => Input::Tick,
            };
        }
        // From here on other timeouts apply.
        drop(self.pulse);
        if let Some(run) = run {
            run.stop.cancel();
            let _ = tokio::time::timeout(LAST_STOP, run.task).await;
            self.status.ended(None, SystemTime::now());
        }
        // Its successor, in another configuration, begins there.
        self.status.set_state(State::Idle, SystemTime::now());
    }

    fn start(&self) -> Run {
        let (feed, stream) = self.id.log_fields();
        tracing::debug!(feed, stream, "starting");
        self.status.started();
        let stop = CancellationToken::new();
        let (flow_sender, flow) = watch::channel(Flow::Nothing);
        let task = tokio::spawn(self.source.clone().run(stop.clone(), flow_sender));
        Run { stop, task, flow: Some(flow) }
    }

    /// Leases what this needs, unless it is idle.
    fn update_leases(&self, state: State, leases: &mut Vec<Lease>) {
        match state {
            State::Idle | State::Dead => leases.clear(),
            _ if leases.is_empty() => leases.extend(self.needs.iter().map(Demand::lease)),
            _ => {}
        }
    }

    fn entered(&self, before: State, now: State, restarts: bool) {
        if before == now {
            return;
        }
        let (feed, stream) = self.id.log_fields();
        tracing::debug!(feed, stream, state = now.word(), "state changed");
        match (before, now) {
            (_, State::Dead) => {
                tracing::error!(feed, stream, "failed; restart is disabled (no-resurrect)");
                self.terms.borrow().ends_with_it.iter().for_each(FanOut::close);
            }
            (State::Dead, _) => self.terms.borrow().ends_with_it.iter().for_each(FanOut::open),
            _ => {}
        }
        match now {
            // From here on no viewer may join at what a run that is ending leaves behind.
            State::Idle | State::Stopping if !restarts => self.source.clear(),
            State::Running { .. } if matches!(before, State::Starting) => {
                tracing::info!(feed, stream, "running");
            }
            _ => {}
        }
        if now == State::Idle && before == State::Stopping {
            tracing::info!(feed, stream, "stopped: no viewers");
        }
        self.status.set_state(now, SystemTime::now());
    }

    fn report(&self, reason: &str, repeats: &mut FailureLog) {
        let (feed, stream) = self.id.log_fields();
        let times = match repeats.failed(Instant::now()) {
            Some(Report::First) => {
                tracing::warn!(feed, stream, reason, "ended");
                1
            }
            Some(Report::Again(times)) => {
                tracing::warn!(feed, stream, times, reason, "keeps ending");
                times
            }
            None => return,
        };
        if let Some(fact) = self.fact("failed") {
            self.facts.report(fact.with("reason", text_without_secrets(reason)).with("times", times));
        }
    }

    /// Reports states that last. While it fails repeatedly, only the failures are reported.
    fn announce(&self, state: State, is_failing: bool, reported: &mut Option<&'static str>) {
        let word = match state {
            State::Idle => "stopped",
            State::Starting if !is_failing => "started",
            State::Running { .. } => "running",
            State::NoSignal { .. } => "no-signal",
            State::WaitingDevice => "waiting-device",
            State::WaitingPublisher => "waiting-publisher",
            State::Dead => "dead",
            State::Starting
            | State::Stalled { .. }
            | State::Lingering { .. }
            | State::Stopping
            | State::Backoff { .. } => return,
        };
        let before = reported.replace(word);
        // Nothing was there to stop.
        let is_first = before.is_none() && state == State::Idle;
        if before != Some(word)
            && !is_first
            && let Some(fact) = self.fact(word)
        {
            self.facts.report(fact);
        }
    }

    /// That of a feed or stream; what is made for others only has none.
    fn fact(&self, word: &str) -> Option<Fact> {
        let kinds = match &self.id {
            UnitId::Feed(_) => FEED,
            UnitId::Stream(_) => STREAM,
            UnitId::Tap(_) | UnitId::Encoding(..) => return None,
        };
        let kind = kinds.into_iter().find(|kind| kind.split_once('.').is_some_and(|(_, of)| of == word))?;
        let scope = if matches!(self.id, UnitId::Feed(_)) { Scope::Feed } else { Scope::Stream };
        Some(Fact::new(kind, scope, Some(self.id.name())))
    }
}

/// Logs jumps of a source's clock, once a minute at most.
#[derive(Debug, Default)]
struct ClockWatch {
    logged: u64,
    next: Option<Instant>,
}

impl ClockWatch {
    fn check(&mut self, id: &UnitId, jumps: u64) {
        let now = Instant::now();
        if jumps == self.logged || self.next.is_some_and(|next| now < next) {
            return;
        }
        let times = jumps.saturating_sub(self.logged);
        let (feed, stream) = id.log_fields();
        tracing::warn!(feed, stream, times, "clock of the source jumped: timestamps corrected");
        self.logged = jumps;
        self.next = Some(now + Duration::from_secs(60));
    }
}

enum Event {
    FirstMedia,
    SignalLost,
    NoPublisher,
    Stalled(String),
    Ended(Ended),
}

/// The next event of the running source; pending while none runs. Cancel-safe.
async fn next_event(run: &mut Option<Run>) -> Event {
    let Some(run) = run else { return std::future::pending().await };
    while let Some(flow) = &mut run.flow {
        tokio::select! {
            biased;
            changed = flow.changed() => match changed.map(|()| flow.borrow_and_update().clone()) {
                Ok(Flow::Nothing) => {}
                Ok(Flow::Media) => return Event::FirstMedia,
                Ok(Flow::NoSignal) => return Event::SignalLost,
                Ok(Flow::NoPublisher) => return Event::NoPublisher,
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

/// What an end means to the lifecycle, and its reason unless the source was stopped.
fn describe(ended: &Ended) -> (End, Option<String>) {
    let end = match ended {
        Ended::Stopped | Ended::EndOfStream => End::Clean,
        Ended::Failed(_) => End::Failed,
        Ended::NoDevice { .. } => End::NoDevice,
    };
    (end, why(ended))
}

/// The reason of an end, unless the source was stopped.
pub(super) fn why(ended: &Ended) -> Option<String> {
    match ended {
        Ended::Stopped => None,
        Ended::EndOfStream => Some("end of stream".to_owned()),
        Ended::Failed(reason) => Some(reason.clone()),
        Ended::NoDevice { device, why } => Some(format!("{} not found: {why}", device.display())),
    }
}

/// Waits until there is something at `path`. Cancel-safe.
async fn appearance_of(path: Option<&Path>) {
    let Some(path) = path else { return };
    while !tokio::fs::try_exists(path).await.unwrap_or(false) {
        tokio::time::sleep(DEVICE_POLL).await;
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
