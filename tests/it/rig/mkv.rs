//! Just enough of Matroska (RFC 9559) to cut a live stream behind its last whole block.

const SEGMENT: u32 = 0x1853_8067;
const CLUSTER: u32 = 0x1f43_b675;

/// The bytes up to the end of the last element that is whole.
pub fn trim(bytes: &[u8]) -> &[u8] {
    let mut at = 0;
    while let Some((id, header, size)) = element(&bytes[at..]) {
        let inside = id == SEGMENT || id == CLUSTER;
        let length = if inside { header } else { header + size.expect("only segments and clusters have no size") };
        if at + length > bytes.len() {
            break;
        }
        at += length;
    }
    &bytes[..at]
}

/// Id, length of the head, and size of the content if it is known.
fn element(bytes: &[u8]) -> Option<(u32, usize, Option<usize>)> {
    let id_length = bytes.first()?.leading_zeros() as usize + 1;
    let id = bytes.get(..id_length)?.iter().fold(0, |id, byte| id << 8 | u32::from(*byte));
    let first = *bytes.get(id_length)?;
    let size_length = first.leading_zeros() as usize + 1;
    let digits = bytes.get(id_length..id_length + size_length)?;
    let marker = 1usize << (7 * size_length);
    let size = digits.iter().fold(0, |size, byte| size << 8 | usize::from(*byte)) & (marker - 1);
    Some((id, id_length + size_length, (size != marker - 1).then_some(size)))
}
