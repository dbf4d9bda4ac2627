//! Parameter sets of encoders that write them once: they are kept, and put into each keyframe that lacks them, so that a decoder may
//! begin there.

use super::packet::{PACKET, Packet, SYNC};

/// Longest sets of one stream. Those of real streams have some hundred bytes.
const MAX_SETS: usize = 4 << 10;
/// Most sets of one kind that come one by one.
const MAX_UNITS: usize = 16;
/// Header and adaptation field of a packet at the least.
const HEAD: usize = 4;

/// The newest sets of a video stream, each with its start code, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct ParameterSets {
    units: Vec<Vec<u8>>,
}

impl ParameterSets {
    /// A frame has these. With `is_sequence` they begin with what all others refer to, and replace what was kept.
    pub(super) fn keep(&mut self, units: Vec<Vec<u8>>, is_sequence: bool) {
        if is_sequence {
            self.units.clear();
        }
        for unit in units {
            self.units.retain(|known| *known != unit);
            self.units.push(unit);
        }
        let excess = self.units.len().saturating_sub(MAX_UNITS);
        self.units.drain(..excess);
        if self.units.iter().map(Vec::len).sum::<usize>() > MAX_SETS {
            self.units.clear();
        }
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.units.is_empty()
    }

    /// The packets to send in place of `first`, with which a frame begins: the sets are part of the frame then, `at` bytes after the
    /// begin of its PES packet, or at the end of the packet if that comes first. `None` when not even the head of the PES packet is in
    /// the packet. Counters go up from that of `first`.
    pub(super) fn insert(&self, first: Packet<'_>, at: usize) -> Option<Vec<[u8; PACKET]>> {
        let head = 9 + usize::from(*first.payload().get(8)?);
        let (before, after) = first.payload().split_at_checked(at.min(first.payload().len()).max(head))?;
        let mut payload = [before, &self.units.concat(), after].concat();
        // `PES_packet_length` counts what follows it; 0 of video is any length (section 2.4.3.7).
        if let Some(field) = payload.get_mut(4..6)
            && let &mut [high, low] = field
        {
            let length = usize::from(u16::from_be_bytes([high, low]));
            let added = self.units.iter().map(Vec::len).sum::<usize>();
            let longer = if length == 0 { 0 } else { u16::try_from(length + added).unwrap_or(0) };
            field.copy_from_slice(&longer.to_be_bytes());
        }
        let mut adaptation = first.adaptation_without_stuffing();
        let mut rest = payload.as_slice();
        let (mut packets, mut counter, mut begins) = (Vec::new(), first.counter(), true);
        while !rest.is_empty() {
            let room = PACKET - HEAD - if adaptation.is_empty() { 0 } else { 1 + adaptation.len() };
            let (part, left) = rest.split_at(room.min(rest.len()));
            packets.push(packet(first, std::mem::take(&mut adaptation), part, counter, begins));
            (rest, counter, begins) = (left, counter.wrapping_add(1) & 0x0f, false);
        }
        Some(packets)
    }
}

