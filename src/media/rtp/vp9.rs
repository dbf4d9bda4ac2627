//! VP9 (RFC 9628), in non-flexible mode without layers; with layers it is read.

use super::assemble::{Appended, Assemble};
use super::payloads::{Payloads, equal_pieces};
use bytes::Bytes;

const DESCRIPTOR: usize = 3;
const HAS_PICTURE: u8 = 0x80;
const IS_PREDICTED: u8 = 0x40;
const HAS_LAYERS: u8 = 0x20;
const IS_FLEXIBLE: u8 = 0x10;
const BEGINS: u8 = 0x08;
const ENDS: u8 = 0x04;
const HAS_STRUCTURE: u8 = 0x02;
/// Most frames of a superframe.
const MAX_FRAMES: usize = 8;

/// Cuts frames and numbers them.
#[derive(Debug, Default)]
pub(super) struct Packetizer {
    picture: u16,
}

impl Packetizer {
    /// Appends the payloads of a frame or superframe.
    pub(super) fn push(&mut self, frame: &[u8], is_key: bool, limit: usize, out: &mut Payloads) {
        let [high, low] = (self.picture | 0x8000).to_be_bytes();
        let predicted = if is_key { 0 } else { IS_PREDICTED };
        let count = equal_pieces(frame, limit - DESCRIPTOR).count();
        for (number, piece) in equal_pieces(frame, limit - DESCRIPTOR).enumerate() {
            let begins = if number == 0 { BEGINS } else { 0 };
            let ends = if number + 1 == count { ENDS } else { 0 };
            out.push(&[&[HAS_PICTURE | predicted | begins | ends, high, low], piece], false, 0);
        }
        self.picture = (self.picture + 1) & 0x7fff;
    }
}

/// Reads the payloads. The frames of several spatial layers become a superframe.
#[derive(Debug, Default)]
pub(super) struct Depacketizer {
    bytes: Appended,
    /// Where each frame begins.
    begins: Vec<usize>,
    /// The last payload ended a frame.
    is_ended: bool,
}

impl Assemble for Depacketizer {
    fn is_start(&self, payload: &[u8]) -> bool {
        Descriptor::parse(payload).is_some_and(|descriptor| descriptor.begins && descriptor.spatial == 0)
    }

    fn add(&mut self, payload: &Bytes) -> bool {
        let Some(descriptor) = Descriptor::parse(payload).filter(|descriptor| !descriptor.rest.is_empty()) else {
            return false;
        };
        let is_first = self.begins.is_empty() || self.is_ended;
        if descriptor.begins != is_first || self.begins.len() > MAX_FRAMES {
            return false;
        }
        if descriptor.begins {
            self.begins.push(self.bytes.len());
        }
        self.bytes.extend(descriptor.rest);
        self.is_ended = descriptor.ends;
        true
    }

    fn len(&self) -> usize {
        self.bytes.len()
    }

    fn finish(&mut self) -> Option<Bytes> {
        let (begins, is_ended) = (std::mem::take(&mut self.begins), std::mem::take(&mut self.is_ended));
        let end = self.bytes.len();
        if begins.len() > 1 && begins.len() <= MAX_FRAMES {
            self.bytes.extend(&superframe_index(&begins, end));
        }
        self.bytes.take().filter(|_| is_ended && begins.len() <= MAX_FRAMES)
    }
}

/// The index at the end of a superframe (VP9 Bitstream, annex B), with lengths of four bytes.
fn superframe_index(begins: &[usize], end: usize) -> Vec<u8> {
    let marker = 0xc0 | 3 << 3 | (begins.len() as u8).wrapping_sub(1) & 7;
    let ends = begins.iter().skip(1).copied().chain([end]);
    let lengths = begins.iter().zip(ends).map(|(begin, end)| (end - begin) as u32);
    let mut index = vec![marker];
    lengths.for_each(|length| index.extend(length.to_le_bytes()));
    index.push(marker);
    index
}

/// The payload descriptor (section 4.2).
struct Descriptor<'a> {
    begins: bool,
    ends: bool,
    /// Number of the spatial layer.
    spatial: u8,
    rest: &'a [u8],
}

impl<'a> Descriptor<'a> {
    fn parse(payload: &'a [u8]) -> Option<Self> {
        let (&flags, mut rest) = payload.split_first()?;
        let mut spatial = 0;
        if flags & HAS_PICTURE != 0 {
            let length = if rest.first()? & 0x80 != 0 { 2 } else { 1 };
            rest = rest.get(length..)?;
        }
        if flags & HAS_LAYERS != 0 {
            let (layers, after) = rest.split_first()?;
            spatial = layers >> 1 & 7;
            // `TL0PICIDX`.
            rest = if flags & IS_FLEXIBLE == 0 { after.get(1..)? } else { after };
        }
        if flags & IS_FLEXIBLE != 0 && flags & IS_PREDICTED != 0 {
            for number in 0..3 {
                let (difference, after) = rest.split_first()?;
                rest = after;
                if difference & 1 == 0 {
                    break;
                }
                // There are three at most.
                if number == 2 {
                    return None;
                }
            }
        }
        if flags & HAS_STRUCTURE != 0 {
            rest = behind_structure(rest)?;
        }
        Some(Self { begins: flags & BEGINS != 0, ends: flags & ENDS != 0, spatial, rest })
    }
}

/// What is after a scalability structure (section 4.2.1).
fn behind_structure(bytes: &[u8]) -> Option<&[u8]> {
    let (&head, mut rest) = bytes.split_first()?;
    if head & 0x10 != 0 {
        rest = rest.get(4 * (usize::from(head >> 5) + 1)..)?;
    }
    if head & 0x08 != 0 {
        let (&frames, after) = rest.split_first()?;
        rest = after;
        for _ in 0..frames {
            let (frame, after) = rest.split_first()?;
            rest = after.get(usize::from(frame >> 2 & 3)..)?;
        }
    }
    Some(rest)
}
