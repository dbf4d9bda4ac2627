//! Which traces are recorded, and the queue of their spans on the way to the collector. No caller waits: spans that find the queue
//! full are counted.

use super::{
    otlp_stats::OtlpStats,
    span::{Span, TraceId},
};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use tokio::sync::mpsc;

/// Spans that may wait for the collector: about 1 MiB of them, and some hundred plays.
pub const WAITING: usize = 2048;

/// No trace is recorded, whoever asks for it.
const OFF: u64 = u64::MAX;
/// Half of the range of a `u64`: one bit less than the part of an id that decides, so that all traces can be meant.
const ALL: u64 = 1 << 63;

/// Decides and takes spans. Clones are the same; the default one records nothing.
#[derive(Debug, Clone, Default)]
pub struct Tracer(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    /// Traces are recorded whose number is below; or [`OFF`].
    bound: AtomicU64,
    queue: mpsc::Sender<Span>,
    stats: Arc<OtlpStats>,
}

impl Tracer {
    /// A tracer that is off, and the end of its queue for the task that sends.
    pub fn queue(stats: Arc<OtlpStats>) -> (Self, mpsc::Receiver<Span>) {
        let (queue, coming) = mpsc::channel(WAITING);
        (Self(Some(Arc::new(Inner { bound: AtomicU64::new(OFF), queue, stats }))), coming)
    }

    /// Records this part of all traces from now on, 0 to 1; with `None` nothing at all.
    pub fn record(&self, part: Option<f64>) {
        if let Some(inner) = &self.0 {
            inner.bound.store(part.map_or(OFF, bound_of), Ordering::Relaxed);
        }
    }

    /// Whether there may be traces.
    pub fn is_on(&self) -> bool {
        self.bound() != OFF
    }

    /// Whether a trace that begins here is recorded. It depends on the id alone, so that programs that decide in this way agree.
    pub fn samples(&self, trace: TraceId) -> bool {
        let bound = self.bound();
        bound != OFF && trace.low() >> 1 < bound
    }

    /// Takes the spans of one request: all of them or, where there is no room, none.
    pub fn send(&self, spans: Vec<Span>) {
        let Some(inner) = &self.0 else { return };
        match inner.queue.try_reserve_many(spans.len()) {
            Ok(places) => places.zip(spans).for_each(|(place, span)| place.send(span)),
            Err(_) => inner.stats.dropped(spans.len()),
        }
    }

    fn bound(&self) -> u64 {
        self.0.as_ref().map_or(OFF, |inner| inner.bound.load(Ordering::Relaxed))
    }
}

fn bound_of(part: f64) -> u64 {
    // Exact for 0 and 1; casts saturate.
    (part.clamp(0.0, 1.0) * ALL as f64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::SpanId;
    use proptest::prelude::*;
    use std::time::SystemTime;

    fn tracer(part: Option<f64>) -> Tracer {
        let (tracer, _) = Tracer::queue(Arc::default());
        tracer.record(part);
        tracer
    }

    fn trace(low: u64) -> TraceId {
        TraceId::new(1 << 64 | u128::from(low)).unwrap()
    }

    #[test]
    fn the_id_decides_which_traces_are_recorded() {
        let check = |part: Option<f64>, low: u64, expect: bool| {
            assert_eq!(tracer(part).samples(trace(low)), expect, "{part:?} {low}");
        };
        for low in [0, 1, ALL, u64::MAX] {
            check(None, low, false);
            check(Some(0.0), low, false);
            check(Some(1.0), low, true);
        }
        check(Some(0.5), ALL - 1, true);
        check(Some(0.5), ALL, false);
        check(Some(0.1), u64::MAX / 11, true);
        check(Some(0.1), u64::MAX / 9, false);
        assert!(tracer(Some(0.0)).is_on() && !tracer(None).is_on() && !Tracer::default().is_on());
        assert!(!Tracer::default().samples(trace(0)));
    }

    #[test]
    fn a_tenth_of_random_ids_is_recorded() {
        let tracer = tracer(Some(0.1));
        let count = (0..10_000).filter(|_| tracer.samples(TraceId::random())).count();
        // Nine standard deviations to each side.
        assert!((730..1270).contains(&count), "{count}");
    }

    #[test]
    fn a_request_is_queued_as_a_whole_or_counted() {
        let stats = Arc::new(OtlpStats::default());
        let (tracer, mut coming) = Tracer::queue(stats.clone());
        let span = Span {
            trace: trace(1),
            id: SpanId::random(),
            parent: None,
            name: "GET".into(),
            is_request: true,
            began: SystemTime::UNIX_EPOCH,
            ended: SystemTime::UNIX_EPOCH,
            attributes: Vec::new(),
            has_failed: false,
        };
        for _ in 0..WAITING / 10 + 1 {
            tracer.send(vec![span.clone(); 10]);
        }
        assert_eq!(stats.read(), [("sent", 0), ("dropped", 10), ("failed", 0)]);
        assert_eq!(std::iter::from_fn(|| coming.try_recv().ok()).count(), WAITING / 10 * 10);
        // More than there is room for at all.
        tracer.send(vec![span.clone(); WAITING + 1]);
        drop(coming);
        tracer.send(vec![span.clone()]);
        assert_eq!(stats.read()[1], ("dropped", 10 + WAITING as u64 + 2));
        Tracer::default().send(vec![span]);
    }

    proptest! {
        #[test]
        fn what_a_part_records_a_larger_one_records_too(low: u64, one in 0.0..=1.0f64, other in 0.0..=1.0f64) {
            let (less, more) = (one.min(other), one.max(other));
            prop_assert!(!tracer(Some(less)).samples(trace(low)) || tracer(Some(more)).samples(trace(low)));
        }
    }
}
