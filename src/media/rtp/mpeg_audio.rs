//! MPEG audio (RFC 2250, section 3.5): a header with the offset in a frame that is cut, then frames.

use super::packet::Packet;
use super::payloads::{Payloads, equal_pieces};
use super::unit::Unit;
use crate::media::codec::mpeg_audio;

const HEADER: usize = 4;
/// Ticks a second, whatever the rate of the audio.
const CLOCK_RATE: u32 = 90_000;

/// Appends the payloads of a frame.
pub(super) fn packetize(frame: &[u8], limit: usize, out: &mut Payloads) {
    let mut offset = 0u16;
    for piece in equal_pieces(frame, limit - HEADER) {
        let [high, low] = offset.to_be_bytes();
        out.push(&[&[0, 0, high, low], piece], false, 0);
        offset = offset.saturating_add(u16::try_from(piece.len()).unwrap_or(u16::MAX));
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
        let (&[_, _, high, low], part) = packet.payload.split_first_chunk::<HEADER>()?;
        let (offset, timestamp) = (usize::from(u16::from_be_bytes([high, low])), packet.header.timestamp);
        if offset > 0 {
            let (begun, mut bytes) = self.fragment.take()?;
            if (begun, bytes.len()) != (timestamp, offset) {
                return None;
            }
            bytes.extend_from_slice(part);
            let length = mpeg_audio::Header::parse(&bytes)?.frame_length;
            match bytes.len() < length {
                true => self.fragment = Some((begun, bytes)),
                false => {
                    bytes.truncate(length);
                    self.emit(begun, bytes.into(), out);
                }
            }
            return Some(());
        }
        self.is_lost |= self.fragment.take().is_some();
        let first = mpeg_audio::Header::parse(part)?;
        if first.frame_length > part.len() {
            self.fragment = Some((timestamp, part.to_vec()));
            return Some(());
        }
        let mut samples = 0u64;
        for (header, frame) in mpeg_audio::frames(&packet.payload.slice(HEADER..)) {
            let ticks = samples * u64::from(CLOCK_RATE) / u64::from(header.rate.max(1));
            self.emit(timestamp.wrapping_add(ticks as u32), frame, out);
            samples += u64::from(header.samples);
        }
        Some(())
    }

    fn emit(&mut self, timestamp: u32, data: bytes::Bytes, out: &mut Vec<Unit>) {
        out.push(Unit { timestamp, data, discontinuity: std::mem::take(&mut self.is_lost) });
    }
}
