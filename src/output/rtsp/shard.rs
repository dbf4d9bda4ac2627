//! Threads that send to viewers in datagrams: each has its viewers, their pauses, and a place in each stream that they read.
//!
//! A thread is woken once for a packet of a stream, takes it apart, and sends it to its viewers one after the other.

use super::{
    datagrams::Datagrams,
    sessions::Listed,
    udp::{Destination, PAUSE, UdpPair},
    viewer::{Outcome, Outgoing, Viewer},
};
use crate::{
    output::shard::{subscription::Subscription, viewer_log::ViewerLog, write_latency::LatencyRecorder},
    source::demand::Lease,
    stream::{Batch, FanOut, Reader, Viewers},
    sys::{
        Shutdown,
        service::{Pulse, Pulses},
    },
};
use bytes::Bytes;
use slab::Slab;
use std::{
    collections::VecDeque,
    io, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Wake, Waker},
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Interval of the checks of all viewers.
const CHECK_PERIOD: Duration = Pulse::PERIOD;

/// All such threads of a server. There is none before the first viewer.
#[derive(Debug)]
pub struct DatagramShards {
    shards: Mutex<Vec<Arc<Shard>>>,
    pulses: Pulses,
    shutdown: Shutdown,
}

/// The side of a thread that others use.
#[derive(Debug, Default)]
struct Shard {
    inbox: Mutex<Inbox>,
    filled: Condvar,
    viewers: AtomicUsize,
}

/// A viewer whose session is listed.
#[derive(Debug)]
pub struct Joining {
    /// What sends.
    pub sockets: Arc<UdpPair>,
    /// Where the packets of each track go.
    pub to: Vec<Destination>,
    /// The packets that come before those of the reader.
    pub first: Bytes,
    /// Its place in the stream.
    pub reader: Reader,
    /// Keeps the stream running.
    pub lease: Lease,
    /// Those who receive the stream.
    pub viewers: Viewers,
    /// Counts what is sent.
    pub log: ViewerLog,
    /// Its session.
    pub listed: Listed,
}

/// What has come for a thread since it last looked.
#[derive(Debug, Default)]
struct Inbox {
    joining: Vec<Joining>,
    /// Channels with new packets.
    woken: Vec<usize>,
    /// Viewers whose clients may have ended their sessions.
    leaving: Vec<usize>,
    is_closing: bool,
}

impl DatagramShards {
    /// No thread yet; `pulses` monitors those to come, and `shutdown` ends them.
    pub fn new(pulses: Pulses, shutdown: Shutdown) -> Self {
        Self { shards: Mutex::default(), pulses, shutdown }
    }

    /// Takes over a viewer.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn adopt(&self, joining: Joining) -> io::Result<()> {
        let mut shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        if shards.is_empty() {
            *shards = self.start()?;
        }
        if let Some(shard) = shards.iter().min_by_key(|shard| shard.viewers.load(Ordering::Relaxed)) {
            shard.viewers.fetch_add(1, Ordering::Relaxed);
            shard.put(|inbox| inbox.joining.push(joining));
        }
        Ok(())
    }

    /// Starts one for each core.
    fn start(&self) -> io::Result<Vec<Arc<Shard>>> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        (0..cores).map(|number| self.start_one(format!("rtsp-{number}"))).collect()
    }

    fn start_one(&self, name: String) -> io::Result<Arc<Shard>> {
        let shard = Arc::new(Shard::default());
        let event_loop = Loop::new(shard.clone(), self.pulses.add(name.clone()));
        let thread = std::thread::Builder::new().name(name.clone()).spawn(move || event_loop.run())?;
        self.shutdown.spawn(name, close(shard.clone(), thread, self.shutdown.clone()));
        Ok(shard)
    }
}

/// Ends a thread at shutdown, and waits for it.
async fn close(shard: Arc<Shard>, thread: JoinHandle<()>, shutdown: Shutdown) {
    shutdown.token().cancelled().await;
    shard.put(|inbox| inbox.is_closing = true);
    let _ = tokio::task::spawn_blocking(|| thread.join()).await;
}

impl Shard {
    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, put: impl FnOnce(&mut Inbox)) {
        put(&mut self.inbox());
        self.filled.notify_one();
    }
}

/// Wakes a thread on behalf of a channel with new packets, or of a viewer whose client may have ended its session.
struct InboxWaker {
    shard: Arc<Shard>,
    index: usize,
    list: fn(&mut Inbox) -> &mut Vec<usize>,
}

