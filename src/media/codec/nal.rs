//! NAL units: with start codes (ITU-T H.264, annex B) and with lengths (ISO/IEC 14496-15).

/// The NAL units of an access unit with start codes, without the zeros around them.
pub fn annex_b(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    // Up to the first start code there is nothing of an access unit.
    bytes = start_code(bytes).and_then(|at| bytes.get(at + 3..)).unwrap_or_default();
    std::iter::from_fn(move || {
        while !bytes.is_empty() {
            let end = start_code(bytes).unwrap_or(bytes.len());
            let unit = bytes.get(..end).unwrap_or_default();
            bytes = bytes.get(end + 3..).unwrap_or_default();
            let length = unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            if let Some(unit) = unit.get(..length).filter(|unit| !unit.is_empty()) {
                return Some(unit);
            }
        }
        None
    })
}

/// Where the next start code of three bytes begins. Most of a frame is passed in words of eight bytes, none of which is 0.
pub(in crate::media) fn start_code(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        while let Some(word) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>())
            && !has_zero(u64::from_ne_bytes(*word))
        {
            at += 8;
        }
        at += bytes.get(at..)?.iter().position(|byte| *byte == 0)?;
        at += match bytes.get(at..)?.first_chunk::<3>()? {
            [_, 0, 1] => return Some(at),
            [_, 0, 0] => 1,
            [_, 0, _] => 3,
            _ => 2,
        };
    }
}

/// What begins with start codes in MPEG video: the byte after the prefix, and everything after that.
pub(super) fn start_codes(unit: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = unit;
    std::iter::from_fn(move || {
        let at = start_code(rest)?;
        let (code, payload) = rest.get(at + 3..)?.split_first()?;
        rest = payload;
        Some((*code, payload))
    })
}

/// Whether one of the bytes is 0.
fn has_zero(word: u64) -> bool {
    const LOWEST: u64 = u64::MAX / 255;
    word.wrapping_sub(LOWEST) & !word & LOWEST << 7 != 0
}

/// The NAL units of an access unit with lengths of `length_size` bytes (1 to 4); ends at the first that is cut off.
pub fn length_prefixed(bytes: &[u8], length_size: usize) -> impl Iterator<Item = &[u8]> {
    with_lengths(bytes, length_size).map(|(_, unit)| unit)
}

/// The same, each with its length in front and without.
pub(super) fn with_lengths(mut bytes: &[u8], length_size: usize) -> impl Iterator<Item = (&[u8], &[u8])> {
    std::iter::from_fn(move || {
        loop {
            let (length, rest) = bytes.split_at_checked(length_size).filter(|(length, _)| !length.is_empty())?;
            let length = length.iter().fold(0usize, |length, byte| length << 8 | usize::from(*byte));
            let (unit, after) = rest.split_at_checked(length)?;
            let whole = bytes.get(..length_size + length)?;
            bytes = after;
            if !unit.is_empty() {
                return Some((whole, unit));
            }
        }
    })
}

/// Appends a NAL unit with a length of four bytes.
pub fn push_length_prefixed(unit: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&u32::try_from(unit.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(unit);
}

/// The payload of a NAL unit without the emulation prevention bytes (ITU-T H.264, section 7.4.1.1), up to `most` bytes.
pub fn unescaped(unit: &[u8], most: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(unit.len().min(most));
    let mut zeros = 0;
    for &byte in unit {
        if out.len() == most {
            break;
        }
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn start_codes_of_three_and_four_bytes_separate_units() {
        let units: Vec<_> = annex_b(b"x\0\0\0\x01\x09\xf0\0\0\x01\x67ab\0\0\0\0\x01\x68c\0\0").collect();
        assert_eq!(units, [&b"\x09\xf0"[..], b"\x67ab", b"\x68c"]);
        assert_eq!(annex_b(b"\0\0\x01").count(), 0);
    }

    #[test]
    fn lengths_separate_units() {
        let units: Vec<_> = length_prefixed(b"\0\x02ab\0\0\0\x01c\0\x09d", 2).collect();
        assert_eq!(units, [&b"ab"[..], b"c"]);
    }

    #[test]
    fn emulation_prevention_bytes_are_removed() {
        assert_eq!(unescaped(b"\0\0\x03\x01\0\0\x03\0\0\x03", 99), b"\0\0\x01\0\0\0\0");
        assert_eq!(unescaped(b"abc", 2), b"ab");
    }

    proptest! {
        #[test]
        fn units_survive_the_way_into_lengths_and_back(units in prop::collection::vec(prop::collection::vec(1u8.., 1..50), 0..6)) {
            let mut bytes = Vec::new();
            units.iter().for_each(|unit| push_length_prefixed(unit, &mut bytes));
            prop_assert_eq!(length_prefixed(&bytes, 4).map(<[u8]>::to_vec).collect::<Vec<_>>(), units);
        }

        #[test]
        fn start_codes_are_found_wherever_they_are(bytes in prop::collection::vec(prop::sample::select(vec![0u8, 0, 0, 1, 1, 2, 128, 129]), 0..40)) {
            prop_assert_eq!(start_code(&bytes), bytes.windows(3).position(|three| three == [0, 0, 1]));
        }

        #[test]
        fn foreign_bytes_never_panic(bytes: Vec<u8>, size in 0usize..6) {
            annex_b(&bytes).for_each(drop);
            length_prefixed(&bytes, size).for_each(drop);
        }
    }
}
