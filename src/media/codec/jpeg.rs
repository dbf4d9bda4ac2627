//! JPEG: the size of an image, and the Huffman tables that abbreviated motion JPEG leaves out (ITU-T T.81).

use std::borrow::Cow;

/// The tables that everybody uses who says none (ITU-T T.81, annex K.3.3), as the content of a DHT segment: DC and AC of luma,
/// DC and AC of chroma.
#[rustfmt::skip]
pub(in crate::media) const STANDARD_TABLES: [u8; 416] = [
    0, 0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2,
    3, 4, 5, 6, 7, 8, 9, 0x0a, 0x0b, 0x10, 0, 2, 1, 3, 3, 2, 4, 3, 5, 5,
    4, 4, 0, 0, 1, 0x7d, 1, 2, 3, 0, 4, 0x11, 5, 0x12, 0x21, 0x31, 0x41, 6, 0x13, 0x51,
    0x61, 7, 0x22, 0x71, 0x14, 0x32, 0x81, 0x91, 0xa1, 8, 0x23, 0x42, 0xb1, 0xc1, 0x15, 0x52, 0xd1, 0xf0, 0x24, 0x33,
    0x62, 0x72, 0x82, 9, 0x0a, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x34, 0x35, 0x36, 0x37,
    0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x63,
    0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x83, 0x84, 0x85, 0x86, 0x87,
    0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9,
    0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2,
    0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe1, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf1, 0xf2,
    0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa, 1, 0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0x0a, 0x0b, 0x11, 0, 2,
    1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 0x77, 0, 1, 2, 3, 0x11, 4,
    5, 0x21, 0x31, 6, 0x12, 0x41, 0x51, 7, 0x61, 0x71, 0x13, 0x22, 0x32, 0x81, 8, 0x14, 0x42, 0x91, 0xa1, 0xb1,
    0xc1, 9, 0x23, 0x33, 0x52, 0xf0, 0x15, 0x62, 0x72, 0xd1, 0x0a, 0x16, 0x24, 0x34, 0xe1, 0x25, 0xf1, 0x17, 0x18, 0x19,
    0x1a, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a,
    0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75, 0x76,
    0x77, 0x78, 0x79, 0x7a, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98,
    0x99, 0x9a, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba,
    0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe2, 0xe3,
    0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa,
];

const FILL: u8 = 0xff;
const START: u8 = 0xd8;
const TABLES: u8 = 0xc4;
const SCAN: u8 = 0xda;

/// Width and height of an image in pixels.
pub fn size(image: &[u8]) -> Option<(u32, u32)> {
    // Annex B.2.2; the codes between those of frame headers stand for tables and extensions.
    let is_frame = |marker: &u8| matches!(marker, 0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf);
    let frame = segments(image).find(|segment| is_frame(&segment.marker))?;
    let &[_, high_a, high_b, wide_a, wide_b] = frame.content.first_chunk::<5>()?;
    let (width, height) = (u16::from_be_bytes([wide_a, wide_b]), u16::from_be_bytes([high_a, high_b]));
    (width > 0 && height > 0).then_some((width.into(), height.into()))
}

/// The image with Huffman tables: as it is if it has some or needs none, else with the usual ones before its first scan.
pub fn complete(image: &[u8]) -> Cow<'_, [u8]> {
    let mut is_baseline = false;
    for segment in segments(image) {
        match segment.marker {
            0xc0 | 0xc1 => is_baseline = true,
            SCAN if is_baseline => {
                let (head, rest) = image.split_at_checked(segment.at).unwrap_or((image, &[]));
                // The length counts itself.
                let length = (STANDARD_TABLES.len() as u16 + 2).to_be_bytes();
                return [head, &[FILL, TABLES], &length, &STANDARD_TABLES, rest].concat().into();
            }
            TABLES | SCAN => break,
            _ => {}
        }
    }
    image.into()
}

/// A marker and what belongs to it.
pub(in crate::media) struct Segment<'a> {
    /// Where its first byte, 0xff, is.
    pub(in crate::media) at: usize,
    pub(in crate::media) marker: u8,
    /// What is after the length.
    pub(in crate::media) content: &'a [u8],
}

/// The segments from the begin of an image up to and with the first scan.
pub(in crate::media) fn segments(image: &[u8]) -> impl Iterator<Item = Segment<'_>> {
    let mut at = if image.starts_with(&[FILL, START]) { 2 } else { image.len() };
    std::iter::from_fn(move || {
        // Any number of fill bytes may stand before a marker (annex B.1.1.2).
        while image.get(at..at + 2)? == [FILL, FILL] {
            at += 1;
        }
        let &[FILL, marker, high, low] = image.get(at..)?.first_chunk::<4>()? else { return None };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let content = image.get(at + 4..at + 2 + length)?;
        let segment = Segment { at, marker, content };
        at = if marker == SCAN { image.len() } else { at + 2 + length };
        Some(segment)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CAPTURE: &[u8] = include_bytes!("../../../tests/data/pictures.mjpeg");

    /// An image whose encoder uses the usual tables, and the same without them.
    fn plain_and_abbreviated() -> (Vec<u8>, Vec<u8>) {
        let mut plain = Vec::new();
        let pixels = image::RgbImage::from_fn(48, 32, |x, y| image::Rgb([(x * 5) as u8, (y * 7) as u8, 90]));
        image::codecs::jpeg::JpegEncoder::new(&mut plain).encode_image(&pixels).unwrap();
        let mut abbreviated = plain.clone();
        let tables: Vec<_> = segments(&plain).filter(|segment| segment.marker == TABLES).collect();
        for segment in tables.iter().rev() {
            abbreviated.drain(segment.at..segment.at + 4 + segment.content.len());
        }
        assert!(!tables.is_empty());
        (plain, abbreviated)
    }

    #[test]
    fn images_tell_their_size() {
        assert_eq!(size(CAPTURE), Some((160, 120)));
        assert_eq!((size(&CAPTURE[1..]), size(&CAPTURE[..20]), size(b"")), (None, None, None));
    }

    #[test]
    fn missing_tables_are_added() {
        let (plain, abbreviated) = plain_and_abbreviated();
        assert!(image::load_from_memory(&abbreviated).is_err());
        let completed = complete(&abbreviated);
        assert!(image::load_from_memory(&completed).unwrap() == image::load_from_memory(&plain).unwrap());
        for whole in [CAPTURE, &plain[..], b"", b"\xff\xd8"] {
            assert!(matches!(complete(whole), Cow::Borrowed(same) if same == whole));
        }
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes: Vec<u8>, marker in 0xc0u8..) {
            for bytes in [&bytes[..], &[&[FILL, START, FILL, marker, 0][..], &bytes].concat()] {
                let _ = size(bytes);
                prop_assert!(complete(bytes).len() <= bytes.len() + STANDARD_TABLES.len() + 4);
            }
        }
    }
}
