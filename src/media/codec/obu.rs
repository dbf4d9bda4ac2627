//! OBUs of AV1: rows of units in a temporal unit (AV1 Bitstream, section 5.3).

/// `obu_type` of a sequence header (section 6.2.2).
pub const SEQUENCE_HEADER: u8 = 1;
/// `obu_type` of a temporal delimiter.
pub const TEMPORAL_DELIMITER: u8 = 2;
/// `obu_type` of a frame header by itself.
pub const FRAME_HEADER: u8 = 3;
/// `obu_type` of tiles by themselves.
pub const TILE_GROUP: u8 = 4;
/// `obu_type` of metadata.
pub const METADATA: u8 = 5;
/// `obu_type` of a frame header with tiles.
pub const FRAME: u8 = 6;
/// `obu_type` of a frame header that is sent again.
pub const REDUNDANT_FRAME_HEADER: u8 = 7;
/// `obu_type` of a list of tiles.
pub const TILE_LIST: u8 = 8;
/// `obu_type` of what is stepped over.
pub const PADDING: u8 = 15;

const HAS_EXTENSION: u8 = 4;
const HAS_SIZE: u8 = 2;

/// One OBU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Obu<'a> {
    /// `obu_type`.
    pub kind: u8,
    /// Header, size field if there is one, and payload.
    pub whole: &'a [u8],
    /// What is after header and size.
    pub payload: &'a [u8],
}

impl Obu<'_> {
    /// Whether it has a size field.
    pub fn has_size(&self) -> bool {
        self.whole.first().is_some_and(|head| head & HAS_SIZE != 0)
    }

    /// Bytes that it has with a size field, and at most so many more than it needs.
    pub fn max_len(&self) -> usize {
        self.whole.len() + MAX_LEB128
    }

    /// Appends it with a size field; as it is, if it has one.
    pub fn write_with_size(&self, out: &mut Vec<u8>) {
        match (self.has_size(), self.whole) {
            (false, [head, rest @ ..]) => {
                out.push(head | HAS_SIZE);
                let extension = rest.len() - self.payload.len();
                out.extend_from_slice(rest.get(..extension).unwrap_or_default());
                write_leb128(self.payload.len(), out);
                out.extend_from_slice(self.payload);
            }
            _ => out.extend_from_slice(self.whole),
        }
    }

    /// It with a size field.
    pub fn with_size(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.max_len());
        self.write_with_size(&mut out);
        out
    }
}

/// The OBUs of a temporal unit (section 7.5, low overhead bitstream format). Ends at the first that is wrong or cut off; one
/// without a size is the last.
#[derive(Debug, Clone)]
pub struct Obus<'a> {
    rest: &'a [u8],
}

impl<'a> Obus<'a> {
    /// Those in these bytes.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What was not read: empty after the last OBU, unless something is wrong or cut off.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Obus<'a> {
    type Item = Obu<'a>;

    fn next(&mut self) -> Option<Obu<'a>> {
        let (unit, rest) = split(self.rest)?;
        self.rest = rest;
        Some(unit)
    }
}

fn split(bytes: &[u8]) -> Option<(Obu<'_>, &[u8])> {
    let head = *bytes.first()?;
    // `obu_forbidden_bit`.
    if head & 0x80 != 0 {
        return None;
    }
    let header = 1 + usize::from(head & HAS_EXTENSION != 0);
    let (begin, end) = match head & HAS_SIZE != 0 {
        true => {
            let (size, length) = read_leb128(bytes.get(header..)?)?;
            (header + length, (header + length).checked_add(size)?)
        }
        false => (header, bytes.len()),
    };
    let (whole, rest) = bytes.split_at_checked(end)?;
    Some((Obu { kind: head >> 3 & 15, whole, payload: whole.get(begin..)? }, rest))
}

/// Most bytes of a number (section 4.10.5).
const MAX_LEB128: usize = 8;

/// A number with seven bits a byte, the lowest first, below 2^32, and its length (section 4.10.5).
pub fn read_leb128(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut number = 0u64;
    for (at, &byte) in bytes.iter().take(MAX_LEB128).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            let number = u32::try_from(number).ok()?;
            return Some((usize::try_from(number).ok()?, at + 1));
        }
    }
    None
}

/// Appends such a number.
pub fn write_leb128(mut number: usize, out: &mut Vec<u8>) {
    while number > 0x7f {
        out.push(0x80 | (number & 0x7f) as u8);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn units_are_found_by_their_sizes() {
        let bytes = [0x12, 0, 0x0a, 2, 0xaa, 0xbb, 0x36, 0x08, 1, 0xcc, 0x30, 1, 2, 3];
        let kinds: Vec<_> = Obus::new(&bytes).map(|unit| (unit.kind, unit.payload)).collect();
        let expect: [(u8, &[u8]); 4] = [(2, &[]), (1, &[0xaa, 0xbb]), (6, &[0xcc]), (6, &[1, 2, 3])];
        assert_eq!(kinds, expect);
        assert_eq!(Obus::new(&bytes).last().unwrap().with_size(), [0x32, 3, 1, 2, 3]);
        assert_eq!(Obus::new(&[0x34, 0x08, 7]).next().unwrap().with_size(), [0x36, 0x08, 1, 7]);
        let mut cut = Obus::new(&bytes[..5]);
        assert_eq!((cut.by_ref().count(), cut.rest()), (1, &bytes[2..5]));
        assert_eq!(Obus::new(&[0x92, 0]).count(), 0);
    }

    #[test]
    fn numbers_are_read_as_far_as_they_are_there() {
        assert_eq!(read_leb128(&[0xe5, 0x8e, 0x26, 1]), Some((624_485, 3)));
        assert_eq!((read_leb128(&[0x80]), read_leb128(&[0xff; 9]), read_leb128(&[])), (None, None, None));
        assert_eq!(read_leb128(&[0x83, 0x80, 0]), Some((3, 3)), "with room to spare");
    }

    proptest! {
        #[test]
        fn numbers_come_back(number in 0usize..=u32::MAX as usize) {
            let mut bytes = Vec::new();
            write_leb128(number, &mut bytes);
            prop_assert_eq!(read_leb128(&bytes), Some((number, bytes.len())));
        }

        #[test]
        fn foreign_bytes_never_panic(bytes: Vec<u8>) {
            let mut units = Obus::new(&bytes);
            let lengths: usize = units.by_ref().map(|unit| unit.whole.len()).sum();
            prop_assert_eq!(lengths + units.rest().len(), bytes.len());
        }
    }
}
