//! The place of the publisher of a feed: one session of any protocol at a time sends samples into all streams that use the feed.
//!
//! A protocol claims the slot, says which tracks there are, and pushes samples; dropping its [`Publisher`] frees the slot. The slot
//! repairs times, keeps the newest GOP for streams that begin later, and disconnects a publisher that is silent.

use crate::{
    config::{self, PublishProtocol, SecondPublisher},
    media::{Sample, StampRepair, Time, TrackSet, demux::Demuxed},
    stream::{Entrances, Gop, NotTaken},
    sys::monotonic,
    telemetry::{Fact, Facts},
};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};
use tokio::sync::watch;

/// Why a publisher ends that just leaves.
pub const LEFT: &str = "publisher left";
/// Why it ends when it is silent.
const SILENT: &str = "no media: idle for too long";
/// Why it ends when it has sent nothing.
const NO_MEDIA: &str = "no media: none came in time";
/// Why it ends for another one.
const REPLACED: &str = "replaced by another publisher";
/// The longest time that a demuxer holds samples until it knows the tracks, and a little more.
const LONGEST_HELD: Duration = Duration::from_millis(2500);
/// Why it ends when its feed does.
pub const CLOSED: &str = "the feed ends or has other settings";

/// Where one feed is published to. Clones are the same.
#[derive(Debug, Clone)]
pub struct PublishSlot(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    feed: config::FeedName,
    /// What all timestamps count from, in nanoseconds on the monotonic clock.
    epoch: u64,
    /// Where publishers are reported.
    facts: Facts,
    phase: watch::Sender<Phase>,
    /// Readers want a keyframe.
    keyframes: watch::Sender<()>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    settings: Arc<config::Publish>,
    current: Option<Current>,
    sinks: Vec<Sink>,
    next_sink: u64,
    runs: u32,
    totals: PublishTotals,
}

/// The publisher of now.
#[derive(Debug)]
struct Current {
    run: u32,
    info: PublisherInfo,
    since: SystemTime,
    claimed: Instant,
    /// When its last sample came, or was waited for on purpose.
    active: Arc<Activity>,
    end: watch::Sender<Option<&'static str>>,
    tracks: Option<TrackSet>,
    /// How long its first sample was held until its tracks were known.
    held: Duration,
    /// What the times of its samples begin with, once the first came.
    begins: Option<Time>,
    /// The newest decoding time.
    newest: Option<Time>,
    repair: StampRepair,
    gop: Gop,
    bytes: u64,
    samples: u64,
    station: Option<String>,
    title: Option<String>,
    /// Outputs that cannot carry its tracks are logged once.
    is_refusal_logged: bool,
}

/// When a publisher was active last, in milliseconds after it came. It changes with each frame, and with each of the layers of a publisher
/// beside it, which therefore need not lock the slot.
#[derive(Debug)]
struct Activity {
    since: Instant,
    last: AtomicU64,
}

impl Activity {
    fn new(now: Instant) -> Self {
        Self { since: now, last: AtomicU64::new(0) }
    }

    fn is_now(&self) {
        let last = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(last, Ordering::Relaxed);
    }

    /// How long ago it was.
    fn idle(&self, now: Instant) -> Duration {
        let since = now.saturating_duration_since(self.since);
        since.saturating_sub(Duration::from_millis(self.last.load(Ordering::Relaxed)))
    }
}

/// Something that takes the samples, while it is used.
#[derive(Debug)]
struct Sink {
    number: u64,
    entrances: Entrances,
}

/// What a slot is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// There is no publisher.
    Vacant,
    /// Somebody is there and has sent no media yet.
    Claimed,
    /// Media comes.
    Live,
}

/// Who publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublisherInfo {
    /// By which protocol.
    pub protocol: PublishProtocol,
    /// From where.
    pub peer: SocketAddr,
    /// The name of the identity, if it has one.
    pub user: Option<String>,
    /// What program it is, as it says.
    pub agent: Option<String>,
}

/// Why publishing is refused now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// There is a publisher.
    #[error("this feed has a publisher already: it must leave first, or `second: replace` lets others take over")]
    Busy,
    /// The protocol is not among those of the feed.
    #[error("this feed is not published to by {}: its `protocols` do not have it", .0.name())]
    Protocol(PublishProtocol),
    /// The feed is a layer of another one.
    #[error("this feed is a layer of another one: publish to that, by WebRTC with simulcast")]
    Layer,
}

