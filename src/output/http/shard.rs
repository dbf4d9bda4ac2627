//! Threads that write live packets to sockets: one readiness loop each, many viewers, one vectored write a packet.
//!
//! A viewer comes here when hyper has written the head of its answer. From then on nothing of it is left but a
//! socket, a place in a ring, and a line for the log. A slow viewer keeps its own place and loses its own data.

use super::{
    live::{Leaving, Viewing},
    tally::Tally,
    viewer::{Framing, Outcome, Viewer},
    watching::Watching,
};
use crate::{
    net::Place,
    stream::{Audience, FanOut, News, Version},
    sys::service::{Pulse, Pulses},
};
use mio::{Events, Interest, Poll, Token, Waker as PollWaker};
use slab::Slab;
use std::{
    io, mem,
    net::TcpStream,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Wake, Waker},
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// The token that is not a viewer's.
const BELL: Token = Token(usize::MAX);
/// Pause between two looks at viewers that stand still.
const LOOK_AROUND: Duration = Pulse::PERIOD;
/// See [`Shard::quickest`].
const NONE: u64 = u64::MAX;
/// Time for the last bytes at the end of the program.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// All shards of a server.
#[derive(Debug)]
pub struct Shards {
    shards: Vec<Arc<Shard>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What the rest of the program sees of one shard.
#[derive(Debug)]
struct Shard {
    bell: PollWaker,
    inbox: Mutex<Inbox>,
    viewers: AtomicUsize,
    /// What the quickest packet waited since that was asked last, in microseconds; the highest number when there was none.
    quickest: AtomicU64,
    closing: AtomicBool,
}

/// What has come for a shard since it last looked.
#[derive(Debug, Default)]
struct Inbox {
    newcomers: Vec<(TcpStream, Leaving, Place)>,
    /// Numbers of streams that have something new.
    rung: Vec<usize>,
    /// When the first of them was.
    rung_at: Option<Instant>,
}

impl Shards {
    /// Starts `count` threads, which `pulses` watches.
    ///
    /// # Errors
    /// When the system has no thread or descriptor left.
    pub fn start(count: usize, pulses: &Pulses) -> io::Result<Self> {
        let (mut shards, mut threads) = (Vec::new(), Vec::new());
        for number in 0..count.max(1) {
            let poll = Poll::new()?;
            let bell = PollWaker::new(poll.registry(), BELL)?;
            let shard = Arc::new(Shard {
                bell,
                inbox: Mutex::default(),
                viewers: AtomicUsize::new(0),
                quickest: AtomicU64::new(NONE),
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

    /// How many viewers there are.
    pub fn viewers(&self) -> usize {
        self.shards.iter().map(|shard| shard.viewers.load(Ordering::Relaxed)).sum()
    }

    /// What even the quickest packet waited for its write since this was asked last, in the shard where it is worst; zero when
    /// none waits.
    pub fn lateness(&self) -> Duration {
        self.shards.iter().map(|shard| shard.lateness()).max().unwrap_or_default()
    }

    /// Takes over a viewer whose head is out. The place is held as long as the viewer is.
    pub fn adopt(&self, socket: TcpStream, leaving: Leaving, place: Place) {
        if let Some(shard) = self.shards.iter().min_by_key(|shard| shard.viewers.load(Ordering::Relaxed)) {
            shard.viewers.fetch_add(1, Ordering::Relaxed);
            shard.inbox().newcomers.push((socket, leaving, place));
            shard.ring();
        }
    }

    /// Ends all viewers properly and waits for it, about a second.
    pub fn close(&self) {
        for shard in &self.shards {
            shard.closing.store(true, Ordering::Release);
            shard.ring();
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
        match self.quickest.swap(NONE, Ordering::Relaxed) {
            // A round may take longer than the time between two questions.
            NONE => self.inbox().rung_at.map(|at| at.elapsed()).unwrap_or_default(),
            micros => Duration::from_micros(micros),
        }
    }

    fn rang(&self, at: Instant) {
        let micros = u64::try_from(at.elapsed().as_micros()).unwrap_or(NONE);
        self.quickest.fetch_min(micros, Ordering::Relaxed);
    }

    fn ring(&self) {
        if let Err(error) = self.bell.wake() {
            tracing::error!(%error, "cannot wake a shard");
        }
    }
}

/// Wakes a shard on behalf of one stream.
struct Bell {
    shard: Arc<Shard>,
    channel: usize,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        let was_empty = {
            let mut inbox = self.shard.inbox();
            inbox.rung.push(self.channel);
            inbox.rung_at.get_or_insert_with(Instant::now);
            inbox.rung.len() == 1
        };
        // Whoever put the first one in has woken the shard.
        if was_empty {
            self.shard.ring();
        }
    }
}

/// A stream with viewers in this shard who want it written in the same way.
struct Channel {
    fanout: FanOut,
    /// Packets of this long are written at once.
    batch: Duration,
    /// When that was done last.
    swept: Instant,
    waker: Waker,
    news: News,
    viewers: Vec<usize>,
    audience: Audience,
    tally: Tally,
}

/// The thread.
struct Loop {
    poll: Poll,
    shard: Arc<Shard>,
    viewers: Slab<Viewer>,
    channels: Slab<Channel>,
    /// Channels that have something new which is still collected.
    collecting: Vec<usize>,
    pulse: Pulse,
}

impl Loop {
    fn run(mut self) {
        let mut events = Events::with_capacity(1024);
        let mut next_look = Instant::now() + LOOK_AROUND;
        loop {
            match self.poll.poll(&mut events, Some(self.pause())) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    tracing::error!(%error, "a shard cannot wait for its sockets: its viewers are dropped");
                    return;
                }
                Ok(()) => {}
            }
            self.pulse.beat();
            let now = Instant::now();
            for event in &events {
                if event.token() != BELL {
                    self.socket_event(event, now);
                }
            }
            // After the events, so that a stale one cannot meet a newcomer in its old place.
            let inbox = mem::take(&mut *self.shard.inbox());
            self.collecting.extend(inbox.rung);
            self.sweep_due(now);
            if let Some(at) = inbox.rung_at {
                self.shard.rang(at);
            }
            for (socket, leaving, place) in inbox.newcomers {
                self.adopt(socket, leaving, place, now);
            }
            if self.shard.closing.load(Ordering::Acquire) {
                return self.finish();
            }
            if now >= next_look {
                next_look = now + LOOK_AROUND;
                let keys: Vec<usize> = self.viewers.iter().map(|(key, _)| key).collect();
                keys.into_iter().for_each(|key| self.with(key, |viewer| viewer.look(now)));
                self.channels.iter_mut().for_each(|(_, channel)| channel.tally.tell(&channel.audience, now));
            }
        }
    }

    fn socket_event(&mut self, event: &mio::event::Event, now: Instant) {
        self.with(event.token().0, |viewer| {
            if event.is_error() {
                return viewer.failed();
            }
            if event.is_readable() || event.is_read_closed() {
                let heard = viewer.listen(now);
                if heard != Outcome::Stays {
                    return heard;
                }
            }
            if event.is_writable() { viewer.unblocked(now) } else { Outcome::Stays }
        });
    }

    /// Does something with a viewer, and buries it if that was its end.
    fn with(&mut self, key: usize, act: impl FnOnce(&mut Viewer) -> Outcome) {
        let Some(channel) = self.viewers.get(key).map(|viewer| viewer.channel) else { return };
        if self.survives(key, act) {
            return;
        }
        if let Some(left) = self.channels.get_mut(channel) {
            left.viewers.retain(|other| *other != key);
        }
        self.close_if_empty(channel);
    }

    /// Does something with a viewer; `false` when that was its end. Its channel still has to forget it then.
    fn survives(&mut self, key: usize, act: impl FnOnce(&mut Viewer) -> Outcome) -> bool {
        match self.viewers.get_mut(key).map(act) {
            Some(Outcome::Stays) => true,
            Some(Outcome::Gone(reason)) => {
                self.viewers.remove(key).watching.visit.reason = reason;
                self.shard.viewers.fetch_sub(1, Ordering::Relaxed);
                false
            }
            None => false,
        }
    }

    fn close_if_empty(&mut self, channel: usize) {
        if self.channels.get(channel).is_some_and(|channel| channel.viewers.is_empty()) {
            let Channel { audience, mut tally, .. } = self.channels.remove(channel);
            tally.tell(&audience, Instant::now());
        }
    }

    /// When a channel's packets are to be written.
    fn due(&self, channel: usize) -> Option<Instant> {
        self.channels.get(channel).map(|channel| channel.swept + channel.batch)
    }

    /// How long there is nothing to do unless something happens.
    fn pause(&self) -> Duration {
        let due = self.collecting.iter().filter_map(|channel| self.due(*channel)).min();
        due.map_or(LOOK_AROUND, |due| due.saturating_duration_since(Instant::now()).min(LOOK_AROUND))
    }

    /// Sweeps the channels whose time has come.
    fn sweep_due(&mut self, now: Instant) {
        let mut rung = mem::take(&mut self.collecting);
        rung.sort_unstable();
        rung.dedup();
        for channel in rung {
            if self.due(channel).is_some_and(|due| due > now) {
                self.collecting.push(channel);
                self.greet(channel, now);
            } else {
                self.sweep(channel, now);
            }
        }
    }

    /// Writes to those viewers of a channel at once who have got nothing yet.
    fn greet(&mut self, channel: usize, now: Instant) {
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
        self.viewers.get(viewer).is_some_and(|viewer| !viewer.has_begun())
    }

    /// Writes what is new in a stream to all its viewers that can take it.
    fn sweep(&mut self, channel: usize, now: Instant) {
        loop {
            let Some(current) = self.channels.get_mut(channel) else { return };
            current.swept = now;
            let collects = !current.batch.is_zero();
            // Taken out for the while, so that nothing is copied; nobody joins a channel during a sweep.
            let (mut viewers, mut tally) = (mem::take(&mut current.viewers), mem::take(&mut current.tally));
            let mut news = mem::take(&mut current.news);
            let seen = current.fanout.next_news(&mut news);
            viewers.retain(|key| {
                self.survives(*key, |viewer| {
                    let outcome = viewer.pump_news(&news, now);
                    viewer.delivered().into_iter().for_each(|entered| tally.note(entered));
                    outcome
                })
            });
            tally.settle();
            if let Some(current) = self.channels.get_mut(channel) {
                (current.viewers, current.tally, current.news) = (viewers, tally, news);
            }
            self.close_if_empty(channel);
            if self.wait(channel, seen) {
                return;
            }
            if collects {
                self.collecting.push(channel);
                return;
            }
        }
    }

    /// Asks to be woken for a stream; `false` when it has changed since `seen`.
    fn wait(&self, channel: usize, seen: Version) -> bool {
        self.channels.get(channel).is_none_or(|channel| channel.fanout.wake_after(seen, &channel.waker))
    }

    fn adopt(&mut self, socket: TcpStream, leaving: Leaving, place: Place, now: Instant) {
        let Leaving { viewing: Viewing { reader, lease, audience, batch, early_heads, .. }, visit, chunked } = leaving;
        let framing = Framing { chunked, early_heads };
        let mut socket = mio::net::TcpStream::from_std(socket);
        let fanout = reader.fanout().clone();
        let is_theirs = |channel: &Channel| channel.batch == batch && channel.fanout.is_same(&fanout);
        let found = self.channels.iter().find(|(_, channel)| is_theirs(channel));
        let (channel, is_new) = match found.map(|(at, _)| at) {
            Some(channel) => (channel, false),
            None => {
                let entry = self.channels.vacant_entry();
                let bell = Bell { shard: self.shard.clone(), channel: entry.key() };
                let channel = entry.key();
                entry.insert(Channel {
                    fanout,
                    batch,
                    swept: now,
                    waker: Arc::new(bell).into(),
                    news: News::default(),
                    viewers: Vec::new(),
                    audience,
                    tally: Tally::default(),
                });
                (channel, true)
            }
        };
        let entry = self.viewers.vacant_entry();
        let key = entry.key();
        let registered =
            self.poll.registry().register(&mut socket, Token(key), Interest::READABLE | Interest::WRITABLE);
        let watching = Watching::new(reader, lease, visit);
        entry.insert(Viewer::new(socket, watching, framing, channel, place, now));
        if let Some(channel) = self.channels.get_mut(channel) {
            channel.viewers.push(key);
        }
        self.with(
            key,
            |viewer| if registered.is_ok() { viewer.pump(now) } else { Outcome::Gone("no room for its socket") },
        );
        if is_new {
            self.sweep(channel, now);
        }
        if !batch.is_zero() {
            self.greet(channel, now);
        }
    }

    /// The last bytes of all, for at most [`LAST_WORDS`].
    fn finish(&mut self) {
        let deadline = Instant::now() + LAST_WORDS;
        let mut events = Events::with_capacity(1024);
        let keys: Vec<usize> = self.viewers.iter().map(|(key, _)| key).collect();
        keys.into_iter().for_each(|key| self.with(key, |viewer| viewer.end("server stops", Instant::now())));
        while !self.viewers.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.poll.poll(&mut events, Some(left)).is_err() {
                break;
            }
            for event in &events {
                if event.token() != BELL {
                    self.socket_event(event, Instant::now());
                }
            }
        }
        self.viewers.iter_mut().for_each(|(_, viewer)| viewer.watching.visit.reason = "server stops");
    }
}
