//! The sequence parameter set of H.264 (ITU-T H.264, section 7.3.2.1.1).

use super::{super::bits::Bits, nal};

/// What is read of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sps {
    /// `chroma_format_idc`: 0 is none, 1 is 4:2:0, 2 is 4:2:2, 3 is 4:4:4.
    pub chroma_format: u8,
    /// Bits of a value, 8 to 14.
    pub bit_depth_luma: u8,
    /// Bits of a value, 8 to 14.
    pub bit_depth_chroma: u8,
}

impl Sps {
    /// Reads a NAL unit.
    pub fn parse(unit: &[u8]) -> Option<Self> {
        let bytes = nal::unescaped(unit.get(1..)?, 256);
        let mut bits = Bits::new(&bytes);
        let profile = bits.byte(8)?;
        bits.skip(16)?;
        exp_golomb(&mut bits)?;
        let (mut chroma_format, mut bit_depth_luma, mut bit_depth_chroma) = (1, 8, 8);
        if !matches!(profile, 66 | 77 | 88) {
            chroma_format = u8::try_from(exp_golomb(&mut bits)?).ok().filter(|format| *format <= 3)?;
            if chroma_format == 3 {
                bits.skip(1)?;
            }
            let mut depth = || u8::try_from(exp_golomb(&mut bits)?).ok().filter(|more| *more <= 6).map(|more| 8 + more);
            (bit_depth_luma, bit_depth_chroma) = (depth()?, depth()?);
        }
        Some(Self { chroma_format, bit_depth_luma, bit_depth_chroma })
    }
}

/// An unsigned number with as many bits behind its first 1 as there are zeros before it (section 9.1).
pub(super) fn exp_golomb(bits: &mut Bits<'_>) -> Option<u32> {
    let mut zeros = 0;
    while !bits.flag()? {
        zeros += 1;
    }
    let rest = if zeros > 31 { return None } else { bits.take(zeros)? };
    Some((1 << zeros) - 1 + rest)
}
