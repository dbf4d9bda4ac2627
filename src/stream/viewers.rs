//! Who watches a stream. Each viewer has a handle, and reports from time to time how far it is: nothing is counted in common
//! for each packet and viewer.

use super::RtpStats;
use crate::telemetry::{Attribute, Fact, Facts, Figures, Latency, Origins, Times, Trace, Tracer};
use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

/// The viewers of one stream. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Viewers(Arc<Mutex<Inner>>);

/// How a viewer arrives.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// How media goes to it: `http`, `hls`.
    pub protocol: &'static str,
    /// Its name, if it has proved one.
    pub user: Option<&'a str>,
    /// Where it is.
    pub peer: SocketAddr,
}

#[derive(Debug, Default)]
struct Inner {
    taken: BTreeMap<u64, ViewerInfo>,
    /// How to end those who can be ended.
    ends: BTreeMap<u64, End>,
    /// Number of the next handle, which is also how many there have been.
    next: u64,
    /// What those who left had got.
    left: Progress,
    dropped: u64,
    /// How many left, by the reason.
    ended: BTreeMap<&'static str, u64>,
    waits: Waits<Latency>,
    /// The name of the stream, and where its viewers are reported.
    reported: Option<(Arc<str>, Facts)>,
    /// Records what some of them wait for.
    tracer: Tracer,
    /// What has to run for the stream.
    origins: Origins,
}

/// What viewers wait for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waits<T> {
    /// For media that has come to us, until it is written to their connection.
    pub media: T,
    /// From the head of their request to the first bytes that their connection took.
    pub beginning: T,
}

/// Ends a viewer when that is ordered. It must not block.
pub type EndViewer = Box<dyn Fn() + Send + Sync>;

struct End(EndViewer);

impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("End")
    }
}

/// One viewer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewerInfo {
    /// Its number among the viewers of the stream.
    pub number: u64,
    /// How media goes to it: `http`, `hls`.
    pub protocol: &'static str,
    /// Its name, if it has proved one.
    pub user: Option<Arc<str>>,
    /// Where it is.
    pub peer: SocketAddr,
    /// When it came.
    pub since: SystemTime,
    /// What it has got.
    pub progress: Progress,
    /// What it reports of the way to it, where its protocol has such reports.
    pub rtp: Option<RtpStats>,
}

/// What a viewer has got.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that its connection took.
    pub bytes: u64,
    /// Times that it fell behind and lost data.
    pub gaps: u64,
    /// Packets that it lost.
    pub lost: u64,
    /// Times that it was reduced to join points because it lost data repeatedly.
    pub reductions: u64,
    /// It is so now.
    pub is_reduced: bool,
}

/// What all viewers of a stream add up to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ViewerStats {
    /// Viewers now.
    pub now: usize,
    /// Viewers so far, those of now among them.
    pub ever: u64,
    /// Viewers that get join points only, for the time being.
    pub reduced: usize,
    /// Viewers that were sent away because they took nothing.
    pub dropped: u64,
    /// What all of them got.
    pub progress: Progress,
}

/// The place of one viewer, who has left when this is dropped.
#[derive(Debug)]
pub struct ViewerHandle {
    viewers: Viewers,
    number: u64,
    reported: Progress,
    /// Why it leaves.
    reason: Mutex<&'static str>,
}

impl Viewers {
    /// The viewers of this stream, who are reported as they come and leave.
    pub fn reported(stream: &str, facts: Facts) -> Self {
        let viewers = Self::default();
        viewers.lock().reported = Some((stream.into(), facts));
        viewers
    }

    /// What has to run for the stream from now on, and what records the traces of its viewers.
    pub fn set_origins(&self, origins: Origins, tracer: Tracer) {
        let mut inner = self.lock();
        (inner.origins, inner.tracer) = (origins, tracer);
    }

    /// What has to run for the stream.
    pub fn origins(&self) -> Origins {
        self.lock().origins.clone()
    }

