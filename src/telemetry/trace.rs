//! One request that is traced: its steps, and what was started for it.
//!
//! A request that is not recorded has none of this: it carries a `None`. The spans of one that is leave together, when what the
//! client waits for has begun: a play that lasts for hours is in the collector while it is watched.

use super::{
    span::{Attribute, Parent, Span, SpanId, TraceId},
    start_times::{Origin, Origins, StartSteps},
    tracer::Tracer,
};
use std::{
    borrow::Cow,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Instant, SystemTime},
};

/// A request that is recorded. Clones are the same.
#[derive(Debug, Clone)]
pub struct Trace(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tracer: Tracer,
    id: TraceId,
    root: SpanId,
    parent: Option<SpanId>,
    began: Instant,
    /// The same by the wall clock: all times of a trace count from here, so that a clock that is set tears no trace.
    at: SystemTime,
    found: Mutex<Found>,
}

/// What became known of the request meanwhile.
#[derive(Debug, Default)]
struct Found {
    route: Option<Cow<'static, str>>,
    stream: Option<String>,
    origins: Origins,
    steps: Vec<Span>,
}

/// A step of a request, from when this is made until it is dropped.
#[derive(Debug)]
pub struct Step {
    trace: Trace,
    name: &'static str,
    began: Instant,
}

impl Trace {
    /// A request that begins now, if it is recorded: as the program decides that it comes from, else by its id. `root` names its span.
    pub fn begin(tracer: &Tracer, parent: Option<Parent>, root: SpanId) -> Option<Self> {
        if !tracer.is_on() {
            return None;
        }
        let id = match parent {
            Some(parent) => parent.is_sampled.then_some(parent.trace),
            None => Some(TraceId::random()).filter(|id| tracer.samples(*id)),
        };
        let parent = parent.map(|parent| parent.span);
        Some(Self::new(tracer, id?, root, parent, Instant::now(), SystemTime::now()))
    }

    /// One that began at this time, of a protocol whose requests belong to no trace of others.
    pub fn begun(tracer: &Tracer, began: Instant) -> Option<Self> {
        let id = tracer.is_on().then(TraceId::random).filter(|id| tracer.samples(*id))?;
        let (now, elapsed) = (SystemTime::now(), began.elapsed());
        let at = now.checked_sub(elapsed).unwrap_or(now);
        Some(Self::new(tracer, id, SpanId::random(), None, began, at))
    }

    fn new(tracer: &Tracer, id: TraceId, root: SpanId, parent: Option<SpanId>, began: Instant, at: SystemTime) -> Self {
        let (tracer, found) = (tracer.clone(), Mutex::default());
        Self(Arc::new(Inner { tracer, id, root, parent, began, at, found }))
    }

    /// Its id.
    pub fn id(&self) -> TraceId {
        self.0.id
    }

    /// It is for what has this path, with names in braces.
    pub fn leads_to(&self, route: impl Into<Cow<'static, str>>) {
        self.found().route = Some(route.into());
    }

    /// It is for this stream. What of its origins starts from now on belongs to the trace.
    pub fn is_for(&self, stream: &str, origins: Origins) {
        let mut found = self.found();
        found.stream = Some(stream.to_owned());
        found.origins = origins;
    }

    /// A step of it begins.
    pub fn step(&self, name: &'static str) -> Step {
        Step { trace: self.clone(), name, began: Instant::now() }
    }

