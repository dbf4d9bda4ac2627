//! Threads that write live packets to sockets: one readiness loop each, many viewers, one vectored write per packet.
//!
//! A viewer comes here when its protocol has sent what is before the first packet. From then on it consists of a socket, a reader
//! and the session of its protocol. A slow viewer has its own cursor and loses only its own data.

use super::{
    session::Session,
    socket::LiveSocket,
    subscription::Subscription,
    viewer::{Format, Framing, Outcome, Viewer},
    write_latency::LatencyRecorder,
};
use crate::{
    net::ConnectionPermit,
    source::demand::Lease,
    stream::{Batch, FanOut, Reader, Version, Viewers},
    sys::service::{Pulse, Pulses},
};
use bytes::Bytes;
use mio::{Events, Poll, Token, Waker as PollWaker};
use slab::Slab;
use std::{
    collections::VecDeque,
    io, mem,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Wake, Waker},
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// The token of the waker; all others are viewers.
const WAKER: Token = Token(usize::MAX);
/// Interval of the checks of all viewers.
const CHECK_PERIOD: Duration = Pulse::PERIOD;
/// See [`Shard::min_wait`].
const NONE: u64 = u64::MAX;
/// Time for the last bytes at shutdown.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// All shards of a server.
#[derive(Debug)]
pub struct Shards {
    shards: Vec<Arc<Shard>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// The side of a shard that other threads use.
#[derive(Debug)]
struct Shard {
    poll_waker: PollWaker,
    inbox: Mutex<Inbox>,
    viewers: AtomicUsize,
    /// The shortest wait of a packet since the last query, in microseconds; [`NONE`] when there was no packet.
    min_wait: AtomicU64,
    closing: AtomicBool,
}

/// A viewer whose protocol has nothing to decide any more before the first packet.
#[derive(Debug)]
pub struct Joining {
    /// Its connection.
    pub socket: LiveSocket,
    /// What is written before the first packet.
    pub before: VecDeque<Bytes>,
    /// Is held as long as it is connected.
    pub permit: ConnectionPermit,
    /// Its position in the stream.
    pub reader: Reader,
    /// Keeps the stream running.
    pub lease: Lease,
    /// The viewers of the stream.
    pub viewers: Viewers,
    /// Packets of this duration are written together.
    pub wake_interval: Duration,
    /// How packets are written.
    pub framing: Framing,
    /// The protocol.
    pub session: Box<dyn Session>,
}

/// What arrived for a shard since it last looked.
#[derive(Debug, Default)]
struct Inbox {
    joining: Vec<Joining>,
    /// Indexes of channels with new packets.
    woken: Vec<usize>,
    /// When the first of them was woken.
    woken_at: Option<Instant>,
}

impl Shards {
    /// Starts `count` threads, which `pulses` monitors.
    ///
    /// # Errors
    /// When the system has no thread or descriptor left.
    pub fn start(count: usize, pulses: &Pulses) -> io::Result<Self> {
        let (mut shards, mut threads) = (Vec::new(), Vec::new());
        for number in 0..count.max(1) {
            let poll = Poll::new()?;
            let poll_waker = PollWaker::new(poll.registry(), WAKER)?;
            let shard = Arc::new(Shard {
                poll_waker,
                inbox: Mutex::default(),
                viewers: AtomicUsize::new(0),
                min_wait: AtomicU64::new(NONE),
                closing: AtomicBool::new(false),
            });
            let name = format!("shard-{number}");
            let pulse = pulses.add(name.clone());
            let event_loop = Loop {
                poll,
                shard: shard.clone(),
                viewers: Slab::new(),
                channels: Slab::new(),
                collecting: Vec::new(),
                pulse,
            };
            threads.push(std::thread::Builder::new().name(name).spawn(move || event_loop.run())?);
            shards.push(shard);
        }
        Ok(Self { shards, threads: Mutex::new(threads) })
    }

    /// The number of viewers.
    pub fn viewers(&self) -> usize {
        self.shards.iter().map(|shard| shard.viewers.load(Ordering::Relaxed)).sum()
    }

