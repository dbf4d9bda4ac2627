//! A connection that receives a stream: packets of MPEG-TS, from the ring of the stream to the connection.

use super::{
    log::SessionLog,
    wire::{Connection, packet::TS_PAYLOAD},
};
use crate::{
    media::Packet,
    source::demand::Lease,
    stream::{Delivery, Entry, FanOut, Join, LagAction, LagPolicy, Reader, Viewers},
};
use std::time::Instant;

/// Bytes that are taken from the ring before they are sent. What is in the ring still can be skipped.
const AHEAD: usize = 128 << 10;
/// Packets that a connection has room for when another one of the stream is taken: a keyframe of 1.3 MB.
const ROOM: usize = 1024;
/// So many packets that came too late together are not loss of a bad line: the line is too slow.
const TOO_MANY: u64 = 32;

/// What a viewer gets its packets from.
#[derive(Debug)]
pub struct Opened {
    /// The packets.
    pub fanout: FanOut,
    /// Keeps them coming.
    pub lease: Lease,
    /// The viewers of the stream.
    pub viewers: Viewers,
}

/// A viewer.
#[derive(Debug)]
pub struct Play {
    reader: Reader,
    lag: LagPolicy,
    _lease: Lease,
    /// Packets that the connection had dropped when that was looked at last.
    dropped: u64,
    /// When the oldest media of the last call arrived, on the monotonic clock.
    pub entered: Option<std::time::Duration>,
}

impl Play {
    /// A viewer that begins with the newest keyframe.
    pub fn new(opened: Opened) -> Self {
        let reader = opened.fanout.subscribe(Entry { join: Join::Keyframe, header: true });
        Self { reader, lag: LagPolicy::default(), _lease: opened.lease, dropped: 0, entered: None }
    }

    /// The stream that is read.
    pub fn fanout(&self) -> &FanOut {
        self.reader.fanout()
    }

    /// Hands packets to the connection until it has enough, or there are no more. Returns why the stream has ended, if it has.
    pub fn pump(&mut self, connection: &mut Connection, log: &mut SessionLog, now: Instant) -> Option<&'static str> {
        self.entered = None;
        self.look_at_drops(connection);
        while connection.unsent_bytes() < AHEAD && connection.room() >= ROOM {
            match self.reader.try_next()? {
                Delivery::Aside(packet) | Delivery::Packet(packet) => {
                    self.entered = self.entered.or(packet.entered);
                    if !hand_over(&packet, connection, now) {
                        // It is larger than all that may be on the way.
                        self.reader.skip();
                    }
                    log.moved(packet.len(), now);
                }
                Delivery::Gap(lost) => self.lagged(lost, log, now),
                Delivery::End => return Some("stream ended"),
            }
        }
        None
    }

    /// To be called about once a second.
    pub fn tick(&mut self, log: &mut SessionLog, now: Instant) {
        let step = self.lag.look(now);
        self.apply(step, log);
    }

    /// A line that is too slow loses more than it can send again. Its viewer continues with the next keyframe.
    fn look_at_drops(&mut self, connection: &Connection) {
        let dropped = connection.counts().sent.dropped;
        if dropped - self.dropped >= TOO_MANY {
            self.reader.skip();
            self.dropped = dropped;
        }
    }

    fn lagged(&mut self, lost: u64, log: &mut SessionLog, now: Instant) {
        log.lagged(lost);
        let step = self.lag.overrun(now);
        self.apply(step, log);
    }

    fn apply(&mut self, step: Option<LagAction>, log: &mut SessionLog) {
        let Some(step) = step else { return };
        let is_reduced = step == LagAction::Reduce;
        if self.reader.reduce(is_reduced) && is_reduced != log.is_reduced() {
            log.reduced(is_reduced);
        }
    }
}

/// Cuts a packet of the stream into payloads; `false` when there is no room for all of them.
fn hand_over(packet: &Packet, connection: &mut Connection, now: Instant) -> bool {
    let payload = packet.payload();
    if payload.len().div_ceil(TS_PAYLOAD) > connection.room() {
        return false;
    }
    (0..payload.len()).step_by(TS_PAYLOAD).all(|start| {
        let end = payload.len().min(start + TS_PAYLOAD);
        connection.send(payload.slice(start..end), now)
    })
}