    /// What was waited for has begun, or has come to its end. `what` begins the name of its span: `GET`. Steps that end later are lost.
    pub fn finish(&self, what: &str, mut attributes: Vec<(&'static str, Attribute)>, has_failed: bool) {
        let now = Instant::now();
        let Found { route, stream, origins, steps } = mem::take(&mut *self.found());
        let name = match &route {
            Some(route) => format!("{what} {route}"),
            None => what.to_owned(),
        };
        attributes.extend(route.map(|route| ("http.route", Attribute::Text(route))));
        attributes.extend(stream.map(|stream| ("voyandz.stream", stream.into())));
        let root = Span {
            trace: self.0.id,
            id: self.0.root,
            parent: self.0.parent,
            name: name.into(),
            is_request: true,
            began: self.0.at,
            ended: self.at(now),
            attributes,
            has_failed,
        };
        let mut spans = vec![root];
        spans.extend(steps);
        origins.iter().for_each(|origin| self.add_start(origin, now, &mut spans));
        self.0.tracer.send(spans);
    }

    /// The start of a feed or stream, if it was after that of the request.
    fn add_start(&self, Origin { feed, stream, times }: &Origin, now: Instant, spans: &mut Vec<Span>) {
        let StartSteps { began: Some(began), worker, in_worker, media } = times.read() else { return };
        if began < self.0.began || began > now {
            return;
        }
        // The report of it may be under way while the media itself is sent already.
        let media = media.map_or(now, |media| media.min(now));
        let name = if feed.is_some() { "start feed" } else { "start stream" };
        let mut start = self.span(self.0.root, name, began, media);
        start.attributes.extend(feed.clone().map(|feed| ("voyandz.feed", feed.into())));
        start.attributes.extend(stream.clone().map(|stream| ("voyandz.stream", stream.into())));
        let parent = start.id;
        spans.push(start);
        if let Some(worker) = worker {
            let mut span = self.span(parent, "start worker", worker.began, worker.ready);
            span.attributes.push(("process.pid", worker.pid.into()));
            spans.push(span);
        }
        if let Some(asked) = in_worker {
            spans.push(self.span(parent, "wait for first packet", asked, media));
        }
    }

    fn span(&self, parent: SpanId, name: &'static str, began: Instant, ended: Instant) -> Span {
        Span {
            trace: self.0.id,
            id: SpanId::random(),
            parent: Some(parent),
            name: name.into(),
            is_request: false,
            began: self.at(began),
            ended: self.at(ended),
            attributes: Vec::new(),
            has_failed: false,
        }
    }

    fn at(&self, time: Instant) -> SystemTime {
        self.0.at + time.saturating_duration_since(self.0.began)
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.0.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        let span = self.trace.span(self.trace.0.root, self.name, self.began, Instant::now());
        self.trace.found().steps.push(span);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{StartTimes, WorkerStart};
    use std::{collections::HashMap, time::Duration};
    use tokio::sync::mpsc::Receiver;

    fn tracer(part: Option<f64>) -> (Tracer, Receiver<Span>) {
        let (tracer, coming) = Tracer::queue(Arc::default());
        tracer.record(part);
        (tracer, coming)
    }

    fn root() -> SpanId {
        SpanId::new(0xab).unwrap()
    }

    fn parent(is_sampled: bool) -> Option<Parent> {
        Some(Parent { trace: TraceId::new(7).unwrap(), span: SpanId::new(5).unwrap(), is_sampled })
    }

    #[test]
    fn the_program_before_decides_and_otherwise_the_part() {
        let begins = |part, parent| Trace::begin(&tracer(part).0, parent, root()).is_some();
        for (part, parent, expect) in [
            (None, None, false),
            (None, parent(true), false),
            (Some(0.0), None, false),
            (Some(0.0), parent(true), true),
            (Some(1.0), None, true),
            (Some(1.0), parent(false), false),
        ] {
            assert_eq!(begins(part, parent), expect, "{part:?} {parent:?}");
        }
        assert!(Trace::begin(&Tracer::default(), parent(true), root()).is_none());
        assert!(Trace::begun(&tracer(Some(0.0)).0, Instant::now()).is_none());
        assert!(Trace::begun(&tracer(Some(1.0)).0, Instant::now()).is_some());
    }

    #[test]
    fn a_request_is_a_tree_with_its_steps_and_what_was_started_for_it() {
        let (tracer, mut coming) = tracer(Some(1.0));
        let (feed, stream, other) = (StartTimes::default(), StartTimes::default(), StartTimes::default());
        // It ran before.
        other.began(Instant::now() - Duration::from_millis(1));
        let trace = Trace::begin(&tracer, parent(true), root()).unwrap();
        let began = trace.0.began;
        feed.began(began);
        feed.worker_started(WorkerStart { began, ready: began, pid: 9 });
        feed.in_worker(began);
        feed.media(began);
        // No media yet.
        stream.began(began);
        let origin = |feed: Option<&str>, stream: Option<&str>, times: &StartTimes| {
            let [feed, stream] = [feed, stream].map(|name| name.map(str::to_owned));
            Origin { feed, stream, times: times.clone() }
        };
        let origins =
            [origin(Some("card"), None, &feed), origin(None, Some("cam"), &stream), origin(None, None, &other)];
        trace.is_for("cam", origins.into_iter().collect());
        trace.leads_to("/{stream}");
        drop(trace.step("authorize"));
        let _late = trace.step("too late");
        trace.finish("GET", vec![("http.response.status_code", 200.into())], false);
        let spans: Vec<_> = std::iter::from_fn(|| coming.try_recv().ok()).collect();
        let names: HashMap<_, _> = spans.iter().map(|span| (span.id, &*span.name)).collect();
        let tree: Vec<_> =
            spans.iter().map(|span| (&*span.name, span.parent.map(|id| names.get(&id).copied()))).collect();
        let request = "GET /{stream}";
        let expect = [
            // The span of the other program.
            (request, Some(None)),
            ("authorize", Some(Some(request))),
            ("start feed", Some(Some(request))),
            ("start worker", Some(Some("start feed"))),
            ("wait for first packet", Some(Some("start feed"))),
            ("start stream", Some(Some(request))),
        ];
        assert_eq!(tree, expect);
        assert!(spans.iter().all(|span| span.trace == TraceId::new(7).unwrap()));
        assert!(spans.iter().all(|span| span.began <= span.ended && span.began >= spans[0].began));
        assert!(spans.iter().all(|span| span.ended <= spans[0].ended));
        assert_eq!((spans[0].id, spans[0].parent), (root(), SpanId::new(5)));
        assert_eq!(
            spans[0].attributes,
            [
                ("http.response.status_code", Attribute::Number(200)),
                ("http.route", "/{stream}".into()),
                ("voyandz.stream", "cam".into()),
            ]
        );
        assert_eq!(spans[2].attributes, [("voyandz.feed", "card".into())]);
    }
}
