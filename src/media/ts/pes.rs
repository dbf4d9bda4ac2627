//! PES packets, which carry one access unit each, and how they are cut into transport packets (section 2.4.3.6).

use super::packet::{PACKET, SYNC};
use crate::media::{PacketBuf, Time};

/// Ticks of a second of PTS, DTS and the base of the PCR.
pub(super) const CLOCK: u32 = 90_000;
/// Where timestamps begin, so that what is decoded before the origin of the timeline has one: one hour.
pub(super) const BASE: i64 = 3600 * CLOCK as i64;
/// Timestamps have 33 bits.
const STAMP: i64 = (1 << 33) - 1;
/// Bytes of a PES packet that its length does not count.
const PES_FIXED: usize = 6;
/// Bytes of the longest header that we write: with PTS and DTS.
const PES_HEADER: usize = 19;
/// Bytes that a transport packet has besides its header.
const ROOM: usize = PACKET - 4;

/// DTS and PTS of an access unit, in ticks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stamps {
    pub(super) dts: i64,
    pub(super) pts: i64,
}

/// A time as a timestamp of 33 bits.
pub(super) fn ticks(time: Time) -> i64 {
    time.ticks(CLOCK).wrapping_add(BASE) & STAMP
}

/// The header of a PES packet.
#[derive(Debug)]
pub(super) struct PesHeader {
    bytes: [u8; PES_HEADER],
    length: usize,
}

impl PesHeader {
    /// The header for a payload of so many bytes. It says how long the packet is, so that a demuxer does not wait for the next
    /// one. Only video may be too long for that, and says nothing.
    pub(super) fn new(stream_id: u8, Stamps { dts, pts }: Stamps, payload: usize) -> Self {
        // `data_alignment_indicator`: an access unit begins with the payload.
        const ALIGNED: u8 = 0x84;
        let length = if dts == pts { 14 } else { PES_HEADER };
        let [high, low] = u16::try_from(length - PES_FIXED + payload).unwrap_or(0).to_be_bytes();
        let (flags, kind, rest) = if dts == pts { (0x80, 0x20, 5) } else { (0xc0, 0x30, 10) };
        let ([p0, p1, p2, p3, p4], [d0, d1, d2, d3, d4]) = (stamp(kind, pts), stamp(0x10, dts));
        let head = [0, 0, 1, stream_id, high, low, ALIGNED, flags, rest, p0, p1, p2, p3, p4, d0, d1, d2, d3, d4];
        Self { bytes: head, length }
    }

    /// Its bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// A timestamp, with marker bits between its parts.
fn stamp(kind: u8, ticks: i64) -> [u8; 5] {
    let part = |shift: u32| (ticks >> shift) as u8;
    [kind | part(29) & 0x0e | 1, part(22), part(14) & 0xfe | 1, part(7), part(0) << 1 | 1]
}

/// What the adaptation field of the first packet of an access unit says (section 2.4.3.4).
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Adaptation {
    /// `discontinuity_indicator`: the time base is another one from here on.
    pub(super) is_discontinuity: bool,
    /// `random_access_indicator`.
    pub(super) is_random_access: bool,
    /// `elementary_stream_priority_indicator`.
    pub(super) has_priority: bool,
    /// The program clock reference, in ticks.
    pub(super) pcr: Option<i64>,
}

impl Adaptation {
    /// The field without its length; empty if there is nothing to say.
    fn field(self) -> ([u8; 7], usize) {
        let flag = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
        let flags = flag(self.is_discontinuity, 0x80)
            | flag(self.is_random_access, 0x40)
            | flag(self.has_priority, 0x20)
            | flag(self.pcr.is_some(), 0x10);
        match self.pcr {
            Some(pcr) => {
                let part = |shift: u32| (pcr >> shift) as u8;
                // 33 bits of the base, six reserved, and nine of the extension.
                ([flags, part(25), part(17), part(9), part(1), part(0) << 7 | 0x7e, 0], 7)
            }
            None => ([flags, 0, 0, 0, 0, 0, 0], usize::from(flags != 0)),
        }
    }

    /// Bytes that it takes of the first packet.
    fn size(self) -> usize {
        match self.field() {
            (_, 0) => 0,
            (_, length) => 1 + length,
        }
    }

    /// Number of transport packets for a PES packet of so many bytes, its header included.
    pub(super) fn packets(self, pes: usize) -> usize {
        1 + pes.saturating_sub(ROOM - self.size()).div_ceil(ROOM)
    }
}

/// Cuts a PES packet into transport packets while it is written; stuffing in the adaptation field fills the last one.
#[derive(Debug)]
pub(super) struct Packetizer<'a> {
    pid: u16,
    counter: &'a mut u8,
    /// For the first packet.
    adaptation: Option<Adaptation>,
    /// Bytes of the PES packet that are still to come.
    left: usize,
    /// Bytes of them that fit into the transport packet that was begun.
    room: usize,
    out: &'a mut PacketBuf,
}

