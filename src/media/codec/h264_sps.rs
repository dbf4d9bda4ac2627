//! The sequence parameter set of H.264 (ITU-T H.264, section 7.3.2.1.1 and annex E.1).

use super::super::bits::Bits;
use super::{golomb, nal, vui};

/// Longest sequence parameter set that is read: twelve scaling lists and a VUI with two HRDs fit.
const MAX_SPS: usize = 4096;
/// Most frames that a decoder holds (annex A.3).
const MAX_DPB_FRAMES: u8 = 16;

/// What is read of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sps {
    /// `seq_parameter_set_id`, up to 31.
    pub id: u8,
    /// `chroma_format_idc`: 0 is none, 1 is 4:2:0, 2 is 4:2:2, 3 is 4:4:4.
    pub chroma_format: u8,
    /// Bits of a value, 8 to 14.
    pub bit_depth_luma: u8,
    /// Bits of a value, 8 to 14.
    pub bit_depth_chroma: u8,
    /// Pixels of the visible part.
    pub width: u32,
    /// Pixels of the visible part.
    pub height: u32,
    /// Every frame is coded as a whole, never as two fields.
    pub frame_mbs_only: bool,
    /// `separate_colour_plane_flag`.
    pub has_separate_planes: bool,
    /// Bits of `frame_num` in slices, 4 to 16.
    pub frame_num_bits: u8,
    /// Bits of `pic_order_cnt_lsb` in slices, 4 to 16, where they have it.
    pub order_bits: Option<u8>,
    /// Frames are shown in the order in which they are decoded (`pic_order_cnt_type` 2).
    pub has_output_order: bool,
    /// Width and height of a pixel; `(1, 1)` when unknown.
    pub pixel_aspect: (u32, u32),
    /// Frames a second in lowest terms.
    pub frame_rate: Option<(u32, u32)>,
    /// By how many frames a frame may be decoded earlier than its place in the order in which they are shown; `None` when
    /// the stream does not say.
    pub max_num_reorder: Option<u8>,
}

impl Sps {
    /// Reads a NAL unit. A VUI that is cut off or wrong is as good as none.
    pub fn parse(unit: &[u8]) -> Option<Self> {
        let bytes = nal::unescaped(unit.get(1..)?, MAX_SPS);
        let mut bits = Bits::new(&bytes);
        let profile = bits.byte(8)?;
        let constraints = bits.byte(8)?;
        bits.skip(8)?;
        let id = golomb::at_most(&mut bits, 31)?;
        let (mut chroma_format, mut bit_depth_luma, mut bit_depth_chroma) = (1, 8, 8);
        let mut has_separate_planes = false;
        if has_chroma_format(profile) {
            chroma_format = golomb::at_most(&mut bits, 3)?;
            has_separate_planes = chroma_format == 3 && bits.flag()?;
            bit_depth_luma = 8 + golomb::at_most(&mut bits, 6)?;
            bit_depth_chroma = 8 + golomb::at_most(&mut bits, 6)?;
            bits.skip(1)?;
            let has_scaling_matrix = bits.flag()?;
            if has_scaling_matrix {
                skip_scaling_lists(&mut bits, if chroma_format == 3 { 12 } else { 8 })?;
            }
        }
        let frame_num_bits = 4 + golomb::at_most(&mut bits, 12)?;
        let order = golomb::at_most(&mut bits, 2)?;
        let mut order_bits = None;
        match order {
            0 => order_bits = Some(4 + golomb::at_most(&mut bits, 12)?),
            1 => {
                bits.skip(1)?;
                golomb::skip(&mut bits, 2)?;
                let count = golomb::at_most(&mut bits, 255)?;
                golomb::skip(&mut bits, count.into())?;
            }
            _ => {}
        }
        golomb::skip(&mut bits, 1)?;
        bits.skip(1)?;
        let (wide, high) = (golomb::unsigned(&mut bits)?, golomb::unsigned(&mut bits)?);
        let frame_mbs_only = bits.flag()?;
        if !frame_mbs_only {
            bits.skip(1)?;
        }
        bits.skip(1)?;
        let crop = match bits.flag()? {
            true => [(); 4].map(|()| golomb::unsigned(&mut bits)),
            false => [Some(0); 4],
        };
        let (width, height) = {
            // Section 7.4.2.1.1: units of cropping, equations 7-19 to 7-22.
            let fields = 2 - u32::from(frame_mbs_only);
            let has_chroma = chroma_format != 0 && !has_separate_planes;
            let unit_x = if has_chroma && chroma_format != 3 { 2 } else { 1 };
            let unit_y = fields * if has_chroma && chroma_format == 1 { 2 } else { 1 };
            let [left, right, top, bottom] = crop;
            let side = |macroblocks: u32, fields: u32, before: u32, behind: u32, unit: u32| {
                let coded = macroblocks.checked_add(1)?.checked_mul(16 * fields)?;
                coded.checked_sub(before.checked_add(behind)?.checked_mul(unit)?).filter(|side| *side > 0)
            };
            (side(wide, 1, left?, right?, unit_x)?, side(high, fields, top?, bottom?, unit_y)?)
        };
        let mut vui = Vui { pixel_aspect: (1, 1), frame_rate: None, max_num_reorder: None };
        let has_vui = bits.flag()?;
        if has_vui {
            let _cut_off = vui.read(&mut bits);
        }
        // Section E.2.1, max_num_reorder_frames: profiles for single frames have none out of order.
        let is_intra_only = constraints & 0x10 != 0 && matches!(profile, 44 | 86 | 100 | 110 | 122 | 244);
        if order == 2 || is_intra_only || profile == 66 {
            vui.max_num_reorder = Some(0);
        }
        Some(Self {
            id,
            chroma_format,
            bit_depth_luma,
            bit_depth_chroma,
            width,
            height,
            frame_mbs_only,
            has_separate_planes,
            frame_num_bits,
            order_bits,
            has_output_order: order == 2,
            pixel_aspect: vui.pixel_aspect,
            frame_rate: vui.frame_rate,
            max_num_reorder: vui.max_num_reorder,
        })
    }
}

