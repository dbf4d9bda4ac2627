//! What remains of a unit of which some parts are taken out.

use bytes::{BufMut, Bytes, BytesMut};

/// Parts of a unit, in their order.
#[derive(Debug)]
pub(super) struct Kept<'a> {
    unit: &'a Bytes,
    parts: Vec<&'a [u8]>,
    /// Bytes of all parts.
    length: usize,
}

impl<'a> Kept<'a> {
    /// None of it yet.
    pub(super) fn new(unit: &'a Bytes) -> Self {
        Self { unit, parts: Vec::new(), length: 0 }
    }

    /// Keeps a part, which lies after those that are kept already.
    pub(super) fn push(&mut self, part: &'a [u8]) {
        self.length += part.len();
        self.parts.push(part);
    }

    /// The parts one after the other: without a copy, if nothing lies between them.
    pub(super) fn joined(&self) -> Bytes {
        let (Some(first), Some(last)) = (self.parts.first(), self.parts.last()) else { return Bytes::new() };
        let place = |part: &[u8]| part.as_ptr() as usize;
        let span = (place(last) + last.len()).wrapping_sub(place(first));
        let from = place(first).wrapping_sub(place(self.unit));
        if span == self.length && from.checked_add(span).is_some_and(|end| end <= self.unit.len()) {
            return self.unit.slice(from..from + span);
        }
        let mut out = BytesMut::with_capacity(self.length);
        self.parts.iter().for_each(|part| out.extend_from_slice(part));
        out.freeze()
    }

    /// The parts one after the other, and what `write` writes, `more` bytes at most.
    pub(super) fn joined_with(&self, more: usize, write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
        let mut out = Vec::with_capacity(self.length + more);
        self.parts.iter().for_each(|part| out.extend_from_slice(part));
        write(&mut out);
        out.into()
    }

    /// The parts, each after its length in four bytes.
    pub(super) fn joined_with_lengths(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.length + 4 * self.parts.len());
        for part in &self.parts {
            out.put_u32(u32::try_from(part.len()).unwrap_or(u32::MAX));
            out.extend_from_slice(part);
        }
        out.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_not_copied() {
        let unit = Bytes::from_static(b"abcdef");
        let kept = |ranges: &[std::ops::Range<usize>]| {
            let mut kept = Kept::new(&unit);
            ranges.iter().for_each(|range| kept.push(&unit[range.clone()]));
            kept.joined()
        };
        let joined = kept(&[1..2, 2..4, 4..5]);
        assert_eq!((joined.as_ref(), joined.as_ptr()), (&b"bcde"[..], unit[1..].as_ptr()));
        assert_eq!(kept(&[0..1, 2..3]), b"ac"[..]);
        assert_eq!(kept(&[]), b""[..]);
    }
}
