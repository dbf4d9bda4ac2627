//! The task behind one worker process: it starts the worker when an item of its group is to run, replaces it when it
//! crashes or hangs, and ends it when nothing runs any more.

use super::{
    byte_feeds::ByteFeeds,
    encoder_probes::EncoderProbes,
    flow::Flow,
    pool::Pool,
    status::Status,
    worker::Worker,
    worker_media::{PendingStills, StillReply, WorkerStill, read_media},
};
use crate::{
    ipc::{
        self, Ended, FrameChoice, FrameKind, FromWorker, Item, LogLevel, PictureFault, PictureOf, PictureRequest, Plan,
        StillSpec, ToWorker, Track,
    },
    stream::{Entrances, FanOut, KeyframeRequests},
    sys::proc_stats,
    telemetry::WorkerStart,
};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// A worker that was silent this long, five heartbeats, is killed.
const SILENCE: Duration = Duration::from_millis(2500);
/// A worker whose item has not ended this long after the request is killed.
const STOP_WITHIN: Duration = Duration::from_secs(2);
/// Shortest pause between two keyframe requests of readers to one encoder.
const FORCE_PAUSE: Duration = Duration::from_millis(250);
/// How often one worker starts feeds. Elements leak something at each start, like `v4l2src` of GStreamer 1.22 a
/// descriptor; a feed that flaps for days would use up what a process may have.
const MAX_FEED_STARTS: u32 = 500;
/// How long a worker that only decodes stills is kept for the next one.
const STILL_LINGER: Duration = Duration::from_secs(2);
/// Requests on their way to a group: each supervisor and each still has one at a time.
const REQUESTS: usize = 256;

/// What a group is made of.
#[derive(Debug)]
pub struct GroupConfig {
    /// For the log.
    pub name: String,
    /// What its worker runs.
    pub plan: Plan,
    /// For each feed of the plan whose bytes come from the server: the fan-out that has them.
    pub feeds: BTreeMap<u32, FanOut>,
    /// For each stream of the plan: where its media goes.
    pub streams: BTreeMap<u32, Entrances>,
    /// Where the state of each item is reported.
    pub statuses: BTreeMap<Item, Status>,
    /// Memory in bytes that its worker may have.
    pub memory_max: Option<u64>,
}

/// Handle to a group.
#[derive(Debug, Clone)]
pub struct WorkerGroup(mpsc::Sender<Request>);

/// One feed or stream of a group, as a source.
#[derive(Debug, Clone)]
pub struct ItemSource {
    /// The group.
    pub group: WorkerGroup,
    /// Which of its items.
    pub item: Item,
    /// Where its media goes, if it is a stream.
    pub entrances: Option<Entrances>,
}

enum Request {
    Change(GroupConfig),
    Run { item: Item, flow: watch::Sender<Flow>, ended: oneshot::Sender<Ended> },
    Stop(Item),
    ForceKeyframe { stream: u32, at: Option<Duration> },
    Caption { feed: u32, text: String },
    Still { of: StillSource, spec: StillSpec, not_before: Option<Duration>, reply: StillReply },
}

/// What a still is made from.
#[derive(Debug)]
pub enum StillSource {
    /// The current frame of this stream of the plan.
    Stream(u32),
    /// The last frame in these bytes of the stream of this name, which begin with a header and a join point.
    Bytes(String, Vec<Bytes>),
    /// Frames of a recording, in MP4.
    Recorded(Vec<Bytes>, FrameChoice),
}

impl ItemSource {
    /// See [`super::Source::run`].
    pub async fn run(self, stop: CancellationToken, flow: watch::Sender<Flow>) -> Ended {
        fail::fail_point!("item");
        let (ended_sender, mut ended) = oneshot::channel();
        let gone = || Ended::Failed("the server is ending".to_owned());
        if self.group.0.send(Request::Run { item: self.item, flow, ended: ended_sender }).await.is_err() {
            return gone();
        }
        tokio::select! {
            ended = &mut ended => return ended.unwrap_or_else(|_| gone()),
            () = stop.cancelled() => {}
        }
        let _ = self.group.0.send(Request::Stop(self.item)).await;
        ended.await.unwrap_or_else(|_| gone())
    }

    /// See [`super::Source::clear`].
    pub fn clear(&self) {
        if let Some(entrances) = &self.entrances {
            entrances.clear();
        }
    }
}

