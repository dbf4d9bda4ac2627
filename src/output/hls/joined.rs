//! Parts in one piece. Each player that waits for a part gets it at the same moment; a part of six frames is six steps of each of these
//! responses, or one copy for all. Pure.

use bytes::{Bytes, BytesMut};
use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

/// Most parts that are kept: the newest one or two of each rendition, which all players that are up to date request.
const MAX_KEPT: usize = 20;
/// Largest part that is joined. A larger one costs so much to send that its steps do not count.
const MAX_BYTES: usize = 512 << 10;

/// The newest parts that were requested, oldest first.
#[derive(Debug, Default)]
pub struct Joined(Mutex<VecDeque<Whole>>);

#[derive(Debug)]
struct Whole {
    rendition: &'static str,
    number: u64,
    bytes: Bytes,
}

impl Joined {
    /// The part of a rendition with this number, which has these pieces, to be sent.
    pub fn of(&self, rendition: &'static str, number: u64, pieces: &[Bytes]) -> Vec<Bytes> {
        let length = pieces.iter().map(Bytes::len).sum();
        if pieces.len() <= 1 || length > MAX_BYTES {
            return pieces.to_vec();
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |known: &&Whole| (known.number, known.rendition) == (number, rendition);
        // The newest one is asked for most.
        if let Some(known) = kept.iter().rev().find(is_it) {
            return vec![known.bytes.clone()];
        }
        let mut joined = BytesMut::with_capacity(length);
        pieces.iter().for_each(|piece| joined.extend_from_slice(piece));
        let bytes = joined.freeze();
        if kept.len() >= MAX_KEPT {
            kept.pop_front();
        }
        kept.push_back(Whole { rendition, number, bytes: bytes.clone() });
        vec![bytes]
    }

    /// Keeps nothing: the stream has ended.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_joined_once_and_old_ones_are_forgotten() {
        let joined = Joined::default();
        let pieces = [Bytes::from_static(b"ab"), Bytes::from_static(b"c")];
        let first = joined.of("v0", 1, &pieces);
        assert_eq!(first, ["abc"]);
        assert_eq!(joined.of("v0", 1, &pieces)[0].as_ptr(), first[0].as_ptr());
        assert_ne!(joined.of("a0", 1, &pieces)[0].as_ptr(), first[0].as_ptr());
        // One piece needs no copy.
        let whole = Bytes::from_static(b"xyz");
        assert_eq!(joined.of("v0", 2, std::slice::from_ref(&whole))[0].as_ptr(), whole.as_ptr());
        for number in 3..100 {
            joined.of("v0", number, &pieces);
        }
        assert_eq!(joined.0.lock().unwrap().len(), MAX_KEPT);
        let large = [Bytes::from(vec![0; MAX_BYTES]), Bytes::from_static(b"c")];
        assert_eq!(joined.of("v0", 100, &large), large);
        joined.clear();
        assert!(joined.0.lock().unwrap().is_empty());
    }
}