    /// A viewer joins. `end` comes with it, so that it can be ended as soon as it is listed.
    pub fn join(&self, arrival: Arrival<'_>, end: Option<EndViewer>, now: SystemTime) -> ViewerHandle {
        let Arrival { protocol, user, peer } = arrival;
        let mut inner = self.lock();
        let number = inner.next;
        inner.next += 1;
        let (user, progress) = (user.map(Arc::from), Progress::default());
        let viewer = ViewerInfo { number, protocol, user, peer, since: now, progress, rtp: None };
        inner.taken.insert(number, viewer.clone());
        if let Some(end) = end {
            inner.ends.insert(number, End(end));
        }
        let reported = inner.reported.clone();
        drop(inner);
        if let Some((stream, facts)) = reported {
            facts.report(fact_of("viewer.joined", &stream, &viewer));
        }
        ViewerHandle { viewers: self.clone(), number, reported: Progress::default(), reason: Mutex::new("client left") }
    }

    /// Whether there is a viewer now.
    pub fn are_there(&self) -> bool {
        !self.lock().taken.is_empty()
    }

    /// What they add up to.
    pub fn stats(&self) -> ViewerStats {
        let inner = self.lock();
        let progress = inner.taken.values().fold(inner.left, |sum, viewer| sum.plus(viewer.progress));
        let reduced = inner.taken.values().filter(|viewer| viewer.progress.is_reduced).count();
        ViewerStats { now: inner.taken.len(), ever: inner.next, reduced, dropped: inner.dropped, progress }
    }

    /// How many have left, by the reason as the log has it. The reasons are constants, so that their number is bounded.
    pub fn ended(&self) -> Vec<(&'static str, u64)> {
        self.lock().ended.iter().map(|(reason, count)| (*reason, *count)).collect()
    }

    /// Media waited this long for us, before it was written to them.
    pub fn waited(&self, times: &Times, now: Instant) {
        if !times.is_empty() {
            self.lock().waits.media.append(times, now);
        }
    }

    /// How long they wait, and waited recently.
    pub fn waits(&self, now: Instant) -> Waits<Figures> {
        let Waits { media, beginning } = &self.lock().waits;
        Waits { media: media.read(now), beginning: beginning.read(now) }
    }

    /// Those who are there, in the order in which they came.
    pub fn list(&self) -> Vec<ViewerInfo> {
        self.lock().taken.values().cloned().collect()
    }