impl WorkerGroup {
    /// The group's handle, and the task to run until `stop`.
    pub fn new(
        config: GroupConfig,
        pool: Pool,
        stop: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (requests, inbox) = mpsc::channel(REQUESTS);
        let task = WorkerGroupTask {
            name: config.name,
            plan: config.plan,
            streams: watch::Sender::new(config.streams),
            statuses: config.statuses,
            memory_max: config.memory_max,
            byte_feeds: ByteFeeds::new(config.feeds),
            probes: EncoderProbes::default(),
            keyframe_relays: Vec::new(),
            captions: BTreeMap::new(),
            requests: requests.downgrade(),
            pool,
            stop,
            running: HashMap::new(),
            runs: 0,
            stills: PendingStills::default(),
            last_still: None,
            link: None,
        };
        (Self(requests), task.run(inbox))
    }

    /// Applies another configuration. What is in it as before is not disturbed; what is not must have been stopped.
    pub async fn change(&self, config: GroupConfig) {
        // A group that is ending needs none.
        let _ = self.0.send(Request::Change(config)).await;
    }

    /// Shows this text in the video of a feed that has an element `caption`.
    pub async fn caption(&self, feed: u32, text: String) {
        // A group that is ending shows nothing.
        let _ = self.0.send(Request::Caption { feed, text }).await;
    }

