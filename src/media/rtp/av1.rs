//! AV1 (RTP Payload Format For AV1, AOM). OBUs travel without size fields, temporal delimiters not at all.

use super::assemble::Assemble;
use super::payloads::Payloads;
use crate::media::Sample;
use crate::media::codec::av1::Parameters;
use crate::media::codec::obu::{self, Obu, Obus};
use bytes::Bytes;

/// Of the aggregation header: the first element continues one of the packet before, the last one continues in the next packet,
/// a coded video sequence begins.
const CONTINUES: u8 = 0x80;
const CONTINUED: u8 = 0x40;
const BEGINS: u8 = 0x08;
const HAS_SIZE: u8 = 2;

/// Appends the payloads of a temporal unit. Before a keyframe is the sequence header.
pub(super) fn packetize(sample: &Sample, parameters: &Parameters, limit: usize, out: &mut Payloads) {
    let sequence = Obus::new(&parameters.sequence_header).filter(|_| sample.is_sync);
    let mut packet = Packet::new(sample.is_sync, limit);
    for unit in sequence.chain(Obus::new(&sample.data)) {
        packet.add(&without_size(&unit), out);
    }
    packet.flush(false, out);
}

/// An OBU without its size field.
fn without_size(unit: &Obu<'_>) -> Vec<u8> {
    let Some((head, rest)) = unit.whole.split_first() else { return Vec::new() };
    // The header may have a second byte; the size, if there is one, is between it and the payload.
    let extension = rest.get(..usize::from(head >> 2 & 1)).unwrap_or_default();
    [&[head & !HAS_SIZE], extension, unit.payload].concat()
}

/// A packet that is filled: each element has its length in front.
struct Packet {
    elements: Vec<u8>,
    flags: u8,
    limit: usize,
}

impl Packet {
    fn new(begins: bool, limit: usize) -> Self {
        Self { elements: Vec::new(), flags: if begins { BEGINS } else { 0 }, limit }
    }

    fn add(&mut self, mut unit: &[u8], out: &mut Payloads) {
        while !unit.is_empty() {
            // The header of the packet, and a length that is never longer.
            let room = self.limit.saturating_sub(1 + self.elements.len() + 3);
            // A fragment never has only a few bytes of an OBU.
            if room < unit.len() && room < 16 && !self.elements.is_empty() {
                self.flush(false, out);
                continue;
            }
            let (part, rest) = unit.split_at_checked(room.max(1)).unwrap_or((unit, &[]));
            obu::write_leb128(part.len(), &mut self.elements);
            self.elements.extend_from_slice(part);
            unit = rest;
            if !unit.is_empty() {
                self.flush(true, out);
            }
        }
    }

    fn flush(&mut self, is_continued: bool, out: &mut Payloads) {
        if self.elements.is_empty() {
            return;
        }
        let continued = if is_continued { CONTINUED } else { 0 };
        out.push(&[&[self.flags | continued], &self.elements], false, 0);
        self.elements.clear();
        self.flags = if is_continued { CONTINUES } else { 0 };
    }
}

/// Reads the payloads.
#[derive(Debug, Default)]
pub(super) struct Depacketizer {
    /// OBUs with sizes.
    unit: Vec<u8>,
    /// The begin of an OBU that continues.
    fragment: Option<Vec<u8>>,
}

impl Depacketizer {
    /// Takes an element; whether it is well-formed.
    fn element(&mut self, element: &[u8], continues: bool, is_continued: bool) -> bool {
        let mut bytes = match (self.fragment.take(), continues) {
            (Some(begin), true) => begin,
            (None, false) => Vec::new(),
            _ => return false,
        };
        bytes.extend_from_slice(element);
        if is_continued {
            self.fragment = Some(bytes);
            return true;
        }
        // Some senders leave the size fields in.
        let mut units = Obus::new(&bytes);
        let Some(unit) = units.next().filter(|_| units.rest().is_empty()) else { return false };
        if unit.kind != obu::TEMPORAL_DELIMITER {
            unit.write_with_size(&mut self.unit);
        }
        true
    }
}

impl Assemble for Depacketizer {
    fn is_start(&self, payload: &[u8]) -> bool {
        let Some((&head, rest)) = payload.split_first() else { return false };
        let element = elements(head, rest).next().flatten().unwrap_or_default();
        let kind = element.first().map(|head| head >> 3 & 15);
        let can_begin =
            matches!(kind, Some(obu::TEMPORAL_DELIMITER | obu::SEQUENCE_HEADER | obu::FRAME | obu::FRAME_HEADER));
        head & CONTINUES == 0 && can_begin
    }

    fn add(&mut self, payload: &Bytes) -> bool {
        let Some((&head, rest)) = payload.split_first() else { return false };
        let mut found = elements(head, rest).enumerate().peekable();
        while let Some((number, element)) = found.next() {
            let Some(element) = element else { return false };
            let continues = number == 0 && head & CONTINUES != 0;
            let is_continued = found.peek().is_none() && head & CONTINUED != 0;
            if !self.element(element, continues, is_continued) {
                return false;
            }
        }
        true
    }

    fn len(&self) -> usize {
        self.unit.len() + self.fragment.as_ref().map_or(0, Vec::len)
    }

    fn finish(&mut self) -> Option<Bytes> {
        let unit = std::mem::take(&mut self.unit);
        (self.fragment.take().is_none() && !unit.is_empty()).then(|| unit.into())
    }
}

/// The elements after an aggregation header; ends with `None` at what is cut off.
fn elements(head: u8, mut bytes: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    let count = usize::from(head >> 4 & 3);
    let mut number = 0;
    std::iter::from_fn(move || {
        number += 1;
        if bytes.is_empty() || count > 0 && number > count {
            return None;
        }
        if number == count {
            return Some(Some(std::mem::take(&mut bytes)));
        }
        let part = obu::read_leb128(bytes).and_then(|(size, length)| bytes.get(length..)?.split_at_checked(size));
        let (element, rest) = part.unwrap_or_default();
        bytes = rest;
        Some(part.map(|_| element))
    })
}
