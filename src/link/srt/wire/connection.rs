//! A connection after its handshake, of either side.

use super::{
    Outbox,
    handshake::Latency,
    key::{Keys, Parity, refusal},
    packet::{Body, Data, Envelope, Packet},
    receive::{self, Ranges, Receiver},
    rtt::Rtt,
    send::{self, Sender},
    sequence::Sequence,
};
use bytes::{Bytes, BytesMut};
use std::time::{Duration, Instant};

/// A peer that sends nothing for so long is gone.
const GONE: Duration = Duration::from_secs(5);
/// A peer that acknowledges nothing for so long takes nothing.
const NO_PROGRESS: Duration = Duration::from_secs(10);
/// A sign of life is sent after so much silence.
const KEEP_ALIVE: Duration = Duration::from_secs(1);
/// Acknowledgements are answered no more often, unless they are repeated: those of a peer that sends one each 10 ms are answered in
/// turns, as libsrt does it. The answer shows the peer the round-trip time, and that it need not repeat what nothing new follows.
const ANSWERS: Duration = Duration::from_millis(15);
/// How often the end of a connection is said.
const SHUTDOWNS: usize = 3;
/// Interval between two tries to hand over a key, and between two that are read.
const KEY_AGAIN: Duration = Duration::from_millis(100);
/// Packets before the change of a key at which the next one is announced, at most.
const ANNOUNCE: u64 = 4096;

/// What two parties have agreed on.
#[derive(Debug)]
pub struct Settings {
    /// The socket of the peer.
    pub peer_socket: u32,
    /// The number of our first packet.
    pub own_first: Sequence,
    /// The number of the peer's first packet.
    pub peer_first: Sequence,
    /// The latencies.
    pub latency: Latency,
    /// How many packets the peer has room for.
    pub window: u32,
    /// The keys, if payloads are encrypted.
    pub keys: Option<Keys>,
    /// Packets that are encrypted with one key.
    pub key_refresh: u64,
    /// The zero of our timestamps: those of the handshake count from it, too.
    pub epoch: Instant,
}

/// Why a connection has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The peer said so.
    Closed,
    /// The peer is silent.
    Silent,
    /// The peer acknowledges nothing.
    NoProgress,
}

/// What went over a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// What was received.
    pub received: receive::Counts,
    /// What was sent.
    pub sent: send::Counts,
    /// Packets that no key decrypts, or that are not encrypted and should be.
    pub undecrypted: u64,
    /// Keys that were changed, of both directions.
    pub rekeyed: u64,
    /// The round-trip time.
    pub rtt: Duration,
}

/// A connection.
#[derive(Debug)]
pub struct Connection {
    peer_socket: u32,
    epoch: Instant,
    receiver: Receiver,
    sender: Sender,
    rtt: Rtt,
    receiving_keys: Option<Keys>,
    sending_keys: Option<SendingKeys>,
    /// The newest key message of the peer, when it was read, and the answer.
    key_asked: Option<(Bytes, Instant, Bytes)>,
    /// The newest acknowledgement that was answered: what it acknowledges, and when.
    answered: Option<(Sequence, Instant)>,
    undecrypted: u64,
    rekeyed: u64,
    heard: Instant,
    spoke: Instant,
    end: Option<End>,
}

impl Connection {
    /// A connection whose handshake is complete.
    pub fn new(settings: Settings, now: Instant) -> Self {
        let Settings { peer_socket, own_first, peer_first, latency, window, keys, key_refresh, epoch } = settings;
        Self {
            peer_socket,
            epoch,
            receiver: Receiver::new(peer_first, latency.receive),
            sender: Sender::new(own_first, latency.send, window, now),
            rtt: Rtt::default(),
            sending_keys: keys.clone().map(|keys| SendingKeys::new(keys, key_refresh)),
            receiving_keys: keys,
            key_asked: None,
            answered: None,
            undecrypted: 0,
            rekeyed: 0,
            heard: now,
            spoke: now,
            end: None,
        }
    }

    /// Handles a packet of the peer. Payloads that are complete are added to `delivered`, answers to `out`. What is due then is done by
    /// [`Connection::tick`], once after several packets.
    pub fn handle(&mut self, packet: &Packet<'_>, now: Instant, out: &mut Outbox, delivered: &mut Vec<Bytes>) {
        if self.end.is_some() {
            return;
        }
        self.heard = now;
        match &packet.body {
            Body::Data(data) => self.data(data, now, out, delivered),
            Body::Ack { number, ack } => {
                self.sender.acknowledge(ack.next, ack.room, now);
                if let Some((time, variance)) = ack.rtt {
                    self.rtt.told(time, variance);
                }
                let is_due =
                    |(next, at): (Sequence, Instant)| next == ack.next || now.saturating_duration_since(at) > ANSWERS;
                if *number != 0 && self.answered.is_none_or(is_due) {
                    self.answered = Some((ack.next, now));
                    self.write(now, out, |envelope, bytes| envelope.ack_ack(bytes, *number));
                }
            }
            Body::AckAck(number) => {
                if let Some(took) = self.receiver.ack_answered(*number, now) {
                    self.rtt.sample(took);
                }
            }
            Body::Nak(ranges) => {
                for (first, last) in self.sender.report_lost(ranges, &self.rtt, now) {
                    self.write(now, out, |envelope, bytes| envelope.drop_request(bytes, first, last));
                }
            }
            Body::DropRequest(first, last) => self.receiver.give_up(*first, *last, now, delivered),
            Body::KeyRequest(message) => self.key_request(message, now, out),
            Body::KeyResponse(message) => {
                if let Some(keys) = &mut self.sending_keys {
                    keys.answered(message);
                }
            }
            Body::Shutdown => self.end = Some(End::Closed),
            Body::KeepAlive | Body::Handshake(_) | Body::Other => {}
        }
    }

