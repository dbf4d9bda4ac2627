//! Packet sequence numbers, which wrap at 31 bits.

const MASK: u32 = 0x7FFF_FFFF;
const HALF: u32 = 0x4000_0000;

/// The sequence number of a packet on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequence(u32);

impl Sequence {
    /// The number in the lower 31 bits.
    pub const fn new(number: u32) -> Self {
        Self(number & MASK)
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The number of the packet that follows so many packets later.
    pub const fn plus(self, packets: u64) -> Self {
        Self::new(self.0.wrapping_add((packets & MASK as u64) as u32))
    }

    /// How many packets this one is ahead of `other`, the short way round.
    pub fn distance(self, other: Self) -> i64 {
        let ahead = self.0.wrapping_sub(other.0) & MASK;
        if ahead < HALF { i64::from(ahead) } else { i64::from(ahead) - i64::from(MASK) - 1 }
    }
}

/// Counts the packets of one direction from zero, without a wrap.
#[derive(Debug, Clone, Copy)]
pub struct Numbering {
    first: Sequence,
}

impl Numbering {
    /// The numbering whose packet 0 has this sequence number.
    pub const fn new(first: Sequence) -> Self {
        Self { first }
    }

    /// The sequence number of a packet.
    pub const fn sequence(self, number: u64) -> Sequence {
        self.first.plus(number)
    }

    /// The packet with this sequence number that is nearest to `near`; `None` when that would be before the first one.
    pub fn number(self, sequence: Sequence, near: u64) -> Option<u64> {
        near.checked_add_signed(sequence.distance(self.sequence(near)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn distances_are_the_short_way_round() {
        let check = |one: u32, other: u32, expect| {
            assert_eq!(Sequence::new(one).distance(Sequence::new(other)), expect, "{one} {other}");
        };
        check(5, 3, 2);
        check(3, 5, -2);
        check(0, MASK, 1);
        check(MASK, 0, -1);
        check(HALF, 0, -(1 << 30));
        check(HALF - 1, 0, (1 << 30) - 1);
        assert_eq!(Sequence::new(MASK).plus(3), Sequence::new(2));
    }

    proptest! {
        #[test]
        fn numbers_survive_wraps(first in any::<u32>(), near in 0u64..1 << 40, step in -(1i64 << 29)..1 << 29) {
            let numbering = Numbering::new(Sequence::new(first));
            let number = near.checked_add_signed(step);
            prop_assume!(number.is_some());
            prop_assert_eq!(numbering.number(numbering.sequence(number.unwrap()), near), number);
        }
    }
}
