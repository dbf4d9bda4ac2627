//! MPEG-1 and MPEG-2 video: the sequence header (ISO/IEC 13818-2, section 6.2.2), and which frames a decoder may begin with.

use super::super::bits::Bits;
use super::nal::start_codes;
use super::{mpeg4_visual, vui};

pub use mpeg4_visual::Parameters as Mpeg4Parameters;

/// `picture_start_code`, without its prefix (table 6-1).
const PICTURE: u8 = 0x00;
const SEQUENCE: u8 = 0xb3;
const EXTENSION: u8 = 0xb5;

/// What is read of a sequence header and its extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequence {
    /// It has an extension: it is MPEG-2.
    pub is_mpeg2: bool,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Width and height of a pixel; `(1, 1)` when unknown.
    pub pixel_aspect: (u32, u32),
    /// Frames a second in lowest terms.
    pub frame_rate: Option<(u32, u32)>,
    /// No frame is shown later than others that are decoded after it; always false for MPEG-1, which does not say.
    pub has_low_delay: bool,
}

impl Sequence {
    /// Reads the first sequence header of an access unit.
    pub fn parse(unit: &[u8]) -> Option<Self> {
        let mut codes = start_codes(unit);
        let (_, payload) = codes.by_ref().find(|(code, _)| *code == SEQUENCE)?;
        let mut bits = Bits::new(payload);
        let (width, height) = (bits.take(12)?, bits.take(12)?);
        let (aspect, rate) = (bits.byte(4)?, bits.byte(4)?);
        let extension = codes
            .next()
            .filter(|(code, payload)| *code == EXTENSION && payload.first().is_some_and(|head| head >> 4 == 1))
            .and_then(|(_, payload)| Extension::read(&mut Bits::new(payload)));
        let mut this = Self {
            is_mpeg2: extension.is_some(),
            width,
            height,
            pixel_aspect: (1, 1),
            frame_rate: None,
            has_low_delay: false,
        };
        let mut factor = (1, 1);
        if let Some(extension) = extension {
            this.width |= extension.size.0 << 12;
            this.height |= extension.size.1 << 12;
            this.has_low_delay = extension.has_low_delay;
            factor = extension.rate;
        }
        this.pixel_aspect = this.pixel_aspect(aspect).unwrap_or((1, 1));
        this.frame_rate = frame_rate(rate).and_then(|(frames, seconds)| {
            vui::fraction(u64::from(frames) * u64::from(factor.0), u64::from(seconds) * u64::from(factor.1))
        });
        Some(this).filter(|this| this.width > 0 && this.height > 0)
    }

    /// Table 6-3 for MPEG-2, where the whole frame has an aspect; ISO/IEC 11172-2, section 2.4.3.2 for MPEG-1, where a pixel has
    /// a height for its width.
    fn pixel_aspect(&self, code: u8) -> Option<(u32, u32)> {
        const HEIGHTS: [u32; 14] =
            [10_000, 6735, 7031, 7615, 8055, 8437, 8935, 9157, 9815, 10_255, 10_695, 10_950, 11_575, 12_015];
        let frame: (u64, u64) = match (self.is_mpeg2, code) {
            (true, 2) => (4, 3),
            (true, 3) => (16, 9),
            (true, 4) => (221, 100),
            (true, _) => return None,
            (false, code) => {
                let height = HEIGHTS.get(usize::from(code).checked_sub(1)?)?;
                return vui::fraction(10_000, (*height).into());
            }
        };
        vui::fraction(frame.0 * u64::from(self.height), frame.1 * u64::from(self.width))
    }
}

/// `sequence_extension` (section 6.2.2.3).
struct Extension {
    /// The highest two bits of width and height.
    size: (u32, u32),
    /// By what the rate is multiplied and divided.
    rate: (u32, u32),
    has_low_delay: bool,
}

impl Extension {
    fn read(bits: &mut Bits<'_>) -> Option<Self> {
        bits.skip(4 + 8 + 1 + 2)?;
        let size = (bits.take(2)?, bits.take(2)?);
        bits.skip(12 + 1 + 8)?;
        let has_low_delay = bits.flag()?;
        Some(Self { size, rate: (bits.take(2)? + 1, bits.take(5)? + 1), has_low_delay })
    }
}

