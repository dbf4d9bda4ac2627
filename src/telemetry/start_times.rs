//! When feeds and streams started last, step by step: what a trace shows of a start. No clock in here.
//!
//! Those who start them note a time for each step, a handful in a run; whoever has waited for it reads them afterwards.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

/// The steps of the last start of a unit. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct StartTimes(Arc<Mutex<StartSteps>>);

/// The steps of a start, as far as there have been any.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StartSteps {
    /// It was to run.
    pub began: Option<Instant>,
    /// A worker process was started for it, or taken from the reserve.
    pub worker: Option<WorkerStart>,
    /// The worker was asked to run it.
    pub in_worker: Option<Instant>,
    /// Its first media came.
    pub media: Option<Instant>,
}

/// The start of a worker process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerStart {
    /// When it was needed.
    pub began: Instant,
    /// When it was ready.
    pub ready: Instant,
    /// The process.
    pub pid: u32,
}

/// A feed or stream that has to run for others.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The name of the feed, if it is one.
    pub feed: Option<String>,
    /// The name of the stream or encoding, if it is one.
    pub stream: Option<String>,
    /// When it started.
    pub times: StartTimes,
}

/// All that has to run for a stream. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Origins(Arc<[Origin]>);

impl StartTimes {
    /// It is to run from `now` on. What was noted of the start before goes.
    pub fn began(&self, now: Instant) {
        self.change(|steps| *steps = StartSteps { began: Some(now), ..StartSteps::default() });
    }

    /// It has a worker of its own now.
    pub fn worker_started(&self, worker: WorkerStart) {
        self.change(|steps| steps.worker = Some(worker));
    }

    /// Its worker is asked to run it.
    pub fn in_worker(&self, now: Instant) {
        self.change(|steps| steps.in_worker = Some(now));
    }

    /// Its media comes. Only the first call since its start counts.
    pub fn media(&self, now: Instant) {
        self.change(|steps| steps.media = steps.media.or(Some(now)));
    }

    /// The steps so far.
    pub fn read(&self) -> StartSteps {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut StartSteps)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Origins {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Origin> {
        self.0.iter()
    }
}

impl FromIterator<Origin> for Origins {
    fn from_iter<T: IntoIterator<Item = Origin>>(origins: T) -> Self {
        Self(origins.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_start_forgets_the_one_before() {
        let (times, now) = (StartTimes::default(), Instant::now());
        let at = |millis| now + Duration::from_millis(millis);
        times.began(at(1));
        let worker = WorkerStart { began: at(2), ready: at(3), pid: 7 };
        times.worker_started(worker);
        times.in_worker(at(4));
        times.media(at(5));
        times.media(at(6));
        let expect =
            StartSteps { began: Some(at(1)), worker: Some(worker), in_worker: Some(at(4)), media: Some(at(5)) };
        assert_eq!(times.read(), expect);
        times.began(at(9));
        assert_eq!(times.clone().read(), StartSteps { began: Some(at(9)), ..StartSteps::default() });
    }
}