impl<'a> Packetizer<'a> {
    /// For a PES packet of exactly `pes` bytes, its header included.
    pub(super) fn new(
        pid: u16,
        counter: &'a mut u8,
        adaptation: Adaptation,
        pes: usize,
        out: &'a mut PacketBuf,
    ) -> Self {
        Self { pid, counter, adaptation: Some(adaptation), left: pes, room: 0, out }
    }

    /// Writes the next bytes of the PES packet.
    pub(super) fn put(&mut self, mut part: &[u8]) {
        while !part.is_empty() && self.left > 0 {
            if self.room == 0 {
                self.begin_packet();
            }
            let (now, later) = part.split_at(part.len().min(self.room));
            self.out.extend_from_slice(now);
            self.room -= now.len();
            self.left -= now.len();
            part = later;
        }
    }

    fn begin_packet(&mut self) {
        const STUFFING: [u8; ROOM] = [0xff; ROOM];
        let starts = if self.adaptation.is_some() { 0x40 } else { 0 };
        let (field, mut length) = self.adaptation.take().unwrap_or_default().field();
        let said = if length == 0 { 0 } else { 1 + length };
        self.room = (ROOM - said).min(self.left);
        let stuffing = ROOM - said - self.room;
        let has_field = if said + stuffing > 0 { 0x20 } else { 0 };
        let [high, low] = self.pid.to_be_bytes();
        self.out.extend_from_slice(&[SYNC, high & 0x1f | starts, low, 0x10 | has_field | next(self.counter)]);
        if has_field > 0 {
            let total = said + stuffing - 1;
            self.out.extend_from_slice(&[total as u8]);
            // A field that is only stuffing has its flags, if it has anything.
            length = length.max(1).min(total);
            self.out.extend_from_slice(field.get(..length).unwrap_or_default());
            self.out.extend_from_slice(STUFFING.get(..total - length).unwrap_or_default());
        }
    }
}

/// The continuity counter of a packet.
pub(super) fn next(counter: &mut u8) -> u8 {
    std::mem::replace(counter, (*counter + 1) & 0x0f)
}

#[cfg(test)]
mod tests {
    use super::super::packet::Packet;
    use super::*;
    use crate::media::Kind;
    use proptest::prelude::*;

    #[test]
    fn timestamps_wrap_after_26_hours() {
        let hours = |hours: i64| ticks(Time::from_millis(hours * 3_600_000));
        assert_eq!((hours(0), hours(1)), (BASE, 2 * BASE));
        assert!(hours(25) > hours(24) && hours(26) < hours(0));
        assert_eq!(ticks(Time::from_millis(-1)), BASE - 90);
    }

    #[test]
    fn an_access_unit_that_is_too_long_has_no_length() {
        let stamps = Stamps { dts: 5, pts: 5 };
        assert_eq!(PesHeader::new(0xe0, stamps, 65_527).bytes()[4..9], [0xff, 0xff, 0x84, 0x80, 5]);
        assert_eq!(PesHeader::new(0xe0, stamps, 65_528).bytes()[4..6], [0, 0]);
        assert_eq!(PesHeader::new(0xe0, Stamps { dts: 5, pts: 6 }, 1).bytes().len(), 19);
    }

    proptest! {
        #[test]
        fn packets_are_whole_and_as_many_as_announced(
            pes in 1usize..2000,
            cuts in prop::collection::vec(1usize..300, 1..9),
            is_random_access: bool,
            pcr in prop::option::of(0i64..STAMP),
        ) {
            let adaptation = Adaptation { is_random_access, pcr, ..Adaptation::default() };
            let bytes: Vec<u8> = (0..pes).map(|at| at as u8).collect();
            let (mut out, mut counter) = (PacketBuf::default(), 14);
            let mut packetizer = Packetizer::new(0x101, &mut counter, adaptation, pes, &mut out);
            let mut rest = &bytes[..];
            for size in cuts.iter().cycle() {
                let (part, after) = rest.split_at((*size).min(rest.len()));
                packetizer.put(part);
                rest = after;
                if rest.is_empty() { break }
            }
            let payload = out.finish(Kind::Delta).payload();
            let (packets, tail) = payload.as_chunks::<PACKET>();
            prop_assert!(tail.is_empty());
            prop_assert_eq!(packets.len(), adaptation.packets(pes));
            let mut found = Vec::new();
            for (number, raw) in packets.iter().enumerate() {
                let packet = Packet::new(raw).unwrap();
                prop_assert_eq!((packet.pid(), packet.counter()), (0x101, (14 + number as u8) & 15));
                prop_assert_eq!(packet.starts_unit(), number == 0);
                found.extend_from_slice(packet.payload());
            }
            prop_assert_eq!(found, bytes);
            prop_assert_eq!(Packet::new(&packets[0]).unwrap().is_random_access(), is_random_access);
            prop_assert_eq!(Packet::new(&packets[0]).unwrap().clock_reference().is_some(), pcr.is_some());
        }
    }
}