    /// The shortest wait of a packet for its write since the last query, in the worst shard; zero when no packet waits.
    pub fn lateness(&self) -> Duration {
        self.shards.iter().map(|shard| shard.lateness()).max().unwrap_or_default()
    }

    /// Takes over a viewer.
    pub fn adopt(&self, joining: Joining) {
        if let Some(shard) = self.shards.iter().min_by_key(|shard| shard.viewers.load(Ordering::Relaxed)) {
            shard.viewers.fetch_add(1, Ordering::Relaxed);
            shard.inbox().joining.push(joining);
            shard.wake();
        }
    }

    /// Ends the responses of all viewers and waits, about a second.
    pub fn close(&self) {
        for shard in &self.shards {
            shard.closing.store(true, Ordering::Release);
            shard.wake();
        }
        for thread in mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner)) {
            let _ = thread.join();
        }
    }
}

impl Shard {
    fn inbox(&self) -> std::sync::MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lateness(&self) -> Duration {
        match self.min_wait.swap(NONE, Ordering::Relaxed) {
            // One pass may take longer than the time between two queries.
            NONE => self.inbox().woken_at.map(|at| at.elapsed()).unwrap_or_default(),
            micros => Duration::from_micros(micros),
        }
    }

    fn record_wait(&self, at: Instant) {
        let micros = u64::try_from(at.elapsed().as_micros()).unwrap_or(NONE);
        self.min_wait.fetch_min(micros, Ordering::Relaxed);
    }

    fn wake(&self) {
        if let Err(error) = self.poll_waker.wake() {
            tracing::error!(%error, "cannot wake a shard");
        }
    }
}

/// Wakes a shard on behalf of one stream.
struct ShardWaker {
    shard: Arc<Shard>,
    channel: usize,
}

impl Wake for ShardWaker {
    fn wake(self: Arc<Self>) {
        let was_empty = {
            let mut inbox = self.shard.inbox();
            inbox.woken.push(self.channel);
            inbox.woken_at.get_or_insert_with(Instant::now);
            inbox.woken.len() == 1
        };
        // The first entry has already woken the shard.
        if was_empty {
            self.shard.wake();
        }
    }
}

/// A stream with viewers in this shard that have the same wake interval, and the same messages.
struct Channel {
    fanout: FanOut,
    format: Option<Format>,
    /// Packets of this duration are written together.
    wake_interval: Duration,
    /// When that was done last.
    delivered: Instant,
    waker: Waker,
    batch: Batch,
    viewers: Vec<usize>,
    stream_viewers: Viewers,
    latency: LatencyRecorder,
}

/// The thread.
struct Loop {
    poll: Poll,
    shard: Arc<Shard>,
    viewers: Slab<Viewer>,
    channels: Slab<Channel>,
    /// Channels whose new packets are still being collected.
    collecting: Vec<usize>,
    pulse: Pulse,
}

