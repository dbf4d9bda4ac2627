//! A packet of forward error correction: a header of RTP, one that names the packets it protects (SMPTE 2022-1, section 8), and their sum.

use super::{super::HEADER, MAX_PACKET, parity::Parity};

/// Bytes before the payload: the header of RTP, and that of the correction.
const HEADERS: usize = HEADER + 16;
/// The payload type. Receivers know these packets by their port.
const PAYLOAD_TYPE: u8 = 96;
/// The header has its second part, which has the place in the matrix.
const EXTENDED: u8 = 0x80;
/// It protects a row, not a column.
const ROW: u8 = 0x40;
/// Another version of the header, or another code than XOR.
const OTHER: u8 = 0x80 | 0x38;
/// From the first packet that one protects to the last one: the largest matrix has 100 packets, some programs make larger ones.
const MAX_SPAN: u16 = 400;

/// What one packet protects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Packets one below the other, as many apart as the matrix has columns.
    Column,
    /// Packets that follow each other.
    Row,
}

/// The packets that one protects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Protected {
    pub(super) direction: Direction,
    /// The number of the first one.
    pub(super) base: u16,
    /// From one to the next.
    pub(super) offset: u8,
    pub(super) count: u8,
}

impl Protected {
    /// Their numbers.
    pub(super) fn sequences(self) -> impl Iterator<Item = u16> {
        (0..u16::from(self.count)).map(move |at| self.base.wrapping_add(at * u16::from(self.offset)))
    }

    /// Whether this one is among them.
    pub(super) fn covers(self, sequence: u16) -> bool {
        let distance = sequence.wrapping_sub(self.base);
        distance.is_multiple_of(self.offset.into()) && distance / u16::from(self.offset) < self.count.into()
    }

    /// From the first to the last, both counted.
    pub(super) fn span(self) -> u16 {
        u16::from(self.offset) * (u16::from(self.count).saturating_sub(1)) + 1
    }
}

/// The packet as it is sent, with its number and the time of sending in ticks of the media.
pub(super) fn write(protected: Protected, parity: &Parity, sequence: u16, timestamp: u32) -> Vec<u8> {
    let mut packet = Vec::with_capacity(HEADERS + parity.payload.len());
    packet.extend([0x80 | parity.flags, parity.kind & 0x80 | PAYLOAD_TYPE]);
    packet.extend(sequence.to_be_bytes());
    packet.extend(timestamp.to_be_bytes());
    // It is of no source.
    packet.extend([0; 4]);
    packet.extend(protected.base.to_be_bytes());
    packet.extend(parity.length.to_be_bytes());
    // Without a mask: the offset and the count stand for it.
    packet.extend([EXTENDED | parity.kind, 0, 0, 0]);
    packet.extend(parity.timestamp.to_be_bytes());
    let direction = if protected.direction == Direction::Row { ROW } else { 0 };
    packet.extend([direction, protected.offset, protected.count, 0]);
    packet.extend(&parity.payload);
    packet
}

/// Reads a packet; `None` for what is none, or protects more than any sender does.
pub(super) fn read(bytes: &[u8]) -> Option<(Protected, Parity)> {
    let (rtp, rest) = bytes.split_first_chunk::<HEADER>()?;
    let (header, payload) = rest.split_first_chunk::<16>()?;
    let &[flags, kind, ..] = rtp;
    let &[base_high, base_low, length_high, length_low, type_sum, _, _, _, a, b, c, d, place, offset, count, _] =
        header;
    let is_good = flags >> 6 == 2 && type_sum & EXTENDED != 0 && place & OTHER == 0 && payload.len() <= MAX_PACKET;
    if !is_good || offset == 0 || count == 0 {
        return None;
    }
    let direction = if place & ROW == 0 { Direction::Column } else { Direction::Row };
    let base = u16::from_be_bytes([base_high, base_low]);
    let protected = Protected { direction, base, offset, count };
    let parity = Parity {
        flags: flags & 0x3f,
        kind: kind & 0x80 | type_sum & 0x7f,
        timestamp: u32::from_be_bytes([a, b, c, d]),
        length: u16::from_be_bytes([length_high, length_low]),
        payload: payload.to_vec(),
    };
    (protected.span() <= MAX_SPAN).then_some((protected, parity))
}
