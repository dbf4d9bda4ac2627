//! Threads that hold sessions and send to viewers: each has its sessions, their timers, and a place in each stream that they read.
//!
//! A session stays with its thread. What comes for it (datagrams, requests, news of its stream) waits in the inbox of the thread, which
//! is bounded: datagrams beyond that are dropped, as by a socket.

use super::{
    directory::Directory,
    mux::SessionId,
    play::{self, Outcome, Play},
    send::SendPath,
    session::{AcceptError, Output},
    viewer::Viewer,
};
use crate::{
    media::webrtc::Frame,
    output::http::write_latency::LatencyRecorder,
    stream::{Audience, FanOut, News},
    sys::service::Pulse,
};
use slab::Slab;
use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    mem,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Wake, Waker},
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// Most datagrams that wait: what a fast viewer sends in a second, of each of hundreds.
const MAX_WAITING: usize = 4096;
/// Interval of the checks of all sessions.
const CHECK_PERIOD: Duration = Duration::from_millis(500);
/// Requests for a keyframe of one stream are passed on at most this often.
const KEYFRAME_PERIOD: Duration = Duration::from_millis(250);

/// The side of a shard that other threads use.
#[derive(Debug, Default)]
pub struct Shard {
    inbox: Mutex<Inbox>,
    filled: Condvar,
    sessions: AtomicUsize,
}

#[derive(Debug, Default)]
struct Inbox {
    joining: Vec<(SessionId, Box<Viewer>)>,
    datagrams: VecDeque<(SessionId, Datagram)>,
    commands: Vec<(SessionId, Command)>,
    /// Channels with news.
    woken: Vec<usize>,
    is_closing: bool,
}

/// A datagram that came for a session.
#[derive(Debug)]
pub struct Datagram {
    /// From whom.
    pub source: SocketAddr,
    /// To which of the advertised addresses.
    pub destination: SocketAddr,
    /// It came over a connection of TCP.
    pub is_tcp: bool,
    /// What came.
    pub bytes: Vec<u8>,
}

/// What is asked of a session over HTTP.
#[derive(Debug)]
pub enum Command {
    /// Another ICE session, by this offer; the answer goes back.
    Restart(String, oneshot::Sender<Result<String, AcceptError>>),
    /// The viewer leaves.
    Close(&'static str),
}

impl Shard {
    /// The number of sessions.
    pub fn sessions(&self) -> usize {
        self.sessions.load(Ordering::Relaxed)
    }

    /// Takes over a session.
    pub fn adopt(&self, id: SessionId, viewer: Viewer) {
        self.sessions.fetch_add(1, Ordering::Relaxed);
        self.fill(|inbox| inbox.joining.push((id, Box::new(viewer))));
    }

    /// A datagram for a session; `false` when there are too many.
    pub fn receive(&self, id: SessionId, datagram: Datagram) -> bool {
        let mut has_room = false;
        self.fill(|inbox| {
            has_room = inbox.datagrams.len() < MAX_WAITING;
            if has_room {
                inbox.datagrams.push_back((id, datagram));
            }
        });
        has_room
    }

    /// Asks something of a session.
    pub fn command(&self, id: SessionId, command: Command) {
        self.fill(|inbox| inbox.commands.push((id, command)));
    }

    /// All viewers leave, and the thread ends.
    pub fn close(&self) {
        self.fill(|inbox| inbox.is_closing = true);
    }

