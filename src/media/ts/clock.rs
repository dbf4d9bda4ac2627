//! Keeps the time of a transport stream going forward, whatever the clock of its source does.
//!
//! All timestamps of a source are of one clock (ISO/IEC 13818-1, sections 2.4.2.2 and 2.4.3.6). When it jumps, one number is
//! added to all that follow, so that video and audio stay together.

use super::packet::{PACKET, PCR_LENGTH, Packet};
use std::collections::BTreeMap;
use std::time::Duration;

/// Ticks in a second of all timestamps but the extension of a PCR, which is left alone.
const SECOND: u64 = 90_000;
/// Timestamps have 33 bits.
pub(super) const WRAP: u64 = 1 << 33;
/// A timestamp that is further ahead of all others is of another clock. Even what sends a frame now and then has a PCR ten
/// times a second.
const FORWARD: i64 = 5 * SECOND as i64;
/// A timestamp that is further behind its own track is of another clock: tracks without DTS go back by some frames.
const BACKWARD: i64 = SECOND as i64;
/// How long after a jump timestamps of the old clock may still come, from tracks that are sent after others.
const SETTLING: i64 = 2 * SECOND as i64;
/// From the last timestamp before a jump to the first one after it: other tracks of the source may have been a little
/// further, and are not to go back.
const STEP: u64 = SECOND / 10;
/// Most tracks that are followed.
const MAX_TRACKS: usize = 64;

/// What is added to the timestamps of a stream, and why.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// Added to every timestamp of the source, modulo [`WRAP`].
    offset: u64,
    /// The offset before the last jump, and the newest timestamp then.
    before: Option<(u64, u64)>,
    /// The newest timestamp of all that were sent.
    newest: Option<u64>,
    /// The last decoding time that was sent, by PID.
    tracks: BTreeMap<u16, u64>,
    /// The last clock reference that was sent, and its PID.
    reference: Option<(u16, u64)>,
    /// The source restarted, this many ticks after the last packet of the one before.
    resumed: Option<u64>,
    jumps: u64,
}

/// Whether a timestamp continues those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fit {
    Good,
    /// It comes too early for its track, but its clock has been joined to the old one only just now.
    Early,
    Jump,
}

impl Clock {
    /// The next packets are of a source that restarted, this long after the last packet of the one before.
    pub(super) fn resume(&mut self, pause: Duration) {
        self.resumed = Some((pause.as_micros() * u128::from(SECOND) / 1_000_000) as u64 % WRAP);
    }

    /// How often the clock of the source was not what it should have been.
    pub(super) fn jumps(&self) -> u64 {
        self.jumps
    }

    /// Moves the timestamps of a packet in place.
    pub(super) fn packet(&mut self, raw: &mut [u8; PACKET]) {
        let Some(packet) = Packet::new(raw) else { return };
        if packet.is_damaged() {
            return;
        }
        let pid = packet.pid();
        if let Some(at) = packet.clock_reference() {
            self.reference(pid, raw, at);
        }
        let Some((pts, dts)) = Packet::new(raw).and_then(Packet::presentation) else { return };
        self.presentation(pid, raw, pts, dts);
    }

    fn reference(&mut self, pid: u16, raw: &mut [u8; PACKET], at: usize) {
        let Some(field) = raw.get_mut(at..at + PCR_LENGTH).and_then(|field| field.first_chunk_mut()) else { return };
        let source = read_pcr(field);
        let last = self.reference.filter(|&(known, _)| known == pid).map(|(_, last)| last);
        let offset = self.offset_for(source, last);
        let sent = moved(source, offset);
        if offset == self.offset {
            self.reference = Some((pid, sent));
        }
        write_pcr(field, sent);
        self.note(sent);
    }

