//! The thread of a port: it reads datagrams, writes those of all connections, and knows when each of them is due.

use super::{
    admission::{self, Granted, Purpose, Request},
    context::{Deployed, Services, lock},
    datagrams::Datagrams,
    log::SessionLog,
    play::{Opened, Play},
    publish::{self, Publish},
    session::{Role, Session},
    target,
    wire::{
        Connection, Outbox, Settings,
        connection::micros,
        cookie::Cookies,
        handshake::{self, Extensions, Handshake, Hello, Latency, Party, Refusal},
        key::Keys,
        packet::{self, Body, Envelope},
    },
};
use crate::{
    access::Pass,
    engine::registry::StreamHandle,
    net::{ConnectionPermit, ReceivedDatagrams},
    output::shard::write_latency::LatencyRecorder,
    stream::{FanOut, Viewers},
    sys::service::Pulse,
    telemetry::{FailureLog, Report},
};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use mio::{Events, Interest, Poll, Token, Waker};
use slab::Slab;
use std::{
    collections::{BTreeSet, HashMap},
    io, mem,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    task::Wake,
    time::{Duration, Instant},
};

/// The socket, and the waker.
const SOCKET: Token = Token(0);
const WAKER: Token = Token(1);
/// Calls that read datagrams before anything else is looked at.
const READ_AT_ONCE: usize = 8;
/// Handshakes that wait for their decision, in all and of one address.
const MAX_PENDING: usize = 512;
const MAX_OF_ADDRESS: usize = 32;
/// Refusals that an address gets in a second. What it asks more is not looked at: callers ask again four times a second.
const MAX_REFUSALS_OF_ADDRESS: u32 = 32;
/// Addresses of which refusals are counted.
const MAX_REFUSED_ADDRESSES: usize = 1024;
/// A refusal is repeated without another decision for this time: longer than callers try.
const REFUSED_FOR: Duration = Duration::from_secs(4);
/// Packets that a peer may send ahead.
const WINDOW: u32 = 8192;
/// How long a caller waits for the packets of its stream before it is accepted without them.
const OPENED_WITHIN: Duration = Duration::from_millis(500);

/// A caller: its address, and the number of its socket.
type Caller = (SocketAddr, u32);

/// What a caller gets; or its refusal, and the name that it gave.
type Decision = Result<Accepted, (Refusal, String)>;

/// A caller that is accepted.
#[derive(Debug)]
struct Accepted {
    keys: Option<Keys>,
    name: Arc<str>,
    user: Option<String>,
    pass: Option<Pass>,
    begins: Begins,
}

/// How a connection begins.
#[derive(Debug)]
enum Begins {
    /// The packets of its stream come later.
    Later,
    /// With these packets.
    Play(Opened),
    /// It brings media.
    Publish(Publish),
}

/// The side of the thread that others use.
#[derive(Debug)]
pub struct Shared {
    waker: Waker,
    inbox: Mutex<Inbox>,
    deployed: Mutex<Arc<Deployed>>,
    /// All connections are to end, and the thread.
    pub closing: AtomicBool,
    /// All connections are to end.
    pub withdraw: AtomicBool,
}

#[derive(Debug, Default)]
struct Inbox {
    decided: Vec<(Caller, Decision)>,
    /// Packets of streams for callers that were accepted without them.
    opened: Vec<(Caller, Result<Opened, Refusal>)>,
    /// Publishers that end, for this reason.
    ended: Vec<(Caller, &'static str)>,
    /// Streams with new packets.
    woken: Vec<usize>,
}

impl Shared {
    /// What counts for new connections.
    pub fn deployed(&self) -> MutexGuard<'_, Arc<Deployed>> {
        lock(&self.deployed)
    }

    /// Has the thread look.
    pub fn wake(&self) {
        if let Err(error) = self.waker.wake() {
            tracing::error!(%error, "cannot wake the thread of SRT");
        }
    }

    fn decided(&self, caller: Caller, decision: Decision) {
        self.put(|inbox| inbox.decided.push((caller, decision)));
    }