impl Wake for InboxWaker {
    fn wake(self: Arc<Self>) {
        self.shard.put(|inbox| (self.list)(inbox).push(self.index));
    }
}

impl InboxWaker {
    fn of(shard: &Arc<Shard>, index: usize, list: fn(&mut Inbox) -> &mut Vec<usize>) -> Waker {
        Arc::new(Self { shard: shard.clone(), index, list }).into()
    }
}

/// A stream with viewers in this thread.
struct Channel {
    fanout: FanOut,
    waker: Waker,
    viewers: Vec<usize>,
    stream_viewers: Viewers,
    batch: Batch,
    latency: LatencyRecorder,
}

/// The thread.
struct Loop {
    shard: Arc<Shard>,
    viewers: Slab<Viewer>,
    channels: Slab<Channel>,
    /// Viewers that have more to send, and when: all pauses are equally long, so the first one is due first.
    paused: VecDeque<(Instant, usize)>,
    /// The socket takes nothing before this moment.
    full_until: Option<Instant>,
    pulse: Pulse,
}

impl Loop {
    fn new(shard: Arc<Shard>, pulse: Pulse) -> Self {
        let (viewers, channels, paused) = (Slab::new(), Slab::new(), VecDeque::new());
        Self { shard, viewers, channels, paused, full_until: None, pulse }
    }

    /// Sends until it is closed.
    fn run(mut self) {
        let mut next_check = Instant::now() + CHECK_PERIOD;
        loop {
            let inbox = self.wait(next_check);
            self.pulse.beat();
            let now = Instant::now();
            self.full_until = self.full_until.filter(|until| *until > now);
            self.resume(now);
            let mut woken = inbox.woken;
            woken.sort_unstable();
            woken.dedup();
            woken.into_iter().for_each(|channel| self.deliver(channel, now));
            inbox.joining.into_iter().for_each(|joining| self.adopt(joining, now));
            inbox.leaving.into_iter().for_each(|viewer| self.look(viewer));
            if inbox.is_closing {
                let all: Vec<_> = self.viewers.iter().map(|(key, _)| key).collect();
                return all.into_iter().for_each(|key| self.remove(key, "server stopped"));
            }
            if now >= next_check {
                next_check = now + CHECK_PERIOD;
                self.check(now);
            }
        }
    }

    /// What has come, at the latest when something is due.
    fn wait(&self, next_check: Instant) -> Inbox {
        let paused = self.paused.front().map(|(due, _)| self.full_until.map_or(*due, |until| until.max(*due)));
        let until = paused.map_or(next_check, |due| due.min(next_check));
        let is_empty = |inbox: &mut Inbox| {
            inbox.joining.is_empty() && inbox.woken.is_empty() && inbox.leaving.is_empty() && !inbox.is_closing
        };
        let left = until.saturating_duration_since(Instant::now());
        let waited = self.shard.filled.wait_timeout_while(self.shard.inbox(), left, is_empty);
        let (mut inbox, _) = waited.unwrap_or_else(PoisonError::into_inner);
        mem::take(&mut *inbox)
    }

    /// Sends more to those whose pause is over.
    fn resume(&mut self, now: Instant) {
        while let Some((_, key)) = self.paused.front().copied().filter(|(due, _)| *due <= now) {
            if self.full_until.is_some() {
                return;
            }
            self.paused.pop_front();
            self.pump(key, now);
        }
    }

    /// Sends to a viewer what it has not got.
    fn pump(&mut self, key: usize, now: Instant) {
        let Some(viewer) = self.viewers.get_mut(key) else { return };
        let Some(channel) = self.channels.get_mut(viewer.channel) else { return };
        let outcome = guarded(|| viewer.pump(&mut channel.latency, now));
        channel.latency.flush();
        if let Some(reason) = self.follow(key, outcome, now) {
            self.remove(key, reason);
        }
    }