    fn data(&mut self, data: &Data<'_>, now: Instant, out: &mut Outbox, delivered: &mut Vec<Bytes>) {
        if !self.receiver.wants(data.sequence) {
            return;
        }
        let mut payload = BytesMut::from(data.payload);
        let is_plain = match &self.receiving_keys {
            None => data.key == 0,
            Some(keys) => keys.decrypt(data.key, data.sequence.get(), &mut payload),
        };
        if !is_plain {
            // Without encryption anyone could send in the place of the peer.
            self.undecrypted += 1;
            return;
        }
        let missing = self.receiver.take(data.sequence, payload.freeze(), now, delivered);
        self.report(missing, now, out);
    }

    fn report(&mut self, missing: Ranges, now: Instant, out: &mut Outbox) {
        if !missing.is_empty() {
            self.write(now, out, |envelope, bytes| envelope.nak(bytes, missing));
        }
    }

    fn key_request(&mut self, message: &[u8], now: Instant, out: &mut Outbox) {
        let answer = match &self.key_asked {
            // It did not get the answer.
            Some((known, _, answer)) if known == message => answer.clone(),
            // To read one costs time.
            Some((_, read, _)) if now.saturating_duration_since(*read) < KEY_AGAIN => return,
            _ => {
                let taken = self.receiving_keys.as_mut().map(|keys| keys.take(message));
                let answer = match taken {
                    Some(Ok(())) => Bytes::copy_from_slice(message),
                    Some(Err(error)) => Bytes::copy_from_slice(&refusal(error)),
                    None => Bytes::copy_from_slice(&refusal(super::key::KeyError::System)),
                };
                self.rekeyed += u64::from(taken == Some(Ok(())));
                self.key_asked = Some((Bytes::copy_from_slice(message), now, answer.clone()));
                answer
            }
        };
        self.write(now, out, |envelope, bytes| envelope.key_response(bytes, &answer));
    }

    /// Hands over a payload; `false` when too many wait. [`Connection::tick`] sends it.
    pub fn send(&mut self, payload: Bytes, now: Instant) -> bool {
        self.end.is_none() && self.sender.push(payload, now)
    }

    /// Bytes that were handed over and never sent.
    pub fn unsent_bytes(&self) -> usize {
        self.sender.unsent_bytes()
    }

    /// How many more payloads may be handed over.
    pub fn room(&self) -> usize {
        self.sender.free()
    }

    /// Does what is due by now.
    pub fn tick(&mut self, now: Instant, out: &mut Outbox, delivered: &mut Vec<Bytes>) {
        if self.end.is_some() {
            return;
        }
        if now.saturating_duration_since(self.heard) >= GONE {
            self.end = Some(End::Silent);
            return;
        }
        if self.sender.stuck_since().is_some_and(|since| now.saturating_duration_since(since) >= NO_PROGRESS) {
            self.end = Some(End::NoProgress);
            return;
        }
        self.receiver.deliver(now, delivered);
        let missing = self.receiver.losses(now, &self.rtt);
        self.report(missing, now, out);
        if let Some((number, ack, rates)) = self.receiver.ack(now, &self.rtt) {
            self.write(now, out, |envelope, bytes| envelope.ack(bytes, number, ack, rates));
        }
        self.sender.tick(&self.rtt, now);
        self.announce_key(now, out);
        self.send_due(now, out);
        if now.saturating_duration_since(self.spoke) >= KEEP_ALIVE {
            self.write(now, out, Envelope::keep_alive);
        }
    }

    fn announce_key(&mut self, now: Instant, out: &mut Outbox) {
        let Some(message) = self.sending_keys.as_mut().and_then(|keys| keys.announcement(now)) else { return };
        self.write(now, out, |envelope, bytes| envelope.key_request(bytes, &message));
    }

