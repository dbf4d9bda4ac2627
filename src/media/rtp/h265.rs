//! H.265 (RFC 7798): single NAL units, aggregation packets and fragmentation units, without DONL fields.

use super::assemble::Assemble;
use super::h264::Access;
use super::payloads::{Payloads, equal_pieces};
use crate::media::Sample;
use crate::media::codec::{h265, nal};
use bytes::Bytes;

const AGGREGATION: u8 = 48;
const FRAGMENT: u8 = 49;
/// Access unit delimiter.
const AUD: u8 = 35;

/// Appends the payloads of a sample. Before a keyframe are the parameter sets.
pub(super) fn packetize(sample: &Sample, parameters: &h265::Parameters, limit: usize, out: &mut Payloads) {
    let sets = parameters.vps.iter().chain(&parameters.sps).chain(&parameters.pps).map(|set| &set[..]);
    let units = sets.filter(|_| sample.is_sync).chain(nal::length_prefixed(&sample.data, 4));
    // Units that go into one packet, and its length as an aggregation packet.
    let (mut together, mut length) = (Vec::new(), 2);
    for unit in units {
        if length + 2 + unit.len() > limit {
            flush(&mut together, out);
            length = 2;
        }
        match unit.split_first_chunk::<2>() {
            Some((head, payload)) if unit.len() > limit => fragment(*head, payload, limit, out),
            _ => {
                length += 2 + unit.len();
                together.push(unit);
            }
        }
    }
    flush(&mut together, out);
}

fn flush(together: &mut Vec<&[u8]>, out: &mut Payloads) {
    match &together[..] {
        [] => {}
        [unit] => out.push(&[unit], false, 0),
        units => {
            // The lowest layer and the lowest temporal layer of all.
            let heads = units.iter().filter_map(|unit| unit.first_chunk::<2>()).map(|head| u16::from_be_bytes(*head));
            let (layer, temporal) =
                heads.fold((0x1f8, 7), |(layer, temporal), head| (layer.min(head & 0x1f8), temporal.min(head & 7)));
            let mut payload = (u16::from(AGGREGATION) << 9 | layer | temporal).to_be_bytes().to_vec();
            for unit in units {
                payload.extend((unit.len() as u16).to_be_bytes());
                payload.extend_from_slice(unit);
            }
            out.push(&[&payload], false, 0);
        }
    }
    together.clear();
}

fn fragment([head, layer]: [u8; 2], payload: &[u8], limit: usize, out: &mut Payloads) {
    let count = equal_pieces(payload, limit - 3).count();
    for (number, piece) in equal_pieces(payload, limit - 3).enumerate() {
        let start = if number == 0 { 0x80 } else { 0 };
        let end = if number + 1 == count { 0x40 } else { 0 };
        out.push(&[&[head & 0x81 | FRAGMENT << 1, layer, start | end | head >> 1 & 0x3f], piece], false, 0);
    }
}

/// Reads the payloads.
#[derive(Debug, Default)]
pub(super) struct Depacketizer(Access);

impl Assemble for Depacketizer {
    fn is_start(&self, payload: &[u8]) -> bool {
        let (kind, first) = match (h265::kind(payload), payload) {
            (Some(AGGREGATION), [_, _, _, _, unit @ ..]) => (h265::kind(unit), unit.get(2)),
            (Some(FRAGMENT), [_, _, fu, rest @ ..]) if fu & 0x80 != 0 => (Some(fu & 0x3f), rest.first()),
            (Some(AGGREGATION | FRAGMENT), _) => return false,
            (kind, unit) => (kind, unit.get(2)),
        };
        match kind {
            // `first_slice_segment_in_pic_flag`. Before a keyframe parameter sets may have been lost.
            Some(kind) if h265::is_slice(kind) && !h265::is_irap(kind) => first.is_some_and(|first| first & 0x80 != 0),
            kind => matches!(kind, Some(h265::VPS | AUD)),
        }
    }

    fn add(&mut self, payload: &Bytes) -> bool {
        let Some((&[head, layer], rest)) = payload.split_first_chunk::<2>() else { return false };
        match (head >> 1 & 0x3f, rest) {
            (0..AGGREGATION, _) => self.0.single(payload),
            (AGGREGATION, units) => self.0.units(units),
            (FRAGMENT, [fu, part @ ..]) => {
                self.0.fragment(&[head & 0x81 | (fu & 0x3f) << 1, layer], fu & 0x80 != 0, fu & 0x40 != 0, part)
            }
            _ => false,
        }
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn finish(&mut self) -> Option<Bytes> {
        self.0.finish()
    }
}
