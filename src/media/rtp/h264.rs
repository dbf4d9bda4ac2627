//! H.264 (RFC 6184): single NAL units, STAP-A and FU-A are written; STAP-B and FU-B are read as well, without their order.

use super::assemble::Assemble;
use super::payloads::{Payloads, equal_pieces};
use crate::media::Sample;
use crate::media::codec::{h264, nal};
use bytes::Bytes;

const STAP_A: u8 = 24;
const STAP_B: u8 = 25;
const FU_A: u8 = 28;
const FU_B: u8 = 29;
const START: u8 = 0x80;
const END: u8 = 0x40;
/// Access unit delimiter.
const AUD: u8 = 9;

/// Appends the payloads of a sample. Before a keyframe are the parameter sets.
pub(super) fn packetize(sample: &Sample, parameters: &h264::Parameters, limit: usize, out: &mut Payloads) {
    let sets = parameters.sps.iter().chain(&parameters.pps).map(|set| &set[..]);
    let units = sets.filter(|_| sample.is_sync).chain(nal::length_prefixed(&sample.data, 4));
    // Units that go into one packet, and its length as a STAP-A.
    let (mut together, mut length) = (Vec::new(), 1);
    for unit in units {
        if length + 2 + unit.len() > limit {
            flush(&mut together, out);
            length = 1;
        }
        match unit.split_first() {
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
            let importance = units.iter().filter_map(|unit| unit.first()).map(|head| head & 0x60).max();
            let mut payload = vec![importance.unwrap_or_default() | STAP_A];
            for unit in units {
                payload.extend((unit.len() as u16).to_be_bytes());
                payload.extend_from_slice(unit);
            }
            out.push(&[&payload], false, 0);
        }
    }
    together.clear();
}

fn fragment(head: u8, payload: &[u8], limit: usize, out: &mut Payloads) {
    let count = equal_pieces(payload, limit - 2).count();
    for (number, piece) in equal_pieces(payload, limit - 2).enumerate() {
        let start = if number == 0 { START } else { 0 };
        let end = if number + 1 == count { END } else { 0 };
        out.push(&[&[head & 0xe0 | FU_A, start | end | head & 0x1f], piece], false, 0);
    }
}

/// Makes access units with lengths of four bytes.
#[derive(Debug, Default)]
pub(super) struct Access {
    unit: Vec<u8>,
    /// Where the length of the unit stands whose end is missing.
    fragment: Option<usize>,
}

impl Access {
    /// A whole unit.
    fn unit(&mut self, unit: &[u8]) -> bool {
        if unit.is_empty() || self.fragment.is_some() {
            return false;
        }
        nal::push_length_prefixed(unit, &mut self.unit);
        true
    }

    /// Units with lengths of two bytes.
    pub(super) fn units(&mut self, mut bytes: &[u8]) -> bool {
        while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
            let Some((unit, rest)) = rest.split_at_checked(u16::from_be_bytes(*length).into()) else { return false };
            if !self.unit(unit) {
                return false;
            }
            bytes = rest;
        }
        // Some senders pad.
        bytes.iter().all(|byte| *byte == 0)
    }

    /// A part of a unit that has this header.
    pub(super) fn fragment(&mut self, head: &[u8], is_start: bool, is_end: bool, part: &[u8]) -> bool {
        if is_start == self.fragment.is_some() {
            return false;
        }
        if is_start {
            self.fragment = Some(self.unit.len());
            nal::push_length_prefixed(head, &mut self.unit);
        }
        self.unit.extend_from_slice(part);
        if is_end && let Some(at) = self.fragment.take() {
            let length = u32::try_from(self.unit.len() - at - 4).unwrap_or(u32::MAX);
            if let Some(place) = self.unit.get_mut(at..at + 4) {
                place.copy_from_slice(&length.to_be_bytes());
            }
        }
        true
    }

    /// A payload that is a unit.
    pub(super) fn single(&mut self, unit: &[u8]) -> bool {
        self.unit(unit)
    }

    pub(super) fn len(&self) -> usize {
        self.unit.len()
    }

    pub(super) fn finish(&mut self) -> Option<Bytes> {
        let unit = std::mem::take(&mut self.unit);
        (self.fragment.take().is_none() && !unit.is_empty()).then(|| unit.into())
    }
}

/// Reads the payloads.
#[derive(Debug, Default)]
pub(super) struct Depacketizer(Access);

impl Assemble for Depacketizer {
    fn is_start(&self, payload: &[u8]) -> bool {
        let unit = match payload {
            [head, rest @ ..] if head & 0x1f == STAP_A => rest.get(2..),
            [head, rest @ ..] if head & 0x1f == STAP_B => rest.get(4..),
            [head, fu, ..] if head & 0x1f == FU_A && fu & START != 0 => payload.get(1..),
            [head, fu, _, _, ..] if head & 0x1f == FU_B && fu & START != 0 => payload.get(1..),
            _ => Some(payload),
        };
        match unit {
            // `first_mb_in_slice` is 0. Before a keyframe parameter sets may have been lost.
            Some([head, first, ..]) if matches!(head & 0x1f, 1 | 2) => first & 0x80 != 0,
            Some([head, ..]) => matches!(head & 0x1f, h264::SPS | AUD),
            _ => false,
        }
    }

    fn add(&mut self, payload: &Bytes) -> bool {
        let Some((&head, rest)) = payload.split_first() else { return false };
        match (head & 0x1f, rest) {
            (1..=23, _) => self.0.single(payload),
            (STAP_A, units) => self.0.units(units),
            (STAP_B, [_, _, units @ ..]) => self.0.units(units),
            (FU_A, [fu, part @ ..]) | (FU_B, [fu, _, _, part @ ..]) => {
                self.0.fragment(&[head & 0xe0 | fu & 0x1f], fu & START != 0, fu & END != 0, part)
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
