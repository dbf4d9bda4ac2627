//! Finds tables and join points in a transport stream.

use super::keyframe::KeyframeDetector;
use super::m2ts::{M2tsUnwrapper, PacketFraming};
use super::packet::{PACKET, PAT_PID, Packet, SYNC};
use super::psi::{Psi, Video};
use crate::media::Kind;
use crate::media::byte_window::ByteWindow;
use crate::media::scanned::{Cutter, Scanned};
use bytes::Bytes;

/// Most packets held back until it is known whether a join point begins with them.
const MAX_HELD: usize = 64 * PACKET;

/// Cuts a transport stream at its join points. Bytes that are no packets are left out.
#[derive(Debug, Default)]
pub(in crate::media) struct Scan {
    /// Set when there is something around the packets.
    unwrapper: Option<M2tsUnwrapper>,
    /// The beginning of the next packet, or bytes among which a packet is being looked for.
    window: ByteWindow,
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
    /// A frame began whose kind is not known yet.
    Frame(KeyframeDetector),
}

/// What a packet means for the cutting.
enum Role {
    Table,
    Filler,
    /// A frame begins.
    Frame(Video),
    /// The frame continues.
    FrameRest,
    /// A join point for which nothing else has to be looked at.
    Join,
    Other,
}

impl Scan {
    /// Of packets with this around them.
    pub(in crate::media) fn wrapped(framing: PacketFraming) -> Self {
        Self { unwrapper: Some(M2tsUnwrapper::new(framing)), ..Self::default() }
    }

    /// Takes the next bytes.
    pub(in crate::media) fn push(&mut self, bytes: &[u8], out: &mut Vec<Scanned>) {
        let packets = self.unwrapper.as_mut().map(|unwrapper| unwrapper.push(bytes));
        let bytes = packets.as_deref().unwrap_or(bytes);
        self.has_joined = false;
        self.cutter.expect(bytes.len());
        let mut window = std::mem::take(&mut self.window);
        window.push(bytes, |bytes| self.scan(bytes, out));
        self.window = window;
        self.cutter.flush(out);
    }

