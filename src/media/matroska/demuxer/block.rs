//! The frames of a `Block` or `SimpleBlock` (RFC 9559, section 10).

use super::super::element::number;
use bytes::Bytes;

/// Most frames of a block: their number has one byte.
const MAX_FRAMES: usize = 256;

/// A block that was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frames {
    /// Number of the track.
    pub(super) track: u64,
    /// Ticks from the timestamp of the cluster.
    pub(super) relative: i16,
    /// What the flag of a `SimpleBlock` says.
    pub(super) is_key: bool,
    /// One, or more with lacing.
    pub(super) frames: Vec<Bytes>,
}

impl Frames {
    /// Reads the content of a block; `None` when it is none. Frames are not copied.
    pub(super) fn read(block: &Bytes) -> Option<Self> {
        let (track, length) = number(block)?;
        let &[high, low, flags] = block.get(length..length + 3)?.first_chunk()?;
        let content = block.slice(length + 3..);
        let frames = match flags >> 1 & 3 {
            0 => vec![content],
            lacing => {
                let sizes = sizes(lacing, &content)?;
                let mut frames = Vec::with_capacity(sizes.sizes.len());
                let mut at = sizes.length;
                for size in sizes.sizes {
                    let end = at.checked_add(size).filter(|end| *end <= content.len())?;
                    frames.push(content.slice(at..end));
                    at = end;
                }
                frames
            }
        };
        Some(Self { track, relative: i16::from_be_bytes([high, low]), is_key: flags & 0x80 != 0, frames })
    }
}

/// Sizes of the frames of a laced block, and bytes before the first.
struct Sizes {
    sizes: Vec<usize>,
    length: usize,
}

fn sizes(lacing: u8, content: &[u8]) -> Option<Sizes> {
    let (&count, mut rest) = content.split_first()?;
    let count = usize::from(count) + 1;
    let mut sizes = Vec::with_capacity(count.min(MAX_FRAMES));
    match lacing {
        // Xiph (section 10.3.2): bytes of 255 and a remainder.
        1 => {
            for _ in 1..count {
                let at = rest.iter().position(|byte| *byte != 255)?;
                sizes.push(at * 255 + usize::from(*rest.get(at)?));
                rest = rest.get(at + 1..)?;
            }
        }
        // EBML (section 10.3.3): the first size, then differences.
        3 => {
            let mut size: i64 = 0;
            for place in 1..count {
                let (value, length) = number(rest)?;
                let value = i64::try_from(value).ok()?;
                size = if place == 1 { value } else { size.checked_add(value - middle(length))? };
                sizes.push(usize::try_from(size).ok()?);
                rest = rest.get(length..)?;
            }
        }
        // Fixed size (section 10.3.4).
        _ => {
            let size = rest.len() / count;
            sizes.resize(count, size);
            return (size * count == rest.len()).then_some(Sizes { sizes, length: 1 });
        }
    }
    let known = sizes.iter().try_fold(0usize, |sum, size| sum.checked_add(*size))?;
    sizes.push(rest.len().checked_sub(known)?);
    Some(Sizes { sizes, length: content.len() - rest.len() })
}

/// What stands for 0 in a signed number of so many bytes.
fn middle(length: usize) -> i64 {
    (1 << (7 * length - 1)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(block: &[u8], expect: Option<&[&[u8]]>) {
        let frames = Frames::read(&Bytes::copy_from_slice(block)).map(|block| block.frames);
        assert_eq!(
            frames.as_deref(),
            expect
                .map(|frames| frames.iter().map(|frame| Bytes::copy_from_slice(frame)).collect::<Vec<_>>())
                .as_deref()
        );
    }

    #[test]
    fn frames_of_all_lacings_are_found() {
        check(b"\x81\0\x05\x80frame", Some(&[b"frame"]));
        check(b"\x81\0\x05\x04\x01abcd", Some(&[b"ab", b"cd"]));
        check(b"\x81\0\x05\x04\x01abc", None);
        check(b"\x81\0\x05\x02\x02\x01\x02abbccc", Some(&[b"a", b"bb", b"ccc"]));
        check(b"\x81\0\x05\x02\x01\x09ab", None);
        let long = [&b"\x81\0\x05\x02\x01\xff\x02"[..], &[7; 257], b"rest"].concat();
        check(&long, Some(&[&[7; 257], b"rest"]));
        // Of three, two, one and two bytes: differences of -1 twice, the last one is what is left.
        check(b"\x81\0\x05\x06\x03\x83\xbe\xbeaaabbcdd", Some(&[b"aaa", b"bb", b"c", b"dd"]));
        check(b"\x81\0\x05\x06\x02\x83\x80aaabb", None);
        check(b"\x81\0", None);
    }

    #[test]
    fn the_head_is_read() {
        let block = Frames::read(&Bytes::from_static(b"\x40\x90\xff\xfe\x80f")).unwrap();
        assert_eq!((block.track, block.relative, block.is_key), (0x90, -2, true));
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes: Vec<u8>) {
            if let Some(block) = Frames::read(&Bytes::from(bytes.clone())) {
                prop_assert!(block.frames.iter().map(Bytes::len).sum::<usize>() <= bytes.len());
            }
        }
    }
}
