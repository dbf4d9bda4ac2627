//! Decides from the beginning of a temporal unit of AV1 whether decoding may begin with it.
//!
//! The units of a transport stream are rows of OBUs, either as in "Low overhead bitstream format" of the AV1 specification
//! (section 5.2), or each after a start code (Carriage of AV1 in MPEG-2 TS, AOM draft, section 4). What precedes the frame is
//! looked at only: neither form has bytes in there that stand for others.

const SEQUENCE_HEADER: u8 = 1;
const FRAME_HEADER: u8 = 3;
const FRAME: u8 = 6;

/// Whether a unit that begins with these bytes has a sequence header and then a shown keyframe; `None` when they are too few
/// to decide.
pub(super) fn is_key(unit: &[u8]) -> Option<bool> {
    let mut rest = unit;
    let has_codes = starts_with_code(unit)?;
    // Of the last sequence header: whether its frames have no header of their own to speak of.
    let mut sequence = None;
    loop {
        if has_codes {
            let at = rest.windows(3).position(|bytes| bytes == [0, 0, 1])?;
            rest = rest.get(at + 3..)?;
        }
        let (&head, after) = rest.split_first()?;
        // `obu_forbidden_bit`.
        if head & 0x80 != 0 {
            return Some(false);
        }
        // `obu_extension_flag` and its byte, `obu_has_size_field` and its number.
        let after = after.get(usize::from(head & 4 != 0)..)?;
        let (size, payload) = if head & 2 != 0 {
            let (size, length) = leb128(after)?;
            (Some(size), after.get(length..)?)
        } else {
            (None, after)
        };
        match head >> 3 & 15 {
            // `seq_profile` in three bits, `still_picture`, `reduced_still_picture_header` (section 5.5.1).
            SEQUENCE_HEADER => sequence = Some(payload.first()? & 0x08 != 0),
            FRAME_HEADER | FRAME => {
                let Some(is_reduced) = sequence else { return Some(false) };
                // `show_existing_frame`, `frame_type` 0 in two bits, `show_frame` (section 5.9.2).
                return Some(is_reduced || payload.first()? & 0xf0 == 0x10);
            }
            _ => {}
        }
        if !has_codes {
            // An OBU without a size is the last one.
            let Some(size) = size.and_then(|size| usize::try_from(size).ok()) else { return Some(false) };
            rest = payload.get(size..)?;
        } else {
            rest = payload;
        }
    }
}

/// Whether there is a start code, of three bytes or four.
fn starts_with_code(unit: &[u8]) -> Option<bool> {
    match *unit {
        [0, 0, 1, ..] | [0, 0, 0, 1, ..] => Some(true),
        [] | [0] | [0, 0] | [0, 0, 0] => None,
        _ => Some(false),
    }
}

/// A number of variable length (section 4.10.5), and its length; `None` when the bytes end before it does.
fn leb128(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut number = 0;
    for (at, &byte) in bytes.iter().take(8).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 || at == 7 {
            return Some((number, at + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Temporal delimiter, sequence header, and the beginning of a frame with these first bits.
    fn unit(frame: u8) -> Vec<u8> {
        [&[0x12, 0, 0x0a, 3, 0, 0, 0, 0x32, 0x95, 0x13][..], &[frame; 9]].concat()
    }

    #[test]
    fn keyframes_are_detected() {
        #[track_caller]
        fn check(unit: &[u8], expect: Option<bool>) {
            assert_eq!(is_key(unit), expect, "{unit:x?}");
        }
        check(&unit(0x10), Some(true));
        // Between others, intra only, switch; not shown; one that was sent before.
        check(&unit(0x30), Some(false));
        check(&unit(0x50), Some(false));
        check(&unit(0x70), Some(false));
        check(&unit(0x00), Some(false));
        check(&unit(0x90), Some(false));
        // Without a sequence header no decoder can begin.
        check(&[0x12, 0, 0x32, 5, 0x10], Some(false));
        // Metadata in between, a header of a frame by itself, an extension.
        check(&[0x12, 0, 0x0a, 1, 0, 0x2a, 2, 9, 9, 0x1a, 7, 0x10], Some(true));
        check(&[0x0e, 0x08, 1, 0, 0x36, 0x08, 7, 0x10], Some(true));
        // A reduced still picture header has no such bits.
        check(&[0x0a, 1, 0x18, 0x32, 5, 0xff], Some(true));
        // After start codes, with sizes and without.
        check(&[0, 0, 1, 0x08, 0, 9, 9, 0, 0, 1, 0x30, 0x10], Some(true));
        check(&[0, 0, 0, 1, 0x0a, 1, 0, 0, 0, 1, 0x32, 5, 0x30], Some(false));
        check(&[0x92, 0], Some(false));
        check(&[0x30, 0x10], Some(false));
        check(&[0x10, 0x10], Some(false));
    }

    #[test]
    fn nothing_is_said_before_it_is_there() {
        let key = unit(0x10);
        let decided = key.iter().position(|&byte| byte == 0x10).unwrap();
        for length in 0..=key.len() {
            assert_eq!(is_key(&key[..length]), (length > decided).then_some(true), "of {length}");
        }
    }

    #[test]
    fn numbers_are_read_as_far_as_they_are_there() {
        assert_eq!(leb128(&[0xe5, 0x8e, 0x26, 1]), Some((624_485, 3)));
        assert_eq!(leb128(&[0x80]), None);
        assert_eq!(leb128(&[0xff; 9]).map(|(_, length)| length), Some(8));
    }

    proptest! {
        #[test]
        fn what_is_decided_stands(bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0u8..20], 0..60)) {
            let mut decided = None;
            for length in 0..=bytes.len() {
                let found = is_key(&bytes[..length]);
                prop_assert!(decided.is_none() || found == decided);
                decided = found;
            }
        }
    }
}
