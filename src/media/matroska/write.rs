//! Writes EBML elements (RFC 8794, sections 4 to 7).

/// Appends an element with this content.
pub(super) fn element(id: u32, content: &[u8], out: &mut Vec<u8>) {
    id_bytes(id, out);
    let (size, length) = size(content.len());
    out.extend(size.iter().skip(8 - length));
    out.extend_from_slice(content);
}

/// Appends an ID. Its length is coded in its value.
pub(super) fn id_bytes(id: u32, out: &mut Vec<u8>) {
    out.extend(id.to_be_bytes().iter().skip(id.leading_zeros() as usize / 8));
}

/// The size of an element's content as a number of variable size: the last of these eight bytes, and how many of them.
pub(super) fn size(content: usize) -> ([u8; 8], usize) {
    let content = content as u64;
    // The number with all bits set stands for an unknown size.
    let length = (1..8).find(|length| content < (1 << (7 * length)) - 1).unwrap_or(8);
    ((content | 1 << (7 * length)).to_be_bytes(), length)
}

/// Appends an unsigned integer without leading zeros.
pub(super) fn unsigned(id: u32, value: u64, out: &mut Vec<u8>) {
    let zeros = (value.leading_zeros() as usize / 8).min(7);
    element(id, value.to_be_bytes().get(zeros..).unwrap_or_default(), out);
}

/// Appends a number with a point.
pub(super) fn float(id: u32, value: f64, out: &mut Vec<u8>) {
    element(id, &value.to_be_bytes(), out);
}

/// Appends an element with the children that `fill` writes.
pub(super) fn parent(id: u32, out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    let mut children = Vec::new();
    fill(&mut children);
    element(id, &children, out);
}

#[cfg(test)]
mod tests {
    use super::super::element::{self as read, Head, elements};
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut bytes = Vec::new();
        parent(read::AUDIO, &mut bytes, |audio| {
            float(read::SAMPLING_FREQUENCY, 44100.0, audio);
            unsigned(read::CHANNELS, 0, audio);
            unsigned(read::DEFAULT_DURATION, 40_000_000, audio);
        });
        let (id, content) = elements(&bytes).next().unwrap();
        assert_eq!(id, read::AUDIO);
        let children: Vec<_> = elements(content).collect();
        assert_eq!(children[0], (read::SAMPLING_FREQUENCY, &44100f64.to_be_bytes()[..]));
        assert_eq!(children[1], (read::CHANNELS, &[0][..]));
        assert_eq!((children[2].0, read::unsigned(children[2].1)), (read::DEFAULT_DURATION, 40_000_000));
    }

    #[test]
    fn sizes_are_short_and_never_unknown() {
        for (content, expect) in [(0, 1), (126, 1), (127, 2), (16_382, 2), (16_383, 3), (2_000_000, 3), (2_097_151, 4)]
        {
            let (bytes, length) = size(content);
            assert_eq!(length, expect);
            let head = Head::read(&[&[0xa3], &bytes[8 - length..]].concat()).unwrap().unwrap();
            assert_eq!((head.size, head.length), (Some(content as u64), 1 + length));
        }
    }
}