/// A packet like `of` with this adaptation field, without its length, and this payload; what is left is stuffed.
fn packet(of: Packet<'_>, adaptation: &[u8], payload: &[u8], counter: u8, begins: bool) -> [u8; PACKET] {
    let [_, high, low, control, ..] = *of.raw();
    let mut bytes = vec![SYNC, if begins { high } else { high & !0x40 }, low, control & 0xc0 | 0x10 | counter];
    let missing = PACKET - HEAD - payload.len();
    if missing > 0 {
        if let Some(control) = bytes.get_mut(3) {
            *control |= 0x20;
        }
        // Never more than a packet.
        bytes.push((missing - 1) as u8);
        if adaptation.is_empty() && missing > 1 {
            bytes.push(0);
        }
        bytes.extend_from_slice(adaptation);
        bytes.resize(PACKET - payload.len(), 0xff);
    }
    bytes.extend_from_slice(payload);
    let mut raw = [0xff; PACKET];
    raw.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
    raw
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn first(adaptation: &[u8], payload: &[u8]) -> [u8; PACKET] {
        let mut raw = [0xff; PACKET];
        raw[..4].copy_from_slice(&[SYNC, 0x41, 0, 0x1d]);
        let at = PACKET - payload.len();
        if at > 4 {
            raw[3] |= 0x20;
            raw[4] = (at - 5) as u8;
            if at > 5 {
                raw[5] = 0;
            }
            raw[5..5 + adaptation.len()].copy_from_slice(adaptation);
        }
        raw[at..].copy_from_slice(payload);
        raw
    }

    fn sets(units: &[&[u8]]) -> ParameterSets {
        let mut sets = ParameterSets::default();
        sets.keep(units.iter().map(|unit| unit.to_vec()).collect(), true);
        sets
    }

    #[test]
    fn sets_are_part_of_the_frame() {
        let pes = b"\0\0\x01\xe0\0\x0a\x80\x00\x00AUD-frame";
        let raw = first(&[], pes);
        let packets = sets(&[b"SPS", b"PPS"]).insert(Packet::new(&raw).unwrap(), 12).unwrap();
        assert_eq!(packets.len(), 1);
        let packet = Packet::new(&packets[0]).unwrap();
        assert_eq!(packet.payload(), b"\0\0\x01\xe0\0\x10\x80\x00\x00AUDSPSPPS-frame");
        assert!(packet.starts_unit() && packet.pid() == 0x100 && packet.counter() == 13);
        let packets = sets(&[b"SPS"]).insert(Packet::new(&raw).unwrap(), 100).unwrap();
        assert!(Packet::new(&packets[0]).unwrap().payload().ends_with(b"-frameSPS"));
        let raw = first(&[], &pes[..8]);
        assert_eq!(sets(&[b"SPS"]).insert(Packet::new(&raw).unwrap(), 12), None);
    }

    #[test]
    fn newer_sets_replace_older_ones() {
        let mut sets = sets(&[b"sps1", b"pps1"]);
        sets.keep(vec![b"pps2".to_vec()], false);
        sets.keep(vec![b"pps1".to_vec()], false);
        assert_eq!(sets.units, [b"sps1", b"pps2", b"pps1"]);
        sets.keep(vec![b"sps2".to_vec(), b"pps3".to_vec()], true);
        assert_eq!(sets.units, [b"sps2", b"pps3"]);
        sets.keep(vec![vec![0; MAX_SETS + 1]], false);
        assert!(sets.is_empty());
        (0..100).for_each(|number| sets.keep(vec![vec![number]], false));
        assert_eq!(sets.units.len(), MAX_UNITS);
    }

    proptest! {
        #[test]
        fn nothing_of_the_frame_is_lost(
            payload in prop::collection::vec(any::<u8>(), 15..=184),
            length in 1usize..600,
            has_clock: bool,
        ) {
            let mut payload = payload;
            payload[..9].copy_from_slice(b"\0\0\x01\xe0\0\0\x80\x00\x00");
            let adaptation: &[u8] = if has_clock { b"\x50\x01\x02\x03\x04\x05\x06" } else { b"" };
            payload.truncate(184 - if adaptation.is_empty() { 0 } else { 8 });
            let raw = first(adaptation, &payload);
            let new = vec![7; length];
            let packets = sets(&[&new]).insert(Packet::new(&raw).unwrap(), 9).unwrap();
            let mut found = Vec::new();
            for (number, raw) in packets.iter().enumerate() {
                let packet = Packet::new(raw).unwrap();
                prop_assert_eq!(packet.counter(), (13 + number as u8) & 15);
                prop_assert_eq!(packet.starts_unit(), number == 0);
                found.extend_from_slice(packet.payload());
            }
            prop_assert_eq!(found, [&payload[..9], &new, &payload[9..]].concat());
            prop_assert_eq!(Packet::new(&packets[0]).unwrap().is_random_access(), has_clock);
            prop_assert_eq!(Packet::new(&packets[0]).unwrap().clock_reference().is_some(), has_clock);
        }
    }
}
