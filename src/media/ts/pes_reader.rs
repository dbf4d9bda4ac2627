//! Puts PES packets together from the transport packets of one PID (ISO/IEC 13818-1, sections 2.4.3.3 and 2.4.3.6).

use super::clock::read_stamp;
use super::packet::{PACKET, Packet};
use bytes::{Bytes, BytesMut};

/// Longest PES packet of video: twice the largest keyframe that anybody sends live.
const MAX_VIDEO: usize = 8 << 20;
/// Longest PES packet of audio: more than its length field can say.
const MAX_AUDIO: usize = 256 << 10;
/// A PES packet without a length ends with the transport packet that is stuffed, if so many in a row did.
const CONFIRMATIONS: u8 = 4;
/// Room for the first PES packet, whose size is not known.
const FIRST_ROOM: usize = 16 << 10;

/// One PES packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pes {
    /// What is after its header.
    pub(super) payload: Bytes,
    /// PTS and DTS, 33 bits each.
    pub(super) pts: Option<u64>,
    pub(super) dts: Option<u64>,
    /// Something was lost before it, or its source says that it does not continue what was before.
    pub(super) discontinuity: bool,
}

/// Reads the PES packets of one PID.
#[derive(Debug)]
pub(super) struct PesReader {
    limit: usize,
    buffer: BytesMut,
    state: State,
    continuity: Option<Continuity>,
    endings: Endings,
    /// See [`Pes::discontinuity`], for the next one.
    discontinuity: bool,
    is_scrambled: bool,
    /// Bytes of the last PES packet.
    room: usize,
}

#[derive(Debug)]
enum State {
    /// Until the next PES packet begins.
    Waiting,
    /// As before, and the last one was taken as complete because its last transport packet was stuffed.
    Guessed,
    Reading {
        /// The last transport packet was stuffed.
        is_stuffed: bool,
    },
}

/// The last packet that counted.
#[derive(Debug)]
struct Continuity {
    counter: u8,
    payload: [u8; PACKET],
    length: usize,
}

/// Whether the stuffing of transport packets shows where PES packets of no length end. It does for all muxers that are known: only
/// a PES packet that fits exactly has none.
#[derive(Debug, Default)]
struct Endings {
    confirmed: u8,
    is_refuted: bool,
}

impl PesReader {
    /// For the PID of a stream.
    pub(super) fn new(is_video: bool) -> Self {
        Self {
            limit: if is_video { MAX_VIDEO } else { MAX_AUDIO },
            buffer: BytesMut::new(),
            state: State::Waiting,
            continuity: None,
            endings: Endings::default(),
            discontinuity: false,
            is_scrambled: false,
            room: FIRST_ROOM,
        }
    }

