//! The state of the pushes of a stream, for pages and metrics.

use crate::{
    source::control::Control,
    telemetry::{Fact, Facts},
};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

/// The pushes of one stream. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Pushes(Arc<Mutex<Lists>>);

#[derive(Debug, Default)]
struct Lists {
    /// In the order of the configuration, and behind them the service that names others.
    configured: Vec<PushStatus>,
    /// To the targets that it has named.
    named: Vec<PushStatus>,
}

/// The state of one push. Clones are the same.
#[derive(Debug, Clone)]
pub struct PushStatus {
    known: Arc<Mutex<PushFacts>>,
    stream: Arc<str>,
    reporter: Facts,
    control: Control,
}

/// What is known of a push.
#[derive(Debug, Clone)]
pub struct PushFacts {
    /// Its target, without secrets.
    pub to: String,
    /// The protocol.
    pub protocol: &'static str,
    /// What it does.
    pub state: PushState,
    /// When that began.
    pub since: SystemTime,
    /// Why it is not established.
    pub error: Option<String>,
    /// Connections that were established.
    pub connections: u64,
    /// Connections that could not be established, or that the target ended.
    pub failures: u64,
    /// Bytes that the target took.
    pub bytes: u64,
    /// Times that the target was too slow and lost data.
    pub gaps: u64,
    /// Packets that it lost.
    pub lost: u64,
}

/// What a push does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushState {
    /// The stream delivers nothing.
    Waiting,
    /// It connects.
    Connecting,
    /// It sends.
    Established,
    /// It waits after a failure.
    Backoff,
    /// The protocol cannot carry the stream.
    Unsupported,
    /// Someone ordered that.
    Stopped,
}

impl PushState {
    /// As the state names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Connecting => "connecting",
            Self::Established => "established",
            Self::Backoff => "backoff",
            Self::Unsupported => "unsupported",
            Self::Stopped => "stopped",
        }
    }
}

impl Pushes {
    /// These are the pushes that are configured from now on, the service that names others behind them.
    pub fn set(&self, pushes: Vec<PushStatus>) {
        self.lists().configured = pushes;
    }

    /// These are the pushes to targets that are named from now on.
    pub fn set_named(&self, pushes: Vec<PushStatus>) {
        self.lists().named = pushes;
    }

    /// Takes orders for the one with this number, counted from 1 in the order of [`Pushes::read`].
    pub fn control(&self, number: usize) -> Option<Control> {
        Some(self.all().get(number.checked_sub(1)?)?.control.clone())
    }

    /// What is known of each, in the order of the configuration; those that are named come last.
    pub fn read(&self) -> Vec<PushFacts> {
        self.all().iter().map(PushStatus::read).collect()
    }

    fn all(&self) -> Vec<PushStatus> {
        let lists = self.lists();
        lists.configured.iter().chain(&lists.named).cloned().collect()
    }

    fn lists(&self) -> MutexGuard<'_, Lists> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PushStatus {
    /// The state of a push of a stream to this target, which is without secrets. What happens to it is reported.
    pub fn new(stream: &str, to: String, protocol: &'static str, reporter: Facts) -> Self {
        let facts = PushFacts {
            to,
            protocol,
            state: PushState::Waiting,
            since: SystemTime::now(),
            error: None,
            connections: 0,
            failures: 0,
            bytes: 0,
            gaps: 0,
            lost: 0,
        };
        Self { known: Arc::new(Mutex::new(facts)), stream: stream.into(), reporter, control: Control::default() }
    }

    /// Takes orders.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// What is known now.
    pub fn read(&self) -> PushFacts {
        self.facts().clone()
    }

    /// It is in this state, without an error unless there is one. Returns whether it was in another one.
    pub fn set(&self, state: PushState, error: Option<String>) -> bool {
        let mut facts = self.facts();
        let is_other = facts.state != state;
        if is_other {
            (facts.state, facts.since) = (state, SystemTime::now());
        }
        facts.error = error;
        is_other
    }

    /// It is established.
    pub fn established(&self) {
        self.set(PushState::Established, None);
        self.facts().connections += 1;
        self.reporter.report(self.fact("push.established"));
    }

    /// It has ended without a failure.
    pub fn ended(&self, reason: &str) {
        self.reporter.report(self.fact("push.ended").with("reason", reason));
    }

    /// It failed.
    pub fn failed(&self, reason: &str) {
        self.set(PushState::Backoff, Some(reason.to_owned()));
        self.facts().failures += 1;
        self.reporter.report(self.fact("push.failed").with("reason", reason));
    }

    /// The target took bytes.
    pub fn sent(&self, bytes: u64) {
        self.facts().bytes += bytes;
    }

    /// The target was too slow and lost packets.
    pub fn lost(&self, packets: u64) {
        let mut facts = self.facts();
        facts.gaps += 1;
        facts.lost += packets;
    }

    fn fact(&self, kind: &'static str) -> Fact {
        let to = self.facts().to.clone();
        Fact::stream(kind, &self.stream).with("to", to)
    }

    fn facts(&self) -> MutexGuard<'_, PushFacts> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