    fn send_due(&mut self, now: Instant, out: &mut Outbox) {
        loop {
            let parity = self.sending_keys.as_ref().map_or(Parity::Even, |keys| keys.parity);
            let Some(next) = self.sender.next(parity, now) else { return };
            let timestamp = micros(next.stamped, self.epoch);
            let envelope = Envelope { destination: self.peer_socket, timestamp };
            let key = self.sending_keys.as_ref().map_or(0, |_| next.parity.flag());
            let keys = &self.sending_keys;
            out.push(|bytes| {
                envelope.data(bytes, next.sequence, next.message, key, next.is_resent);
                let start = bytes.len();
                bytes.extend_from_slice(&next.payload);
                if let (Some(keys), Some(payload)) = (keys, bytes.get_mut(start..)) {
                    keys.keys.encrypt(next.parity, next.sequence.get(), payload);
                }
            });
            self.spoke = now;
            if let Some(keys) = self.sending_keys.as_mut().filter(|_| !next.is_resent) {
                self.rekeyed += u64::from(keys.used());
            }
        }
    }

    /// When [`Connection::tick`] has to be called next.
    pub fn due(&self) -> Instant {
        let silent = self.heard + GONE;
        let stuck = self.sender.stuck_since().map(|since| since + NO_PROGRESS);
        let alive = self.spoke + KEEP_ALIVE;
        let key = self.sending_keys.as_ref().and_then(SendingKeys::due);
        let others = [stuck, self.receiver.due(&self.rtt), self.sender.due(&self.rtt), key];
        others.into_iter().flatten().fold(silent.min(alive), Instant::min)
    }

    /// Ends the connection and notifies the peer.
    pub fn close(&mut self, now: Instant, out: &mut Outbox) {
        if self.end.is_none() {
            // Nobody confirms it, and a peer that misses it waits for some seconds.
            (0..SHUTDOWNS).for_each(|_| self.write(now, out, Envelope::shutdown));
            self.end = Some(End::Closed);
        }
    }

    /// Why it has ended, if it has.
    pub fn end(&self) -> Option<End> {
        self.end
    }

    /// Whether everything that was handed over has arrived.
    pub fn is_drained(&self) -> bool {
        self.sender.stuck_since().is_none()
    }

    /// What went over it.
    pub fn counts(&self) -> Counts {
        let Self { undecrypted, rekeyed, .. } = *self;
        let (received, sent) = (self.receiver.counts, self.sender.counts);
        Counts { received, sent, undecrypted, rekeyed, rtt: self.rtt.time }
    }

    fn write(&mut self, now: Instant, out: &mut Outbox, write: impl FnOnce(Envelope, &mut Vec<u8>)) {
        let envelope = Envelope { destination: self.peer_socket, timestamp: micros(now, self.epoch) };
        out.push(|bytes| write(envelope, bytes));
        self.spoke = now;
    }
}

/// A timestamp of the wire: 32 bits of microseconds.
pub fn micros(at: Instant, epoch: Instant) -> u32 {
    at.saturating_duration_since(epoch).as_micros() as u32
}

/// The keys that we encrypt with, which change after many packets.
#[derive(Debug)]
struct SendingKeys {
    keys: Keys,
    parity: Parity,
    refresh: u64,
    /// Packets that were encrypted with the key of now.
    used: u64,
    next: Option<Announced>,
}

/// The key that comes next.
#[derive(Debug)]
struct Announced {
    message: Bytes,
    sent: Option<Instant>,
    is_known: bool,
}

impl SendingKeys {
    fn new(keys: Keys, refresh: u64) -> Self {
        let parity = keys.parity();
        Self { keys, parity, refresh, used: 0, next: None }
    }

    /// A packet was encrypted. Returns whether the next one is encrypted with another key.
    fn used(&mut self) -> bool {
        self.used += 1;
        let announce = (self.refresh / 4).min(ANNOUNCE);
        if self.next.is_none() && self.used + announce >= self.refresh {
            let other = self.parity.other();
            // Without a new key the old one stays in use, and this is tried again.
            let message = self.keys.renew(other).ok().and_then(|()| self.keys.message(other));
            self.next = message.map(|message| Announced { message: message.into(), sent: None, is_known: false });
        }
        let changes = self.used >= self.refresh && self.next.as_ref().is_some_and(|next| next.is_known);
        if changes {
            (self.parity, self.used, self.next) = (self.parity.other(), 0, None);
        }
        changes
    }

    /// The message that is to be sent now.
    fn announcement(&mut self, now: Instant) -> Option<Bytes> {
        let next = self.next.as_mut().filter(|next| !next.is_known)?;
        if next.sent.is_some_and(|sent| now.saturating_duration_since(sent) < KEY_AGAIN) {
            return None;
        }
        next.sent = Some(now);
        Some(next.message.clone())
    }

    fn answered(&mut self, message: &[u8]) {
        if let Some(next) = self.next.as_mut().filter(|next| next.message == message) {
            next.is_known = true;
        }
    }

    fn due(&self) -> Option<Instant> {
        self.next.as_ref().filter(|next| !next.is_known)?.sent.map(|sent| sent + KEY_AGAIN)
    }
}

#[cfg(test)]
mod tests;