/// One session that publishes. Dropping it ends its run.
#[derive(Debug)]
pub struct Publisher {
    slot: PublishSlot,
    run: u32,
    /// A sample came.
    has_begun: AtomicBool,
    active: Arc<Activity>,
    ended: watch::Receiver<Option<&'static str>>,
    reason: &'static str,
}

/// The publisher of now and what came so far, for pages and metrics.
#[derive(Debug, Clone, Default)]
pub struct PublishState {
    /// Who publishes now.
    pub current: Option<CurrentPublisher>,
    /// The sums over all publishers so far, that of now among them.
    pub totals: PublishTotals,
}

/// The publisher of now.
#[derive(Debug, Clone)]
pub struct CurrentPublisher {
    /// Who it is.
    pub info: PublisherInfo,
    /// When it came.
    pub since: SystemTime,
    /// Bytes of its samples.
    pub bytes: u64,
    /// Samples so far.
    pub samples: u64,
    /// Samples whose times could not be right.
    pub repaired: u64,
    /// The name of its station, if it says one.
    pub station: Option<String>,
    /// The title of what it plays, if it says one.
    pub title: Option<String>,
    /// How long ago the last sample came.
    pub idle: Duration,
}

/// The sums over all publishers of a feed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublishTotals {
    /// Publishers so far.
    pub publishers: u64,
    /// Those that were refused because of another one, or for their protocol.
    pub refused: u64,
    /// Bytes of samples.
    pub bytes: u64,
    /// Samples whose times could not be right.
    pub repaired: u64,
    /// How many ended, by the reason as the log has it. The reasons are constants, so that their number is bounded.
    pub ended: BTreeMap<&'static str, u64>,
}

impl PublishSlot {
    /// The slot of a feed with these settings. Timestamps count from `epoch`, in nanoseconds of [`monotonic`]. Publishers are reported
    /// to `facts`.
    pub fn new(feed: config::FeedName, settings: config::Publish, epoch: u64, facts: Facts) -> Self {
        let state = State {
            settings: Arc::new(settings),
            current: None,
            sinks: Vec::new(),
            next_sink: 0,
            runs: 0,
            totals: PublishTotals::default(),
        };
        let (phase, keyframes) = (watch::Sender::new(Phase::Vacant), watch::Sender::default());
        Self(Arc::new(Inner { feed, epoch, facts, phase, keyframes, state: Mutex::new(state) }))
    }

    /// The feed.
    pub fn feed(&self) -> &config::FeedName {
        &self.0.feed
    }

    /// The settings.
    pub fn settings(&self) -> Arc<config::Publish> {
        self.lock().settings.clone()
    }

    /// Other settings from now on. The publisher that is there stays.
    pub fn set_settings(&self, settings: config::Publish) {
        self.lock().settings = Arc::new(settings);
    }

    /// Takes the slot for a publisher whose tracks are known.
    ///
    /// # Errors
    /// See [`PublishSlot::claim`].
    pub fn publish(&self, info: PublisherInfo, tracks: TrackSet) -> Result<Publisher, PublishError> {
        let publisher = self.claim(info)?;
        publisher.tracks(tracks);
        Ok(publisher)
    }

    /// Takes the slot for a publisher that says later which tracks it has, within the time for its first media.
    ///
    /// # Errors
    /// When there is another publisher that must not be replaced, or the protocol must not be used.
    pub fn claim(&self, info: PublisherInfo) -> Result<Publisher, PublishError> {
        match self.settings().is_layer {
            true => Err(PublishError::Layer),
            false => {
                let second = self.settings().second;
                self.take(info, second)
            }
        }
    }

    /// Takes the slot for a layer of the publisher that has the slot of the feed itself, also from a publisher of before that has lost it.
    ///
    /// # Errors
    /// When the protocol must not be used.
    pub fn claim_layer(&self, info: PublisherInfo) -> Result<Publisher, PublishError> {
        self.take(info, SecondPublisher::Replace)
    }