    /// Has a caller accepted that receives a stream, with the packets of it if they are there soon.
    async fn play(&self, caller: Caller, stream: &Arc<StreamHandle>, accepted: impl FnOnce(Begins) -> Accepted) {
        let opening = target::open(stream);
        tokio::pin!(opening);
        match tokio::time::timeout(OPENED_WITHIN, &mut opening).await {
            Ok(Ok(opened)) => self.decided(caller, Ok(accepted(Begins::Play(opened)))),
            Ok(Err(refusal)) => self.decided(caller, Err((refusal, stream.config.name.to_string()))),
            // A feed that begins takes longer than callers wait.
            Err(_) => {
                self.decided(caller, Ok(accepted(Begins::Later)));
                let opened = opening.await;
                self.put(|inbox| inbox.opened.push((caller, opened)));
            }
        }
    }

    fn put(&self, put: impl FnOnce(&mut Inbox)) {
        put(&mut lock(&self.inbox));
        self.wake();
    }
}

/// Wakes the thread on behalf of one stream.
struct StreamWaker {
    shared: Arc<Shared>,
    channel: usize,
}

impl Wake for StreamWaker {
    fn wake(self: Arc<Self>) {
        self.shared.put(|inbox| inbox.woken.push(self.channel));
    }
}

/// A stream with viewers.
struct Channel {
    fanout: FanOut,
    waker: std::task::Waker,
    viewers: Vec<usize>,
    stream_viewers: Viewers,
    latency: LatencyRecorder,
}

/// A handshake that was not accepted, or not yet.
struct Pending {
    since: Instant,
    state: PendingState,
}

enum PendingState {
    Deciding { party: Party, hello: Hello, key: Option<Vec<u8>>, permit: ConnectionPermit },
    Refused(Refusal),
}

/// The thread.
pub struct Loop {
    poll: Poll,
    datagrams: Datagrams,
    shared: Arc<Shared>,
    services: Services,
    runtime: tokio::runtime::Handle,
    cookies: Cookies,
    random: SystemRandom,
    /// Begin of the time that cookies count.
    started: Instant,
    pending: HashMap<Caller, Pending>,
    sessions: Slab<Session>,
    by_caller: HashMap<Caller, usize>,
    /// By the number of our socket.
    by_socket: HashMap<u32, usize>,
    channels: Slab<Channel>,
    /// When each session is due.
    timers: BTreeSet<(Instant, usize)>,
    due: HashMap<usize, Instant>,
    refusals: HashMap<Refusal, FailureLog>,
    /// How many refusals each address got in this second.
    refused: HashMap<IpAddr, u32>,
    outbox: Outbox,
    pulse: Pulse,
}

impl Loop {
    /// The thread for a socket, and the side that others use. To be called inside of the runtime.
    ///
    /// # Errors
    /// When the system has no descriptor left, or no random numbers.
    pub fn new(
        mut datagrams: Datagrams,
        deployed: Deployed,
        services: Services,
        pulse: Pulse,
    ) -> io::Result<(Self, Arc<Shared>)> {
        let poll = Poll::new()?;
        poll.registry().register(datagrams.source(), SOCKET, Interest::READABLE)?;
        let (random, mut key) = (SystemRandom::new(), [0; 32]);
        random.fill(&mut key).map_err(|_| io::Error::other("the system has no random numbers"))?;
        let shared = Arc::new(Shared {
            waker: Waker::new(poll.registry(), WAKER)?,
            inbox: Mutex::default(),
            deployed: Mutex::new(Arc::new(deployed)),
            closing: AtomicBool::new(false),
            withdraw: AtomicBool::new(false),
        });
        let this = Self {
            poll,
            datagrams,
            shared: shared.clone(),
            services,
            runtime: tokio::runtime::Handle::current(),
            cookies: Cookies::new(&key),
            random,
            started: Instant::now(),
            pending: HashMap::new(),
            sessions: Slab::new(),
            by_caller: HashMap::new(),
            by_socket: HashMap::new(),
            channels: Slab::new(),
            timers: BTreeSet::new(),
            due: HashMap::new(),
            refusals: HashMap::new(),
            refused: HashMap::new(),
            outbox: Outbox::default(),
            pulse,
        };
        Ok((this, shared))
    }