impl Loop {
    fn run(mut self) {
        let mut events = Events::with_capacity(1024);
        let mut next_check = Instant::now() + CHECK_PERIOD;
        loop {
            match self.poll.poll(&mut events, Some(self.pause())) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    tracing::error!(%error, "epoll failed: viewers dropped");
                    return;
                }
                Ok(()) => {}
            }
            self.pulse.beat();
            let now = Instant::now();
            for event in &events {
                if event.token() != WAKER {
                    self.socket_event(event, now);
                }
            }
            // After the events, so that a stale event cannot reach a new viewer with the same token.
            let inbox = mem::take(&mut *self.shard.inbox());
            self.collecting.extend(inbox.woken);
            self.deliver_due(now);
            if let Some(at) = inbox.woken_at {
                self.shard.record_wait(at);
            }
            for joining in inbox.joining {
                self.adopt(joining, now);
            }
            if self.shard.closing.load(Ordering::Acquire) {
                return self.finish();
            }
            if now >= next_check {
                next_check = now + CHECK_PERIOD;
                let keys: Vec<usize> = self.viewers.iter().map(|(key, _)| key).collect();
                keys.into_iter().for_each(|key| self.with(key, |viewer| viewer.check(now)));
                self.channels.iter_mut().for_each(|(_, channel)| channel.latency.report(&channel.stream_viewers, now));
            }
        }
    }

    fn socket_event(&mut self, event: &mio::event::Event, now: Instant) {
        self.with(event.token().0, |viewer| {
            if event.is_error() {
                return viewer.failed();
            }
            if event.is_readable() || event.is_read_closed() {
                let outcome = viewer.receive(now);
                if outcome != Outcome::Open {
                    return outcome;
                }
            }
            if event.is_writable() { viewer.unblocked(now) } else { Outcome::Open }
        });
    }

    /// Acts on a viewer, and removes it if it is closed.
    fn with(&mut self, key: usize, act: impl FnOnce(&mut Viewer) -> Outcome) {
        let Some(channel) = self.viewers.get(key).map(|viewer| viewer.channel) else { return };
        if self.act_on(key, act) {
            return;
        }
        if let Some(left) = self.channels.get_mut(channel) {
            left.viewers.retain(|other| *other != key);
        }
        self.close_if_empty(channel);
    }

    /// Acts on a viewer; `false` when it is closed. Its channel still lists it then.
    fn act_on(&mut self, key: usize, act: impl FnOnce(&mut Viewer) -> Outcome) -> bool {
        match self.viewers.get_mut(key).map(act) {
            Some(Outcome::Open) => true,
            Some(Outcome::Closed(reason)) => {
                self.viewers.remove(key).closed(reason);
                self.shard.viewers.fetch_sub(1, Ordering::Relaxed);
                false
            }
            None => false,
        }
    }

    fn close_if_empty(&mut self, channel: usize) {
        if self.channels.get(channel).is_some_and(|channel| channel.viewers.is_empty()) {
            let Channel { stream_viewers, mut latency, .. } = self.channels.remove(channel);
            latency.report(&stream_viewers, Instant::now());
        }
    }

    /// When the packets of a channel are due.
    fn due(&self, channel: usize) -> Option<Instant> {
        self.channels.get(channel).map(|channel| channel.delivered + channel.wake_interval)
    }

    /// How long to wait for the next event.
    fn pause(&self) -> Duration {
        let due = self.collecting.iter().filter_map(|channel| self.due(*channel)).min();
        due.map_or(CHECK_PERIOD, |due| due.saturating_duration_since(Instant::now()).min(CHECK_PERIOD))
    }

    /// Writes the channels that are due.
    fn deliver_due(&mut self, now: Instant) {
        let mut woken = mem::take(&mut self.collecting);
        woken.sort_unstable();
        woken.dedup();
        for channel in woken {
            if self.due(channel).is_some_and(|due| due > now) {
                self.collecting.push(channel);
                self.start_viewers(channel, now);
            } else {
                self.deliver(channel, now);
            }
        }
    }

    /// Writes immediately to those viewers of a channel that have received nothing yet.
    fn start_viewers(&mut self, channel: usize, now: Instant) {
        loop {
            let Some(current) = self.channels.get(channel) else { return };
            let seen = current.fanout.version();
            let waiting: Vec<usize> = current.viewers.iter().copied().filter(|key| self.is_waiting(*key)).collect();
            for key in &waiting {
                self.with(*key, |viewer| viewer.pump(now));
            }
            if !waiting.iter().any(|key| self.is_waiting(*key)) || self.wait(channel, seen) {
                return;
            }
        }
    }

    fn is_waiting(&self, viewer: usize) -> bool {
        self.viewers.get(viewer).is_some_and(|viewer| !viewer.has_started())
    }

    /// Writes the new packets of a stream to all viewers that can take them.
    fn deliver(&mut self, channel: usize, now: Instant) {
        loop {
            let Some(current) = self.channels.get_mut(channel) else { return };
            current.delivered = now;
            let is_batched = !current.wake_interval.is_zero();
            // Moved out meanwhile, so that nothing is copied; no viewer joins a channel during a delivery.
            let (mut viewers, mut latency) = (mem::take(&mut current.viewers), mem::take(&mut current.latency));
            let mut batch = mem::take(&mut current.batch);
            let seen = current.fanout.next_batch(&mut batch);
            let messages: Vec<_> =
                current.format.map(|format| batch.packets().iter().map(format).collect()).unwrap_or_default();
            viewers.retain(|key| {
                self.act_on(*key, |viewer| {
                    let outcome = viewer.pump_batch(&batch, &messages, now);
                    viewer.delivered().into_iter().for_each(|entered| latency.record(entered));
                    outcome
                })
            });
            latency.flush();
            if let Some(current) = self.channels.get_mut(channel) {
                (current.viewers, current.latency, current.batch) = (viewers, latency, batch);
            }
            self.close_if_empty(channel);
            if self.wait(channel, seen) {
                return;
            }
            if is_batched {
                self.collecting.push(channel);
                return;
            }
        }
    }

    /// Registers for a wake-up; `false` when the stream has changed since `seen`.
    fn wait(&self, channel: usize, seen: Version) -> bool {
        self.channels.get(channel).is_none_or(|channel| channel.fanout.wake_after(seen, &channel.waker))
    }

    fn adopt(&mut self, joining: Joining, now: Instant) {
        let Joining { mut socket, before, permit, reader, lease, wake_interval, framing, session, .. } = joining;
        let stream_viewers = joining.viewers;
        let fanout = reader.fanout().clone();
        let format = framing.format();
        let is_same = |channel: &Channel| {
            let has_format = match (channel.format, format) {
                (Some(known), Some(format)) => std::ptr::fn_addr_eq(known, format),
                (known, format) => known.is_none() && format.is_none(),
            };
            channel.wake_interval == wake_interval && has_format && channel.fanout.is_same(&fanout)
        };
        let found = self.channels.iter().find(|(_, channel)| is_same(channel));
        let (channel, is_new) = match found.map(|(at, _)| at) {
            Some(channel) => (channel, false),
            None => {
                let entry = self.channels.vacant_entry();
                let waker = ShardWaker { shard: self.shard.clone(), channel: entry.key() };
                let channel = entry.key();
                entry.insert(Channel {
                    fanout,
                    format,
                    wake_interval,
                    delivered: now,
                    waker: Arc::new(waker).into(),
                    batch: Batch::default(),
                    viewers: Vec::new(),
                    stream_viewers,
                    latency: LatencyRecorder::default(),
                });
                (channel, true)
            }
        };
        let entry = self.viewers.vacant_entry();
        let key = entry.key();
        let registered = socket.register(self.poll.registry(), Token(key));
        let subscription = Subscription::new(reader, lease);
        entry.insert(Viewer::new((socket, permit), before, subscription, session, framing, channel, now));
        if let Some(channel) = self.channels.get_mut(channel) {
            channel.viewers.push(key);
        }
        self.with(key, |viewer| {
            if registered.is_ok() { viewer.joined(now) } else { Outcome::Closed("cannot register its socket") }
        });
        if is_new {
            self.deliver(channel, now);
        }
        if !wake_interval.is_zero() {
            self.start_viewers(channel, now);
        }
    }

    /// Writes the last bytes of all viewers, for at most [`CLOSE_WITHIN`].
    fn finish(&mut self) {
        let deadline = Instant::now() + CLOSE_WITHIN;
        let mut events = Events::with_capacity(1024);
        let keys: Vec<usize> = self.viewers.iter().map(|(key, _)| key).collect();
        keys.into_iter().for_each(|key| self.with(key, |viewer| viewer.end("server stops", Instant::now())));
        while !self.viewers.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.poll.poll(&mut events, Some(left)).is_err() {
                break;
            }
            for event in &events {
                if event.token() != WAKER {
                    self.socket_event(event, Instant::now());
                }
            }
        }
        self.viewers.iter_mut().for_each(|(_, viewer)| viewer.closed("server stops"));
    }
}
