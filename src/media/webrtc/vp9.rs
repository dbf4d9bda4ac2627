//! The descriptor that browsers need of VP9 in the non-flexible mode (RFC 9628, section 4.2): they drop frames of which it names no
//! layers, and keyframes without the structure of the layers.

/// Bits of the first byte: layers, begin of the frame, structure.
const LAYERED: u8 = 0x20;
const BEGINS: u8 = 0x08;
const STRUCTURED: u8 = 0x02;
/// One layer of this size; each frame refers to the one before.
const SIZED: u8 = 0x10;
const GROUPED: u8 = 0x08;

/// Bytes that a descriptor grows by at most.
pub(super) const GROWTH: usize = 2 + 8;

/// A payload with a descriptor of a number of the frame alone, as one of the only layer. `size`: width and height.
pub(super) fn layered(payload: &[u8], is_sync: bool, (width, height): (u16, u16)) -> Vec<u8> {
    let Some(([flags, high, low], rest)) = payload.split_first_chunk::<3>() else { return payload.to_vec() };
    let has_structure = is_sync && flags & BEGINS != 0;
    let mut out = Vec::with_capacity(payload.len() + GROWTH);
    out.push(flags | LAYERED | if has_structure { STRUCTURED } else { 0 });
    // The lowest layer of each kind, and its number, which grows with each frame.
    out.extend([*high, *low, 0, *low]);
    if has_structure {
        out.push(SIZED | GROUPED);
        out.extend(width.to_be_bytes());
        out.extend(height.to_be_bytes());
        // One frame in the group, of the lowest layer, which refers to the one before.
        out.extend([1, 1 << 2, 1]);
    }
    out.extend_from_slice(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_frame_is_of_the_only_layer() {
        assert_eq!(
            layered(&[0x88, 0x81, 0x05, 7], true, (320, 180)),
            [0xaa, 0x81, 0x05, 0, 5, 0x18, 1, 64, 0, 180, 1, 4, 1, 7]
        );
        assert_eq!(layered(&[0x84, 0x81, 0x05, 7], true, (320, 180)), [0xa4, 0x81, 0x05, 0, 5, 7]);
        assert_eq!(layered(&[0xcc, 0x81, 0x06, 7], false, (320, 180)), [0xec, 0x81, 0x06, 0, 6, 7]);
        assert_eq!(layered(&[1], true, (0, 0)), [1]);
    }
}