    fn fill(&self, fill: impl FnOnce(&mut Inbox)) {
        fill(&mut self.inbox());
        self.filled.notify_one();
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes a shard on behalf of one stream.
struct ShardWaker {
    shard: Arc<Shard>,
    channel: usize,
}

impl Wake for ShardWaker {
    fn wake(self: Arc<Self>) {
        self.shard.fill(|inbox| inbox.woken.push(self.channel));
    }
}

/// A stream with viewers in this shard.
struct Channel {
    fanout: FanOut,
    waker: Waker,
    news: News,
    viewers: Vec<SessionId>,
    audience: Audience,
    latency: LatencyRecorder,
    /// When a keyframe was asked for last, and whether it is wanted again.
    asked: Option<Instant>,
    wants_keyframe: bool,
}

/// The thread.
pub struct Loop {
    shard: Arc<Shard>,
    directory: Arc<Directory>,
    path: SendPath,
    pulse: Pulse,
    sessions: HashMap<SessionId, Box<Viewer>>,
    /// When each session is to be looked at.
    due: BTreeSet<(Instant, SessionId)>,
    channels: Slab<Channel>,
    /// Empty between two calls.
    out: Vec<Output>,
}

impl Loop {
    /// The thread of a shard, which sends over `path`.
    pub fn new(shard: Arc<Shard>, directory: Arc<Directory>, path: SendPath, pulse: Pulse) -> Self {
        let (sessions, due, channels) = (HashMap::new(), BTreeSet::new(), Slab::new());
        Self { shard, directory, path, pulse, sessions, due, channels, out: Vec::new() }
    }

    /// Serves until [`Shard::close`].
    pub fn run(mut self) {
        let mut next_check = Instant::now() + CHECK_PERIOD;
        loop {
            let inbox = self.wait(next_check);
            self.pulse.beat();
            let now = Instant::now();
            for (id, viewer) in inbox.joining {
                self.sessions.insert(id, viewer);
                self.with(id, now, |_, _| {});
            }
            for (id, datagram) in inbox.datagrams {
                let Datagram { source, destination, is_tcp, bytes } = datagram;
                self.with(id, now, |viewer, out| {
                    viewer.session.receive(is_tcp, (source, destination), &bytes, now, out);
                    viewer.seen(source);
                });
            }
            for (id, command) in inbox.commands {
                self.command(id, command, now);
            }
            let mut woken = inbox.woken;
            woken.sort_unstable();
            woken.dedup();
            woken.into_iter().for_each(|channel| self.deliver(channel, now));
            while let Some((_, id)) = self.due.first().copied().filter(|(due, _)| *due <= now) {
                self.due.pop_first();
                if let Some(viewer) = self.sessions.get_mut(&id) {
                    viewer.scheduled = None;
                }
                self.with(id, now, |viewer, out| {
                    viewer.pump(None, now, out);
                });
            }
            if inbox.is_closing {
                return self.finish(now);
            }
            if now >= next_check {
                next_check = now + CHECK_PERIOD;
                self.check(now);
            }
        }
    }

    /// What has come, at the latest when something is due.
    fn wait(&self, next_check: Instant) -> Inbox {
        let mut until = self.due.first().map_or(next_check, |(due, _)| next_check.min(*due));
        for (_, channel) in &self.channels {
            if let (true, Some(asked)) = (channel.wants_keyframe, channel.asked) {
                until = until.min(asked + KEYFRAME_PERIOD);
            }
        }
        let is_empty = |inbox: &mut Inbox| {
            inbox.joining.is_empty()
                && inbox.datagrams.is_empty()
                && inbox.commands.is_empty()
                && inbox.woken.is_empty()
                && !inbox.is_closing
        };
        let left = until.saturating_duration_since(Instant::now());
        let waited = self.shard.filled.wait_timeout_while(self.shard.inbox(), left, is_empty);
        let (mut inbox, _) = waited.unwrap_or_else(PoisonError::into_inner);
        mem::take(&mut *inbox)
    }

    fn command(&mut self, id: SessionId, command: Command, now: Instant) {
        match command {
            Command::Close(reason) => self.with(id, now, |viewer, out| {
                out.push(Output::Ended(reason));
                viewer.session.close(now, out);
            }),
            Command::Restart(offer, reply) => self.with(id, now, |viewer, out| {
                let answer = viewer.session.restart(&offer);
                viewer.session.timeout(now, out);
                let _ = reply.send(answer);
            }),
        }
    }

    /// Acts on a session, does what follows of it, and forgets the session if it is over. A panic costs this session alone.
    fn with(&mut self, id: SessionId, now: Instant, act: impl FnOnce(&mut Viewer, &mut Vec<Output>)) {
        let mut out = mem::take(&mut self.out);
        let Some(viewer) = self.sessions.get_mut(&id) else { return };
        let acted = catch_unwind(AssertUnwindSafe(|| act(viewer, &mut out)));
        if acted.is_err() {
            out.push(Output::Ended("internal error"));
        }
        let mut ended = None;
        let mut is_ready = false;
        for output in out.drain(..) {
            match output {
                Output::Send { is_tcp, destination, bytes } => self.path.send(is_tcp, destination, &bytes),
                Output::Ready => is_ready = true,
                Output::WantsKeyframe => {
                    if let Some(channel) = viewer.channel.and_then(|channel| self.channels.get_mut(channel)) {
                        channel.want_keyframe(now);
                    }
                }
                Output::Ended(reason) => ended = ended.or(Some(reason)),
            }
        }
        self.out = out;
        match ended {
            Some(reason) => self.remove(id, reason),
            None if is_ready => self.start(id, now),
            None => self.schedule(id),
        }
    }

    fn schedule(&mut self, id: SessionId) {
        let Some(viewer) = self.sessions.get_mut(&id) else { return };
        let due = viewer.due();
        if viewer.scheduled != Some(due) {
            if let Some(before) = viewer.scheduled.replace(due) {
                self.due.remove(&(before, id));
            }
            self.due.insert((due, id));
        }
    }

    fn remove(&mut self, id: SessionId, reason: &'static str) {
        let Some(mut viewer) = self.sessions.remove(&id) else { return };
        if let Some(scheduled) = viewer.scheduled {
            self.due.remove(&(scheduled, id));
        }
        if let Some(at) = viewer.channel
            && let Some(channel) = self.channels.get_mut(at)
        {
            channel.viewers.retain(|other| *other != id);
            if channel.viewers.is_empty() {
                let Channel { audience, mut latency, .. } = self.channels.remove(at);
                latency.report(&audience, Instant::now());
            }
        }
        self.directory.remove(id);
        self.path.forget(&viewer.addresses);
        self.shard.sessions.fetch_sub(1, Ordering::Relaxed);
        viewer.reason = reason;
    }

    /// The session is connected: it is sent what there is of its stream, and all that comes.
    fn start(&mut self, id: SessionId, now: Instant) {
        let Some(viewer) = self.sessions.get_mut(&id) else { return };
        let fanout = viewer.fanout.clone();
        let found = self.channels.iter().find(|(_, channel)| channel.fanout.is_same(&fanout)).map(|(at, _)| at);
        let at = found.unwrap_or_else(|| {
            let entry = self.channels.vacant_entry();
            let channel = entry.key();
            entry.insert(Channel {
                fanout: fanout.clone(),
                waker: Arc::new(ShardWaker { shard: self.shard.clone(), channel }).into(),
                news: News::default(),
                viewers: Vec::new(),
                audience: viewer.audience.clone(),
                latency: LatencyRecorder::default(),
                asked: None,
                wants_keyframe: false,
            });
            channel
        });
        if let Some(channel) = self.channels.get_mut(at) {
            channel.viewers.push(id);
        }
        viewer.channel = Some(at);
        viewer.play = Some(Play::join(viewer.plan.clone(), &fanout, now));
        viewer.joined(now);
        self.with(id, now, |viewer, out| viewer.pump(None, now, out));
        if found.is_none() {
            self.deliver(at, now);
        }
    }

    /// Sends what is new in a stream to all its viewers.
    fn deliver(&mut self, at: usize, now: Instant) {
        loop {
            let Some(channel) = self.channels.get_mut(at) else { return };
            let mut news = mem::take(&mut channel.news);
            let seen = channel.fanout.next_news(&mut news);
            let frames: Vec<Arc<Frame>> = news.packets().iter().filter_map(play::read).collect();
            // All of them, or none is taken at a time.
            let is_whole = frames.len() == news.packets().len();
            let taken = is_whole.then_some((&news, frames.as_slice()));
            for id in channel.viewers.clone() {
                self.with(id, now, |viewer, out| viewer.pump(taken, now, out));
            }
            let Some(channel) = self.channels.get_mut(at) else { return };
            news.packets().iter().filter_map(|packet| packet.entered).for_each(|at| channel.latency.record(at));
            channel.latency.flush();
            channel.news = news;
            if channel.fanout.wake_after(seen, &channel.waker) {
                return;
            }
        }
    }

    fn check(&mut self, now: Instant) {
        for (_, channel) in &mut self.channels {
            channel.latency.report(&channel.audience, now);
        }
        let mut ended = Vec::new();
        for (id, viewer) in &mut self.sessions {
            ended.extend(viewer.check(now).map(|reason| (*id, reason)));
        }
        for (id, reason) in ended {
            self.command(id, Command::Close(reason), now);
        }
    }

    fn finish(&mut self, now: Instant) {
        let ids: Vec<_> = self.sessions.keys().copied().collect();
        ids.into_iter().for_each(|id| self.command(id, Command::Close("server stops"), now));
    }
}

impl Channel {
    /// A viewer needs a keyframe: of several requests within a short time one is passed on immediately, and one at the end.
    fn want_keyframe(&mut self, now: Instant) {
        match self.asked {
            Some(asked) if now < asked + KEYFRAME_PERIOD => self.wants_keyframe = true,
            _ => {
                self.fanout.want_keyframe();
                (self.asked, self.wants_keyframe) = (Some(now), false);
            }
        }
    }
}

impl Outcome {
    /// As what leaves a session.
    pub fn ended(self) -> Option<Output> {
        match self {
            Self::Open => None,
            Self::Ended(reason) => Some(Output::Ended(reason)),
        }
    }
}
