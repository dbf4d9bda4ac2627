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
    /// Adds the datagram that `write` appends; none when it appends nothing.
    pub fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let begin = self.bytes.len();
        write(&mut self.bytes);
        if self.bytes.len() > begin {
            self.ends.push(self.bytes.len());
        }
    }

    /// The datagrams.
    pub fn datagrams(&self) -> impl Iterator<Item = &[u8]> {
        self.ranges().filter_map(|range| self.bytes.get(range))
    }

    /// Groups of neighbours that have the same length but for the last one, which may be shorter: each with the length.
    /// No group has more than `most` datagrams.
    pub fn groups(&self, most: usize) -> impl Iterator<Item = (&[u8], usize)> {
        let mut ranges = self.ranges().peekable();
        std::iter::from_fn(move || {
            let mut group = ranges.next()?;
            let (length, mut count) = (group.len(), 1);
            while let Some(next) =
                ranges.next_if(|next| next.len() <= length && group.len() == length * count && count < most)
            {
                group.end = next.end;
                count += 1;
            }
            Some((self.bytes.get(group)?, length))
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
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
        let groups: Vec<_> = outbox.groups(3).map(|(bytes, size)| (bytes.len(), size)).collect();
        assert_eq!(groups, [(10, 4), (12, 4), (4, 4), (6, 6)]);
        assert_eq!(outbox.datagrams().map(<[u8]>::len).collect::<Vec<_>>(), [4, 4, 2, 4, 4, 4, 4, 6]);
        outbox.clear();
        assert!(outbox.is_empty() && outbox.groups(3).next().is_none());
    }
}
