//! Threads that hold sessions and send to viewers: each has its sessions, their timers, and a place in each stream that they read.
//!
//! A session stays with its thread. What comes for it waits in the inbox of the thread (`shard.rs`). A datagram of a data channel is also
//! handled by the thread that received it, while this one sleeps.

use super::{
    directory::Directory,
    keyframes::KeyframeRequests,
    member::Member,
    mux::{SessionId, Source},
    play::{self, Outcome, Play},
    send::{Leaving, SendPath},
    session::{Out, Output, path::Path},
    shard::{Command, Datagram, Inbox, LayerState, Shard, ShardWaker},
    viewer::{OpenedLayer, ViewerLayers},
};
use crate::{
    media::webrtc::Frame,
    output::shard::write_latency::LatencyRecorder,
    stream::{Batch, FanOut, Viewers},
    sys::{monotonic, service::Pulse},
    telemetry::WebRtcStats,
};
use slab::Slab;
use std::{
    collections::{BTreeSet, HashMap},
    mem,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
    task::Waker,
    time::{Duration, Instant},
};

/// Interval of the checks of all sessions.
const CHECK_PERIOD: Duration = Duration::from_millis(500);

/// A stream with viewers in this shard.
struct Channel {
    fanout: FanOut,
    waker: Waker,
    batch: Batch,
    viewers: Vec<SessionId>,
    stream_viewers: Viewers,
    latency: LatencyRecorder,
    keyframes: KeyframeRequests,
}

/// The sessions of a shard, and what is done with them.
pub struct Loop {
    shard: Arc<Shard>,
    directory: Arc<Directory>,
    path: SendPath,
    stats: Arc<WebRtcStats>,
    pulse: Pulse,
    sessions: HashMap<SessionId, Member>,
    /// When each session is to be looked at.
    due: BTreeSet<(Instant, SessionId)>,
    channels: Slab<Channel>,
    /// Empty between two calls.
    out: Out,
    /// The same.
    leaving: Leaving,
}

impl Loop {
    /// That of a shard, which sends over `path`.
    pub fn new(
        shard: Arc<Shard>,
        directory: Arc<Directory>,
        path: SendPath,
        (pulse, stats): (Pulse, Arc<WebRtcStats>),
    ) -> Self {
        let (sessions, due, channels) = (HashMap::new(), BTreeSet::new(), Slab::new());
        Self {
            shard,
            directory,
            path,
            stats,
            pulse,
            sessions,
            due,
            channels,
            out: Out::default(),
            leaving: Leaving::default(),
        }
    }

    /// Serves until [`Shard::close`]; others may do a little of the work meanwhile, see [`Shard::lock_asleep`].
    pub fn run(this: &Mutex<Self>) {
        let lock = || this.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next_check = Instant::now() + CHECK_PERIOD;
        let mut own = lock();
        loop {
            let (shard, until) = (own.shard.clone(), own.due().map_or(next_check, |due| due.min(next_check)));
            drop(own);
            shard.wait(until);
            own = lock();
            own.pulse.beat();
            let (now, inbox) = (Instant::now(), shard.take());
            let is_closing = inbox.is_closing;
            own.serve(inbox, now);
            if is_closing {
                return own.finish(now);
            }
            if now >= next_check {
                next_check = now + CHECK_PERIOD;
                own.check(now);
            }
        }
    }

    fn serve(&mut self, inbox: Inbox, now: Instant) {
        for (id, member) in inbox.joining {
            self.stats.began();
            self.sessions.insert(id, member);
            self.with(id, now, |_, _| {});
        }
        for (id, Datagram { source, destination, bytes }) in inbox.datagrams {
            self.receive(id, (source, destination), &bytes, now);
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
            if let Some(member) = self.sessions.get_mut(&id) {
                *member.scheduled() = None;
            }
            self.with(id, now, |member, out| member.pump(now, out));
        }
        self.channels.iter_mut().for_each(|(_, channel)| channel.ask_for_keyframe(now));
    }

    /// A datagram came for a session.
    pub fn receive(&mut self, id: SessionId, (source, destination): (Source, SocketAddr), bytes: &[u8], now: Instant) {
        self.with(id, now, |member, out| {
            fail::fail_point!("webrtc-receive");
            member.session().receive(source.is_tcp, (source.address, destination), bytes, now, out);
            member.seen(source.address);
            if let Some(viewer) = member.viewer() {
                viewer.describe(now, out);
            }
        });
    }

    /// When something is to be done although nothing comes.
    pub fn due(&self) -> Option<Instant> {
        let keyframes = self.channels.iter().filter_map(|(_, channel)| channel.keyframes.due());
        self.due.first().map(|(due, _)| *due).into_iter().chain(keyframes).min()
    }

