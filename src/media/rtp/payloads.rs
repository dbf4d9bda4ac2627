//! Where packetizers write.

use std::ops::Range;

/// Payloads one after the other in one buffer, with room before each for the headers of those who send them.
#[derive(Debug, Default)]
pub struct Payloads {
    bytes: Vec<u8>,
    pieces: Vec<Piece>,
    room: usize,
}

/// One payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Where it is in the buffer. The room is before it.
    pub range: Range<usize>,
    /// The marker of its packet.
    pub marker: bool,
    /// Ticks to add to the timestamp of its sample: more than 0 only where audio is cut.
    pub ticks: u32,
}

impl Payloads {
    /// An empty buffer with so many bytes of room before each payload.
    pub fn new(room: usize) -> Self {
        Self { room, ..Self::default() }
    }

    /// Appends a payload that consists of these parts.
    pub(super) fn push(&mut self, parts: &[&[u8]], marker: bool, ticks: u32) {
        let begin = self.bytes.len() + self.room;
        self.bytes.resize(begin, 0);
        parts.iter().for_each(|part| self.bytes.extend_from_slice(part));
        self.pieces.push(Piece { range: begin..self.bytes.len(), marker, ticks });
    }

    /// Gives the last payload, if one came after the first `from` payloads, the marker that ends a frame.
    pub(super) fn mark_last(&mut self, from: usize) {
        if let Some(last) = self.pieces.get_mut(from..).and_then(<[Piece]>::last_mut) {
            last.marker = true;
        }
    }

    /// Number of payloads.
    pub fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The payloads, each with what is to be known of it.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &Piece)> {
        self.pieces.iter().filter_map(|piece| Some((self.bytes.get(piece.range.clone())?, piece)))
    }

    /// The buffer and the payloads in it.
    pub fn into_parts(self) -> (Vec<u8>, Vec<Piece>) {
        (self.bytes, self.pieces)
    }
}

/// Bytes in so few pieces of at most `limit` bytes that all but the last can have the same length, and the last is hardly shorter.
pub(super) fn equal_pieces(bytes: &[u8], limit: usize) -> impl Iterator<Item = &[u8]> {
    let count = bytes.len().div_ceil(limit.max(1)).max(1);
    bytes.chunks(bytes.len().div_ceil(count).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_in_front_of_each_payload() {
        let mut payloads = Payloads::new(2);
        payloads.push(&[b"a", b"bc"], false, 0);
        payloads.push(&[b"d"], false, 7);
        payloads.mark_last(2);
        payloads.mark_last(1);
        let (bytes, pieces) = payloads.into_parts();
        assert_eq!(bytes, b"\0\0abc\0\0d");
        assert_eq!(pieces[1], Piece { range: 7..8, marker: true, ticks: 7 });
        assert!(!pieces[0].marker);
    }

    #[test]
    fn pieces_are_equal() {
        let lengths = |length, limit| equal_pieces(&vec![0; length], limit).map(<[u8]>::len).collect::<Vec<_>>();
        assert_eq!(lengths(10, 4), [4, 4, 2]);
        assert_eq!(lengths(9, 4), [3, 3, 3]);
        assert_eq!(lengths(8, 4), [4, 4]);
        assert_eq!(lengths(0, 4), [0; 0]);
    }
}