    /// Sends the new packets of a stream to all viewers that are up to date.
    fn deliver(&mut self, at: usize, now: Instant) {
        loop {
            let Some(channel) = self.channels.get_mut(at) else { return };
            // Moved out meanwhile; no viewer joins a channel during a delivery.
            let (viewers, mut latency) = (mem::take(&mut channel.viewers), mem::take(&mut channel.latency));
            let mut batch = mem::take(&mut channel.batch);
            let seen = channel.fanout.next_batch(&mut batch);
            let outgoing: Vec<_> = batch.packets().iter().map(Outgoing::of).collect();
            let mut ended = Vec::new();
            for key in &viewers {
                let Some(viewer) = self.viewers.get_mut(*key) else { continue };
                let has_room = self.full_until.is_none();
                let outcome = guarded(|| viewer.pump_batch((&batch, &outgoing), has_room, &mut latency, now));
                ended.extend(self.follow(*key, outcome, now).map(|reason| (*key, reason)));
            }
            latency.flush();
            if let Some(channel) = self.channels.get_mut(at) {
                (channel.viewers, channel.batch, channel.latency) = (viewers, batch, latency);
            }
            ended.into_iter().for_each(|(key, reason)| self.remove(key, reason));
            let Some(channel) = self.channels.get(at) else { return };
            if channel.fanout.wake_after(seen, &channel.waker) {
                return;
            }
        }
    }

    /// Notes what a viewer waits for; why it ends, if it does.
    fn follow(&mut self, key: usize, outcome: Outcome, now: Instant) -> Option<&'static str> {
        match outcome {
            Outcome::Packet => return None,
            Outcome::Ended(reason) => return Some(reason),
            Outcome::Pause => {}
            Outcome::Room => self.full_until = Some(now + PAUSE),
        }
        self.paused.push_back((now + PAUSE, key));
        None
    }

    fn adopt(&mut self, joining: Joining, now: Instant) {
        let Joining { sockets, to, first, reader, lease, viewers, log, listed } = joining;
        let found = self.channels.iter().find(|(_, channel)| channel.fanout.is_same(reader.fanout()));
        let (at, is_new) = match found.map(|(at, _)| at) {
            Some(at) => (at, false),
            None => {
                let entry = self.channels.vacant_entry();
                let at = entry.key();
                entry.insert(Channel {
                    fanout: reader.fanout().clone(),
                    waker: InboxWaker::of(&self.shard, at, |inbox| &mut inbox.woken),
                    viewers: Vec::new(),
                    stream_viewers: viewers,
                    batch: Batch::default(),
                    latency: LatencyRecorder::default(),
                });
                (at, true)
            }
        };
        let first = Outgoing { datagrams: Arc::new(Datagrams::of(first)), entered: None };
        let subscription = Subscription::new(reader, lease);
        let key = self.viewers.insert(Viewer::new((sockets, to), (subscription, first), (log, listed), at));
        if let Some(channel) = self.channels.get_mut(at) {
            channel.viewers.push(key);
        }
        self.pump(key, now);
        self.look(key);
        if is_new {
            self.deliver(at, now);
        }
    }

    /// Removes a viewer whose client has ended the session, and waits for that otherwise.
    fn look(&mut self, key: usize) {
        let waker = InboxWaker::of(&self.shard, key, |inbox| &mut inbox.leaving);
        if self.viewers.get_mut(key).is_some_and(|viewer| viewer.has_left(&waker)) {
            self.remove(key, "client left");
        }
    }

    fn check(&mut self, now: Instant) {
        let checked = self.viewers.iter_mut().filter_map(|(key, viewer)| Some((key, viewer.check(now)?)));
        let ended: Vec<_> = checked.collect();
        ended.into_iter().for_each(|(key, reason)| self.remove(key, reason));
        self.channels.iter_mut().for_each(|(_, channel)| channel.latency.report(&channel.stream_viewers, now));
    }

    fn remove(&mut self, key: usize, reason: &'static str) {
        let Some(viewer) = self.viewers.try_remove(key) else { return };
        let at = viewer.channel;
        self.paused.retain(|(_, other)| *other != key);
        self.shard.viewers.fetch_sub(1, Ordering::Relaxed);
        viewer.end(reason);
        let Some(channel) = self.channels.get_mut(at) else { return };
        channel.viewers.retain(|other| *other != key);
        if channel.viewers.is_empty() {
            let Channel { stream_viewers, mut latency, .. } = self.channels.remove(at);
            latency.report(&stream_viewers, Instant::now());
        }
    }
}

/// Acts on a viewer. A panic costs this viewer alone.
fn guarded(act: impl FnOnce() -> Outcome) -> Outcome {
    let acts = || {
        fail::fail_point!("rtsp-datagrams");
        act()
    };
    catch_unwind(AssertUnwindSafe(acts)).unwrap_or(Outcome::Ended("internal error"))
}