    /// Ends a viewer. Returns whether there is one with this number; `Some(false)` where it has no connection that could end.
    pub fn kick(&self, number: u64) -> Option<bool> {
        let inner = self.lock();
        inner.taken.get(&number)?;
        let end = inner.ends.get(&number);
        end.inspect(|end| end.0()).map_or(Some(false), |_| Some(true))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ViewerHandle {
    /// The viewer has got this much, all in all.
    pub fn report(&mut self, progress: Progress) {
        if progress == self.reported {
            return;
        }
        self.reported = progress;
        if let Some(viewer) = self.viewers.lock().taken.get_mut(&self.number) {
            viewer.progress = progress;
        }
    }

    /// What the viewer reports of the way to it.
    pub fn report_rtp(&self, stats: RtpStats) {
        if let Some(viewer) = self.viewers.lock().taken.get_mut(&self.number) {
            viewer.rtp = Some(stats);
        }
    }

    /// The viewer has its first bytes; its request is traced elsewhere.
    pub fn began(&self, took: Duration, now: Instant) {
        self.viewers.lock().waits.beginning.add(took, now);
    }

    /// The viewer has its first bytes, and its protocol has no requests that are traced: what it has waited for since `asked` is a trace
    /// of its own.
    pub fn played(&self, took: Duration, asked: Instant, now: Instant) {
        let mut inner = self.viewers.lock();
        inner.waits.beginning.add(took, now);
        let Some(trace) = Trace::begun(&inner.tracer, asked) else { return };
        let (viewer, origins) = (inner.taken.get(&self.number).cloned(), inner.origins.clone());
        let stream = inner.reported.as_ref().map(|(stream, _)| stream.clone());
        drop(inner);
        let (Some(viewer), Some(stream)) = (viewer, stream) else { return };
        trace.is_for(&stream, origins);
        let attributes = vec![
            ("network.protocol.name", Attribute::from(viewer.protocol)),
            ("client.address", viewer.peer.ip().to_string().into()),
        ];
        trace.finish("play", attributes, false);
    }

    /// The viewer is sent away because it took nothing.
    pub fn dropped(&self) {
        self.viewers.lock().dropped += 1;
    }

    /// The viewer leaves, for this reason.
    pub fn ended(&self, reason: &'static str) {
        *self.viewers.lock().ended.entry(reason).or_default() += 1;
        *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }
}

impl Drop for ViewerHandle {
    fn drop(&mut self) {
        let mut inner = self.viewers.lock();
        inner.ends.remove(&self.number);
        let Some(viewer) = inner.taken.remove(&self.number) else { return };
        inner.left = inner.left.plus(viewer.progress);
        let reported = inner.reported.clone();
        drop(inner);
        if let Some((stream, facts)) = reported {
            let seconds = viewer.since.elapsed().unwrap_or_default().as_millis() as f64 / 1000.0;
            let reason = *self.reason.lock().unwrap_or_else(PoisonError::into_inner);
            let Progress { bytes, gaps, .. } = viewer.progress;
            let fact = fact_of("viewer.left", &stream, &viewer).with("seconds", seconds).with("bytes", bytes);
            facts.report(fact.with("gaps", gaps).with("reason", reason));
        }
    }
}

/// What happened to a viewer.
fn fact_of(kind: &'static str, stream: &str, viewer: &ViewerInfo) -> Fact {
    let fact = Fact::stream(kind, stream).with("viewer", viewer.number).with("protocol", viewer.protocol);
    fact.who("user", viewer.user.as_deref()).at(viewer.peer.ip())
}

impl Progress {
    fn plus(self, other: Self) -> Self {
        Self {
            bytes: self.bytes + other.bytes,
            gaps: self.gaps + other.gaps,
            lost: self.lost + other.lost,
            reductions: self.reductions + other.reductions,
            // Of one viewer only.
            is_reduced: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{Origin, StartTimes};

    #[test]
    fn what_viewers_got_stays_counted_when_they_leave() {
        let (viewers, now) = (Viewers::default(), SystemTime::UNIX_EPOCH);
        let peer = SocketAddr::from(([192, 0, 2, 1], 1));
        let arrival = Arrival { protocol: "http", user: None, peer };
        let (mut first, mut second) = (viewers.join(arrival, None, now), viewers.join(arrival, None, now));
        let slow = Progress { gaps: 1, lost: 7, reductions: 1, ..Progress::default() };
        first.report(Progress { bytes: 10, is_reduced: true, ..slow });
        assert_eq!(viewers.stats().reduced, 1);
        first.report(Progress { bytes: 30, ..slow });
        let quick = Progress { bytes: 5, ..Progress::default() };
        second.report(quick);
        first.dropped();
        first.ended("slow");
        drop(first);
        assert_eq!(viewers.ended(), [("slow", 1)]);
        let progress = Progress { bytes: 35, ..slow };
        assert_eq!(viewers.stats(), ViewerStats { now: 1, ever: 2, reduced: 0, dropped: 1, progress });
        let list = viewers.list();
        assert_eq!(list.len(), 1);
        let rest = ViewerInfo { number: 1, protocol: "http", user: None, peer, since: now, progress: quick, rtp: None };
        assert_eq!(list[0], rest);
    }

    #[test]
    fn a_viewer_is_ended_by_what_it_came_with() {
        let (viewers, now) = (Viewers::default(), SystemTime::UNIX_EPOCH);
        let peer = SocketAddr::from(([192, 0, 2, 1], 1));
        let (sender, ended) = std::sync::mpsc::channel();
        let arrival = Arrival { protocol: "rtsp", user: Some("anna"), peer };
        let handle = viewers.join(arrival, Some(Box::new(move || sender.send(()).unwrap())), now);
        let _by_requests = viewers.join(Arrival { protocol: "hls", user: None, peer }, None, now);
        assert_eq!((viewers.kick(1), viewers.kick(2)), (Some(false), None));
        assert_eq!(viewers.kick(0), Some(true));
        assert_eq!(ended.try_iter().count(), 1);
        let viewer = &viewers.list()[0];
        assert_eq!((viewer.protocol, viewer.user.as_deref()), ("rtsp", Some("anna")));
        drop(handle);
        assert_eq!(viewers.kick(0), None);
    }

    /// Who reads of a viewer in the events may end it.
    #[test]
    fn a_viewer_can_be_ended_when_it_is_reported() {
        let (facts, coming) = Facts::queue();
        let viewers = Viewers::reported("cam", facts);
        let peer = SocketAddr::from(([192, 0, 2, 1], 1));
        let listed = viewers.clone();
        let reader = std::thread::spawn(move || coming.recv().map(|_| listed.kick(0)));
        let arrival = Arrival { protocol: "srt", user: None, peer };
        let _viewer = viewers.join(arrival, Some(Box::new(|| ())), SystemTime::now());
        assert_eq!(reader.join().unwrap(), Ok(Some(true)));
    }

    #[test]
    fn viewers_are_reported_as_they_come_and_leave() {
        let (facts, coming) = Facts::queue();
        let viewers = Viewers::reported("cam", facts);
        let peer = SocketAddr::from(([192, 0, 2, 1], 1));
        let mut handle = viewers.join(Arrival { protocol: "srt", user: Some("anna"), peer }, None, SystemTime::now());
        handle.report(Progress { bytes: 7, ..Progress::default() });
        handle.ended("slow");
        drop(handle);
        let facts: Vec<_> = coming.try_iter().map(|message| format!("{message:?}")).collect();
        assert_eq!(facts.len(), 2);
        assert!(facts[0].contains("viewer.joined") && facts[0].contains("anna"), "{}", facts[0]);
        for part in ["viewer.left", "slow", "\"bytes\": Number(7)"] {
            assert!(facts[1].contains(part), "{}", facts[1]);
        }
    }

    #[test]
    fn a_viewer_that_has_begun_is_a_trace_with_what_was_started_for_it() {
        let (tracer, mut coming) = Tracer::queue(Arc::default());
        let (viewers, times) = (Viewers::reported("cam", Facts::default()), StartTimes::default());
        let origin = Origin { feed: Some("card".to_owned()), stream: None, times: times.clone() };
        viewers.set_origins([origin].into_iter().collect(), tracer.clone());
        let peer = SocketAddr::from(([192, 0, 2, 1], 1));
        let began = Instant::now();
        let handle = viewers.join(Arrival { protocol: "rtsp", user: None, peer }, None, SystemTime::now());
        times.began(began);
        let played = || handle.played(began.elapsed(), began, Instant::now());
        played();
        assert!(coming.try_recv().is_err(), "nothing is recorded");
        tracer.record(Some(1.0));
        handle.began(began.elapsed(), Instant::now());
        assert!(coming.try_recv().is_err(), "it has a trace");
        played();
        let (root, start) = (coming.try_recv().unwrap(), coming.try_recv().unwrap());
        assert_eq!((&*root.name, root.parent, root.is_request), ("play", None, true));
        assert!(root.attributes.contains(&("network.protocol.name", "rtsp".into())), "{root:?}");
        assert!(root.attributes.contains(&("voyandz.stream", "cam".to_owned().into())), "{root:?}");
        assert_eq!((&*start.name, start.parent), ("start feed", Some(root.id)));
    }
}
