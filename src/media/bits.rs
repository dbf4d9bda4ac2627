//! Numbers of some bits, the highest bit first.

/// Reads from the begin of some bytes.
pub(in crate::media) struct Bits<'a> {
    bytes: &'a [u8],
    /// Bits read so far.
    at: usize,
}

impl<'a> Bits<'a> {
    pub(in crate::media) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Number of bits that were read or stepped over.
    pub(in crate::media) fn position(&self) -> usize {
        self.at
    }

    /// The next number of so many bits, 32 at most; `None` after the end.
    pub(in crate::media) fn take(&mut self, count: usize) -> Option<u32> {
        let from = self.at;
        self.skip(count)?;
        let bits = (from..self.at).filter_map(|at| Some(self.bytes.get(at / 8)? >> (7 - at % 8) & 1));
        Some(bits.fold(0, |number: u32, bit| number << 1 | u32::from(bit)))
    }

    /// Steps over so many bits.
    pub(in crate::media) fn skip(&mut self, count: usize) -> Option<()> {
        self.at = self.at.checked_add(count).filter(|end| *end <= self.bytes.len() * 8)?;
        Some(())
    }

    /// The next number, which is a flag.
    pub(in crate::media) fn flag(&mut self) -> Option<bool> {
        self.take(1).map(|bit| bit == 1)
    }

    /// The same, of a number that fits into a byte.
    pub(in crate::media) fn byte(&mut self, count: usize) -> Option<u8> {
        self.take(count).and_then(|number| u8::try_from(number).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_the_highest_bit_on() {
        let mut bits = Bits::new(&[0b1011_0001, 0xff, 0x00]);
        assert_eq!((bits.take(3), bits.flag(), bits.byte(5)), (Some(0b101), Some(true), Some(0b11)));
        assert_eq!((bits.take(16), bits.take(15), bits.take(1)), (None, Some(0x7f00), None));
    }
}
