//! VP8 (RFC 7741) and VP9 (RFC 9628) as RTP payloads.

use super::{MAX_PAYLOAD, frame::Payloads, h264::equal_pieces};

/// Cuts a frame of VP8. `number` counts frames.
pub(super) fn vp8(number: u16, data: &[u8], out: &mut Payloads) {
    /// There is an extension; a partition begins.
    const EXTENDED: u8 = 0x80;
    const START: u8 = 0x10;
    /// The extension has a number of the frame, of 15 bits.
    const NUMBERED: u8 = 0x80;
    let [high, low] = (number | 0x8000).to_be_bytes();
    for (piece, is_first, _) in equal_pieces(data, MAX_PAYLOAD - 4) {
        out.extend(&[EXTENDED | if is_first { START } else { 0 }, NUMBERED, high, low]);
        out.extend(piece);
        out.finish();
    }
}

/// Cuts a frame of VP9, as of one layer, in the non-flexible mode: what Safari knows. `number` counts frames.
pub(super) fn vp9(number: u16, (width, height): (u16, u16), is_sync: bool, data: &[u8], out: &mut Payloads) {
    /// Bits of the first byte: number of the frame, predicted from others, layers, begin and end of the frame, structure.
    const NUMBERED: u8 = 0x80;
    const PREDICTED: u8 = 0x40;
    const LAYERED: u8 = 0x20;
    const BEGIN: u8 = 0x08;
    const END: u8 = 0x04;
    const STRUCTURED: u8 = 0x02;
    /// One layer of this size, and each frame refers to the one before.
    const SIZED: u8 = 0x10;
    const GROUPED: u8 = 0x08;
    let [high, low] = (number | 0x8000).to_be_bytes();
    // The number of the frame in its low bits is that of the lowest temporal layer, which each frame is of.
    let layer = [0, low];
    let mut structure = vec![SIZED | GROUPED];
    structure.extend(width.to_be_bytes());
    structure.extend(height.to_be_bytes());
    // One frame in the group, of temporal layer 0, which refers to the one before.
    structure.extend([1, 1 << 2, 1]);
    for (piece, is_first, is_last) in equal_pieces(data, MAX_PAYLOAD - 5 - structure.len()) {
        let has_structure = is_sync && is_first;
        let flags = [
            (true, NUMBERED | LAYERED),
            (!is_sync, PREDICTED),
            (is_first, BEGIN),
            (is_last, END),
            (has_structure, STRUCTURED),
        ];
        out.extend(&[flags.into_iter().filter(|(is_set, _)| *is_set).fold(0, |all, (_, flag)| all | flag)]);
        out.extend(&[high, low]);
        out.extend(&layer);
        if has_structure {
            out.extend(&structure);
        }
        out.extend(piece);
        out.finish();
    }
}
