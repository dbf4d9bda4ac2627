//! A reader of a stream whose packets leave in datagrams, with all that counts and limits it.

use super::{
    datagrams::{Datagrams, Position},
    sessions::Listed,
    timeouts,
    udp::{After, Destination, UdpPair},
};
use crate::{
    media::Packet,
    output::shard::{
        session::Account,
        subscription::{Next, Subscription},
        viewer_log::ViewerLog,
        write_latency::LatencyRecorder,
    },
    stream::Batch,
    sys::monotonic,
};
use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Waker},
    time::{Duration, Instant},
};
use tokio_util::sync::WaitForCancellationFutureOwned;

/// A viewer that has so many packets to send takes no more from the ring, where they can be skipped.
const AHEAD: usize = 4;

/// A packet of the ring that is to be sent.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Its datagrams, which all viewers share.
    pub datagrams: Arc<Datagrams>,
    /// When the media came, on the monotonic clock.
    pub entered: Option<Duration>,
}

impl Outgoing {
    /// A packet of the ring.
    pub fn of(packet: &Packet) -> Self {
        Self { datagrams: Arc::new(Datagrams::of(packet.payload())), entered: packet.entered }
    }
}

/// A viewer; one that leaves is logged when this is dropped.
#[derive(Debug)]
pub struct Viewer {
    sockets: Arc<UdpPair>,
    to: Vec<Destination>,
    subscription: Subscription,
    log: ViewerLog,
    listed: Listed,
    /// Completes when the client ends the session.
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
    /// The index of its channel in the thread.
    pub channel: usize,
    /// Begin of this viewer, on the monotonic clock.
    since: Duration,
    /// Tracks, and those who report in them.
    senders: Vec<(usize, u32)>,
    /// What was taken from the ring and has not left, and how far the first of it has.
    waiting: VecDeque<Outgoing>,
    position: Position,
}

/// What a viewer waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The next packet of its stream.
    Packet,
    /// A pause between two bursts.
    Pause,
    /// Room in the buffer of the socket.
    Room,
    /// Nothing: it ends, for this reason.
    Ended(&'static str),
}

impl Viewer {
    /// A viewer that begins with `first`.
    pub fn new(
        (sockets, to): (Arc<UdpPair>, Vec<Destination>),
        (subscription, first): (Subscription, Outgoing),
        (log, listed): (ViewerLog, Listed),
        channel: usize,
    ) -> Self {
        let ended = Box::pin(listed.end.clone().cancelled_owned());
        Self {
            sockets,
            to,
            subscription,
            log,
            listed,
            ended,
            channel,
            since: monotonic(),
            senders: Vec::new(),
            waiting: VecDeque::from([first]),
            position: Position::default(),
        }
    }

    /// Whether the client has ended the session; `waker` is woken when it does.
    pub fn has_left(&mut self, waker: &Waker) -> bool {
        self.ended.as_mut().poll(&mut Context::from_waker(waker)).is_ready()
    }

    /// Sends what waits, and what the stream has more.
    pub fn pump(&mut self, latency: &mut LatencyRecorder, now: Instant) -> Outcome {
        loop {
            while let Some(outgoing) = self.waiting.pop_front() {
                let outcome = self.send(&outgoing, latency);
                if outcome != Outcome::Packet {
                    self.waiting.push_front(outgoing);
                    return outcome;
                }
            }
            match self.subscription.try_next(&mut self.log, now) {
                Some(Next::Packet(packet)) => self.waiting.push_back(Outgoing::of(&packet)),
                Some(Next::End(reason)) => return Outcome::Ended(reason),
                None => return Outcome::Packet,
            }
        }
    }

    /// Like [`Viewer::pump`], for the common case that a viewer needs exactly the newest packets, which are in `outgoing` as datagrams.
    /// Unless the socket `has_room`, they wait, as those of a viewer that has a pause: it is resumed without this.
    pub fn pump_batch(
        &mut self,
        (batch, outgoing): (&Batch, &[Outgoing]),
        has_room: bool,
        latency: &mut LatencyRecorder,
        now: Instant,
    ) -> Outcome {
        if !self.waiting.is_empty() {
            if self.waiting.len() < AHEAD && self.subscription.take_batch(batch) {
                self.waiting.extend(outgoing.iter().cloned());
            }
            return Outcome::Packet;
        }
        if !self.subscription.take_batch(batch) {
            return self.pump(latency, now);
        }
        for (number, next) in outgoing.iter().enumerate() {
            let outcome = if has_room { self.send(next, latency) } else { Outcome::Room };
            if outcome != Outcome::Packet {
                self.waiting.extend(outgoing.iter().skip(number).cloned());
                return outcome;
            }
        }
        Outcome::Packet
    }

    /// Sends what is left of a packet, up to the end of a burst.
    fn send(&mut self, outgoing: &Outgoing, latency: &mut LatencyRecorder) -> Outcome {
        let burst = self.sockets.send_burst(&outgoing.datagrams, &self.to, &mut self.position);
        self.log.sent(burst.sent as u64, &|| self.subscription.container());
        match burst.next {
            After::Pause => return Outcome::Pause,
            After::Full => return Outcome::Room,
            After::Done => self.position = Position::default(),
        }
        outgoing.datagrams.add_senders(&mut self.senders);
        if let Some(entered) = outgoing.entered.filter(|entered| *entered >= self.since) {
            latency.record(entered);
        }
        Outcome::Packet
    }

    /// To be called about once a second: reports the statistics; why it has to end, if it has to.
    pub fn check(&mut self, now: Instant) -> Option<&'static str> {
        self.subscription.tick(&mut self.log, now);
        self.log.withdrawn().or_else(|| timeouts::of_datagrams(self.listed.liveness.silence(monotonic())))
    }

    /// It ends, for this reason; whoever still listens gets the end of its tracks.
    pub fn end(mut self, reason: &'static str) {
        self.log.reason = reason;
        self.sockets.say_goodbye(&self.to, &self.senders);
    }
}
