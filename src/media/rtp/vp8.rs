//! VP8 (RFC 7741), with numbers of frames in 15 bits.

use super::assemble::{Appended, Assemble};
use super::payloads::{Payloads, equal_pieces};
use bytes::Bytes;

const DESCRIPTOR: usize = 4;

/// Cuts frames and numbers them.
#[derive(Debug, Default)]
pub(super) struct Packetizer {
    picture: u16,
}

impl Packetizer {
    /// Appends the payloads of a frame.
    pub(super) fn push(&mut self, frame: &[u8], limit: usize, out: &mut Payloads) {
        let [high, low] = (self.picture | 0x8000).to_be_bytes();
        for (number, piece) in equal_pieces(frame, limit - DESCRIPTOR).enumerate() {
            let start = if number == 0 { 0x10 } else { 0 };
            out.push(&[&[0x80 | start, 0x80, high, low], piece], false, 0);
        }
        self.picture = (self.picture + 1) & 0x7fff;
    }
}

/// Reads the payloads.
#[derive(Debug, Default)]
pub(super) struct Depacketizer(Appended);

impl Assemble for Depacketizer {
    fn is_start(&self, payload: &[u8]) -> bool {
        payload.first().is_some_and(|first| first & 0x17 == 0x10)
    }

    fn add(&mut self, payload: &Bytes) -> bool {
        let Some(part) = behind_descriptor(payload).filter(|part| !part.is_empty()) else { return false };
        // A frame begins with its first packet, and only there.
        if self.is_start(payload) != (self.0.len() == 0) {
            return false;
        }
        self.0.extend(part);
        true
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn finish(&mut self) -> Option<Bytes> {
        self.0.take()
    }
}

/// What is after the descriptor (section 4.2).
fn behind_descriptor(payload: &[u8]) -> Option<&[u8]> {
    let (first, mut rest) = payload.split_first()?;
    if first & 0x80 != 0 {
        let (fields, after) = rest.split_first()?;
        rest = after;
        if fields & 0x80 != 0 {
            let length = if rest.first()? & 0x80 != 0 { 2 } else { 1 };
            rest = rest.get(length..)?;
        }
        if fields & 0x40 != 0 {
            rest = rest.get(1..)?;
        }
        if fields & 0x30 != 0 {
            rest = rest.get(1..)?;
        }
    }
    Some(rest)
}