/// Table 6-4.
fn frame_rate(code: u8) -> Option<(u32, u32)> {
    let rates = [(24_000, 1001), (24, 1), (25, 1), (30_000, 1001), (30, 1), (50, 1), (60_000, 1001), (60, 1)];
    rates.get(usize::from(code).checked_sub(1)?).copied()
}

/// A decoder may begin with this access unit: its first frame needs no other, and a sequence header stands before it.
pub fn is_key(unit: &[u8]) -> bool {
    let mut has_sequence = false;
    for (code, payload) in start_codes(unit) {
        match code {
            SEQUENCE => has_sequence = true,
            // `picture_coding_type` 1 is an I frame (section 6.3.9).
            PICTURE => return has_sequence && payload.get(1).is_some_and(|bits| bits >> 3 & 7 == 1),
            _ => {}
        }
    }
    false
}

/// The temporal reference of the first frame of an access unit, and whether a GOP header stands before it.
pub fn temporal_reference(unit: &[u8]) -> Option<(u16, bool)> {
    const GROUP: u8 = 0xb8;
    let mut is_group = false;
    for (code, payload) in start_codes(unit) {
        match code {
            GROUP => is_group = true,
            PICTURE => {
                let [first, second, ..] = payload else { return None };
                return Some((u16::from(*first) << 2 | u16::from(second >> 6), is_group));
            }
            _ => {}
        }
    }
    None
}

/// Whether there is a frame, and not only headers.
pub fn has_frame(unit: &[u8]) -> bool {
    start_codes(unit).any(|(code, _)| code == PICTURE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Of ffmpeg: 160x120, 25 frames a second, in tests/data/mpeg2.ts.
    const HEADER: &[u8] =
        b"\0\0\x01\xb3\x0a\x00\x78\x13\xff\xff\xe0\x18\0\0\x01\xb5\x14\x8a\x00\x01\x00\x00\0\0\x01\xb8\0\x08\x00\x40";

    #[test]
    fn sequence_headers_are_read() {
        let sequence = Sequence::parse(HEADER).unwrap();
        assert_eq!((sequence.width, sequence.height, sequence.frame_rate), (160, 120, Some((25, 1))));
        assert!(sequence.is_mpeg2 && sequence.pixel_aspect == (1, 1));
        // 720x576 at 16:9.
        let mut wide = HEADER.to_vec();
        wide[4..8].copy_from_slice(&[0x2d, 0x02, 0x40, 0x33]);
        let sequence = Sequence::parse(&wide).unwrap();
        assert_eq!((sequence.width, sequence.height, sequence.pixel_aspect), (720, 576, (64, 45)));
        // MPEG-1 for 625 lines at 4:3.
        let sequence = Sequence::parse(b"\0\0\x01\xb3\x16\x01\x20\x83\xff\xff\xe0\x18\0\0\x01\xb8\0").unwrap();
        assert!(!sequence.is_mpeg2 && sequence.pixel_aspect == (10_000, 9157));
        assert_eq!(Sequence::parse(&HEADER[..9]).map(|sequence| sequence.width), Some(160));
        assert_eq!((Sequence::parse(&HEADER[..7]), Sequence::parse(b"")), (None, None));
    }

    #[test]
    fn keyframes_have_a_sequence_header() {
        let with = |frame: &[u8]| [HEADER, frame].concat();
        assert!(is_key(&with(b"\0\0\x01\0\0\x0f\xff\xf8")));
        assert!(!is_key(&with(b"\0\0\x01\0\0\x17\xff\xf8")));
        assert!(!is_key(b"\0\0\x01\0\0\x0f\xff\xf8"));
        assert!(!is_key(HEADER) && !has_frame(HEADER) && has_frame(&with(b"\0\0\x01\0\0")));
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes: Vec<u8>, code: u8) {
            let headed = [&HEADER[..5], &bytes, &[0, 0, 1, code], &bytes].concat();
            for bytes in [&bytes[..], &headed, &[&HEADER[..15], &bytes].concat()] {
                let _ = (Sequence::parse(bytes), is_key(bytes), has_frame(bytes));
            }
        }
    }
}
