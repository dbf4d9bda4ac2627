//! VP9: what its frames say of themselves (VP9 Bitstream, section 6.2), as `vpcC` has it (VP Codec ISO Media File Format Binding).

use super::super::bits::Bits;
use serde::{Deserialize, Serialize};

/// Profile and format of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameters {
    /// 0 to 3.
    pub profile: u8,
    /// The lowest level that suffices for size and rate, in tenths; 0 when unknown.
    pub level: u8,
    /// Bits of a value: 8, 10 or 12.
    pub bit_depth: u8,
    /// `chroma_subsampling` of `vpcC`: 1 is 4:2:0 with chroma at the luma's place, 2 is 4:2:2, 3 is 4:4:4.
    pub chroma_subsampling: u8,
}

/// What colours mean that nothing is said of (ISO/IEC 23091-2).
const UNSPECIFIED: u8 = 2;

impl Parameters {
    /// Those of a track that begins with this frame, with the level for its size at this many frames a second.
    pub fn new(header: &KeyHeader, frame_rate: Option<(u32, u32)>) -> Self {
        Self {
            profile: header.profile,
            level: level(header.width, header.height, frame_rate),
            bit_depth: header.bit_depth,
            chroma_subsampling: match header.half_chroma {
                (true, true) => 1,
                (true, false) => 2,
                (false, _) => 3,
            },
        }
    }

    /// Those of the body of `vpcC`: version, flags and `VPCodecConfigurationRecord`.
    pub fn from_record(record: &[u8]) -> Option<Self> {
        let &[1, _, _, _, profile, level, format] = record.first_chunk::<7>()? else { return None };
        Some(Self { profile, level, bit_depth: format >> 4, chroma_subsampling: format >> 1 & 7 })
    }

    /// The body of `vpcC`: version, flags and `VPCodecConfigurationRecord`. Colours are left to the frames.
    pub fn record(&self) -> [u8; 12] {
        let format = self.bit_depth << 4 | (self.chroma_subsampling & 7) << 1;
        let colours = [UNSPECIFIED; 3];
        [1, 0, 0, 0, self.profile, self.level, format, colours[0], colours[1], colours[2], 0, 0]
    }

    /// Profile, level and depth.
    pub fn codec_string(&self) -> String {
        match self.level {
            0 => "vp9".to_owned(),
            level => format!("vp09.{:02}.{level:02}.{:02}", self.profile, self.bit_depth),
        }
    }
}

/// The lowest level, in tenths, whose pixels a second and pixels of a frame are enough (VP9 levels).
pub fn level(width: u32, height: u32, frame_rate: Option<(u32, u32)>) -> u8 {
    const LEVELS: [(u8, u64, u64); 14] = [
        (10, 829_440, 36_864),
        (11, 2_764_800, 73_728),
        (20, 4_608_000, 122_880),
        (21, 9_216_000, 245_760),
        (30, 20_736_000, 552_960),
        (31, 36_864_000, 983_040),
        (40, 83_558_400, 2_228_224),
        (41, 160_432_128, 2_228_224),
        (50, 311_951_360, 8_912_896),
        (51, 588_251_136, 8_912_896),
        (52, 1_176_502_272, 8_912_896),
        (60, 1_176_502_272, 35_651_584),
        (61, 2_353_004_544, 35_651_584),
        (62, 4_706_009_088, 35_651_584),
    ];
    const USUAL_RATE: (u32, u32) = (30, 1);
    let pixels = u64::from(width) * u64::from(height);
    let (frames, seconds) = frame_rate.unwrap_or(USUAL_RATE);
    let a_second = u128::from(pixels) * u128::from(frames) / u128::from(seconds.max(1));
    let fits = LEVELS.iter().find(|(_, most_a_second, most)| a_second <= (*most_a_second).into() && pixels <= *most);
    fits.map_or(62, |(level, ..)| *level)
}

/// What the uncompressed header of a keyframe says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyHeader {
    /// 0 to 3.
    pub profile: u8,
    /// Bits of a value: 8, 10 or 12.
    pub bit_depth: u8,
    /// Chroma has half the width, half the height.
    pub half_chroma: (bool, bool),
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// It is shown when it is decoded.
    pub is_shown: bool,
}

impl KeyHeader {
    /// Reads a frame or superframe that begins with a keyframe; `None` for all others.
    pub fn parse(frame: &[u8]) -> Option<Self> {
        const SYNC_CODE: u32 = 0x49_83_42;
        const RGB: u8 = 7;
        let mut bits = Bits::new(frame);
        let head = Head::read(&mut bits)?;
        if !head.is_key || bits.take(24)? != SYNC_CODE {
            return None;
        }
        let profile = head.profile;
        let bit_depth = match profile >= 2 {
            true => 10 + 2 * u8::from(bits.flag()?),
            false => 8,
        };
        let is_rgb = bits.byte(3)? == RGB;
        if !is_rgb {
            bits.skip(1)?;
        }
        let half_chroma = match (profile & 1 != 0, is_rgb) {
            (false, true) => return None,
            (false, false) => (true, true),
            (true, true) => {
                bits.skip(1)?;
                (false, false)
            }
            (true, false) => {
                let half = (bits.flag()?, bits.flag()?);
                bits.skip(1)?;
                half
            }
        };
        let (width, height) = (bits.take(16)? + 1, bits.take(16)? + 1);
        Some(Self { profile, bit_depth, half_chroma, width, height, is_shown: head.is_shown })
    }
}

/// What all frames begin with.
struct Head {
    profile: u8,
    is_key: bool,
    is_shown: bool,
}

