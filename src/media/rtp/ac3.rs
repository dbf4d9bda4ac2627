//! AC-3 (RFC 4184): whole frames in each packet, or parts of one.

use super::packet::Packet;
use super::payloads::{Payloads, equal_pieces};
use super::unit::Unit;
use crate::media::codec::ac3;

const HEADER: usize = 2;
/// Ticks of a frame: samples.
const SAMPLES: u32 = 1536;
/// Longest frame in bytes (ATSC A/52, table 5.18).
const MAX_FRAME: usize = 3840;

/// Appends the payloads of a frame. All but the first of one that is cut say so.
pub(super) fn packetize(frame: &[u8], limit: usize, out: &mut Payloads) {
    let count = equal_pieces(frame, limit - HEADER).count();
    for (number, piece) in equal_pieces(frame, limit - HEADER).enumerate() {
        // Whole; the begin, with five eighths of the frame or with less; the rest.
        let kind = match (number, count) {
            (_, 1) => 0,
            (0, _) if piece.len() * 8 >= frame.len() * 5 => 1,
            (0, _) => 2,
            _ => 3,
        };
        out.push(&[&[kind, count.max(1) as u8], piece], false, 0);
    }
}

/// Reads the payloads.
#[derive(Debug, Default)]
pub(super) struct Depacketizer {
    /// A frame that continues.
    fragment: Option<(u32, Vec<u8>)>,
    is_lost: bool,
}

impl Depacketizer {
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
        let (&[kind, _], part) = packet.payload.split_first_chunk::<HEADER>()?;
        let timestamp = packet.header.timestamp;
        let fragment = self.fragment.take();
        match (kind & 3, fragment) {
            (0, rest) => {
                self.is_lost |= rest.is_some();
                let data = packet.payload.slice(HEADER..);
                let mut found = 0u32;
                for unit in ac3::units(&data) {
                    let timestamp = timestamp.wrapping_add(found.wrapping_mul(SAMPLES));
                    out.push(Unit { timestamp, data: unit, discontinuity: std::mem::take(&mut self.is_lost) });
                    found += 1;
                }
                (found > 0).then_some(())
            }
            (1 | 2, rest) => {
                self.is_lost |= rest.is_some();
                self.fragment = Some((timestamp, part.to_vec()));
                Some(())
            }
            (_, Some((begun, mut bytes))) if begun == timestamp && bytes.len() + part.len() <= MAX_FRAME => {
                bytes.extend_from_slice(part);
                if ac3::Header::parse(&bytes)?.frame_length > bytes.len() {
                    self.fragment = Some((begun, bytes));
                } else {
                    let discontinuity = std::mem::take(&mut self.is_lost);
                    out.push(Unit { timestamp, data: bytes.into(), discontinuity });
                }
                Some(())
            }
            _ => None,
        }
    }
}