    fn take(&self, info: PublisherInfo, second: SecondPublisher) -> Result<Publisher, PublishError> {
        let mut state = self.lock();
        if !state.settings.protocols.contains(&info.protocol) {
            state.totals.refused += 1;
            return Err(PublishError::Protocol(info.protocol));
        }
        if state.current.is_some() {
            match second {
                SecondPublisher::Refuse => {
                    state.totals.refused += 1;
                    return Err(PublishError::Busy);
                }
                SecondPublisher::Replace => self.end(&mut state, REPLACED),
            }
        }
        state.runs = state.runs.wrapping_add(1);
        state.totals.publishers += 1;
        let (run, now) = (state.runs, Instant::now());
        let end = watch::Sender::new(None);
        let ended = end.subscribe();
        let active = Arc::new(Activity::new(now));
        tracing::debug!(feed = %self.0.feed, peer = %info.peer, protocol = info.protocol.name(), "publisher connected");
        state.current = Some(Current {
            run,
            info,
            since: SystemTime::now(),
            claimed: now,
            active: active.clone(),
            end,
            tracks: None,
            held: Duration::ZERO,
            begins: None,
            newest: None,
            repair: StampRepair::default(),
            gop: Gop::default(),
            bytes: 0,
            samples: 0,
            station: None,
            title: None,
            is_refusal_logged: false,
        });
        drop(state);
        self.0.phase.send_replace(Phase::Claimed);
        Ok(Publisher { slot: self.clone(), run, has_begun: AtomicBool::new(false), active, ended, reason: LEFT })
    }

    /// What the publisher plays has this title from now on. Ignored while there is none.
    pub fn set_title(&self, title: String) {
        let mut state = self.lock();
        let Some(current) = state.current.as_mut().filter(|current| current.title.as_ref() != Some(&title)) else {
            return;
        };
        current.title = Some(title.clone());
        let feed = self.0.feed.as_str();
        let user = current.info.user.as_deref();
        let fact = Fact::feed("publisher.titled", feed).with("title", title).who("user", user);
        self.0.facts.report(fact.at(current.info.peer.ip()));
    }

    /// Disconnects the publisher, if there is one.
    pub fn kick(&self, reason: &'static str) {
        self.end(&mut self.lock(), reason);
    }

    /// Disconnects a publisher that has been silent for longer than the settings allow.
    pub fn expire(&self, now: Instant) {
        let mut state = self.lock();
        let Some(current) = &state.current else { return };
        let silent = current.active.idle(now);
        let (limit, reason) = match current.samples {
            0 => (state.settings.first_packet, NO_MEDIA),
            _ => (state.settings.idle, SILENT),
        };
        if silent >= limit {
            self.end(&mut state, reason);
        }
    }

    /// What it is doing, and its changes.
    pub fn phase(&self) -> watch::Receiver<Phase> {
        self.0.phase.subscribe()
    }

    /// The tracks of the publisher of now, once they are known.
    pub fn tracks(&self) -> Option<TrackSet> {
        self.lock().current.as_ref()?.tracks.clone()
    }

    /// The publisher of now and what came so far.
    pub fn read(&self) -> PublishState {
        let state = self.lock();
        let current = state.current.as_ref().map(|current| CurrentPublisher {
            info: current.info.clone(),
            since: current.since,
            bytes: current.bytes,
            samples: current.samples,
            repaired: current.repair.repaired(),
            station: current.station.clone(),
            title: current.title.clone(),
            idle: current.active.idle(Instant::now()),
        });
        let mut totals = state.totals.clone();
        if let Some(current) = &current {
            totals.bytes += current.bytes;
            totals.repaired += current.repaired;
        }
        PublishState { current, totals }
    }

    /// Media goes there too from now on, beginning with the newest GOP. Returns the number for [`PublishSlot::detach`].
    pub fn attach(&self, entrances: Entrances) -> u64 {
        let mut state = self.lock();
        let number = state.next_sink;
        state.next_sink += 1;
        if let Some(current) = &mut state.current {
            current.begin(&entrances);
            let Current { gop, run, .. } = current;
            for sample in gop.samples() {
                // Refused tracks were refused before.
                let _ = entrances.sample(*run, sample.clone());
            }
        }
        state.sinks.push(Sink { number, entrances });
        number
    }

    /// Media does not go there any more.
    pub fn detach(&self, number: u64) {
        self.lock().sinks.retain(|sink| sink.number != number);
    }

    /// Readers want a keyframe sooner than it would come by itself.
    pub fn want_keyframe(&self) {
        self.0.keyframes.send_replace(());
    }