    /// Runs until it is closed.
    pub fn run(mut self) {
        let mut events = Events::with_capacity(16);
        let mut batch = ReceivedDatagrams::default();
        let mut reported = Instant::now();
        loop {
            self.pulse.beat();
            let now = Instant::now();
            let pause = self.timers.first().map(|(due, _)| due.saturating_duration_since(now));
            let pause = pause.unwrap_or(Pulse::PERIOD).min(Pulse::PERIOD);
            if let Err(error) = self.poll.poll(&mut events, Some(pause))
                && error.kind() != io::ErrorKind::Interrupted
            {
                tracing::error!(%error, "poll of SRT failed: its connections end");
                break;
            }
            if self.shared.closing.load(Ordering::Acquire) {
                break;
            }
            while self.read(&mut batch) {
                self.advance_due();
            }
            self.take_inbox();
            self.advance_due();
            if self.shared.withdraw.swap(false, Ordering::AcqRel) {
                self.end_all("permission withdrawn");
            }
            let now = Instant::now();
            if now.saturating_duration_since(reported) >= Pulse::PERIOD {
                reported = now;
                self.refused.clear();
                self.pending.retain(|_, pending| {
                    matches!(pending.state, PendingState::Deciding { .. })
                        || now.saturating_duration_since(pending.since) < REFUSED_FOR
                });
                self.channels.iter_mut().for_each(|(_, channel)| channel.latency.report(&channel.stream_viewers, now));
            }
        }
        self.end_all("server stops");
    }

    fn end_all(&mut self, reason: &'static str) {
        let keys: Vec<usize> = self.sessions.iter().map(|(key, _)| key).collect();
        keys.into_iter().for_each(|key| self.end(key, reason, Instant::now()));
    }

    /// Reads what has come. Returns whether there may be more.
    fn read(&mut self, batch: &mut ReceivedDatagrams) -> bool {
        for _ in 0..READ_AT_ONCE {
            self.datagrams.receive(batch);
            if batch.is_empty() {
                return false;
            }
            self.take(batch, Instant::now());
            if !batch.is_full() {
                return false;
            }
        }
        true
    }

    /// Handles datagrams. A connection does what is due after the last of its neighbouring ones.
    fn take(&mut self, batch: &ReceivedDatagrams, now: Instant) {
        let mut last = None;
        for (datagram, peer) in batch.datagrams() {
            let Some(packet) = packet::parse(datagram) else { continue };
            let key = match (&packet.body, packet.destination) {
                (Body::Handshake(_), 0) => None,
                (_, socket) => match self.session_of(socket, peer) {
                    None => continue,
                    key => key,
                },
            };
            if let Some(last) = last.take_if(|last| Some(*last) != key) {
                self.advance(last, now);
            }
            match (key, &packet.body) {
                (Some(key), _) => {
                    if let Some(session) = self.sessions.get_mut(key) {
                        session.handle(&packet, now, &mut self.outbox);
                    }
                }
                (None, Body::Handshake(content)) => self.handshake(content, peer, now),
                (None, _) => {}
            }
            last = key;
        }
        if let Some(last) = last {
            self.advance(last, now);
        }
    }

    /// The session of one of our sockets. Who guesses its number must send from the address of its peer, too.
    fn session_of(&self, socket: u32, peer: SocketAddr) -> Option<usize> {
        let key = self.by_socket.get(&socket).copied()?;
        self.sessions.get(key).is_some_and(|session| session.caller.0 == peer).then_some(key)
    }

    /// Answers a handshake. Nothing is kept of a caller before it presents its cookie.
    fn handshake(&mut self, content: &[u8], peer: SocketAddr, now: Instant) {
        let time = now.saturating_duration_since(self.started);
        match handshake::parse(content) {
            Ok(Handshake::Induction { party, .. }) => {
                let cookie = self.cookies.of(peer, time);
                self.answer(party.socket, &handshake::cookie_answer(party, cookie, peer), peer, 0);
            }
            Ok(Handshake::Conclusion { party, cookie, extensions }) => {
                if self.cookies.is_good(cookie, peer, time) {
                    self.conclusion(party, &extensions, peer, now);
                }
            }
            Err(Some(refusal)) => {
                if let Some((party, cookie)) = handshake::party(content)
                    && self.cookies.is_good(cookie, peer, time)
                    && !self.is_flooded_by(peer)
                {
                    self.refuse(party, refusal, peer, "", now);
                }
            }
            Ok(Handshake::Refusal(_)) | Err(None) => {}
        }
    }