    /// A still, captured no earlier than `not_before` on the machine's monotonic clock.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn still(
        &self,
        of: StillSource,
        spec: StillSpec,
        not_before: Option<Duration>,
    ) -> Result<WorkerStill, PictureFault> {
        let (reply, answer) = oneshot::channel();
        let gone = || PictureFault::Failed("the worker ended".to_owned());
        self.0.send(Request::Still { of, spec, not_before, reply }).await.map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

/// An item that runs.
struct Running {
    flow: watch::Sender<Flow>,
    ended: oneshot::Sender<Ended>,
    /// When it must have ended, once it was asked to.
    gone_by: Option<Instant>,
}

/// The worker and what depends on it.
struct WorkerLink {
    worker: Worker,
    last_beat: Instant,
    /// How often it started a feed.
    feed_starts: u32,
    /// Reads its media.
    _media: AbortOnDropHandle<()>,
}

impl WorkerLink {
    fn is_used_up(&self) -> bool {
        fail::fail_point!("used-up", |_| self.feed_starts > 1);
        self.feed_starts >= MAX_FEED_STARTS
    }
}

struct WorkerGroupTask {
    name: String,
    plan: Plan,
    streams: watch::Sender<BTreeMap<u32, Entrances>>,
    statuses: BTreeMap<Item, Status>,
    memory_max: Option<u64>,
    byte_feeds: ByteFeeds,
    probes: EncoderProbes,
    /// The tasks that relay the keyframe requests of each stream's readers.
    keyframe_relays: Vec<AbortOnDropHandle<()>>,
    /// The texts in the videos of feeds.
    captions: BTreeMap<u32, String>,
    requests: mpsc::WeakSender<Request>,
    pool: Pool,
    stop: CancellationToken,
    running: HashMap<Item, Running>,
    /// Number of the newest run.
    runs: u32,
    stills: PendingStills,
    last_still: Option<Instant>,
    link: Option<WorkerLink>,
}

impl WorkerGroupTask {
    async fn run(mut self, mut inbox: mpsc::Receiver<Request>) {
        self.relay_keyframe_requests();
        let mut check = interval(ipc::BEAT);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => break,
                request = inbox.recv() => match request {
                    Some(request) => self.request(request).await,
                    None => break,
                },
                event = next_event(&mut self.link) => match event {
                    Some(event) => self.event(event),
                    None => self.worker_exited().await,
                },
                _ = check.tick(), if self.link.is_some() => self.check().await,
            }
        }
        self.end_all("the server is ending");
        if let Some(link) = self.link.take() {
            link.worker.end().await;
        }
    }

    async fn request(&mut self, request: Request) {
        match request {
            Request::Change(config) => self.change(config),
            Request::Run { item, flow, ended } => self.start(item, flow, ended).await,
            Request::Stop(item) => {
                if let Some(running) = self.running.get_mut(&item) {
                    running.gone_by = Some(Instant::now() + STOP_WITHIN);
                    self.send(ToWorker::Stop { item });
                }
            }
            Request::ForceKeyframe { stream, at } => {
                if self.running.contains_key(&Item::Stream(stream)) {
                    self.send(ToWorker::ForceKeyframe { stream, at });
                }
            }
            Request::Caption { feed, text } => {
                self.send(ToWorker::Caption { feed, text: text.clone() });
                self.captions.insert(feed, text);
            }
            Request::Still { of, spec, not_before, reply } => self.still(of, spec, not_before, reply).await,
        }
    }

    fn event(&mut self, event: FromWorker) {
        let Some(link) = &mut self.link else { return };
        link.last_beat = Instant::now();
        match event {
            FromWorker::Hello { .. }
            | FromWorker::Beat
            | FromWorker::Checked(_)
            | FromWorker::Tried(_)
            | FromWorker::Offered(_) => {}
            FromWorker::Started { item } => self.flow(item, Flow::Media),
            FromWorker::Signal { item, is_there: true } => self.flow(item, Flow::Media),
            FromWorker::Signal { item, is_there: false } => self.flow(item, Flow::NoSignal),
            FromWorker::Stalled { item, text } => self.flow(item, Flow::Stalled(text)),
            FromWorker::EncoderProbe { stream, text, outcome } => self.probes.report(stream, text, outcome),
            FromWorker::Ended { item, why } => self.ended(item, why),
            FromWorker::Tracks { item, tracks } => self.tracks(item, tracks),
            FromWorker::PictureFailed { id, fault } => self.stills.answer(id, Err(fault)),
            FromWorker::Log { level, item, text } => self.log(level, item, &text),
        }
    }

    fn change(&mut self, config: GroupConfig) {
        let GroupConfig { name, plan, feeds, streams, statuses, memory_max } = config;
        self.name = name;
        self.memory_max = memory_max;
        if plan != self.plan {
            let now = &self.plan.streams;
            self.probes.keep_failures(|stream| plan.streams.get(&stream) == now.get(&stream));
            self.plan = plan;
            self.send(ToWorker::Plan(self.plan.clone()));
        }
        self.byte_feeds.set(feeds);
        self.streams.send_replace(streams);
        self.statuses = statuses;
        self.relay_keyframe_requests();
        self.stop_unused_byte_feeds();
    }

    async fn start(&mut self, item: Item, flow: watch::Sender<Flow>, ended: oneshot::Sender<Ended>) {
        if matches!(item, Item::Feed(_)) && self.link.as_ref().is_some_and(WorkerLink::is_used_up) {
            self.replace("has started feeds often enough").await;
        }
        let (began, is_new) = (Instant::now(), self.link.is_none());
        if let Err(error) = self.ensure_worker().await {
            let _ = ended.send(Ended::Failed(format!("no worker: {error}")));
            return;
        }
        let ready = Instant::now();
        self.runs = self.runs.wrapping_add(1);
        let run = self.runs;
        if let Item::Stream(stream) = item {
            self.prepare_stream(stream, run);
        }
        let pid = self.link.as_ref().map(|link| link.worker.pid());
        let (feed, stream) = self.log_fields(item);
        tracing::debug!(feed, stream, group = self.name, pid, "started in worker");
        if let Some(status) = self.statuses.get(&item) {
            status.set_pid(pid);
            let times = status.start_times();
            if let Some(pid) = pid.filter(|_| is_new) {
                times.worker_started(WorkerStart { began: began.into_std(), ready: ready.into_std(), pid });
            }
            times.in_worker(ready.into_std());
        }
        self.send(ToWorker::Start { item, run });
        if let Item::Feed(feed) = item {
            if let Some(link) = &mut self.link {
                link.feed_starts += 1;
            }
            if let Some(text) = self.captions.get(&feed) {
                self.send(ToWorker::Caption { feed, text: text.clone() });
            }
        }
        self.running.insert(item, Running { flow, ended, gone_by: None });
    }

    /// Does what a stream needs before it starts.
    fn prepare_stream(&mut self, stream: u32, run: u32) {
        if let Some(entrances) = self.streams.borrow().get(&stream) {
            entrances.begin(run);
        }
        self.send_byte_feeds(stream);
        if let Some(texts) = self.probes.skipped(stream) {
            self.send(ToWorker::PassOver { stream, texts });
        }
    }

    async fn still(&mut self, of: StillSource, spec: StillSpec, not_before: Option<Duration>, reply: StillReply) {
        if let Err(error) = self.ensure_worker().await {
            let _ = reply.send(Err(PictureFault::Failed(format!("no worker: {error}"))));
            return;
        }
        self.last_still = Some(Instant::now());
        let Some(id) = self.stills.add(reply) else { return };
        let (of, pieces) = match of {
            StillSource::Stream(stream) => (PictureOf::Stream(stream), None),
            StillSource::Bytes(name, pieces) => (PictureOf::Bytes(name), Some(pieces)),
            StillSource::Recorded(pieces, frames) => (PictureOf::Recorded(frames), Some(pieces)),
        };
        if let Some((pieces, link)) = pieces.zip(self.link.as_ref()) {
            let (sender, bytes) = (link.worker.sender(), Bytes::from(pieces.concat()));
            tokio::spawn(async move { sender.send(FrameKind::StillBytes, id, false, bytes).await });
        }
        self.send(ToWorker::Picture(PictureRequest { id, of, spec, not_before }));
    }

    /// Starts the relays of each stream, for each rendition that it is a part of.
    fn relay_keyframe_requests(&mut self) {
        let streams = self.streams.borrow();
        let relays = streams.iter().flat_map(|(stream, entrances)| {
            entrances.keyframe_requests().into_iter().map(|wishes| {
                let relay = relay_keyframe_requests(*stream, wishes, self.requests.clone());
                AbortOnDropHandle::new(tokio::spawn(relay))
            })
        });
        self.keyframe_relays = relays.collect();
    }

    fn send(&self, message: ToWorker) {
        if let Some(link) = &self.link {
            // A worker that takes no messages is detected by its silence.
            link.worker.send(message);
        }
    }

    async fn ensure_worker(&mut self) -> std::io::Result<()> {
        if self.link.is_some() {
            return Ok(());
        }
        let mut worker = self.pool.take().await?;
        let pid = worker.pid();
        tracing::info!(group = self.name, pid, "worker started");
        worker.send(ToWorker::Plan(self.plan.clone()));
        let Some(media) = worker.take_media() else {
            return Err(std::io::Error::other("the worker has no media socket"));
        };
        let reading = read_media(media, self.streams.subscribe(), self.stills.clone());
        let _media = AbortOnDropHandle::new(tokio::spawn(reading));
        self.link = Some(WorkerLink { worker, last_beat: Instant::now(), feed_starts: 0, _media });
        Ok(())
    }

    fn send_byte_feeds(&mut self, stream: u32) {
        if let (Some(link), Some(plan)) = (&self.link, self.plan.streams.get(&stream)) {
            self.byte_feeds.send(&plan.feeds, &link.worker);
        }
    }

    fn stop_unused_byte_feeds(&mut self) {
        let Some(link) = &self.link else { return };
        let streams: Vec<_> =
            running_streams(&self.running).filter_map(|stream| self.plan.streams.get(&stream)).collect();
        let is_used = |feed: u32| streams.iter().any(|stream| stream.feeds.contains(&feed));
        self.byte_feeds.stop_unused(is_used, &link.worker);
    }

    fn flow(&self, item: Item, flow: Flow) {
        if let Some(running) = self.running.get(&item) {
            running.flow.send_replace(flow);
        }
    }

    fn tracks(&self, item: Item, tracks: Vec<Track>) {
        let (feed, stream) = self.log_fields(item);
        for track in &tracks {
            tracing::debug!(feed, stream, kind = ?track.kind, encoded = track.encoded, caps = track.caps, "track");
        }
        if let Some(status) = self.statuses.get(&item) {
            status.set_tracks(tracks);
        }
    }

    fn log(&self, level: LogLevel, item: Option<Item>, text: &str) {
        if let Some(status) = item.and_then(|item| self.statuses.get(&item))
            && level != LogLevel::Debug
        {
            status.add_line(text);
        }
        let (feed, stream) = item.map(|item| self.log_fields(item)).unwrap_or_default();
        let group = item.is_none().then_some(self.name.as_str());
        match level {
            LogLevel::Error => tracing::error!(group, feed, stream, "{text}"),
            LogLevel::Warn => tracing::warn!(group, feed, stream, "{text}"),
            LogLevel::Info => tracing::info!(group, feed, stream, "{text}"),
            LogLevel::Debug => tracing::debug!(group, feed, stream, "{text}"),
        }
    }

    fn ended(&mut self, item: Item, why: Ended) {
        if let Item::Stream(stream) = item {
            self.probes.cancel(stream);
        }
        if let Some(running) = self.running.remove(&item) {
            let _ = running.ended.send(why);
            self.stop_unused_byte_feeds();
            return;
        }
        // The demuxer of a byte feed failed, for example on garbage. It is restarted.
        if let Item::Feed(feed) = item
            && self.link.is_some()
            && why != Ended::Stopped
            && self.byte_feeds.ended(feed)
        {
            let (feed, _) = self.log_fields(item);
            tracing::debug!(feed, ?why, "bytes of feed cannot be demuxed; retrying");
            let streams: Vec<u32> = running_streams(&self.running).collect();
            streams.into_iter().for_each(|stream| self.send_byte_feeds(stream));
        }
    }

    /// The fields `feed` and `stream` of log lines about an item.
    fn log_fields(&self, item: Item) -> (Option<&str>, Option<&str>) {
        match item {
            Item::Feed(feed) => (self.plan.feeds.get(&feed).map(|feed| feed.name.as_str()), None),
            Item::Stream(stream) => (None, self.plan.streams.get(&stream).map(|stream| stream.name.as_str())),
        }
    }

    /// Checks the worker, twice a second.
    async fn check(&mut self) {
        let now = Instant::now();
        let Some(link) = &self.link else { return };
        let silent = now.duration_since(link.last_beat) > SILENCE;
        let stuck = self.running.values().any(|running| running.gone_by.is_some_and(|by| now > by));
        if silent || stuck {
            let reason = if silent { "hung: no message for 2.5 s" } else { "did not stop an item within 2 s" };
            self.fail_probes(reason);
            self.replace(reason).await;
            return;
        }
        if let Some(most) = self.memory_max
            && let Some(used) = proc_stats::of(link.worker.pid()).filter(|used| used.resident > most)
        {
            self.replace(&proc_stats::excess(used.resident, most)).await;
            return;
        }
        let keeps_decoder = self.last_still.is_some_and(|last| now.duration_since(last) < STILL_LINGER);
        if self.running.is_empty()
            && !keeps_decoder
            && let Some(link) = self.link.take()
        {
            tracing::info!(group = self.name, pid = link.worker.pid(), "worker stopped: not in use");
            self.byte_feeds.stop_all();
            tokio::spawn(link.worker.end());
        }
    }

    /// The worker's control socket closed.
    async fn worker_exited(&mut self) {
        let Some(link) = self.link.take() else { return };
        let pid = link.worker.pid();
        drop(link._media);
        self.byte_feeds.stop_all();
        let how = link.worker.reap().await;
        tracing::error!(group = self.name, pid, how, "worker exited unexpectedly");
        self.fail_probes(&how);
        self.end_all(&format!("its worker {how}"));
    }

    async fn replace(&mut self, reason: &str) {
        let Some(link) = self.link.take() else { return };
        let pid = link.worker.pid();
        drop(link._media);
        self.byte_feeds.stop_all();
        link.worker.kill().await;
        tracing::error!(group = self.name, pid, reason, "worker killed");
        self.end_all(&format!("its worker {reason}"));
    }

    /// The worker ended while pipelines were probed: they do not work here.
    fn fail_probes(&mut self, how: &str) {
        for (number, pipeline) in self.probes.fail_running() {
            let (_, stream) = self.log_fields(Item::Stream(number));
            let of = self.plan.streams.get(&number).map_or(0, |plan| plan.encoding.texts());
            let reason = format!("the worker {how}");
            tracing::warn!(stream, pipeline = pipeline + 1, of, reason, "pipeline does not work here; skipped");
        }
    }

    /// Nothing of the group runs any more.
    fn end_all(&mut self, reason: &str) {
        for (_, running) in self.running.drain() {
            let stopped = running.gone_by.is_some();
            let _ = running.ended.send(if stopped { Ended::Stopped } else { Ended::Failed(reason.to_owned()) });
        }
        self.probes.cancel_all();
        self.stills.fail_all(reason);
    }
}

