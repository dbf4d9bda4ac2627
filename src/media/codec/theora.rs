//! Theora: size, rate and keyframes (Theora specification, sections 6.2 and 7.1).

use super::super::bits::Bits;
use super::vui;

/// What begins the identification header.
const IDENTIFICATION: &[u8] = b"\x80theora";

/// What the identification header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identification {
    /// Pixels of the visible part.
    pub width: u32,
    /// Pixels of the visible part.
    pub height: u32,
    /// Width and height of a pixel; `(1, 1)` when unknown.
    pub pixel_aspect: (u32, u32),
    /// Frames a second in lowest terms.
    pub frame_rate: Option<(u32, u32)>,
    /// `KFGSHIFT`: how many low bits of a granule position count the frames after a keyframe, 0 to 31.
    pub keyframe_shift: u8,
}

impl Identification {
    /// Reads the header.
    pub fn parse(header: &[u8]) -> Option<Self> {
        let mut bits = Bits::new(header.strip_prefix(IDENTIFICATION)?);
        // Version, and the size of the coded frame in blocks.
        bits.skip(24 + 32)?;
        let (width, height) = (bits.take(24)?, bits.take(24)?);
        bits.skip(16)?;
        let (frames, seconds) = (bits.take(32)?, bits.take(32)?);
        let (wide, high) = (bits.take(24)?, bits.take(24)?);
        bits.skip(8 + 24 + 6)?;
        let keyframe_shift = bits.byte(5)?;
        Some(Self {
            width,
            height,
            pixel_aspect: vui::fraction(wide.into(), high.into()).unwrap_or((1, 1)),
            frame_rate: vui::fraction(frames.into(), seconds.into()),
            keyframe_shift,
        })
        .filter(|header| header.width > 0 && header.height > 0)
    }
}

/// A decoder that has the headers may begin with this packet. An empty one repeats the frame before it.
pub fn is_key(packet: &[u8]) -> bool {
    packet.first().is_some_and(|first| first & 0xc0 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_header_is_read() {
        let capture = include_bytes!("../../../tests/data/theora-vorbis-gst.ogg");
        let at = capture.windows(7).position(|bytes| bytes == IDENTIFICATION).unwrap();
        let header = Identification::parse(&capture[at..at + 42]).unwrap();
        assert_eq!((header.width, header.height, header.pixel_aspect), (160, 120, (1, 1)));
        assert_eq!((header.frame_rate, header.keyframe_shift), (Some((25, 1)), 5));
        assert_eq!(Identification::parse(&capture[at..at + 41]).map(|header| header.keyframe_shift), None);
    }

    #[test]
    fn keyframes_are_told_from_others() {
        assert!(is_key(&[0x30]) && !is_key(&[0x70]) && !is_key(&[0x80]) && !is_key(&[]));
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes: Vec<u8>) {
            let _ = Identification::parse(&[IDENTIFICATION, &bytes].concat());
        }
    }
}
