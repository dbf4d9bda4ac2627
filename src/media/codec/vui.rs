//! What the sequence parameter sets of H.264 and H.265 write in the same way (ITU-T H.264, annex E.1; ITU-T H.265, annex E.2).

use super::super::bits::Bits;
use super::golomb;

/// `aspect_ratio_idc` that says that width and height follow.
const EXTENDED: u8 = 255;

/// Width and height of a pixel by `aspect_ratio_idc` (ITU-T H.264, table E-1).
const PIXEL_ASPECTS: [(u32, u32); 17] = [
    (1, 1),
    (1, 1),
    (12, 11),
    (10, 11),
    (16, 11),
    (40, 33),
    (24, 11),
    (20, 11),
    (32, 11),
    (80, 33),
    (18, 11),
    (15, 11),
    (64, 33),
    (160, 99),
    (4, 3),
    (3, 2),
    (2, 1),
];

/// Reads from the aspect ratio to the location of chroma; returns width and height of a pixel.
pub(super) fn head(bits: &mut Bits<'_>) -> Option<(u32, u32)> {
    let mut pixel_aspect = (1, 1);
    if bits.flag()? {
        let number = bits.byte(8)?;
        pixel_aspect = match number {
            EXTENDED => (bits.take(16)?, bits.take(16)?),
            number => PIXEL_ASPECTS.get(usize::from(number)).copied().unwrap_or((1, 1)),
        };
    }
    let has_overscan = bits.flag()?;
    if has_overscan {
        bits.skip(1)?;
    }
    let has_video_signal = bits.flag()?;
    if has_video_signal {
        bits.skip(4)?;
        let has_colours = bits.flag()?;
        if has_colours {
            bits.skip(24)?;
        }
    }
    let has_chroma_location = bits.flag()?;
    if has_chroma_location {
        golomb::skip(bits, 2)?;
    }
    Some(if pixel_aspect.0 == 0 || pixel_aspect.1 == 0 { (1, 1) } else { pixel_aspect })
}

/// The fraction in its lowest terms; `None` when a part of it is 0 or does not fit.
pub(super) fn fraction(above: u64, below: u64) -> Option<(u32, u32)> {
    let (mut divisor, mut rest) = (above, below);
    while rest != 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    let part = |number: u64| u32::try_from(number.checked_div(divisor)?).ok().filter(|number| *number > 0);
    part(above).zip(part(below))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_are_in_lowest_terms() {
        assert_eq!(fraction(120_000, 4004), Some((30_000, 1001)));
        assert_eq!((fraction(0, 1), fraction(1, 0), fraction(0, 0)), (None, None, None));
        assert_eq!(fraction(1 << 40, 2), None);
    }
}