    fn command(&mut self, id: SessionId, command: Command, now: Instant) {
        match command {
            Command::Layer(opened) => self.opened_layer(id, opened, now),
            Command::Choose(layer, reply) => self.with(id, now, |member, out| {
                let Some(viewer) = member.viewer() else { return };
                let is_there = viewer.layers.as_mut().is_some_and(|layers| layers.choice.choose(layer, now));
                let _ = reply.send(is_there);
                viewer.choose_layer(now, out);
            }),
            Command::Layers(reply) => self.with(id, now, |member, _| {
                let layers = member.viewer().and_then(|viewer| viewer.layers.as_ref());
                let state = |layers: &ViewerLayers| LayerState {
                    names: layers.names.clone(),
                    active: layers.choice.current(),
                    chosen: layers.choice.chosen(),
                };
                let _ = reply.send(layers.map(state));
            }),
            Command::Watch(reply) => self.with(id, now, |member, _| {
                let _ = reply.send(member.viewer().and_then(|viewer| viewer.watched(now)));
            }),
            Command::Say(channel, message, _permit) => self.with(id, now, |member, out| {
                member.session().say(channel, &message, now, out);
            }),
            Command::EndChannel(channel) => self.with(id, now, |member, out| {
                member.session().end_channel(channel, now, out);
            }),
            Command::Close(reason) => self.with(id, now, |member, out| {
                out.events.push(Output::Ended(reason));
                member.session().close(now, out);
            }),
            Command::Restart(offer, reply) => self.with(id, now, |member, out| {
                let answer = member.session().restart(&offer);
                member.session().timeout(now, out);
                let _ = reply.send(answer);
            }),
        }
    }

    /// Acts on a session, does what follows of it, and forgets the session if it is over. A panic costs this session alone.
    fn with(&mut self, id: SessionId, now: Instant, act: impl FnOnce(&mut Member, &mut Out)) {
        let mut out = mem::take(&mut self.out);
        let Some(member) = self.sessions.get_mut(&id) else { return };
        let acted = catch_unwind(AssertUnwindSafe(|| act(member, &mut out)));
        if acted.is_err() {
            out.events.push(Output::Ended("internal error"));
        }
        if !out.packets.is_empty() {
            if let Some(path) = member.session().path() {
                self.path.send_media(path, &out.packets);
            }
            out.packets.clear();
        }
        let (mut ended, mut left) = (None, Vec::new());
        let mut is_ready = false;
        for output in out.events.drain(..) {
            match output {
                Output::Send { is_tcp, destination, bytes } => {
                    self.leaving.push(Path { is_tcp, destination }, &bytes, &self.path);
                }
                Output::Ready => is_ready = true,
                Output::WantsKeyframe => {
                    let channel = member.viewer().and_then(|viewer| viewer.channel);
                    if let Some(channel) = channel.and_then(|channel| self.channels.get_mut(channel)) {
                        channel.keyframes.want();
                        channel.ask_for_keyframe(now);
                    }
                }
                Output::Media(received) => {
                    let Member::Publisher(ingest) = &mut *member else { continue };
                    let taken = catch_unwind(AssertUnwindSafe(|| ingest.receive(received, monotonic(), now)));
                    if taken.is_err() {
                        ended = ended.or(Some("internal error"));
                    }
                }
                Output::Left(channel) => left.push(channel),
                Output::Ended(reason) => ended = ended.or(Some(reason)),
            }
        }
        self.leaving.flush(&self.path);
        self.out = out;
        left.into_iter().for_each(|channel| self.leave(channel, id));
        match ended {
            Some(reason) => self.remove(id, reason),
            None if is_ready => self.start(id, now),
            None => self.schedule(id),
        }
    }

    fn schedule(&mut self, id: SessionId) {
        let Some(member) = self.sessions.get_mut(&id) else { return };
        let due = member.due();
        if *member.scheduled() != Some(due) {
            if let Some(before) = member.scheduled().replace(due) {
                self.due.remove(&(before, id));
            }
            self.due.insert((due, id));
        }
    }

    fn remove(&mut self, id: SessionId, reason: &'static str) {
        let Some(mut member) = self.sessions.remove(&id) else { return };
        if let Some(scheduled) = *member.scheduled() {
            self.due.remove(&(scheduled, id));
        }
        let channels = member.viewer().map(|viewer| [viewer.channel, viewer.next_channel()]);
        channels.into_iter().flatten().flatten().for_each(|channel| self.leave(channel, id));
        if let Some(viewer) = member.viewer() {
            self.stats.sent(viewer.sent());
        }
        self.stats.ended();
        self.directory.remove(id);
        self.path.forget(member.addresses());
        self.shard.removed();
        *member.reason() = reason;
    }

