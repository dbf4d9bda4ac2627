//! What is known of the server itself, told by those who run it.

use crate::{
    sys::{load::Pressure, service::Pulses},
    telemetry::Traffic,
};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Instant, SystemTime},
};

/// Most characters of a fault that are kept.
const LENGTH: usize = 2000;

/// The server as a whole. Clones are the same.
#[derive(Debug, Clone)]
pub struct About(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    started: SystemTime,
    since: Instant,
    changing: Mutex<Changing>,
    loops: Pulses,
    traffic: Arc<Traffic>,
    pressure: Pressure,
}

/// What changes while it runs.
#[derive(Debug, Clone)]
pub struct Changing {
    /// When the configuration that is in force was taken.
    pub loaded: SystemTime,
    /// Why the newest one was not.
    pub refused: Option<String>,
    /// It takes no more connections.
    pub ending: bool,
}

impl About {
    /// A server that begins now, and lives as long as these loops come round.
    pub fn new(loops: Pulses) -> Self {
        let started = SystemTime::now();
        let changing = Mutex::new(Changing { loaded: started, refused: None, ending: false });
        let (since, traffic, pressure) = (Instant::now(), Arc::default(), Pressure::default());
        Self(Arc::new(Inner { started, since, changing, loops, traffic, pressure }))
    }

    /// When it began.
    pub fn started(&self) -> SystemTime {
        self.0.started
    }

    /// When it began, on the clock that is never set.
    pub fn since(&self) -> Instant {
        self.0.since
    }

    /// A changed configuration is in force.
    pub fn applied(&self) {
        let mut changing = self.changing();
        changing.loaded = SystemTime::now();
        changing.refused = None;
    }

    /// A changed configuration is not good; the one before stays in force.
    pub fn refused(&self, faults: &str) {
        self.changing().refused = Some(faults.chars().take(LENGTH).collect());
    }

    /// The server is about to end.
    pub fn ending(&self) {
        self.changing().ending = true;
    }

    /// What it was asked for, to be counted by those who answer.
    pub fn traffic(&self) -> &Arc<Traffic> {
        &self.0.traffic
    }

    /// Whether the machine keeps up, told by who measures it.
    pub fn pressure(&self) -> &Pressure {
        &self.0.pressure
    }

    /// The loops that do not come round any more.
    pub fn dead_loops(&self) -> Vec<Arc<str>> {
        self.0.loops.missing()
    }

    /// What changes, as it is now.
    pub fn now(&self) -> Changing {
        self.changing().clone()
    }

    fn changing(&self) -> MutexGuard<'_, Changing> {
        self.0.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
