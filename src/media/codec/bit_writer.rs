//! Writes numbers of some bits, the highest bit first.

/// Bytes that are written bit by bit.
#[derive(Debug, Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    /// Bits that are free in the last byte.
    free: usize,
}

impl BitWriter {
    /// Appends the lowest `count` bits of a number.
    pub(super) fn write(&mut self, number: u32, count: usize) {
        for bit in (0..count).rev() {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            self.free -= 1;
            if let Some(last) = self.bytes.last_mut() {
                *last |= ((number >> bit & 1) as u8) << self.free;
            }
        }
    }

    /// Begins the next number with a byte.
    pub(super) fn align(&mut self) {
        self.free = 0;
    }

    /// All bytes, with zeros after the last number.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_from_the_highest_bit_on() {
        let mut writer = BitWriter::default();
        writer.write(0b101, 3);
        writer.write(0x1ff, 7);
        writer.align();
        writer.write(0xabcd, 16);
        assert_eq!(writer.into_bytes(), [0b1011_1111, 0b1100_0000, 0xab, 0xcd]);
    }
}
