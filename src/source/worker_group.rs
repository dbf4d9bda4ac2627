//! The task behind one worker process: it starts the worker when an item of its group is to run, replaces it when it
//! dies or hangs, and ends it when nothing runs any more.

use super::{
    flow::Flow,
    pool::Pool,
    status::Status,
    worker::Worker,
    worker_media::{PendingStills, StillReply, WorkerStill, read_media, send_feed},
};
use crate::{
    ipc::{
        self, Ended, FrameKind, FromWorker, Item, LogLevel, PictureFault, PictureRequest, Plan, Rendition, ToWorker,
        Trial,
    },
    stream::{FanOut, SharedWriter},
    sys::usage,
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

/// A worker that was silent this long, five beats, is killed.
const SILENCE: Duration = Duration::from_millis(2500);
/// An item that did not end this long after it was told to costs the worker its life.
const STOP_WITHIN: Duration = Duration::from_secs(2);
/// Shortest pause between two keyframes that readers ask of one encoder.
const FORCE_PAUSE: Duration = Duration::from_millis(250);
/// How often one worker starts feeds. Elements leave something behind at each start, like `v4l2src` of GStreamer 1.22 a
/// descriptor; what flaps for days would use up what a process may have.
const MOST_STARTS: u32 = 500;
/// How long a worker that only decodes pictures is kept for the next one.
const PICTURE_LINGER: Duration = Duration::from_secs(2);
/// Requests on their way to a group: each supervisor and each picture has one at a time.
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
    /// For each stream of the plan: where its packets go.
    pub streams: BTreeMap<u32, SharedWriter>,
    /// Told how the items are.
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
    /// Whose it is.
    pub group: WorkerGroup,
    /// Which one.
    pub item: Item,
    /// Where its packets go, if it is a stream.
    pub writer: Option<SharedWriter>,
}

enum Request {
    Change(GroupConfig),
    Run { item: Item, flow: watch::Sender<Flow>, ended: oneshot::Sender<Ended> },
    Stop(Item),
    ForceKeyframe(u32),
    Caption { feed: u32, text: String },
    Still { of: StillSource, rendition: Rendition, not_before: Option<Duration>, reply: StillReply },
}

/// What a picture is made from.
#[derive(Debug)]
pub enum StillSource {
    /// The current frame of this stream of the plan.
    Stream(u32),
    /// The last frame in these bytes, which begin with a header and a join point.
    Bytes(Vec<Bytes>),
}

impl ItemSource {
    /// See [`super::Source::run`].
    pub async fn run(self, stop: CancellationToken, flow: watch::Sender<Flow>) -> Ended {
        fail::fail_point!("item");
        let (ended_tell, mut ended) = oneshot::channel();
        let gone = || Ended::Failed("the server is ending".to_owned());
        if self.group.0.send(Request::Run { item: self.item, flow, ended: ended_tell }).await.is_err() {
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
        if let Some(writer) = &self.writer {
            writer.lock().clear();
        }
    }
}

impl WorkerGroup {
    /// The group's handle, and the task to run until `stop`.
    pub fn new(
        setup: GroupConfig,
        pool: Pool,
        stop: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (requests, inbox) = mpsc::channel(REQUESTS);
        let task = WorkerGroupTask {
            name: setup.name,
            plan: setup.plan,
            feeds: setup.feeds,
            streams: watch::Sender::new(setup.streams),
            statuses: setup.statuses,
            memory_max: setup.memory_max,
            keyframes: BTreeMap::new(),
            captions: BTreeMap::new(),
            trials: BTreeMap::new(),
            passed_over: BTreeMap::new(),
            requests: requests.downgrade(),
            pool,
            stop,
            running: HashMap::new(),
            pictures: PendingStills::default(),
            last_picture: None,
            link: None,
        };
        (Self(requests), task.run(inbox))
    }

    /// Goes on with this setup. What is in it as before is not disturbed; what is not must have been stopped.
    pub async fn change(&self, setup: GroupConfig) {
        // A group that is ending needs no setup.
        let _ = self.0.send(Request::Change(setup)).await;
    }

