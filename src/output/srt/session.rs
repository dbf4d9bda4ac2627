//! One connection: the protocol, what it is for, and its log.

use super::{
    log::SessionLog,
    play::Play,
    publish::Publish,
    wire::{Connection, End, Outbox, packet::Packet},
};
use crate::{net::ConnectionPermit, output::shard::NO_PROGRESS};
use bytes::Bytes;
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

/// How long the last packets of a stream may take.
const LAST: Duration = Duration::from_secs(1);
/// Interval of reports.
const REPORT: Duration = Duration::from_secs(1);

/// One connection.
#[derive(Debug)]
pub struct Session {
    /// Address and socket of the peer.
    pub caller: (SocketAddr, u32),
    /// The number of our socket.
    pub socket: u32,
    /// The zero of its clock, for handshakes that are answered again.
    pub epoch: Instant,
    /// The answer to its handshake.
    pub answer: Vec<u8>,
    /// What keeps its place among the connections of the server.
    _permit: ConnectionPermit,
    connection: Connection,
    role: Role,
    log: SessionLog,
    reported: Instant,
    /// Why it ends when the last packets have arrived, and since when.
    ending: Option<(&'static str, Instant)>,
    delivered: Vec<Bytes>,
}

/// What a connection is for.
#[derive(Debug)]
pub enum Role {
    /// It receives a stream, which is not there yet.
    Waiting,
    /// It receives a stream.
    Play(Box<Play>),
    /// It brings media.
    Publish(Publish),
}

impl Session {
    /// A connection that was just accepted.
    pub fn new(
        caller: (SocketAddr, u32),
        socket: u32,
        answer: Vec<u8>,
        connection: Connection,
        log: SessionLog,
        permit: ConnectionPermit,
        now: Instant,
    ) -> Self {
        Self {
            caller,
            socket,
            epoch: now,
            answer,
            _permit: permit,
            connection,
            role: Role::Waiting,
            log,
            reported: now,
            ending: None,
            delivered: Vec::new(),
        }
    }

    /// What it is for is there.
    pub fn begin(&mut self, role: Role) {
        self.role = role;
    }

    /// The log.
    pub fn log(&mut self) -> &mut SessionLog {
        &mut self.log
    }

    /// What it receives, if that is a stream.
    pub fn play(&self) -> Option<&Play> {
        match &self.role {
            Role::Play(play) => Some(play),
            Role::Waiting | Role::Publish(_) => None,
        }
    }

    /// A packet of the peer came.
    pub fn handle(&mut self, packet: &Packet<'_>, now: Instant, out: &mut Outbox) {
        self.connection.handle(packet, now, out, &mut self.delivered);
        self.hand_on(now);
    }

    /// Hands on what was received. A viewer has nothing to send.
    fn hand_on(&mut self, now: Instant) {
        for payload in self.delivered.drain(..) {
            let Role::Publish(publish) = &self.role else { continue };
            self.log.moved(payload.len(), now);
            if let Err(reason) = publish.take(payload) {
                self.ending.get_or_insert((reason, now));
            }
        }
    }

    /// Does what is due, after packets came or time went by. Returns why the connection has ended, if it has.
    pub fn advance(&mut self, now: Instant, out: &mut Outbox) -> Option<&'static str> {
        if now.saturating_duration_since(self.reported) >= REPORT {
            self.reported = now;
            self.log.report(self.connection.counts());
            if let Role::Play(play) = &mut self.role {
                play.tick(&mut self.log, now);
            }
            if let Some(reason) = self.log.withdrawn() {
                self.ending.get_or_insert((reason, now));
            }
        }
        if self.ending.is_none()
            && let Role::Play(play) = &mut self.role
            && let Some(reason) = play.pump(&mut self.connection, &mut self.log, now)
        {
            self.ending = Some((reason, now));
        }
        self.connection.tick(now, out, &mut self.delivered);
        self.hand_on(now);
        match (self.connection.end(), self.ending) {
            (Some(End::Closed), ending) => Some(ending.map_or("client left", |(reason, _)| reason)),
            (Some(End::Silent), _) => Some("no response for 5 s"),
            (Some(End::NoProgress), _) => Some(NO_PROGRESS),
            (None, Some((reason, since)))
                if self.connection.is_drained() || now.saturating_duration_since(since) >= LAST =>
            {
                Some(reason)
            }
            (None, _) => None,
        }
    }

    /// When [`Session::advance`] has to be called next.
    pub fn due(&self, now: Instant) -> Instant {
        let due = self.connection.due().min(self.reported + REPORT);
        match self.ending {
            Some((_, since)) => due.min(since + LAST),
            None => due.max(now),
        }
    }

    /// It ends, for this reason. The peer is notified.
    pub fn close(mut self, reason: &'static str, now: Instant, out: &mut Outbox) {
        self.connection.close(now, out);
        self.log.report(self.connection.counts());
        self.log.reason = reason;
    }
}