    /// Frees the slot, if a publisher has it.
    fn end(&self, state: &mut State, reason: &'static str) {
        let Some(current) = state.current.take() else { return };
        let Current { info, claimed, end, bytes, samples, repair, .. } = current;
        let repaired = repair.repaired();
        state.totals.bytes += bytes;
        state.totals.repaired += repaired;
        *state.totals.ended.entry(reason).or_default() += 1;
        end.send_replace(Some(reason));
        self.0.phase.send_replace(Phase::Vacant);
        let PublisherInfo { protocol, peer, user, agent } = info;
        let (feed, protocol) = (&self.0.feed, protocol.name());
        let seconds = (claimed.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
        let fact = Fact::feed("publisher.left", feed.as_str()).with("protocol", protocol).with("reason", reason);
        let fact = fact.with("seconds", seconds).with("bytes", bytes).who("user", user.as_deref()).at(peer.ip());
        self.0.facts.report(fact);
        tracing::info!(%feed, %peer, user, protocol, agent, bytes, samples, repaired, seconds, reason, "publisher left");
    }

    /// Hands a sample of the run to all who use the feed.
    fn sample(&self, run: u32, mut sample: Sample) {
        let mut state = self.lock();
        let State { current, sinks, .. } = &mut *state;
        let Some(current) = current.as_mut().filter(|current| current.run == run) else { return };
        current.active.is_now();
        let Some(tracks) = current.tracks.clone() else { return };
        if tracks.get(sample.track).is_none() || sample.data.is_empty() {
            return;
        }
        current.repair.repair(&mut sample);
        // The timeline of the repair begins at zero, that of all groups with the server.
        let begins = *current.begins.get_or_insert_with(|| (self.now() - current.held).max(Time::default()));
        sample.dts = sample.dts.shifted(begins.nanos());
        sample.pts = sample.pts.shifted(begins.nanos());
        sample.entered = Some(monotonic());
        current.newest = current.newest.max(Some(sample.dts));
        current.bytes += sample.data.len() as u64;
        current.samples += 1;
        current.gop.push_of(&sample, &tracks);
        let mut refused = Vec::new();
        if let Some((last, others)) = sinks.split_last() {
            for sink in others {
                refused.extend(sink.entrances.sample(run, sample.clone()).err().into_iter().flatten());
            }
            refused.extend(last.entrances.sample(run, sample).err().into_iter().flatten());
        }
        let is_first = current.samples == 1;
        let is_news = !refused.is_empty() && !std::mem::replace(&mut current.is_refusal_logged, true);
        let info = is_first.then(|| current.info.clone());
        drop(state);
        if let Some(PublisherInfo { protocol, peer, user, agent }) = info {
            let (feed, protocol) = (&self.0.feed, protocol.name());
            let codecs: Vec<_> = tracks.tracks().iter().map(|track| track.codec.name()).collect();
            let fact = Fact::feed("publisher.joined", feed.as_str()).with("protocol", protocol);
            let fact = fact.with("codecs", codecs.clone()).who("user", user.as_deref()).at(peer.ip());
            self.0.facts.report(fact);
            tracing::info!(%feed, %peer, user, protocol, agent, tracks = codecs.join(", "), "publisher joined");
            self.0.phase.send_replace(Phase::Live);
        }
        if is_news {
            log_refused(&refused);
        }
    }

    /// The first sample of the run was held for so long.
    fn set_held(&self, run: u32, held: Duration) {
        let mut state = self.lock();
        if let Some(current) = state.current.as_mut().filter(|current| current.run == run) {
            current.held = held.min(LONGEST_HELD);
        }
    }

    /// The present on the timeline of the server.
    fn now(&self) -> Time {
        let now = u64::try_from(monotonic().as_nanos()).unwrap_or(u64::MAX).saturating_sub(self.0.epoch);
        Time::from_nanos(i64::try_from(now).unwrap_or(i64::MAX))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while it was held costs at most a sample.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// From the first to the newest of these samples, by their decoding times.
fn span(found: &[Demuxed]) -> Duration {
    let times = || {
        found.iter().filter_map(|found| match found {
            Demuxed::Sample(sample) => Some(sample.dts),
            Demuxed::Tracks(_) => None,
        })
    };
    let span = times().max().zip(times().min()).map_or(0, |(newest, oldest)| newest.since(oldest));
    Duration::from_nanos(u64::try_from(span).unwrap_or(0))
}

impl Current {
    /// Notifies an entrance of this run.
    fn begin(&self, entrances: &Entrances) {
        entrances.begin(self.run);
        if let Some(tracks) = &self.tracks {
            // What cannot be carried is logged with the first sample.
            let _ = entrances.tracks(self.run, tracks, true);
        }
    }
}

fn log_refused(refused: &[NotTaken]) {
    for NotTaken { stream, refused } in refused {
        for fault in refused {
            tracing::warn!(%stream, reason = %fault, "output cannot carry the tracks");
        }
    }
}

impl Publisher {
    /// The name of its station.
    pub fn set_station(&self, station: String) {
        let mut state = self.slot.lock();
        if let Some(current) = state.current.as_mut().filter(|current| current.run == self.run) {
            current.station = Some(station);
        }
    }

    /// The tracks of the samples that follow; a change replaces those of before.
    pub fn tracks(&self, tracks: TrackSet) {
        let mut state = self.slot.lock();
        let State { current, sinks, .. } = &mut *state;
        let Some(current) = current.as_mut().filter(|current| current.run == self.run) else { return };
        if current.tracks.as_ref() == Some(&tracks) {
            return;
        }
        current.repair.set_tracks(&tracks);
        let is_first = current.tracks.is_none();
        current.tracks = Some(tracks.clone());
        current.gop.clear();
        let mut refused = Vec::new();
        for sink in sinks.iter() {
            if is_first {
                sink.entrances.begin(self.run);
            }
            refused.extend(sink.entrances.tracks(self.run, &tracks, true).err().into_iter().flatten());
        }
        drop(state);
        log_refused(&refused);
    }

    /// The next sample, in decoding order of its track. Its times may be any, see [`StampRepair`].
    pub fn sample(&self, sample: Sample) {
        self.slot.sample(self.run, sample);
    }

    /// What a demuxer found. Without times of their own (`has_times`) samples get those of their arrival. Returns how many samples there were.
    pub fn demuxed(&self, found: impl IntoIterator<Item = Demuxed>, has_times: bool) -> u64 {
        let (mut samples, mut found, mut first) = (0, found.into_iter(), Vec::new());
        if has_times && !self.has_begun.load(Ordering::Relaxed) {
            // The newest of those that a demuxer held has just come. If the first one counted as new, all would be ahead of the clock for ever,
            // and wait for it.
            first.extend(found.by_ref());
            self.slot.set_held(self.run, span(&first));
        }
        for found in first.into_iter().chain(found) {
            match found {
                Demuxed::Tracks(tracks) => self.tracks(tracks),
                Demuxed::Sample(mut sample) => {
                    if !has_times {
                        let now = Time::from_nanos(i64::try_from(monotonic().as_nanos()).unwrap_or(i64::MAX));
                        (sample.dts, sample.pts) = (now, now);
                    }
                    samples += 1;
                    self.sample(sample);
                }
            }
        }
        if samples > 0 {
            self.has_begun.store(true, Ordering::Relaxed);
        }
        samples
    }

    /// How far its media is ahead of the clock: that of a file which is sent faster than it plays. Who waits for the clock is not
    /// silent.
    pub fn ahead(&self) -> Duration {
        let now = self.slot.now();
        let mut state = self.slot.lock();
        let current = state.current.as_mut().filter(|current| current.run == self.run);
        let Some((current, newest)) = current.and_then(|current| current.newest.map(|newest| (current, newest))) else {
            return Duration::ZERO;
        };
        let ahead = Duration::from_nanos(u64::try_from(newest.since(now)).unwrap_or(0));
        if !ahead.is_zero() {
            current.active.is_now();
        }
        ahead
    }

    /// It is not silent, though nothing comes now: what comes of it depends on others.
    pub fn is_expected(&self) {
        self.active.is_now();
    }

    /// Waits until the slot is taken away: the reason. Cancel-safe.
    pub async fn ended(&self) -> &'static str {
        let mut ended = self.ended.clone();
        let found = ended.wait_for(Option::is_some).await.ok().and_then(|reason| *reason);
        found.unwrap_or(CLOSED)
    }

    /// Changes when readers want a keyframe sooner than it would come by itself.
    pub fn keyframe_requests(&self) -> watch::Receiver<()> {
        self.slot.0.keyframes.subscribe()
    }

    /// Ends it for this reason, which the log and the metrics have.
    pub fn finish(mut self, reason: &'static str) {
        self.reason = reason;
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let mut state = self.slot.lock();
        if state.current.as_ref().is_some_and(|current| current.run == self.run) {
            self.slot.end(&mut state, self.reason);
        }
    }
}

#[cfg(test)]
mod tests;