    /// Shows this text in the picture of a feed that has an element `caption`.
    pub async fn caption(&self, feed: u32, text: String) {
        // A group that is ending shows nothing.
        let _ = self.0.send(Request::Caption { feed, text }).await;
    }

    /// A still picture, captured no earlier than `not_before` on the machine's monotonic clock.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn still(
        &self,
        of: StillSource,
        rendition: Rendition,
        not_before: Option<Duration>,
    ) -> Result<WorkerStill, PictureFault> {
        let (reply, answer) = oneshot::channel();
        let gone = || PictureFault::Failed("the worker ended".to_owned());
        self.0.send(Request::Still { of, rendition, not_before, reply }).await.map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

/// An item that runs.
struct Running {
    flow: watch::Sender<Flow>,
    ended: oneshot::Sender<Ended>,
    /// When it must be gone, since it was told to.
    gone_by: Option<Instant>,
}

/// The worker and what depends on it.
struct Link {
    worker: Worker,
    last_beat: Instant,
    /// How often it started a feed.
    starts: u32,
    /// Takes its media to the writers.
    _media: AbortOnDropHandle<()>,
    /// Send it the bytes of feeds that streams of it use.
    feeding: HashMap<u32, AbortOnDropHandle<()>>,
}

impl Link {
    fn is_used_up(&self) -> bool {
        fail::fail_point!("used-up", |_| self.starts > 1);
        self.starts >= MOST_STARTS
    }
}

struct WorkerGroupTask {
    name: String,
    plan: Plan,
    feeds: BTreeMap<u32, FanOut>,
    streams: watch::Sender<BTreeMap<u32, SharedWriter>>,
    statuses: BTreeMap<Item, Status>,
    memory_max: Option<u64>,
    /// Pass on what readers of each stream wish.
    keyframes: BTreeMap<u32, AbortOnDropHandle<()>>,
    /// What the pictures of feeds say.
    captions: BTreeMap<u32, String>,
    /// The text of each stream that is on trial now.
    trials: BTreeMap<u32, usize>,
    /// How many of the first texts of each stream turned out not to work here.
    passed_over: BTreeMap<u32, usize>,
    requests: mpsc::WeakSender<Request>,
    pool: Pool,
    stop: CancellationToken,
    running: HashMap<Item, Running>,
    pictures: PendingStills,
    last_picture: Option<Instant>,
    link: Option<Link>,
}

impl WorkerGroupTask {
    async fn run(mut self, mut inbox: mpsc::Receiver<Request>) {
        self.watch_wishes();
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
                    None => self.lost().await,
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
            Request::Change(setup) => self.change(setup),
            Request::Run { item, flow, ended } => {
                if matches!(item, Item::Feed(_)) && self.link.as_ref().is_some_and(Link::is_used_up) {
                    self.replace("has started feeds often enough").await;
                }
                if let Err(error) = self.ensure_worker().await {
                    let _ = ended.send(Ended::Failed(format!("no worker: {error}")));
                    return;
                }
                if let Item::Stream(stream) = item {
                    if let Some(writer) = self.streams.borrow().get(&stream) {
                        let mut writer = writer.lock();
                        writer.expect();
                        if let Some(plan) = self.plan.streams.get(&stream) {
                            writer.container(plan.container);
                        }
                    }
                    self.feed_stream(stream);
                    if let Some(&texts) = self.passed_over.get(&stream) {
                        self.send(ToWorker::PassOver { stream, texts });
                    }
                }
                let pid = self.link.as_ref().map(|link| link.worker.pid());
                tracing::debug!(name = self.item_name(item), group = self.name, pid, "runs in a worker");
                if let Some(status) = self.statuses.get(&item) {
                    status.set_pid(pid);
                }
                self.send(ToWorker::Start { item });
                if let (Item::Feed(_), Some(link)) = (item, &mut self.link) {
                    link.starts += 1;
                }
                if let Item::Feed(feed) = item
                    && let Some(text) = self.captions.get(&feed)
                {
                    self.send(ToWorker::Caption { feed, text: text.clone() });
                }
                self.running.insert(item, Running { flow, ended, gone_by: None });
            }
            Request::Stop(item) => {
                if let Some(running) = self.running.get_mut(&item) {
                    running.gone_by = Some(Instant::now() + STOP_WITHIN);
                    self.send(ToWorker::Stop { item });
                }
            }
            Request::ForceKeyframe(stream) => {
                if self.running.contains_key(&Item::Stream(stream)) {
                    self.send(ToWorker::ForceKeyframe { stream });
                }
            }
            Request::Caption { feed, text } => {
                self.send(ToWorker::Caption { feed, text: text.clone() });
                self.captions.insert(feed, text);
            }
            Request::Still { of, rendition, not_before, reply } => {
                if let Some((id, stream)) = self.picture(of, reply).await {
                    self.send(ToWorker::Picture(PictureRequest { id, stream, rendition, not_before }));
                }
            }
        }
    }

    fn change(&mut self, setup: GroupConfig) {
        let GroupConfig { name, plan, feeds, streams, statuses, memory_max } = setup;
        self.name = name;
        self.memory_max = memory_max;
        if plan != self.plan {
            let now = &self.plan.streams;
            self.passed_over.retain(|stream, _| plan.streams.get(stream) == now.get(stream));
            self.plan = plan;
            self.send(ToWorker::Plan(self.plan.clone()));
        }
        self.feeds = feeds;
        self.streams.send_replace(streams);
        self.statuses = statuses;
        self.watch_wishes();
        self.unfeed();
    }

    /// Has an ear for the readers of each stream.
    fn watch_wishes(&mut self) {
        let streams = self.streams.borrow();
        self.keyframes.retain(|stream, _| streams.contains_key(stream));
        for (stream, writer) in streams.iter() {
            self.keyframes.entry(*stream).or_insert_with(|| {
                let wishes = writer.lock().fanout().keyframe_wishes();
                let wishes = pass_on_keyframe_wishes(*stream, wishes, self.requests.clone());
                AbortOnDropHandle::new(tokio::spawn(wishes))
            });
        }
    }

    fn send(&self, message: ToWorker) {
        if let Some(link) = &self.link {
            // A worker that takes no messages is found out by its silence.
            link.worker.send(message);
        }
    }

    async fn ensure_worker(&mut self) -> std::io::Result<()> {
        if self.link.is_some() {
            return Ok(());
        }
        let mut worker = self.pool.take().await?;
        let pid = worker.pid();
        tracing::info!(group = self.name, pid, "worker begins");
        worker.send(ToWorker::Plan(self.plan.clone()));
        let Some(media) = worker.take_media() else {
            return Err(std::io::Error::other("the worker has no media socket"));
        };
        let read_media = read_media(media, self.streams.subscribe(), self.pictures.clone());
        let media = AbortOnDropHandle::new(tokio::spawn(read_media));
        self.link = Some(Link { worker, last_beat: Instant::now(), starts: 0, _media: media, feeding: HashMap::new() });
        Ok(())
    }

    /// Sends the worker the bytes of the feeds that this stream uses and that come from the server.
    fn feed_stream(&mut self, stream: u32) {
        let Some(link) = &mut self.link else { return };
        let Some(plan) = self.plan.streams.get(&stream) else { return };
        for &feed in &plan.feeds {
            let Some(fanout) = self.feeds.get(&feed) else { continue };
            if link.feeding.contains_key(&feed) {
                continue;
            }
            link.worker.send(ToWorker::Start { item: Item::Feed(feed) });
            let task = tokio::spawn(send_feed(feed, fanout.clone(), link.worker.sender()));
            link.feeding.insert(feed, AbortOnDropHandle::new(task));
        }
    }

    /// Ends the feeding that no running stream uses.
    fn unfeed(&mut self) {
        let Some(link) = &mut self.link else { return };
        let plan = &self.plan;
        let used = |feed: u32| {
            let streams = self.running.keys().filter_map(|item| match item {
                Item::Stream(stream) => plan.streams.get(stream),
                Item::Feed(_) => None,
            });
            streams.into_iter().any(|stream| stream.feeds.contains(&feed))
        };
        let unused: Vec<u32> = link.feeding.keys().copied().filter(|feed| !used(*feed)).collect();
        for feed in unused {
            link.feeding.remove(&feed);
            link.worker.send(ToWorker::Stop { item: Item::Feed(feed) });
        }
    }

    fn event(&mut self, event: FromWorker) {
        let Some(link) = &mut self.link else { return };
        link.last_beat = Instant::now();
        match event {
            FromWorker::Hello { .. } | FromWorker::Beat | FromWorker::Checked(_) | FromWorker::Tried(_) => {}
            FromWorker::Started { item } => {
                if let Some(running) = self.running.get(&item) {
                    running.flow.send_replace(Flow::Media);
                }
            }
            FromWorker::Signal { item, is_there } => {
                if let Some(running) = self.running.get(&item) {
                    running.flow.send_replace(if is_there { Flow::Media } else { Flow::NoSignal });
                }
            }
            FromWorker::Stalled { item, text } => {
                if let Some(running) = self.running.get(&item) {
                    running.flow.send_replace(Flow::Stalled(text));
                }
            }
            FromWorker::Trial { stream, text, outcome } => {
                self.trials.remove(&stream);
                match outcome {
                    Trial::Begun => drop(self.trials.insert(stream, text)),
                    Trial::Passed => {}
                    Trial::Failed => drop(self.passed_over.insert(stream, text + 1)),
                }
            }
            FromWorker::Ended { item, why } => self.ended(item, why),
            FromWorker::Tracks { item, tracks } => {
                let name = self.item_name(item);
                for track in &tracks {
                    tracing::debug!(name, kind = ?track.kind, encoded = track.encoded, caps = track.caps, "track");
                }
                if let Some(status) = self.statuses.get(&item) {
                    status.set_tracks(tracks);
                }
            }
            FromWorker::PictureFailed { id, fault } => self.pictures.answer(id, Err(fault)),
            FromWorker::Log { level, item, text } => {
                let name = item.map_or(self.name.clone(), |item| self.item_name(item));
                if let Some(status) = item.and_then(|item| self.statuses.get(&item))
                    && level != LogLevel::Debug
                {
                    status.add_line(&text);
                }
                match level {
                    LogLevel::Error => tracing::error!(name, "{text}"),
                    LogLevel::Warn => tracing::warn!(name, "{text}"),
                    LogLevel::Info => tracing::info!(name, "{text}"),
                    LogLevel::Debug => tracing::debug!(name, "{text}"),
                }
            }
        }
    }

    fn ended(&mut self, item: Item, why: Ended) {
        if let Item::Stream(stream) = item {
            self.trials.remove(&stream);
        }
        if let Some(running) = self.running.remove(&item) {
            let _ = running.ended.send(why);
            self.unfeed();
            return;
        }
        // A feed whose bytes come from here: its demultiplexer failed, for example at garbage. It begins anew.
        if let (Item::Feed(feed), Some(link)) = (item, &mut self.link)
            && why != Ended::Stopped
            && link.feeding.remove(&feed).is_some()
        {
            let name = self.item_name(item);
            tracing::debug!(name, ?why, "cannot be read; tried again");
            let streams: Vec<u32> = self
                .running
                .keys()
                .filter_map(|item| match item {
                    Item::Stream(stream) => Some(*stream),
                    Item::Feed(_) => None,
                })
                .collect();
            streams.into_iter().for_each(|stream| self.feed_stream(stream));
        }
    }

    fn item_name(&self, item: Item) -> String {
        match item {
            Item::Feed(feed) => self.plan.feeds.get(&feed).map(|feed| format!("feed {}", feed.name)),
            Item::Stream(stream) => self.plan.streams.get(&stream).map(|stream| format!("stream {}", stream.name)),
        }
        .unwrap_or_default()
    }

    /// Enters a request for a picture; its number, and the stream of the plan that it is of, if it is of one.
    async fn picture(&mut self, of: StillSource, reply: StillReply) -> Option<(u32, Option<u32>)> {
        if let Err(error) = self.ensure_worker().await {
            let _ = reply.send(Err(PictureFault::Failed(format!("no worker: {error}"))));
            return None;
        }
        self.last_picture = Some(Instant::now());
        let id = self.pictures.ask(reply)?;
        let stream = match of {
            StillSource::Stream(stream) => Some(stream),
            StillSource::Bytes(pieces) => {
                if let Some(sender) = self.link.as_ref().map(|link| link.worker.sender()) {
                    let bytes = Bytes::from(pieces.concat());
                    tokio::spawn(async move { sender.send(FrameKind::PictureBytes, id, false, bytes).await });
                }
                None
            }
        };
        Some((id, stream))
    }

    /// Looks after the worker, twice a second.
    async fn check(&mut self) {
        let now = Instant::now();
        let Some(link) = &self.link else { return };
        let silent = now.duration_since(link.last_beat) > SILENCE;
        let stuck = self.running.values().any(|running| running.gone_by.is_some_and(|by| now > by));
        if silent || stuck {
            let reason = if silent { "hung: it said nothing for 2.5 s" } else { "did not stop an item within 2 s" };
            self.blame_trials(reason);
            self.replace(reason).await;
            return;
        }
        if let Some(most) = self.memory_max
            && let Some(used) = usage::of(link.worker.pid()).filter(|used| used.resident > most)
        {
            self.replace(&usage::excess(used.resident, most)).await;
            return;
        }
        let picture = self.last_picture.is_some_and(|last| now.duration_since(last) < PICTURE_LINGER);
        if self.running.is_empty()
            && !picture
            && let Some(link) = self.link.take()
        {
            tracing::info!(group = self.name, pid = link.worker.pid(), "worker is not needed any more");
            tokio::spawn(link.worker.end());
        }
    }

    /// The worker's control socket closed.
    async fn lost(&mut self) {
        let Some(link) = self.link.take() else { return };
        let pid = link.worker.pid();
        drop((link._media, link.feeding));
        let how = link.worker.reap().await;
        tracing::error!(group = self.name, pid, how, "worker died");
        self.blame_trials(&how);
        self.end_all(&format!("its worker {how}"));
    }

    async fn replace(&mut self, reason: &str) {
        let Some(link) = self.link.take() else { return };
        let pid = link.worker.pid();
        drop((link._media, link.feeding));
        link.worker.kill().await;
        tracing::error!(group = self.name, pid, reason, "worker killed");
        self.end_all(&format!("its worker {reason}"));
    }

    /// A worker that ends while a text is tried ended of it: that encoder has had its chance.
    fn blame_trials(&mut self, how: &str) {
        for (stream, text) in std::mem::take(&mut self.trials) {
            let name = self.item_name(Item::Stream(stream));
            let texts = self.plan.streams.get(&stream).map_or(0, |plan| plan.encoding.texts());
            tracing::warn!(name, "text {} of {texts} does not work here: the worker {how} when it was tried", text + 1);
            self.passed_over.insert(stream, text + 1);
        }
    }

    /// Nothing of the group runs any more.
    fn end_all(&mut self, reason: &str) {
        for (_, running) in self.running.drain() {
            let stopped = running.gone_by.is_some();
            let _ = running.ended.send(if stopped { Ended::Stopped } else { Ended::Failed(reason.to_owned()) });
        }
        self.trials.clear();
        self.pictures.fail_all(reason);
    }
}

async fn next_event(link: &mut Option<Link>) -> Option<FromWorker> {
    match link {
        Some(link) => link.worker.event().await,
        None => std::future::pending().await,
    }
}

async fn pass_on_keyframe_wishes(stream: u32, mut wishes: watch::Receiver<()>, requests: mpsc::WeakSender<Request>) {
    while wishes.changed().await.is_ok() {
        let Some(requests) = requests.upgrade() else { return };
        if requests.send(Request::ForceKeyframe(stream)).await.is_err() {
            return;
        }
        tokio::time::sleep(FORCE_PAUSE).await;
    }
}
