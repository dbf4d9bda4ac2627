//! The task that keeps one feed or stream as its [`Machine`] wants it.

use super::{
    demand::{Demand, Lease},
    machine::{Action, Input, Machine, Policy, State},
    source::Source,
    status::Status,
};
use crate::{
    ipc::Ended,
    stream::FanOut,
    telemetry::{Repeats, Report},
};
use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};
use tokio::{sync::oneshot, sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// How long a source may take to end when the program does; it has its own, shorter limits.
const LAST_STOP: Duration = Duration::from_secs(6);

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
    /// Taken when it fired.
    first: Option<oneshot::Receiver<()>>,
}

impl Supervisor {
    /// Runs until `shutdown`, then ends the source.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut machine = Machine::new(self.terms.borrow_and_update().policy);
        let mut demand = self.demand.watch();
        let mut run: Option<Run> = None;
        let mut leases: Vec<Lease> = Vec::new();
        let mut repeats = Repeats::default();
        let wanted = *demand.borrow_and_update() > 0;
        if !wanted {
            // What was there before it, in another configuration, may have left something behind.
            self.source.clear();
        }
        let mut input = Input::Wanted(wanted);
        loop {
            let before = machine.state();
            let action = machine.handle(Instant::now(), input);
            self.hold(machine.state(), &mut leases);
            match action {
                Some(Action::Start) => run = Some(self.start()),
                Some(Action::Stop) => {
                    if let Some(run) = &run {
                        run.stop.cancel();
                    }
                }
                None => {}
            }
            self.tell(before, machine.state());
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
                    Event::Ended(ended) => {
                        run = None;
                        self.report(&ended, &mut repeats);
                        Input::Ended
                    }
                },
                Ok(()) = self.terms.changed() => {
                    let terms = self.terms.borrow_and_update();
                    if machine.state() == State::Dead {
                        terms.ends_with_it.iter().for_each(FanOut::close);
                    }
                    Input::Policy(terms.policy)
                }
                () = sleep_until(machine.deadline()) => Input::Tick,
            };
        }
        if let Some(run) = run {
            run.stop.cancel();
            let _ = tokio::time::timeout(LAST_STOP, run.task).await;
            self.status.ended(None, SystemTime::now());
        }
        // What comes after it, in another configuration, begins there.
        self.status.is_now(State::Idle, SystemTime::now());
    }

    fn start(&self) -> Run {
        tracing::debug!(name = %self.name, "starting");
        self.status.started();
        let stop = CancellationToken::new();
        let (first_tell, first) = oneshot::channel();
        let task = tokio::spawn(self.source.clone().run(stop.clone(), first_tell));
        Run { stop, task, first: Some(first) }
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
        self.status.is_now(now, SystemTime::now());
    }

    fn report(&self, ended: &Ended, repeats: &mut Repeats) {
        let reason = match ended {
            Ended::Stopped => None,
            Ended::EndOfStream => Some("came to its end"),
            Ended::Failed(reason) => Some(reason.as_str()),
        };
        self.status.ended(reason, SystemTime::now());
        let Some(reason) = reason else { return };
        match repeats.failed(Instant::now()) {
            Some(Report::First) => tracing::warn!(name = %self.name, reason, "ended"),
            Some(Report::Again(times)) => tracing::warn!(name = %self.name, times, reason, "keeps ending"),
            None => {}
        }
    }
}

enum Event {
    FirstMedia,
    Ended(Ended),
}

/// What the running source does next; for ever when none runs. Cancel-safe.
async fn next_event(run: &mut Option<Run>) -> Event {
    let Some(run) = run else { return std::future::pending().await };
    if let Some(first) = &mut run.first {
        tokio::select! {
            biased;
            told = first => {
                run.first = None;
                if told.is_ok() {
                    return Event::FirstMedia;
                }
            }
            ended = &mut run.task => return Event::Ended(flatten(ended)),
        }
    }
    Event::Ended(flatten((&mut run.task).await))
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