    /// No more bytes will come. The beginning of a packet is of no use to anyone.
    pub(in crate::media) fn finish(&mut self, out: &mut Vec<Scanned>) {
        let window = self.window.take();
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
            // Of tables that are sent again with nothing in between, the last belong to what follows.
            if matches!(self.state, State::Tables) && packet.pid() == PAT_PID {
                self.settle(Kind::Delta, out);
            }
            self.table(packet, out);
        }
        if let (State::Frame(detector), Role::FrameRest) = (&mut self.state, &role) {
            let key = detector.push(packet.payload());
            self.held.extend_from_slice(packet.raw());
            match key {
                Some(true) => self.settle(Kind::Keyframe, out),
                Some(false) => self.settle(Kind::Delta, out),
                None => self.bound(out),
            }
            return;
        }
        match role {
            Role::Frame(video) => {
                self.settle_frame(out);
                self.held.extend_from_slice(packet.raw());
                let mut detector = KeyframeDetector::new(video.codec);
                match detector.push(packet.payload()) {
                    Some(true) => self.settle(Kind::Keyframe, out),
                    Some(false) => self.settle(Kind::Delta, out),
                    None => {
                        self.state = State::Frame(detector);
                        self.bound(out);
                    }
                }
            }
            Role::Join => {
                self.settle_frame(out);
                self.held.extend_from_slice(packet.raw());
                self.settle(Kind::Keyframe, out);
            }
            Role::Table | Role::Filler | Role::Other | Role::FrameRest => {
                match (&self.state, &role) {
                    (State::Open, Role::Table) => self.state = State::Tables,
                    (State::Tables, Role::Other | Role::FrameRest) => self.settle(Kind::Delta, out),
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
                    return Role::FrameRest;
                }
                if packet.is_random_access() {
                    self.is_marked = true;
                    return Role::Join;
                }
                if self.is_marked || packet.is_scrambled() { Role::Other } else { Role::Frame(video) }
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
        self.settle_frame(out);
        if let Some(tables) = self.psi.tables() {
            self.cutter.flush(out);
            let header = [tables.pat.as_flattened(), tables.pmt.as_flattened()].concat();
            out.push(Scanned::Header(Bytes::from(header)));
        }
    }

    /// A frame whose kind did not become known in time is none to begin with.
    fn settle_frame(&mut self, out: &mut Vec<Scanned>) {
        if matches!(self.state, State::Frame(_)) {
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

#[cfg(test)]
mod tests {
    use super::super::psi::tests::{described_pmt, packets, pat, pmt};
    use super::*;
    use crate::media::{Container, testing};
    use proptest::prelude::*;

    const FFMPEG: &[u8] = include_bytes!("../../../tests/data/h264-aac.ts");
    const GSTREAMER: &[u8] = include_bytes!("../../../tests/data/h264-aac-gst.ts");
    const MPEG2: &[u8] = include_bytes!("../../../tests/data/mpeg2.ts");
    const H265: &[u8] = include_bytes!("../../../tests/data/h265.ts");
    const AV1: &[u8] = include_bytes!("../../../tests/data/av1.ts");
    const AUDIO: &[u8] = include_bytes!("../../../tests/data/aac.ts");

    fn scan(bytes: &[u8], sizes: &[usize]) -> testing::Scan {
        testing::Scan::of(None, bytes, sizes)
    }

    /// The capture as an encoder would make it that never sets `random_access_indicator`.
    fn unmarked(capture: &[u8]) -> Vec<u8> {
        let mut bytes = capture.to_vec();
        for raw in bytes.as_chunks_mut::<PACKET>().0 {
            if raw[3] & 0x20 != 0 && raw[4] > 0 {
                raw[5] &= !0x40;
            }
        }
        bytes
    }

    #[test]
    fn captures_are_joined_at_each_keyframe_with_and_without_mark() {
        #[track_caller]
        fn check(capture: &[u8], joins: &[usize]) {
            let found = scan(capture, &[usize::MAX]);
            assert_eq!((found.container, found.headers.len(), &found.joins[..]), (Some(Container::Ts), 1, joins));
            assert!(found.media == capture);
            assert_eq!(scan(&unmarked(capture), &[1316]).joins, joins);
        }
        // Where ffprobe sees the keyframes, less the PAT and PMT in front of them (376 bytes) if there are any.
        check(FFMPEG, &[188, 20_304, 40_232]);
        check(GSTREAMER, &[0, 23_688, 45_308]);
        check(MPEG2, &[188, 38_540]);
        check(H265, &[188, 19_176]);
    }

    #[test]
    fn av1_is_joined_at_each_keyframe_with_and_without_mark() {
        // With the name that this ffmpeg leaves out.
        let named = packets(0x1000, &described_pmt(0, 0, &[(0x06, b"\x05\x04AV01")]));
        let mut capture = AV1.to_vec();
        for raw in capture.as_chunks_mut::<PACKET>().0 {
            if Packet::new(raw).is_some_and(|packet| packet.pid() == 0x1000) {
                let counter = raw[3];
                *raw = named[0];
                raw[3] = counter;
            }
        }
        let marked = scan(&capture, &[usize::MAX]).joins;
        assert_eq!(marked.len(), 2);
        let found = scan(&unmarked(&capture), &[500]);
        assert_eq!(found.joins, marked);
        assert!(found.media == unmarked(&capture));
    }

    #[test]
    fn audio_alone_is_joined_where_a_frame_begins() {
        let every = scan(AUDIO, &[PACKET]).joins;
        assert!(every.len() > 3, "{every:?}");
        assert!(scan(AUDIO, &[4096]).joins.iter().all(|at| every.contains(at)));
        let mut out = Vec::new();
        Scan::default().push(AUDIO, &mut out);
        let joins = out.iter().filter(|found| matches!(found, Scanned::Packet { kind: Kind::Keyframe, .. }));
        assert_eq!(joins.count(), 1);
    }

    #[test]
    fn bytes_leave_with_the_call_that_brings_them() {
        let (mut scan, mut out, mut sent) = (Scan::default(), Vec::new(), 0);
        for (at, raw) in FFMPEG.as_chunks::<PACKET>().0.iter().enumerate() {
            scan.push(raw, &mut out);
            for found in out.drain(..) {
                if let Scanned::Packet { payload, .. } = found {
                    sent += payload.len();
                }
            }
            // Tables wait for what they introduce, nothing else waits.
            let held = (at + 1) * PACKET - sent;
            assert!(held == 0 || [0, 17, 4096].contains(&Packet::new(raw).unwrap().pid()) && held <= 3 * PACKET);
        }
    }

    #[test]
    fn a_changed_table_is_a_new_header() {
        let pat = packets(0, &pat(0x1000)).concat();
        let table = |version| packets(0x1000, &pmt(version, 0, &[0x1b])).concat();
        let stream = [&pat[..], &table(0), &pat, &table(0), &pat, &table(1)].concat();
        let found = scan(&stream, &[100]);
        assert_eq!(found.headers, [(0, [&pat[..], &table(0)].concat()), (4 * PACKET, [&pat[..], &table(1)].concat())]);
        assert!(found.media == stream && found.joins.is_empty());
    }

    #[test]
    fn garbage_between_packets_is_left_out() {
        let (begin, end) = GSTREAMER.split_at(100 * PACKET);
        let found = scan(&[begin, b"garbage\x47", end].concat(), &[1000]);
        assert!(found.media == GSTREAMER);
        let late = testing::Scan::of(Some(Container::Ts), &GSTREAMER[50..], &[7]);
        assert!(late.media == GSTREAMER[PACKET..]);
    }

    #[test]
    fn an_undecided_frame_is_not_held_for_long() {
        let mut stream = [packets(0, &pat(0x1000)), packets(0x1000, &pmt(0, 0, &[0x1b]))].concat();
        let mut frame = [0xff; PACKET];
        frame[..13].copy_from_slice(b"\x47\x41\x00\x10\0\0\x01\xe0\0\0\x80\0\0");
        stream.push(frame);
        frame[..4].copy_from_slice(b"\x47\x01\x00\x10");
        let (mut scan, mut out) = (Scan::default(), Vec::new());
        scan.push(stream.as_flattened(), &mut out);
        for _ in 0..200 {
            assert!(scan.held.len() < MAX_HELD);
            scan.push(&frame, &mut out);
        }
        assert!(scan.held.is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn pieces_do_not_matter(sizes in prop::collection::vec(1usize..2000, 1..20), cut in 0usize..4000) {
            for capture in [FFMPEG, GSTREAMER] {
                let bytes = unmarked(&capture[..capture.len() - cut]);
                prop_assert!(scan(&bytes, &sizes) == scan(&bytes, &[usize::MAX]));
            }
        }

        #[test]
        fn damage_costs_no_more_than_the_damaged(
            damage in prop::collection::vec((0usize..60_000, any::<u8>()), 0..40),
            sizes in prop::collection::vec(1usize..2000, 1..10),
        ) {
            let mut bytes = FFMPEG.to_vec();
            for (at, value) in damage {
                bytes[at] = value;
            }
            let (mut scan, mut out, mut rest) = (Scan::default(), Vec::new(), &bytes[..]);
            for size in sizes.iter().cycle() {
                let (piece, after) = rest.split_at((*size).min(rest.len()));
                scan.push(piece, &mut out);
                prop_assert!(scan.window.len() < 2 * PACKET && scan.held.len() <= MAX_HELD);
                rest = after;
                if rest.is_empty() { break }
            }
        }

        #[test]
        fn foreign_bytes_never_panic(packets: Vec<[[u8; 16]; 2]>, pid in 0u8..2) {
            let (mut scan, mut out) = (Scan::default(), Vec::new());
            for [head, tail] in packets {
                let mut raw = [0; PACKET];
                raw[..16].copy_from_slice(&head);
                raw[16..32].copy_from_slice(&tail);
                raw[0] = SYNC;
                raw[1] = raw[1] & 0x40 | pid;
                scan.push(&raw, &mut out);
            }
            scan.finish(&mut out);
        }
    }
}
