//! Finds tables and join points in a transport stream.

use super::packet::{PACKET, Packet, SYNC};
use super::psi::{Psi, Video};
use super::unit::Unit;
use crate::media::Kind;
use crate::media::scanner::{Cutter, Scanned};
use bytes::Bytes;

/// Most packets held back until it is known whether a join point begins with them.
const MAX_HELD: usize = 64 * PACKET;

/// Cuts a transport stream at its join points. Bytes that are no packets are left out.
#[derive(Debug, Default)]
pub(in crate::media) struct Scan {
    /// The beginning of the next packet, or bytes among which a packet is being looked for.
    window: Vec<u8>,
    lost: bool,
    psi: Psi,
    cutter: Cutter,
    state: State,
    /// Packets whose kind is not known yet; empty in [`State::Open`].
    held: Vec<u8>,
    /// The encoder sets `random_access_indicator`, so that its absence means something.
    is_marked: bool,
    /// A join point of an audio-only stream was found in the bytes of this call.
    has_joined: bool,
}

/// Why packets are held back.
#[derive(Debug, Default)]
enum State {
    /// They are not.
    #[default]
    Open,
    /// Tables: they belong to the join point if it comes next.
    Tables,
    /// A picture began whose kind is not known yet.
    Picture(Unit),
}

/// What a packet means for the cutting.
enum Role {
    Table,
    Filler,
    /// A picture begins.
    Picture(Video),
    /// The picture goes on.
    PictureRest,
    /// A join point for which nothing else has to be looked at.
    Join,
    Other,
}

impl Scan {
    /// Takes the next bytes.
    pub(in crate::media) fn push(&mut self, bytes: &[u8], out: &mut Vec<Scanned>) {
        self.has_joined = false;
        self.cutter.expect(bytes.len());
        if self.window.is_empty() {
            let used = self.scan(bytes, out);
            self.window.extend_from_slice(bytes.get(used..).unwrap_or_default());
        } else {
            let mut window = std::mem::take(&mut self.window);
            window.extend_from_slice(bytes);
            let used = self.scan(&window, out);
            window.drain(..used);
            self.window = window;
        }
        self.cutter.flush(out);
    }

    /// No more bytes will come. The beginning of a packet is of no use to anyone.
    pub(in crate::media) fn finish(&mut self, out: &mut Vec<Scanned>) {
        let window = std::mem::take(&mut self.window);
        if let Some(packet) = window.first_chunk().and_then(Packet::new) {
            self.packet(packet, out);
        }
        self.settle(Kind::Delta, out);
        self.cutter.flush(out);
    }

    /// Number of bytes that are done with. Fewer than two packets remain.
    fn scan(&mut self, bytes: &[u8], out: &mut Vec<Scanned>) -> usize {
        let mut rest = bytes;
        loop {
            if self.lost {
                // A packet is where two sync bytes are one packet apart.
                let mut begins = rest.iter().enumerate().filter(|&(_, &byte)| byte == SYNC).map(|(at, _)| at);
                let found = begins.find(|&at| rest.get(at + PACKET).is_none_or(|&byte| byte == SYNC));
                rest = found.and_then(|at| rest.get(at..)).unwrap_or_default();
                if rest.len() <= PACKET {
                    break;
                }
                self.lost = false;
            }
            let Some((raw, after)) = rest.split_first_chunk::<PACKET>() else {
                self.lost = rest.first().is_some_and(|&byte| byte != SYNC);
                if self.lost { continue } else { break }
            };
            match Packet::new(raw) {
                Some(packet) => {
                    self.packet(packet, out);
                    rest = after;
                }
                None => self.lost = true,
            }
        }
        bytes.len() - rest.len()
    }

    fn packet(&mut self, packet: Packet<'_>, out: &mut Vec<Scanned>) {
        let role = self.role(packet);
        if matches!(role, Role::Table) {
            self.table(packet, out);
        }
        if let (State::Picture(unit), Role::PictureRest) = (&mut self.state, &role) {
            let key = unit.push(packet.payload());
            self.held.extend_from_slice(packet.raw());
            match key {
                Some(true) => self.settle(Kind::Keyframe, out),
                Some(false) => self.settle(Kind::Delta, out),
                None => self.bound(out),
            }
            return;
        }
        match role {
            Role::Picture(video) => {
                self.settle_picture(out);
                self.held.extend_from_slice(packet.raw());
                let mut unit = Unit::new(video.codec);
                match unit.push(packet.payload()) {
                    Some(true) => self.settle(Kind::Keyframe, out),
                    Some(false) => self.settle(Kind::Delta, out),
                    None => {
                        self.state = State::Picture(unit);
                        self.bound(out);
                    }
                }
            }
            Role::Join => {
                self.settle_picture(out);
                self.held.extend_from_slice(packet.raw());
                self.settle(Kind::Keyframe, out);
            }
            Role::Table | Role::Filler | Role::Other | Role::PictureRest => {
                match (&self.state, &role) {
                    (State::Open, Role::Table) => self.state = State::Tables,
                    (State::Tables, Role::Other | Role::PictureRest) => self.settle(Kind::Delta, out),
                    _ => {}
                }
                if matches!(self.state, State::Open) {
                    self.cutter.append(packet.raw());
                } else {
                    self.held.extend_from_slice(packet.raw());
                    self.bound(out);
                }
            }
        }
    }

    fn role(&mut self, packet: Packet<'_>) -> Role {
        if packet.is_damaged() {
            return Role::Other;
        }
        let pid = packet.pid();
        if self.psi.is_table(pid) {
            return Role::Table;
        }
        if packet.is_filler() {
            return Role::Filler;
        }
        let Some(program) = self.psi.program() else { return Role::Other };
        match program.video {
            Some(video) if video.pid == pid => {
                if !packet.starts_unit() {
                    return Role::PictureRest;
                }
                if packet.is_random_access() {
                    self.is_marked = true;
                    return Role::Join;
                }
                if self.is_marked || packet.is_scrambled() { Role::Other } else { Role::Picture(video) }
            }
            None if program.audio == Some(pid) && packet.starts_unit() && !self.has_joined => {
                self.has_joined = true;
                Role::Join
            }
            _ => Role::Other,
        }
    }

    fn table(&mut self, packet: Packet<'_>, out: &mut Vec<Scanned>) {
        let before = self.psi.program().cloned();
        if !self.psi.push(packet) {
            return;
        }
        if self.psi.program() != before.as_ref() {
            self.is_marked = false;
        }
        self.settle_picture(out);
        if let Some((pat, _, pmt)) = self.psi.tables() {
            self.cutter.flush(out);
            out.push(Scanned::Header(Bytes::from([pat.as_flattened(), pmt.as_flattened()].concat())));
        }
    }

    /// A picture whose kind did not become known in time is none to begin with.
    fn settle_picture(&mut self, out: &mut Vec<Scanned>) {
        if matches!(self.state, State::Picture(_)) {
            self.settle(Kind::Delta, out);
        }
    }

    fn bound(&mut self, out: &mut Vec<Scanned>) {
        if self.held.len() >= MAX_HELD {
            self.settle(Kind::Delta, out);
        }
    }

    /// Lets go of the held packets.
    fn settle(&mut self, kind: Kind, out: &mut Vec<Scanned>) {
        self.state = State::Open;
        if kind == Kind::Keyframe {
            self.cutter.cut(out);
        }
        self.cutter.append(&self.held);
        self.held.clear();
    }
}
