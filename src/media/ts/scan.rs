//! Finds tables and join points in a transport stream.

use super::keyframe::KeyframeDetector;
use super::m2ts::{M2tsUnwrapper, PacketFraming};
use super::packet::{PACKET, PAT_PID, Packet, SYNC, set_counter};
use super::parameter_sets::ParameterSets;
use super::psi::{Codec, Psi, Video};
use crate::media::Kind;
use crate::media::byte_window::ByteWindow;
use crate::media::scanned::{Cutter, Scanned};
use bytes::Bytes;

/// Most packets held back until it is known whether a join point begins with them.
const MAX_HELD: usize = 64 * PACKET;
/// After so many frames without a keyframe, marks are believed though the bytes do not show why: 10 s at 60 frames a second.
const MAX_GROUP: u32 = 600;

/// Cuts a transport stream at its join points. Bytes that are no packets are skipped.
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
    /// The encoder sets `random_access_indicator`, so that its absence means something where only the mark shows it.
    is_marked: bool,
    /// Frames since the last keyframe, of those whose bytes show what they are.
    since_key: u32,
    /// The newest ones, and how many packets were added to the video for their sake, modulo 16.
    sets: ParameterSets,
    added: u8,
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
    Frame(Frame),
}

/// A frame whose kind is not known yet.
#[derive(Debug)]
struct Frame {
    detector: KeyframeDetector,
    /// `random_access_indicator`.
    is_marked: bool,
    /// Where its first packet is among those that are held.
    at: usize,
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
        if let (State::Frame(frame), Role::FrameRest) = (&mut self.state, &role) {
            let key = frame.detector.push(packet.payload());
            self.hold(packet);
            match key {
                Some(key) => self.judge(key, out),
                None => self.bound(out),
            }
            return;
        }
        match role {
            Role::Frame(video) => {
                self.settle_frame(out);
                let at = self.held.len();
                self.hold(packet);
                let mut detector = KeyframeDetector::new(video.codec, !self.sets.is_empty());
                let key = detector.push(packet.payload());
                self.state = State::Frame(Frame { detector, is_marked: packet.is_random_access(), at });
                match key {
                    Some(key) => self.judge(key, out),
                    None => self.bound(out),
                }
            }
            Role::Join => {
                self.settle_frame(out);
                self.hold(packet);
                self.settle(Kind::Keyframe, out);
            }
            Role::Table | Role::Filler | Role::Other | Role::FrameRest => {
                match (&self.state, &role) {
                    (State::Open, Role::Table) => self.state = State::Tables,
                    (State::Tables, Role::Other | Role::FrameRest) => self.settle(Kind::Delta, out),
                    _ => {}
                }
                if matches!(self.state, State::Open) {
                    let raw = self.renumbered(packet);
                    self.cutter.append(&raw);
                } else {
                    self.hold(packet);
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
                if video.codec != Codec::Other && !packet.is_scrambled() {
                    return Role::Frame(video);
                }
                // Only the mark shows it.
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
            self.since_key = 0;
            self.sets = ParameterSets::default();
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

    /// The bytes of a frame show what it is. A mark counts where decoding recovers, or where no keyframe comes: what an encoder marks
    /// besides is often every frame, or the first one only.
    fn judge(&mut self, is_key: bool, out: &mut Vec<Scanned>) {
        let State::Frame(Frame { detector, is_marked, at }) = std::mem::take(&mut self.state) else { return };
        let sets = detector.sets();
        if !sets.is_empty() {
            self.sets.keep(sets, detector.has_sequence());
        }
        self.since_key = if is_key { 0 } else { self.since_key.saturating_add(1) };
        let is_join = is_key || is_marked && (detector.recovers() || self.since_key > MAX_GROUP);
        if is_join && !detector.has_sequence() && !self.sets.is_empty() {
            self.complete(at, detector.place_of_sets());
        }
        self.settle(if is_join { Kind::Keyframe } else { Kind::Delta }, out);
    }

    /// Puts the parameter sets into the frame that begins `at` these held bytes, `place` bytes after the begin of its PES packet.
    fn complete(&mut self, at: usize, place: usize) {
        let (before, frame) = self.held.split_at_checked(at).unwrap_or((&self.held, &[]));
        let Some((first, rest)) = frame.split_first_chunk::<PACKET>() else { return };
        let Some(packet) = Packet::new(first) else { return };
        let Some(packets) = self.sets.insert(packet, place) else { return };
        let added = (packets.len() - 1) as u8 & 0x0f;
        let mut rest = rest.to_vec();
        for raw in rest.as_chunks_mut::<PACKET>().0 {
            renumber(raw, packet.pid(), added);
        }
        self.held = [before, packets.as_flattened(), &rest].concat();
        self.added = self.added.wrapping_add(added) & 0x0f;
    }

    /// The packet with the counter that it has after those that were added.
    fn renumbered(&self, packet: Packet<'_>) -> [u8; PACKET] {
        let mut raw = *packet.raw();
        if self.added != 0
            && let Some(video) = self.psi.program().and_then(|program| program.video)
        {
            renumber(&mut raw, video.pid, self.added);
        }
        raw
    }

    fn hold(&mut self, packet: Packet<'_>) {
        let raw = self.renumbered(packet);
        self.held.extend_from_slice(&raw);
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

fn renumber(raw: &mut [u8; PACKET], pid: u16, added: u8) {
    let counter = Packet::new(raw).filter(|packet| packet.pid() == pid).map(Packet::counter);
    if let Some(counter) = counter {
        set_counter(raw, counter.wrapping_add(added));
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
        // Where ffprobe sees the keyframes, less the PAT and PMT before them (376 bytes) if there are any.
        check(FFMPEG, &[188, 20_304, 40_232]);
        check(GSTREAMER, &[0, 23_688, 45_308]);
        check(MPEG2, &[188, 38_540]);
        check(H265, &[188, 19_176]);
    }

    /// The capture with this mark at each frame: its number, and whether it has one now.
    fn marked(capture: &[u8], mark: impl Fn(usize, bool) -> bool) -> Vec<u8> {
        let (mut bytes, mut number) = (capture.to_vec(), 0);
        for raw in bytes.as_chunks_mut::<PACKET>().0 {
            let packet = Packet::new(raw).unwrap();
            if packet.starts_unit() && packet.payload().starts_with(b"\0\0\x01\xe0") && raw[3] & 0x20 != 0 && raw[4] > 0
            {
                let is_marked = mark(number, raw[5] & 0x40 != 0);
                raw[5] = raw[5] & !0x40 | if is_marked { 0x40 } else { 0 };
                number += 1;
            }
        }
        bytes
    }

    #[test]
    fn what_frames_are_counts_more_than_how_they_are_marked() {
        for capture in [FFMPEG, GSTREAMER, MPEG2, H265] {
            let joins = scan(capture, &[usize::MAX]).joins;
            for bytes in [
                // All of them, the first one only, the wrong ones.
                marked(capture, |_, _| true),
                marked(capture, |number, _| number == 0),
                marked(capture, |number, is_marked| number > 0 && !is_marked),
            ] {
                assert_eq!(scan(&bytes, &[1316]).joins, joins);
            }
        }
    }

    /// The capture with these NAL units only before the first slice, as an encoder makes it that writes them once. The PES
    /// packets of the video are made again.
    fn once(capture: &[u8], is_set: fn(&[u8]) -> bool) -> Vec<u8> {
        let mut out: Vec<[u8; PACKET]> = Vec::new();
        let (mut frame, mut counter, mut has_sets): (Vec<[u8; PACKET]>, u8, bool) = (Vec::new(), 0, false);
        let mut flush = |frame: &mut Vec<[u8; PACKET]>, out: &mut Vec<[u8; PACKET]>| {
            let Some(first) = frame.first().copied() else { return };
            let packet = Packet::new(&first).unwrap();
            let pes: Vec<u8> = frame.iter().flat_map(|raw| Packet::new(raw).unwrap().payload().to_vec()).collect();
            let (head, data) = pes.split_at(9 + usize::from(pes[8]));
            let starts: Vec<usize> =
                (0..data.len().saturating_sub(3)).filter(|at| data[*at..].starts_with(&[0, 0, 1])).collect();
            let mut kept = Vec::new();
            for (index, start) in starts.iter().enumerate() {
                let unit = &data[start + 3..starts.get(index + 1).copied().unwrap_or(data.len())];
                if !(is_set(unit) && has_sets) {
                    kept.extend_from_slice(&[0, 0, 1]);
                    kept.extend_from_slice(unit);
                }
            }
            has_sets |= starts.iter().any(|start| is_set(&data[start + 3..]));
            let mut head = head.to_vec();
            head[4..6].fill(0);
            let mut empty = [0xff; PACKET];
            empty[..4].copy_from_slice(&[SYNC, first[1], first[2], 0x30 | counter]);
            let adaptation = packet.adaptation_without_stuffing();
            empty[4] = (PACKET - 5 - head.len()) as u8;
            empty[5] = 0;
            empty[5..5 + adaptation.len()].copy_from_slice(adaptation);
            empty[PACKET - head.len()..].copy_from_slice(&head);
            let mut payload = vec![empty];
            for part in kept.chunks(184) {
                counter = (counter + 1) & 15;
                let mut raw = [0xff; PACKET];
                raw[..4].copy_from_slice(&[SYNC, first[1] & 0x1f, first[2], 0x10 | counter]);
                if part.len() < 184 {
                    raw[3] |= 0x20;
                    raw[4] = (183 - part.len()) as u8;
                    if raw[4] > 0 {
                        raw[5] = 0;
                    }
                }
                raw[PACKET - part.len()..].copy_from_slice(part);
                payload.push(raw);
            }
            counter = (counter + 1) & 15;
            out.append(&mut payload);
            frame.clear();
        };
        for raw in capture.as_chunks::<PACKET>().0 {
            let packet = Packet::new(raw).unwrap();
            if packet.pid() != 0x100 {
                out.push(*raw);
                continue;
            }
            if packet.starts_unit() {
                flush(&mut frame, &mut out);
            }
            frame.push(*raw);
        }
        flush(&mut frame, &mut out);
        out.concat()
    }

    #[test]
    fn sets_that_come_once_are_in_front_of_each_keyframe() {
        let sets_of = |packets: &[u8], is_set: fn(&[u8]) -> bool| {
            let packets = packets.as_chunks::<PACKET>().0.iter().map(|raw| Packet::new(raw).unwrap());
            let bytes: Vec<u8> =
                packets.filter(|packet| packet.pid() == 0x100).flat_map(|packet| packet.payload().to_vec()).collect();
            bytes.windows(5).filter(|five| five.starts_with(&[0, 0, 1]) && is_set(&five[3..])).count()
        };
        type IsSet = fn(&[u8]) -> bool;
        let cases: [(&[u8], IsSet); 3] = [
            (FFMPEG, |unit| matches!(unit[0] & 0x1f, 7 | 8)),
            (H265, |unit| matches!(unit[0] >> 1 & 0x3f, 32..=34)),
            (MPEG2, |unit| matches!(unit, [0xb3, ..] | [0xb5, 0x10..=0x2f, ..])),
        ];
        for (capture, is_set) in cases {
            let bytes = once(capture, is_set);
            let found = scan(&bytes, &[usize::MAX]);
            assert_eq!(found.joins.len(), scan(capture, &[usize::MAX]).joins.len());
            let mut last = None;
            for raw in found.media.as_chunks::<PACKET>().0 {
                let packet = Packet::new(raw).unwrap();
                if packet.pid() == 0x100 && packet.has_payload() {
                    assert!(last.is_none_or(|last: u8| (last + 1) & 15 == packet.counter()));
                    last = Some(packet.counter());
                }
            }
            let mut parts: Vec<&[u8]> = found.joins.windows(2).map(|pair| &found.media[pair[0]..pair[1]]).collect();
            parts.push(&found.media[*found.joins.last().unwrap()..]);
            let first = sets_of(parts[0], is_set);
            assert!(first > 0);
            for part in parts {
                assert!(sets_of(part, is_set) >= first, "{} of {first}", sets_of(part, is_set));
            }
            // In pieces as in one.
            assert!(scan(&bytes, &[PACKET]).media == found.media);
        }
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
            // Tables wait for what they introduce, and a frame until its first slice shows what it is; nothing else waits.
            let held = (at + 1) * PACKET - sent;
            let is_table = [0, 17, 4096].contains(&Packet::new(raw).unwrap().pid());
            let undecided = matches!(scan.state, State::Frame(_)).then_some(6 * PACKET).unwrap_or_default();
            assert!(held == 0 || is_table && held <= 3 * PACKET || held <= undecided, "{held}");
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