    /// Takes the next transport packet; gives the PES packets that are complete with it to `each`, two at most.
    pub(super) fn push(&mut self, packet: Packet<'_>, each: &mut impl FnMut(Pes)) {
        if packet.is_damaged() {
            return;
        }
        if !packet.has_payload() {
            if packet.is_discontinuity() {
                self.lose();
            }
            return;
        }
        let payload = packet.payload();
        if self.is_repeated(packet) {
            return;
        }
        let follows = self.continuity.as_ref().is_none_or(|last| (last.counter + 1) & 15 == packet.counter());
        let is_announced = packet.is_discontinuity() && packet.starts_unit();
        if !(follows || is_announced) {
            self.lose();
        }
        if packet.starts_unit()
            && let State::Reading { is_stuffed } = self.state
        {
            self.endings.confirmed = self.endings.confirmed.saturating_add(u8::from(is_stuffed));
            self.complete(each);
        }
        self.discontinuity |= packet.is_discontinuity() || !follows;
        self.remember(packet);
        if packet.is_scrambled() {
            self.is_scrambled = true;
            return self.lose();
        }
        if packet.starts_unit() {
            self.buffer.clear();
            self.buffer.reserve(self.room);
            self.state = State::Reading { is_stuffed: false };
        }
        let State::Reading { is_stuffed } = &mut self.state else {
            if matches!(self.state, State::Guessed) {
                self.endings.is_refuted = true;
                self.lose();
            }
            return;
        };
        if std::mem::replace(is_stuffed, packet.has_stuffing()) {
            // There was more after a stuffed packet.
            self.endings.is_refuted = true;
        }
        let is_stuffed = *is_stuffed;
        if self.buffer.len() + payload.len() > self.limit {
            return self.lose();
        }
        self.buffer.extend_from_slice(payload);
        match self.buffer.get(4..6).map(|length| length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)))
        {
            Some(0) if is_stuffed && !self.endings.is_refuted && self.endings.confirmed >= CONFIRMATIONS => {
                self.complete(each);
                self.state = State::Guessed;
            }
            Some(length @ 1..) if self.buffer.len() >= 6 + length => {
                self.buffer.truncate(6 + length);
                self.complete(each);
            }
            _ => {}
        }
    }

    /// What comes next is not waited for: a PES packet that seems to be whole is, because its last transport packet is stuffed.
    pub(super) fn settle(&mut self, each: &mut impl FnMut(Pes)) {
        if matches!(self.state, State::Reading { is_stuffed: true }) && !self.endings.is_refuted {
            self.complete(each);
            self.state = State::Guessed;
        }
    }

    /// No more will come.
    pub(super) fn finish(&mut self, each: &mut impl FnMut(Pes)) {
        if let State::Reading { .. } = self.state {
            self.complete(each);
        }
    }

    /// Whether scrambled packets were dropped.
    pub(super) fn is_scrambled(&self) -> bool {
        self.is_scrambled
    }

    /// A packet may be sent twice; only its PCR may differ then (section 2.4.3.3).
    fn is_repeated(&self, packet: Packet<'_>) -> bool {
        self.continuity.as_ref().is_some_and(|last| {
            last.counter == packet.counter()
                && !packet.is_discontinuity()
                && last.payload.get(..last.length) == Some(packet.payload())
        })
    }

    fn remember(&mut self, packet: Packet<'_>) {
        let last = self.continuity.get_or_insert(Continuity { counter: 0, payload: [0; PACKET], length: 0 });
        last.counter = packet.counter();
        last.length = packet.payload().len();
        if let Some(place) = last.payload.get_mut(..last.length) {
            place.copy_from_slice(packet.payload());
        }
    }

    /// What was read of a PES packet is of no use.
    fn lose(&mut self) {
        self.discontinuity = true;
        self.state = State::Waiting;
        self.buffer.clear();
    }

    fn complete(&mut self, each: &mut impl FnMut(Pes)) {
        self.state = State::Waiting;
        let mut bytes = self.buffer.split();
        // The next one is about as long; a keyframe is not.
        self.room = (self.room / 2 + bytes.len()).min(self.limit);
        let Some(Header { pts, dts, length }) = Header::parse(&bytes) else {
            self.discontinuity = true;
            return;
        };
        let payload = bytes.split_off(length).freeze();
        if !payload.is_empty() {
            let discontinuity = std::mem::take(&mut self.discontinuity);
            each(Pes { payload, pts, dts, discontinuity });
        }
    }
}

/// The header of a PES packet.
struct Header {
    pts: Option<u64>,
    dts: Option<u64>,
    length: usize,
}

impl Header {
    /// `None` for what is none, carries no media, or is scrambled.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let &[0, 0, 1, id, _, _, marks, flags, rest] = bytes.first_chunk::<9>()? else { return None };
        // These have no such header (table 2-21); two mark bits, and no scrambling.
        if matches!(id, 0xbc | 0xbe | 0xbf | 0xf0 | 0xf1 | 0xf2 | 0xf8 | 0xff) || marks & 0xf0 != 0x80 {
            return None;
        }
        let length = 9 + usize::from(rest);
        let fields = bytes.get(9..length)?;
        let stamp = |at: usize| fields.get(at..).and_then(|field| field.first_chunk()).map(read_stamp);
        let (pts, dts) = match flags >> 6 {
            2 => (stamp(0), None),
            3 => (stamp(0), stamp(5)),
            _ => (None, None),
        };
        Some(Self { pts, dts, length })
    }
}

#[cfg(test)]
mod tests {
    use super::super::pes::{Adaptation, Packetizer, PesHeader, Stamps};
    use super::*;
    use crate::media::{Kind, PacketBuf};

    /// Transport packets of one access unit; `length`: the PES packet says how long it is.
    fn packets(counter: &mut u8, at: i64, payload: &[u8], length: bool) -> Vec<[u8; PACKET]> {
        let header = PesHeader::new(0xe0, Stamps { dts: at, pts: at + 1 }, payload.len());
        let mut head = header.bytes().to_vec();
        if !length {
            head[4..6].fill(0);
        }
        let mut out = PacketBuf::default();
        let mut packetizer =
            Packetizer::new(0x100, counter, Adaptation::default(), head.len() + payload.len(), &mut out);
        packetizer.put(&head);
        packetizer.put(payload);
        out.finish(Kind::Delta).payload().as_chunks::<PACKET>().0.to_vec()
    }