    fn conclusion(&mut self, party: Party, extensions: &Extensions<'_>, peer: SocketAddr, now: Instant) {
        let caller = (peer, party.socket);
        if let Some(key) = self.by_caller.get(&caller).copied() {
            // It did not get the answer.
            if let Some(session) = self.sessions.get(key) {
                let (answer, timestamp) = (session.answer.clone(), micros(now, session.epoch));
                self.answer(party.socket, &answer, peer, timestamp);
            }
            return;
        }
        if self.is_flooded_by(peer) {
            return;
        }
        match self.pending.get(&caller).map(|pending| &pending.state) {
            Some(PendingState::Deciding { .. }) => return,
            Some(PendingState::Refused(refusal)) => {
                let refusal = *refusal;
                self.answer(party.socket, &handshake::refuse(party, refusal, peer), peer, 0);
                return;
            }
            None => {}
        }
        let hello = match extensions.check() {
            Ok(hello) => hello,
            Err(refusal) => return self.refuse(party, refusal, peer, "", now),
        };
        let deciding = |pending: &&Pending| matches!(pending.state, PendingState::Deciding { .. });
        let of_address = self.pending.iter().filter(|((other, _), _)| other.ip() == peer.ip());
        if self.pending.values().filter(deciding).count() >= MAX_PENDING
            || of_address.filter(|(_, pending)| deciding(pending)).count() >= MAX_OF_ADDRESS
        {
            return self.refuse(party, Refusal::BACKLOG, peer, "", now);
        }
        let Ok(permit) = self.services.limiter.enter(peer.ip()) else {
            return self.refuse(party, Refusal::RESOURCE, peer, "", now);
        };
        let key = extensions.key.map(<[u8]>::to_vec);
        let request = Request { peer, stream_id: extensions.stream_id.clone(), key: key.clone() };
        let state = PendingState::Deciding { party, hello, key, permit };
        self.pending.insert(caller, Pending { since: now, state });
        self.spawn_decision(caller, request);
    }

    fn is_flooded_by(&self, peer: SocketAddr) -> bool {
        self.refused.get(&peer.ip()).is_some_and(|count| *count >= MAX_REFUSALS_OF_ADDRESS)
    }

    fn spawn_decision(&self, caller: Caller, request: Request) {
        let (shared, services) = (self.shared.clone(), self.services.clone());
        let deployed = self.shared.deployed().clone();
        let name = format!("SRT handshake of {}", caller.0);
        let stop = services.shutdown.token().clone();
        let shutdown = services.shutdown.clone();
        let decision = async move {
            let granted = match admission::decide(&deployed, &services.gate, &services.load, &request).await {
                Ok(granted) => granted,
                Err(refused) => return shared.decided(caller, Err(refused)),
            };
            let Granted { keys, name, user, purpose } = granted;
            match purpose {
                Purpose::Play(stream, pass) => {
                    let accepted = |begins| Accepted { keys, name, user, pass: Some(pass), begins };
                    shared.play(caller, &stream, accepted).await;
                }
                Purpose::Publish(feeder) => {
                    let (publish, payloads) = publish::pipe();
                    let begins = Begins::Publish(publish);
                    shared.decided(caller, Ok(Accepted { keys, name, user, pass: None, begins }));
                    let reason = publish::receive(feeder, payloads).await;
                    shared.put(|inbox| inbox.ended.push((caller, reason)));
                }
            }
        };
        let _runtime = self.runtime.enter();
        shutdown.spawn(name, async move {
            stop.run_until_cancelled(decision).await;
        });
    }