/// What is read of the VUI.
struct Vui {
    pixel_aspect: (u32, u32),
    frame_rate: Option<(u32, u32)>,
    max_num_reorder: Option<u8>,
}

impl Vui {
    /// `None` when it ends too early; what was read until then stays.
    fn read(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        self.pixel_aspect = vui::head(bits)?;
        let has_timing = bits.flag()?;
        if has_timing {
            let (ticks, scale) = (bits.take(32)?, bits.take(32)?);
            bits.skip(1)?;
            // A tick is a field.
            self.frame_rate = vui::fraction(scale.into(), 2 * u64::from(ticks));
        }
        let has_nal_hrd = bits.flag()?;
        if has_nal_hrd {
            skip_hrd(bits)?;
        }
        let has_vcl_hrd = bits.flag()?;
        if has_vcl_hrd {
            skip_hrd(bits)?;
        }
        if has_nal_hrd || has_vcl_hrd {
            bits.skip(1)?;
        }
        bits.skip(1)?;
        let has_restriction = bits.flag()?;
        if has_restriction {
            bits.skip(1)?;
            golomb::skip(bits, 4)?;
            self.max_num_reorder = Some(golomb::at_most(bits, MAX_DPB_FRAMES)?);
        }
        Some(())
    }
}

/// Whether the profile says chroma format and depths (section 7.3.2.1.1).
fn has_chroma_format(profile: u8) -> bool {
    matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135)
}

/// Section 7.3.2.1.1.1.
fn skip_scaling_lists(bits: &mut Bits<'_>, count: usize) -> Option<()> {
    for list in 0..count {
        let is_present = bits.flag()?;
        if !is_present {
            continue;
        }
        let (mut last, mut next) = (8, 8);
        for _ in 0..if list < 6 { 16 } else { 64 } {
            if next != 0 {
                next = (last + golomb::signed(bits)?).rem_euclid(256);
            }
            last = if next == 0 { last } else { next };
        }
    }
    Some(())
}

/// Annex E.1.2.
fn skip_hrd(bits: &mut Bits<'_>) -> Option<()> {
    let buffers = golomb::at_most(bits, 31)?;
    bits.skip(8)?;
    for _ in 0..=buffers {
        golomb::skip(bits, 2)?;
        bits.skip(1)?;
    }
    bits.skip(20)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::codec::testing::hex;
    use proptest::prelude::*;

    #[test]
    fn sets_of_encoders_are_read() {
        type Expected = (u8, u8, u32, u32, (u32, u32), Option<(u32, u32)>, Option<u8>);
        #[track_caller]
        fn check(set: &str, expect: Expected) {
            let sps = Sps::parse(&hex(set)).unwrap();
            assert_eq!(sps.bit_depth_luma, sps.bit_depth_chroma);
            let size = (sps.width, sps.height, sps.pixel_aspect, sps.frame_rate, sps.max_num_reorder);
            let found = (sps.chroma_format, sps.bit_depth_luma, size.0, size.1, size.2, size.3, size.4);
            assert_eq!(found, expect, "{set}");
        }
        // Main with B-frames.
        check(
            "6764000dacd941519e226c04400000fa40003a9803c50a6580",
            (1, 8, 322, 182, (1, 1), Some((30_000, 1001)), Some(2)),
        );
        // ten bits, 4:2:2, wide pixels.
        check(
            "677a000db6cb40a8cf1117870800001f480007530078a155",
            (2, 10, 322, 182, (4, 3), Some((30_000, 1001)), Some(0)),
        );
        // 4:4:4.
        check(
            "67f4000d919b282a33c7c5e022000007d20001d4c01e28532c",
            (3, 8, 322, 182, (1, 1), Some((30_000, 1001)), Some(2)),
        );
        // fields.
        check("6764001eacd940b424d8088000000300800000190f8a14cb", (1, 8, 720, 576, (1, 1), Some((25, 1)), Some(2)));
        // constrained baseline.
        check("6742c00bda0a11f97011000003000100000300328f142aa0", (1, 8, 160, 120, (1, 1), Some((25, 1)), Some(0)));
        // Wide pixels, overscan, colours, place of chroma.
        check(
            "6764000dacd941519e226ffc00580047dc04080a94000003000400000301903c50a658",
            (1, 8, 322, 182, (22, 17), Some((50, 1)), Some(2)),
        );
        // 4:4:4 of GStreamer, with colours.
        check(
            "67f4000b90d9640a11f89c05a8303032000003000200000300651e285490",
            (3, 10, 160, 120, (1, 1), Some((25, 1)), Some(0)),
        );
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes: Vec<u8>, profile in prop::sample::select(vec![66u8, 77, 100, 122, 244])) {
            let _ = Sps::parse(&bytes);
            let _ = Sps::parse(&[&[0x67, profile, 0, 30][..], &bytes].concat());
        }
    }
}