    /// DTS, length and flag of each PES packet, and after how many transport packets it came.
    fn read(reader: &mut PesReader, packets: &[[u8; PACKET]]) -> Vec<(u64, usize, bool, usize)> {
        let mut found = Vec::new();
        for (at, raw) in packets.iter().enumerate() {
            reader.push(Packet::new(raw).unwrap(), &mut |pes: Pes| {
                found.push((pes.dts.unwrap(), pes.payload.len(), pes.discontinuity, at + 1));
            });
        }
        found
    }

    fn rig(length: bool, sizes: &[usize]) -> Vec<Vec<[u8; PACKET]>> {
        let mut counter = 5;
        sizes
            .iter()
            .enumerate()
            .map(|(at, size)| packets(&mut counter, at as i64, &vec![at as u8; *size], length))
            .collect()
    }

    #[test]
    fn a_length_ends_a_packet_and_so_does_the_next_one() {
        let stream = rig(true, &[500, 10, 400]).concat();
        assert_eq!(
            read(&mut PesReader::new(false), &stream),
            [(0, 500, false, 3), (1, 10, false, 4), (2, 400, false, 7)]
        );
        let stream = rig(false, &[500, 10, 400]).concat();
        assert_eq!(read(&mut PesReader::new(true), &stream), [(0, 500, false, 4), (1, 10, false, 5)]);
    }

    #[test]
    fn stuffing_ends_a_packet_once_it_always_did() {
        let sizes = [500, 10, 400, 700, 165, 900, 30];
        let found = read(&mut PesReader::new(true), &rig(false, &sizes).concat());
        let at: Vec<usize> = found.iter().map(|found| found.3).collect();
        // The fifth fits exactly into one packet.
        assert_eq!(at, [4, 5, 8, 12, 13, 17, 18]);
        // A muxer that stuffs anywhere.
        let mut parts = rig(false, &[100; 9]);
        let mut more = parts[7][0];
        more[1] &= !0x40;
        more[3] = parts[7][0][3] & 0xf0 | (parts[7][0][3] + 1) & 15;
        parts.truncate(8);
        let mut reader = PesReader::new(true);
        assert_eq!(read(&mut reader, &parts.concat()).len(), 8);
        read(&mut reader, &[more]);
        assert!(reader.endings.is_refuted && reader.discontinuity);
    }

    #[test]
    fn what_was_damaged_is_dropped_and_said() {
        let parts = rig(true, &[500, 500, 500]);
        let lossy = [&parts[0][..], &parts[1][..1], &parts[1][2..], &parts[2]].concat();
        assert_eq!(read(&mut PesReader::new(true), &lossy), [(0, 500, false, 3), (2, 500, true, 8)]);
        // A receiver marks what it could not repair.
        let mut marked = parts.concat();
        marked[4][1] |= 0x80;
        assert_eq!(read(&mut PesReader::new(true), &marked), [(0, 500, false, 3), (2, 500, true, 9)]);
        // What is sent twice is no loss.
        let twice: Vec<_> = parts.concat().into_iter().flat_map(|raw| [raw, raw]).collect();
        assert!(read(&mut PesReader::new(true), &twice).iter().all(|found| !found.2));
        let mut scrambled = parts.concat();
        scrambled[1][3] |= 0x80;
        let mut reader = PesReader::new(true);
        assert_eq!(read(&mut reader, &scrambled).len(), 2);
        assert!(reader.is_scrambled());
    }

    #[test]
    fn an_announced_discontinuity_damages_nothing() {
        let mut parts = rig(false, &[500, 500]);
        parts[1] = rig(false, &[500, 500])[1].clone();
        for raw in &mut parts[1] {
            raw[3] = raw[3] & 0xf0 | (raw[3] + 5) & 15;
        }
        let mut first = parts[1][0];
        first[3] |= 0x20;
        first[4..].copy_from_slice(&[&[1, 0x80][..], &parts[1][0][4..186]].concat());
        parts[1][0] = first;
        let found = read(&mut PesReader::new(true), &[parts.concat(), rig(false, &[1])[0].clone()].concat());
        assert_eq!(found.iter().map(|found| found.2).collect::<Vec<_>>(), [false]);
        let mut reader = PesReader::new(true);
        read(&mut reader, &parts[0]);
        read(&mut reader, &[super::super::packet::discontinuity(0x100, 7)]);
        assert!(matches!(reader.state, State::Waiting), "what it was in is cut off");
    }

    #[test]
    fn memory_is_bounded() {
        let mut reader = PesReader::new(false);
        let mut counter = 0;
        let endless = packets(&mut counter, 0, &vec![1; 1 << 20], false);
        assert_eq!(read(&mut reader, &endless), []);
        assert!(reader.buffer.capacity() <= 2 * MAX_AUDIO);
        let next = packets(&mut counter, 1, &[1; 100], true);
        assert_eq!(read(&mut reader, &next), [(1, 100, true, 1)]);
    }
}