    fn refuse(&mut self, party: Party, refusal: Refusal, peer: SocketAddr, stream: &str, now: Instant) {
        self.answer(party.socket, &handshake::refuse(party, refusal, peer), peer, 0);
        let reason = refusal.text();
        self.services.stats.refused(reason);
        if self.refused.len() < MAX_REFUSED_ADDRESSES || self.refused.contains_key(&peer.ip()) {
            *self.refused.entry(peer.ip()).or_default() += 1;
        }
        if self.pending.len() < 2 * MAX_PENDING {
            let state = PendingState::Refused(refusal);
            self.pending.insert((peer, party.socket), Pending { since: now, state });
        }
        // An address may be refused a thousand times a second.
        let log = self.refusals.entry(refusal).or_default();
        match log.failed(now) {
            Some(Report::First) => {
                tracing::info!(%peer, stream, protocol = "srt", code = refusal.0, reason, "connection refused");
            }
            Some(Report::Again(count)) => {
                tracing::info!(%peer, stream, protocol = "srt", code = refusal.0, reason, count, "connections refused");
            }
            None => tracing::debug!(%peer, stream, protocol = "srt", code = refusal.0, reason, "connection refused"),
        }
    }

    /// Sends a handshake to a caller.
    fn answer(&mut self, socket: u32, content: &[u8], peer: SocketAddr, timestamp: u32) {
        self.outbox.push(|bytes| Envelope { destination: socket, timestamp }.handshake(bytes, content));
        self.datagrams.send(&mut self.outbox, peer);
    }

    fn take_inbox(&mut self) {
        let Inbox { decided, opened, ended, mut woken } = mem::take(&mut *lock(&self.shared.inbox));
        for (caller, decision) in decided {
            self.decided(caller, decision);
        }
        for (caller, opened) in opened {
            let Some(key) = self.by_caller.get(&caller).copied() else { continue };
            match opened {
                Ok(opened) => self.begin(key, opened),
                Err(refusal) => self.end(key, refusal.text(), Instant::now()),
            }
        }
        for (caller, reason) in ended {
            if let Some(key) = self.by_caller.get(&caller).copied() {
                self.end(key, reason, Instant::now());
            }
        }
        woken.sort_unstable();
        woken.dedup();
        woken.into_iter().for_each(|channel| self.deliver(channel));
    }

    fn decided(&mut self, caller: Caller, decision: Decision) {
        let now = Instant::now();
        let Some(Pending { state: PendingState::Deciding { party, hello, key, permit }, .. }) =
            self.pending.remove(&caller)
        else {
            return;
        };
        match decision {
            Ok(Accepted { keys, name, user, pass, begins }) => {
                let (peer, stats) = (caller.0, self.services.stats.clone());
                stats.accepted();
                let publishes = matches!(begins, Begins::Publish(_));
                let log = SessionLog::new(peer, name, publishes, user, pass, stats, now);
                let accepted = self.accept((caller, party), hello, (keys, key), log, permit, now);
                match (accepted, begins) {
                    (Some(key), Begins::Play(opened)) => self.begin(key, opened),
                    (Some(key), Begins::Publish(publish)) => {
                        if let Some(session) = self.sessions.get_mut(key) {
                            session.begin(Role::Publish(publish));
                        }
                    }
                    (Some(_), Begins::Later) | (None, _) => {}
                }
            }
            Err((refusal, stream)) => self.refuse(party, refusal, caller.0, &stream, now),
        }
    }

    /// A connection begins. `None` when the system has no random numbers.
    fn accept(
        &mut self,
        (caller, party): (Caller, Party),
        hello: Hello,
        (keys, key): (Option<Keys>, Option<Vec<u8>>),
        log: SessionLog,
        permit: ConnectionPermit,
        now: Instant,
    ) -> Option<usize> {
        let mut number = [0; 4];
        self.random.fill(&mut number).ok()?;
        let mut socket = u32::from_be_bytes(number).max(1);
        while self.by_socket.contains_key(&socket) {
            socket = socket.wrapping_add(1).max(1);
        }
        let settings = self.shared.deployed().settings.clone();
        let latency = Latency::agree(settings.latency, &hello);
        let own = Party { socket, first: party.first, window: WINDOW };
        let answer = handshake::accept(own, latency, key.as_deref().filter(|_| keys.is_some()), caller.0);
        let connection = Connection::new(
            Settings {
                peer_socket: party.socket,
                own_first: party.first,
                peer_first: party.first,
                latency,
                window: party.window,
                keys,
                key_refresh: settings.key_refresh,
                epoch: now,
            },
            now,
        );
        self.answer(party.socket, &answer, caller.0, 0);
        let session = Session::new(caller, socket, answer, connection, log, permit, now);
        let entry = self.sessions.vacant_entry();
        let key = entry.key();
        entry.insert(session);
        self.by_caller.insert(caller, key);
        self.by_socket.insert(socket, key);
        self.advance(key, now);
        Some(key)
    }

