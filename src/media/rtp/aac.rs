//! AAC as `mpeg4-generic` (RFC 3640): high bit rate is written; any length of the fields that matter is read.

use super::packet::Packet;
use super::payloads::{Payloads, equal_pieces};
use super::unit::Unit;
use crate::media::bits::Bits;
use bytes::Bytes;

/// Length of the headers in bits, and one header: 13 bits of length, 3 bits of index.
const HEADERS: usize = 4;
/// Most frames in a packet. Senders put 1 to 15 into one.
const MAX_FRAMES: usize = 64;

/// Appends the payloads of a frame. Each part of one that is cut says the length of the whole frame.
pub(super) fn packetize(frame: &[u8], limit: usize, out: &mut Payloads) {
    let Some(length) = u16::try_from(frame.len()).ok().filter(|length| *length < 1 << 13) else { return };
    let [high, low] = (length << 3).to_be_bytes();
    for piece in equal_pieces(frame, limit - HEADERS) {
        out.push(&[&[0, 16, high, low], piece], false, 0);
    }
}

/// Lengths of fields in bits, and of frames in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fields {
    /// `sizelength`, 1 to 16.
    pub size: u8,
    /// `indexlength`, of the first header.
    pub index: u8,
    /// `indexdeltalength`, of the others.
    pub index_delta: u8,
    /// Ticks of a frame.
    pub frame: u32,
}

/// Reads the payloads.
#[derive(Debug)]
pub(super) struct Depacketizer {
    fields: Fields,
    /// A frame that continues: its timestamp, length, and what is there.
    fragment: Option<(u32, usize, Vec<u8>)>,
    is_lost: bool,
}

impl Depacketizer {
    pub(super) fn new(fields: Fields) -> Self {
        Self { fields, fragment: None, is_lost: false }
    }

    pub(super) fn push(&mut self, packet: &Packet, has_gap: bool, out: &mut Vec<Unit>) {
        if has_gap {
            self.fragment = None;
            self.is_lost = true;
        }
        if self.read(packet, out).is_none() {
            self.fragment = None;
            self.is_lost = true;
        }
    }

    fn read(&mut self, packet: &Packet, out: &mut Vec<Unit>) -> Option<()> {
        let (bits, rest) = packet.payload.split_first_chunk::<2>()?;
        let bits = usize::from(u16::from_be_bytes(*bits));
        let (headers, _) = rest.split_at_checked(bits.div_ceil(8))?;
        let frames = self.headers(headers, bits)?;
        let mut data = packet.payload.slice(2 + headers.len()..);
        let timestamp = packet.header.timestamp;
        if let [(length, _)] = frames[..]
            && (length > data.len() || self.fragment.is_some())
        {
            return self.continue_fragment(timestamp, length, &data, out);
        }
        // Another frame begins, the rest of that one did not come.
        self.is_lost |= self.fragment.take().is_some();
        let mut ticks = 0u32;
        for (number, (length, skipped)) in frames.into_iter().enumerate() {
            if length > data.len() {
                return None;
            }
            let frame = data.split_to(length);
            if number > 0 {
                ticks = ticks.wrapping_add(self.fields.frame.wrapping_mul(1 + skipped));
            }
            if !frame.is_empty() {
                self.emit(timestamp.wrapping_add(ticks), frame, out);
            }
        }
        Some(())
    }

    /// Lengths of the frames, and how many frames are missing before each.
    fn headers(&self, headers: &[u8], bits: usize) -> Option<Vec<(usize, u32)>> {
        let mut from = Bits::new(headers);
        let mut frames = Vec::new();
        let least = usize::from(self.fields.size) + usize::from(self.fields.index.min(self.fields.index_delta));
        while bits.saturating_sub(from.position()) >= least.max(1) && frames.len() < MAX_FRAMES {
            let size = from.take(self.fields.size.into())?;
            let index = if frames.is_empty() { self.fields.index } else { self.fields.index_delta };
            let index = from.take(index.into())?;
            frames.push((size as usize, if frames.is_empty() { 0 } else { index }));
        }
        (!frames.is_empty()).then_some(frames)
    }

    fn continue_fragment(&mut self, timestamp: u32, length: usize, part: &Bytes, out: &mut Vec<Unit>) -> Option<()> {
        let mut known = self.fragment.take();
        if known.as_ref().is_some_and(|(begun, whole, _)| (*begun, *whole) != (timestamp, length)) {
            known = None;
            self.is_lost = true;
        }
        let (_, _, mut bytes) = known.unwrap_or_default();
        bytes.extend_from_slice(part);
        match bytes.len().cmp(&length) {
            std::cmp::Ordering::Less => self.fragment = Some((timestamp, length, bytes)),
            std::cmp::Ordering::Equal => self.emit(timestamp, bytes.into(), out),
            std::cmp::Ordering::Greater => return None,
        }
        Some(())
    }

    fn emit(&mut self, timestamp: u32, data: Bytes, out: &mut Vec<Unit>) {
        out.push(Unit { timestamp, data, discontinuity: std::mem::take(&mut self.is_lost) });
    }
}