fn running_streams(running: &HashMap<Item, Running>) -> impl Iterator<Item = u32> {
    running.keys().filter_map(|item| match item {
        Item::Stream(stream) => Some(*stream),
        Item::Feed(_) => None,
    })
}

async fn next_event(link: &mut Option<WorkerLink>) -> Option<FromWorker> {
    match link {
        Some(link) => link.worker.event().await,
        None => std::future::pending().await,
    }
}

/// Requests for given times pass; of those for a keyframe soon, one in [`FORCE_PAUSE`] does.
async fn relay_keyframe_requests(
    stream: u32,
    mut wishes: watch::Receiver<KeyframeRequests>,
    requests: mpsc::WeakSender<Request>,
) {
    let mut seen = wishes.borrow().seen();
    let (mut wants_soon, mut may_again) = (false, Instant::now());
    loop {
        tokio::select! {
            changed = wishes.changed() => if changed.is_err() { return },
            () = tokio::time::sleep_until(may_again), if wants_soon => {}
        }
        let now = wishes.borrow_and_update().clone();
        let mut asked: Vec<_> = now.times(seen).map(Some).collect();
        wants_soon |= now.has_soon(std::mem::replace(&mut seen, now.seen()));
        if wants_soon && may_again <= Instant::now() {
            (wants_soon, may_again) = (false, Instant::now() + FORCE_PAUSE);
            asked.push(None);
        }
        let Some(requests) = requests.upgrade() else { return };
        for at in asked {
            if requests.send(Request::ForceKeyframe { stream, at }).await.is_err() {
                return;
            }
        }
    }
}
