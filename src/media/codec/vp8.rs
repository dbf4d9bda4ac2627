//! VP8: what its frames say of themselves (RFC 6386, section 9.1).

/// What stands after the frame tag of a keyframe.
const START_CODE: [u8; 3] = [0x9d, 0x01, 0x2a];

/// A decoder may begin with this frame.
pub fn is_key(frame: &[u8]) -> bool {
    size(frame).is_some()
}

/// Width and height of a keyframe in pixels; `None` for other frames and for what is none.
pub fn size(frame: &[u8]) -> Option<(u32, u32)> {
    let &[tag, _, _, a, b, c, width_low, width_high, height_low, height_high] = frame.first_chunk::<10>()?;
    let side = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
    let (width, height) = (side(width_low, width_high), side(height_low, height_high));
    let is_key = tag & 1 == 0 && [a, b, c] == START_CODE;
    (is_key && width > 0 && height > 0).then_some((width, height))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keyframes_tell_their_size() {
        // The highest two bits of a side are for scaling.
        let key = [0x50, 0x18, 0, 0x9d, 1, 0x2a, 0xa0, 0x40, 0x78, 0, 0];
        assert_eq!(size(&key), Some((160, 120)));
        assert!(is_key(&key) && !is_key(&[0x51, 0x18, 0, 0x9d, 1, 0x2a, 0xa0, 0, 0x78, 0]));
        assert_eq!((size(&key[..9]), size(&[0; 10])), (None, None));
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes: Vec<u8>) {
            prop_assert_eq!(is_key(&bytes), size(&bytes).is_some());
        }
    }
}