    fn presentation(&mut self, pid: u16, raw: &mut [u8; PACKET], pts: usize, dts: Option<usize>) {
        let decoding = dts.unwrap_or(pts);
        let read = |at: usize| raw.get(at..at + 5).and_then(|field| field.first_chunk()).map(read_stamp);
        let (Some(source), Some(shown)) = (read(decoding), read(pts)) else { return };
        let last = self.tracks.get(&pid).copied();
        let offset = self.offset_for(source, last);
        let mut sent = moved(source, offset);
        let ahead = distance(source, shown);
        if let Some(last) = last
            && self.fit(sent, Some(last)) == Fit::Early
        {
            sent = moved(last, 1);
        }
        let mut write = |at: usize, stamp: u64| {
            if let Some(field) = raw.get_mut(at..at + 5).and_then(|field| field.first_chunk_mut()) {
                write_stamp(field, stamp);
            }
        };
        // What is shown may lie after what is decoded next, never before it.
        write(pts, moved(sent, ahead.rem_euclid(WRAP as i64) as u64));
        if let Some(at) = dts {
            write(at, sent);
        }
        if self.tracks.len() < MAX_TRACKS || self.tracks.contains_key(&pid) {
            self.tracks.insert(pid, sent);
        }
        self.note(sent);
    }

    fn note(&mut self, sent: u64) {
        if self.newest.is_none_or(|newest| distance(newest, sent) > 0) {
            self.newest = Some(sent);
        }
    }

    /// What to add to this timestamp; `last` is the one before it of its track.
    fn offset_for(&mut self, source: u64, last: Option<u64>) -> u64 {
        let Some(newest) = self.newest else {
            self.resumed = None;
            return self.offset;
        };
        let last_of_all = last.unwrap_or(newest);
        if let Some(pause) = self.resumed.take() {
            // Some sources know where they were.
            let ahead = distance(last_of_all, moved(source, self.offset));
            if !(0..FORWARD + pause as i64).contains(&ahead) {
                self.jump(source, newest, moved(last_of_all, pause.max(STEP)));
            }
            self.newest = Some(moved(source, self.offset));
            return self.offset;
        }
        let fits = |offset: u64| self.fit(moved(source, offset), last) != Fit::Jump;
        if fits(self.offset) {
            return self.offset;
        }
        if let Some((before, then)) = self.before
            && distance(then, newest) < SETTLING
            && fits(before)
        {
            return before;
        }
        self.jumps += 1;
        self.jump(source, newest, moved(last_of_all, STEP));
        self.offset
    }

    /// The clock jumped: `source` is to be `target` from now on. All timestamps get the same shift, so one that continues
    /// properly takes the others along; those which would go back a little wait, see [`Fit::Early`].
    fn jump(&mut self, source: u64, newest: u64, target: u64) {
        self.before = Some((self.offset, newest));
        self.offset = distance(source, target).rem_euclid(WRAP as i64) as u64;
        self.newest = Some(target);
    }

    fn fit(&self, sent: u64, last: Option<u64>) -> Fit {
        let behind = last.map_or(0, |last| distance(sent, last));
        let is_settling =
            matches!((self.before, self.newest), (Some((_, then)), Some(newest)) if distance(then, newest) < SETTLING);
        if self.newest.is_some_and(|newest| distance(newest, sent) > FORWARD) || behind > BACKWARD {
            Fit::Jump
        } else if behind >= 0 && last.is_some() && is_settling {
            Fit::Early
        } else {
            Fit::Good
        }
    }
}

/// From one timestamp to another, the shorter way round.
pub(super) fn distance(from: u64, to: u64) -> i64 {
    let forward = to.wrapping_sub(from) % WRAP;
    if forward < WRAP / 2 { forward as i64 } else { forward as i64 - WRAP as i64 }
}

fn moved(stamp: u64, by: u64) -> u64 {
    (stamp + by) % WRAP
}

/// The base of a program clock reference (section 2.4.3.5).
fn read_pcr(field: &[u8; PCR_LENGTH]) -> u64 {
    let [a, b, c, d, e, _] = field.map(u64::from);
    a << 25 | b << 17 | c << 9 | d << 1 | e >> 7
}

fn write_pcr(field: &mut [u8; PCR_LENGTH], base: u64) {
    let [_, _, _, _, low, extension] = *field;
    let [.., a, b, c, d] = ((base >> 1) as u32).to_be_bytes();
    *field = [a, b, c, d, (base as u8 & 1) << 7 | low & 0x7f, extension];
}