impl Head {
    fn read(bits: &mut Bits<'_>) -> Option<Self> {
        if bits.take(2)? != 2 {
            return None;
        }
        let (low, high) = (bits.byte(1)?, bits.byte(1)?);
        let profile = high << 1 | low;
        if profile == 3 {
            bits.skip(1)?;
        }
        let shows_existing = bits.flag()?;
        if shows_existing {
            return Some(Self { profile, is_key: false, is_shown: true });
        }
        let (is_other, is_shown) = (bits.flag()?, bits.flag()?);
        bits.skip(1)?;
        Some(Self { profile, is_key: !is_other, is_shown })
    }
}

/// A decoder may begin with this frame or superframe.
pub fn is_key(frame: &[u8]) -> bool {
    KeyHeader::parse(frame).is_some()
}

/// Whether decoding this frame or superframe shows anything.
pub fn is_shown(frame: &[u8]) -> bool {
    frames(frame).any(|frame| Head::read(&mut Bits::new(frame)).is_some_and(|head| head.is_shown))
}

/// The frames of a superframe (annex B), in which frames that are not shown travel with one that is; a frame that is none is
/// the only one.
pub fn frames(superframe: &[u8]) -> impl Iterator<Item = &[u8]> {
    let index = index(superframe);
    let whole = index.is_none().then_some(superframe).filter(|frame| !frame.is_empty());
    let mut rest = superframe;
    let sizes = index.into_iter().flat_map(|(sizes, bytes)| sizes.chunks_exact(bytes));
    let parts = sizes.map_while(move |size| {
        let size = size.iter().rev().fold(0usize, |size, byte| size << 8 | usize::from(*byte));
        let (frame, after) = rest.split_at_checked(size)?;
        rest = after;
        Some(frame)
    });
    whole.into_iter().chain(parts.filter(|frame| !frame.is_empty()))
}

/// The sizes at the end of a superframe, and how many bytes each has.
fn index(superframe: &[u8]) -> Option<(&[u8], usize)> {
    let marker = *superframe.last().filter(|marker| *marker & 0xe0 == 0xc0)?;
    let (bytes, count) = (usize::from(marker >> 3 & 3) + 1, usize::from(marker & 7) + 1);
    let from = superframe.len().checked_sub(2 + bytes * count)?;
    let index = superframe.get(from..)?;
    (index.first() == Some(&marker)).then_some((index.get(1..=bytes * count)?, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Of libvpx, 160x120.
    const KEY: &[u8] = &[0x82, 0x49, 0x83, 0x42, 0x00, 0x09, 0xf0, 0x07, 0x70, 0x00];

    #[test]
    fn keyframes_tell_their_format() {
        let header = KeyHeader::parse(KEY).unwrap();
        assert_eq!((header.profile, header.bit_depth, header.width, header.height), (0, 8, 160, 120));
        assert!(header.is_shown && header.half_chroma == (true, true));
        let parameters = Parameters::new(&header, Some((25, 1)));
        assert_eq!(parameters.record(), [1, 0, 0, 0, 0, 10, 0x82, 2, 2, 2, 0, 0]);
        assert_eq!(Parameters::from_record(&parameters.record()), Some(parameters));
        assert_eq!(parameters.codec_string(), "vp09.00.10.08");
        // Profile 1, 4:4:4; profile 2, ten bits; profile 3, twelve bits, 4:2:2.
        let format = |bytes: &[u8]| {
            let header = KeyHeader::parse(bytes).unwrap();
            let chroma = Parameters::new(&header, None).chroma_subsampling;
            (header.profile, header.bit_depth, chroma, header.width, header.height)
        };
        assert_eq!(format(&[0xa2, 0x49, 0x83, 0x42, 0x00, 0x02, 0x82, 0x01, 0x6a, 0xc0]), (1, 8, 3, 322, 182));
        assert_eq!(format(&[0x92, 0x49, 0x83, 0x42, 0x00, 0x0a, 0x08, 0x05, 0xab, 0x01]), (2, 10, 1, 322, 182));
        assert_eq!(format(&[0xb1, 0x24, 0xc1, 0xa1, 0x42, 0x00, 0xa0, 0x80, 0x5a, 0xb0]), (3, 12, 2, 322, 182));
        for frame in [&[0x86, 0, 0x40, 0x92][..], &[0x8a], &[0x02], &KEY[..8], &[]] {
            assert!(!is_key(frame), "{frame:x?}");
        }
    }

    #[test]
    fn levels_suffice_for_size_and_rate() {
        assert_eq!(level(160, 120, None), 10);
        assert_eq!(level(1280, 720, Some((25, 1))), 31);
        assert_eq!(level(1920, 1080, Some((60_000, 1001))), 41);
        assert_eq!(level(u32::MAX, u32::MAX, Some((u32::MAX, 0))), 62);
    }

    #[test]
    fn superframes_are_taken_apart() {
        // A frame that is not shown, and one that shows another.
        let superframe = [0x84, 1, 2, 0x8a, 0xc1, 3, 1, 0xc1];
        assert_eq!(frames(&superframe).collect::<Vec<_>>(), [&[0x84u8, 1, 2][..], &[0x8a]]);
        assert!(is_shown(&superframe) && !is_shown(&[0x84, 1, 2]));
        assert_eq!(frames(KEY).collect::<Vec<_>>(), [KEY]);
        assert_eq!(frames(&[]).count(), 0);
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes: Vec<u8>, last in 0xc0u8..0xe0) {
            let _ = KeyHeader::parse(&[&[0x82, 0x49, 0x83, 0x42][..], &bytes].concat());
            for bytes in [&bytes[..], &[&bytes[..], &[last]].concat(), &[&[last][..], &bytes, &[last]].concat()] {
                let _ = (is_key(bytes), is_shown(bytes), Parameters::from_record(bytes));
                prop_assert!(frames(bytes).map(<[u8]>::len).sum::<usize>() <= bytes.len());
            }
        }
    }
}