    /// A session reads a stream no longer.
    fn leave(&mut self, at: usize, id: SessionId) {
        let Some(channel) = self.channels.get_mut(at) else { return };
        channel.viewers.retain(|other| *other != id);
        if channel.viewers.is_empty() {
            let Channel { stream_viewers, mut latency, .. } = self.channels.remove(at);
            latency.report(&stream_viewers, Instant::now());
        }
    }

    /// A session reads a stream from now on: its channel, and whether that is new.
    fn enter(&mut self, id: SessionId, (fanout, viewers): (&FanOut, &Viewers), now: Instant) -> (usize, bool) {
        let found = self.channels.iter().find(|(_, channel)| channel.fanout.is_same(fanout)).map(|(at, _)| at);
        let at = found.unwrap_or_else(|| {
            let entry = self.channels.vacant_entry();
            let channel = entry.key();
            entry.insert(Channel {
                fanout: fanout.clone(),
                waker: Arc::new(ShardWaker { shard: self.shard.clone(), channel }).into(),
                batch: Batch::default(),
                viewers: Vec::new(),
                stream_viewers: viewers.clone(),
                latency: LatencyRecorder::default(),
                keyframes: KeyframeRequests::new(now),
            });
            channel
        });
        if let Some(channel) = self.channels.get_mut(at) {
            channel.viewers.push(id);
        }
        (at, found.is_none())
    }

    /// The session is connected: it is sent what there is of its stream, and all that comes.
    fn start(&mut self, id: SessionId, now: Instant) {
        let Some(viewer) = self.sessions.get_mut(&id).and_then(|member| member.viewer()) else { return };
        let (fanout, viewers) = (viewer.fanout.clone(), viewer.viewers.clone());
        let (at, is_new) = self.enter(id, (&fanout, &viewers), now);
        let Some(viewer) = self.sessions.get_mut(&id).and_then(|member| member.viewer()) else { return };
        viewer.channel = Some(at);
        viewer.play = Some(Play::join(viewer.plan.clone(), &fanout, now));
        viewer.joined(now);
        self.with(id, now, |member, out| member.pump(now, out));
        if is_new {
            self.deliver(at, now);
        }
    }

    /// The layer that a viewer wants is there, or is not to be had.
    fn opened_layer(&mut self, id: SessionId, opened: Option<OpenedLayer>, now: Instant) {
        if !self.sessions.contains_key(&id) {
            return;
        }
        let mut begun = None;
        let opened = opened.map(|layer| {
            let (at, is_new) = self.enter(id, (&layer.fanout, &layer.viewers), now);
            begun = is_new.then_some(at);
            (layer, at)
        });
        self.with(id, now, |member, out| {
            if let Some(viewer) = member.viewer() {
                viewer.opened_layer(opened, now, out);
            }
        });
        if let Some(begun) = begun {
            self.deliver(begun, now);
        }
    }

    /// Sends what is new in a stream to all its viewers.
    fn deliver(&mut self, at: usize, now: Instant) {
        loop {
            let Some(channel) = self.channels.get_mut(at) else { return };
            let mut batch = mem::take(&mut channel.batch);
            let seen = channel.fanout.next_batch(&mut batch);
            let frames: Vec<Arc<Frame>> = batch.packets().iter().filter_map(play::read).collect();
            // All of them, or none is taken at a time.
            let is_whole = frames.len() == batch.packets().len();
            let taken = is_whole.then_some((&batch, frames.as_slice()));
            for id in channel.viewers.clone() {
                self.with(id, now, |member, out| {
                    let Some(viewer) = member.viewer() else { return };
                    match viewer.channel == Some(at) {
                        true => viewer.pump(taken, now, out),
                        false => viewer.pump_next(now, out),
                    }
                });
            }
            let Some(channel) = self.channels.get_mut(at) else { return };
            batch.packets().iter().filter_map(|packet| packet.entered).for_each(|at| channel.latency.record(at));
            channel.latency.flush();
            channel.batch = batch;
            if channel.fanout.wake_after(seen, &channel.waker) {
                return;
            }
        }
    }

    fn check(&mut self, now: Instant) {
        for (_, channel) in &mut self.channels {
            channel.latency.report(&channel.stream_viewers, now);
        }
        let (mut ended, mut layered) = (Vec::new(), Vec::new());
        for (id, member) in &mut self.sessions {
            if let Some(viewer) = member.viewer() {
                self.stats.sent(viewer.sent());
                layered.extend(viewer.layers.is_some().then_some(*id));
            }
            ended.extend(member.check(now).map(|reason| (*id, reason)));
        }
        for id in layered {
            self.with(id, now, |member, out| {
                if let Some(viewer) = member.viewer() {
                    viewer.choose_layer(now, out);
                }
            });
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
    /// Forwards what viewers have asked for, when that is due.
    fn ask_for_keyframe(&mut self, now: Instant) {
        if self.keyframes.take(now) {
            self.fanout.want_keyframe();
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
