//! Numbers of variable length in parameter sets (ITU-T H.264, section 9.1; ITU-T H.265, section 9.2).

use super::super::bits::Bits;

/// The next unsigned number: as many bits after its first 1 as there are zeros before it.
pub(super) fn unsigned(bits: &mut Bits<'_>) -> Option<u32> {
    let mut zeros = 0;
    while !bits.flag()? {
        zeros += 1;
        if zeros > 31 {
            return None;
        }
    }
    Some((1 << zeros) - 1 + bits.take(zeros)?)
}

/// The next signed number: 0, 1, -1, 2, -2 and so on.
pub(super) fn signed(bits: &mut Bits<'_>) -> Option<i64> {
    let number = i64::from(unsigned(bits)?);
    Some(if number % 2 == 0 { -(number / 2) } else { number / 2 + 1 })
}

/// Steps over so many unsigned numbers.
pub(super) fn skip(bits: &mut Bits<'_>, count: u32) -> Option<()> {
    (0..count).try_for_each(|_| unsigned(bits).map(drop))
}

/// The next unsigned number, if it is at most `most`.
pub(super) fn at_most(bits: &mut Bits<'_>, most: u8) -> Option<u8> {
    unsigned(bits).and_then(|number| u8::try_from(number).ok()).filter(|number| *number <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_as_many_bits_as_zeros_in_front() {
        let mut bits = Bits::new(&[0b1010_0110, 0b0100_0010, 0b1101_0011, 0b0010_0001, 0b0100_0000]);
        let unsigned: Vec<_> = (0..6).map_while(|_| unsigned(&mut bits)).collect();
        assert_eq!(unsigned, [0, 1, 2, 3, 4, 0]);
        let signed: Vec<_> = (0..5).map_while(|_| signed(&mut bits)).collect();
        assert_eq!(signed, [1, -1, 2, -2]);
        assert_eq!(super::unsigned(&mut Bits::new(&[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff])), Some(u32::MAX - 1));
        assert_eq!(super::unsigned(&mut Bits::new(&[0; 20])), None);
    }
}
