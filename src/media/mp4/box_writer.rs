//! Writes boxes: a length, four characters, a body (section 4.2).

/// Appends a box with the body that `body` writes.
pub(super) fn write(kind: &[u8; 4], out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(kind);
    body(out);
    let length = u32::try_from(out.len() - at).unwrap_or(u32::MAX);
    if let Some(place) = out.get_mut(at..at + 4) {
        place.copy_from_slice(&length.to_be_bytes());
    }
}

/// The same of a box with a version and 24 flags.
pub(super) fn write_full(kind: &[u8; 4], version: u8, flags: u32, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    write(kind, out, |out| {
        words(out, &[u32::from(version) << 24 | flags & 0xff_ffff]);
        body(out);
    });
}

/// Appends numbers of four bytes.
pub(super) fn words(out: &mut Vec<u8>, words: &[u32]) {
    words.iter().for_each(|word| out.extend_from_slice(&word.to_be_bytes()));
}

/// Appends numbers of two bytes.
pub(super) fn halves(out: &mut Vec<u8>, halves: &[u16]) {
    halves.iter().for_each(|half| out.extend_from_slice(&half.to_be_bytes()));
}