    /// The packets of the stream of a viewer are there.
    fn begin(&mut self, key: usize, opened: Opened) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let stream_viewers = opened.viewers.clone();
        session.log().joined(&stream_viewers);
        let play = Play::new(opened);
        let fanout = play.fanout().clone();
        session.begin(Role::Play(Box::new(play)));
        let known = self.channels.iter().find(|(_, channel)| channel.fanout.is_same(&fanout)).map(|(at, _)| at);
        let channel = known.unwrap_or_else(|| {
            let entry = self.channels.vacant_entry();
            let channel = entry.key();
            let waker = Arc::new(StreamWaker { shared: self.shared.clone(), channel }).into();
            let latency = LatencyRecorder::default();
            entry.insert(Channel { fanout, waker, viewers: Vec::new(), stream_viewers, latency });
            channel
        });
        if let Some(channel) = self.channels.get_mut(channel) {
            channel.viewers.push(key);
        }
        if known.is_some() {
            self.advance(key, Instant::now());
        } else {
            self.deliver(channel);
        }
    }

    /// Sends the new packets of a stream to its viewers.
    fn deliver(&mut self, at: usize) {
        loop {
            let Some(channel) = self.channels.get(at) else { return };
            let (seen, viewers) = (channel.fanout.version(), channel.viewers.clone());
            let now = Instant::now();
            for key in viewers {
                self.advance(key, now);
                let entered = self.sessions.get(key).and_then(Session::play).and_then(|play| play.entered);
                if let (Some(channel), Some(entered)) = (self.channels.get_mut(at), entered) {
                    channel.latency.record(entered);
                }
            }
            let Some(channel) = self.channels.get_mut(at) else { return };
            channel.latency.flush();
            if channel.fanout.wake_after(seen, &channel.waker) {
                return;
            }
        }
    }

    fn advance_due(&mut self) {
        let now = Instant::now();
        while let Some((due, key)) = self.timers.first().copied().filter(|(due, _)| *due <= now) {
            self.timers.remove(&(due, key));
            self.due.remove(&key);
            self.advance(key, now);
        }
    }

    /// Does what is due for a connection, and sends what it has to say.
    fn advance(&mut self, key: usize, now: Instant) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let end = session.advance(now, &mut self.outbox);
        let (peer, due) = (session.caller.0, session.due(now));
        self.datagrams.send(&mut self.outbox, peer);
        if let Some(reason) = end {
            return self.end(key, reason, now);
        }
        if let Some(before) = self.due.insert(key, due) {
            self.timers.remove(&(before, key));
        }
        self.timers.insert((due, key));
    }

    fn end(&mut self, key: usize, reason: &'static str, now: Instant) {
        let Some(session) = self.sessions.try_remove(key) else { return };
        let caller = session.caller;
        self.by_caller.remove(&caller);
        self.by_socket.remove(&session.socket);
        if let Some(due) = self.due.remove(&key) {
            self.timers.remove(&(due, key));
        }
        for (_, channel) in &mut self.channels {
            channel.viewers.retain(|viewer| *viewer != key);
        }
        let unused: Vec<usize> =
            self.channels.iter().filter(|(_, channel)| channel.viewers.is_empty()).map(|(at, _)| at).collect();
        for channel in unused {
            let mut channel = self.channels.remove(channel);
            channel.latency.report(&channel.stream_viewers, now);
        }
        session.close(reason, now, &mut self.outbox);
        self.datagrams.send(&mut self.outbox, caller.0);
    }
}