/// A PTS or DTS (section 2.4.3.6): 33 bits in three parts, each with a one after it.
pub(super) fn read_stamp(field: &[u8; 5]) -> u64 {
    let [a, b, c, d, e] = field.map(u64::from);
    (a >> 1 & 7) << 30 | b << 22 | (c >> 1) << 15 | d << 7 | e >> 1
}

fn write_stamp(field: &mut [u8; 5], stamp: u64) {
    let bits = |shift: u32| (stamp >> shift) as u8;
    let [first, ..] = *field;
    *field = [first & 0xf1 | bits(29) & 0x0e, bits(22), bits(14) | 1, bits(7), bits(0) << 1 | 1];
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const VIDEO: u16 = 0x100;
    const AUDIO: u16 = 0x101;

    /// A packet that begins a frame with these timestamps.
    fn packet(pid: u16, pcr: Option<u64>, pts: u64, dts: Option<u64>) -> [u8; PACKET] {
        let mut raw = [0xff; PACKET];
        let [high, low] = pid.to_be_bytes();
        raw[..6].copy_from_slice(&[0x47, 0x40 | high, low, 0x30, 7, if pcr.is_some() { 0x10 } else { 0 }]);
        if let Some(pcr) = pcr {
            write_pcr((&mut raw[6..12]).try_into().unwrap(), pcr);
        }
        let flags = if dts.is_some() { 0xc0 } else { 0x80 };
        raw[12..21].copy_from_slice(&[0, 0, 1, 0xe0, 0, 0, 0x80, flags, 10]);
        raw[21] = if dts.is_some() { 0x31 } else { 0x21 };
        write_stamp((&mut raw[21..26]).try_into().unwrap(), pts);
        raw[26] = 0x11;
        if let Some(dts) = dts {
            write_stamp((&mut raw[26..31]).try_into().unwrap(), dts);
        }
        raw
    }

    fn stamps(raw: &[u8; PACKET]) -> (u16, u64, u64) {
        let packet = Packet::new(raw).unwrap();
        let (pts, dts) = packet.presentation().unwrap();
        let read = |at: usize| read_stamp(raw[at..at + 5].try_into().unwrap());
        (packet.pid(), read(pts), read(dts.unwrap_or(pts)))
    }

    /// Three seconds of frames with B-frames, and audio that is sent 100 ms behind them, from this time on.
    fn program(from: u64) -> Vec<[u8; PACKET]> {
        let at = |ticks: u64| (from + ticks) % WRAP;
        let mut packets = Vec::new();
        for frame in 0..75 {
            let time = frame * 3600;
            let shown = [3, 2, 0][frame as usize % 3] * 3600;
            packets.push((time, packet(VIDEO, Some(at(time)), at(time + 40_000 + shown), Some(at(time + 40_000)))));
        }
        for audio in 0..140 {
            let time = audio * 1920;
            packets.push((time + 9000, packet(AUDIO, None, at(time + 40_000), None)));
        }
        packets.sort_by_key(|&(time, _)| time);
        packets.into_iter().map(|(_, raw)| raw).collect()
    }

    fn run(clock: &mut Clock, packets: Vec<[u8; PACKET]>) -> Vec<(u16, u64, u64)> {
        let send = |mut raw| {
            clock.packet(&mut raw);
            stamps(&raw)
        };
        packets.into_iter().map(send).collect()
    }

    /// Fails unless the decoding times of all tracks rise, without gaps; returns how far audio and video are apart at
    /// the end of each three seconds.
    #[track_caller]
    fn check(sent: &[(u16, u64, u64)]) {
        check_with_pauses(sent, SECOND as i64);
    }

    /// The same, of what may have pauses, in ticks.
    #[track_caller]
    fn check_with_pauses(sent: &[(u16, u64, u64)], longest: i64) {
        let mut last: BTreeMap<u16, u64> = BTreeMap::new();
        for &(pid, pts, dts) in sent {
            assert!(distance(dts, pts) >= 0, "shown before it is decoded");
            if let Some(last) = last.insert(pid, dts) {
                let step = distance(last, dts);
                assert!(step > 0 && step < longest, "{pid}: {last} -> {dts}");
            }
        }
        // Both began together, and are as long.
        let apart = distance(last[&VIDEO], last[&AUDIO]).abs();
        assert!(apart < 3600, "{apart} ticks apart");
    }

    #[test]
    fn what_is_in_order_is_left_alone() {
        for from in [0, 1 << 20, WRAP - SECOND, WRAP - 40_000] {
            let packets = program(from);
            let mut clock = Clock::default();
            for mut raw in packets {
                let before = raw;
                clock.packet(&mut raw);
                assert!(raw == before);
            }
            assert_eq!(clock.jumps(), 0);
        }
    }

    #[test]
    fn jumps_are_taken_out() {
        let hour = 3600 * SECOND;
        let mut clock = Clock::default();
        let mut sent = Vec::new();
        for from in [10 * SECOND, 10 * SECOND + hour, 10 * SECOND, WRAP - 2 * SECOND, 7 * SECOND, 7 * SECOND - 50_000] {
            sent.extend(run(&mut clock, program(from)));
        }
        check(&sent);
        // The wrap is none.
        assert_eq!(clock.jumps(), 5);
    }

    #[test]
    fn what_is_left_of_the_old_clock_stays_in_it() {
        let mut clock = Clock::default();
        let (mut old, mut new) = (program(SECOND), program(5000 * SECOND));
        // The last audio frames of the old clock come among the frames of the new one.
        let late: Vec<_> = old.split_off(old.len() - 4);
        let begun: Vec<_> = new.drain(..3).collect();
        let mut sent = run(&mut clock, old);
        sent.extend(run(&mut clock, [begun, late, new].concat()));
        assert_eq!(clock.jumps(), 1);
        check(&sent);
    }

    #[test]
    fn a_source_that_begins_anew_goes_on_after_the_pause() {
        let mut clock = Clock::default();
        let first = run(&mut clock, program(SECOND));
        clock.resume(Duration::from_millis(700));
        let second = run(&mut clock, program(SECOND));
        // As far from the last frame as it came after it.
        let last = first.iter().rev().find(|stamps| stamps.0 == VIDEO).unwrap().2;
        assert_eq!(distance(last, second[0].2), 7 * SECOND as i64 / 10);
        // A source that knows where it was is believed.
        clock.resume(Duration::from_millis(700));
        let third = run(&mut clock, program(5 * SECOND));
        assert_eq!(distance(second[0].2, third[0].2), 4 * SECOND as i64);
        assert_eq!(clock.jumps(), 0, "a new source is no fault");
    }

    proptest! {
        #[test]
        fn stamps_are_written_as_they_are_read(stamp in 0..WRAP, field: [u8; 5], pcr: [u8; 6]) {
            let mut field = field;
            write_stamp(&mut field, stamp);
            prop_assert_eq!(read_stamp(&field), stamp);
            let (mut written, extension) = (pcr, pcr[5]);
            write_pcr(&mut written, stamp);
            prop_assert_eq!((read_pcr(&written), written[5], written[4] & 0x7f), (stamp, extension, pcr[4] & 0x7f));
        }

        #[test]
        fn any_jump_is_taken_out(from in prop::collection::vec(0..WRAP, 1..6)) {
            let mut clock = Clock::default();
            let mut sent = Vec::new();
            for from in from {
                sent.extend(run(&mut clock, program(from)));
            }
            // A small one may be a pause.
            check_with_pauses(&sent, FORWARD + SECOND as i64);
        }

        #[test]
        fn no_bytes_panic(mut packets in prop::collection::vec(prop::array::uniform32(any::<u8>()), 0..50)) {
            let mut clock = Clock::default();
            for bytes in &mut packets {
                let mut raw = [0x47; PACKET];
                raw[1..33].copy_from_slice(bytes);
                clock.packet(&mut raw);
            }
        }
    }
}
