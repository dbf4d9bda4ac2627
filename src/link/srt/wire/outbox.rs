//! Datagrams that wait to be sent to one peer.

use std::ops::Range;

/// Datagrams in one buffer, in their order: neighbours of equal length can leave in one call.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    /// Where each datagram ends.
    ends: Vec<usize>,
}

impl Outbox {
    /// Adds the datagram that `write` appends.
    pub fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    /// The datagrams.
    pub fn datagrams(&self) -> impl Iterator<Item = &[u8]> {
        self.ranges().filter_map(|range| self.bytes.get(range))
    }

    /// Groups of neighbours that have the same length but for the last one, which may be shorter: each with the length.
    /// No group has more than `most` datagrams.
    pub fn groups(&self, most: usize) -> Vec<(&[u8], usize)> {
        let mut groups: Vec<(Range<usize>, usize, usize)> = Vec::new();
        for range in self.ranges() {
            let length = range.len();
            match groups.last_mut() {
                Some((group, size, count)) if length <= *size && group.len() == *size * *count && *count < most => {
                    group.end = range.end;
                    *count += 1;
                }
                _ => groups.push((range, length, 1)),
            }
        }
        groups.into_iter().filter_map(|(range, size, _)| Some((self.bytes.get(range)?, size))).collect()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Takes all of them out; the memory is kept.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(self.ends.iter().copied()).map(|(start, end)| start..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_of_equal_length_are_a_group() {
        let mut outbox = Outbox::default();
        for length in [4, 4, 2, 4, 4, 4, 4, 6] {
            outbox.push(|bytes| bytes.extend(vec![length as u8; length]));
        }
        let groups: Vec<_> = outbox.groups(3).into_iter().map(|(bytes, size)| (bytes.len(), size)).collect();
        assert_eq!(groups, [(10, 4), (12, 4), (4, 4), (6, 6)]);
        assert_eq!(outbox.datagrams().map(<[u8]>::len).collect::<Vec<_>>(), [4, 4, 2, 4, 4, 4, 4, 6]);
        outbox.clear();
        assert!(outbox.is_empty() && outbox.groups(3).is_empty());
    }
}
