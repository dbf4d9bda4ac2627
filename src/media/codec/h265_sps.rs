//! The sequence parameter set of H.265 (ITU-T H.265, section 7.3.2.2.1 and annex E.2), and the rate that a video parameter set says.

use super::super::bits::Bits;
use super::{golomb, nal, vui};

/// Longest parameter set that is read: scaling lists of all sizes and 64 sets of reference frames fit.
const MAX_SET: usize = 8192;
/// Bytes of a NAL unit's header.
const HEADER: usize = 2;
/// Most frames that a decoder holds (annex A.4.2).
const MAX_DPB_FRAMES: u8 = 16;
/// Most of what describes short-term reference frames (section 7.4.3.2.1).
const MAX_SHORT_TERM_SETS: u8 = 64;

/// What is read of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sps {
    /// `sps_seq_parameter_set_id`, up to 15.
    pub id: u8,
    /// `general_profile_space` to `general_level_idc`: 12 bytes as the configuration record has them.
    pub profile_tier_level: [u8; 12],
    /// Temporal layers, 1 to 7.
    pub temporal_layers: u8,
    /// `sps_temporal_id_nesting_flag`.
    pub is_temporal_id_nested: bool,
    /// `chroma_format_idc`: 0 is none, 1 is 4:2:0, 2 is 4:2:2, 3 is 4:4:4.
    pub chroma_format: u8,
    /// `separate_colour_plane_flag`.
    pub has_separate_planes: bool,
    /// Bits of `slice_pic_order_cnt_lsb`, 4 to 16.
    pub order_bits: u8,
    /// Bits of a value, 8 to 15.
    pub bit_depth_luma: u8,
    /// Bits of a value, 8 to 15.
    pub bit_depth_chroma: u8,
    /// Pixels of the visible part.
    pub width: u32,
    /// Pixels of the visible part.
    pub height: u32,
    /// `sps_max_num_reorder_pics` of the highest layer: by how many frames a frame may be decoded earlier than its place
    /// in the order in which they are shown.
    pub max_num_reorder: u8,
    /// Width and height of a pixel; `(1, 1)` when unknown.
    pub pixel_aspect: (u32, u32),
    /// Frames a second in lowest terms.
    pub frame_rate: Option<(u32, u32)>,
    /// `min_spatial_segmentation_idc`; 0 when unknown.
    pub min_spatial_segmentation: u16,
}

impl Sps {
    /// Reads a NAL unit. What is after the size and is cut off or wrong is as good as not there.
    pub fn parse(unit: &[u8]) -> Option<Self> {
        let bytes = nal::unescaped(unit.get(HEADER..)?, MAX_SET);
        let profile_tier_level = bytes.get(1..)?.first_chunk::<12>().copied()?;
        let mut bits = Bits::new(&bytes);
        bits.skip(4)?;
        let layers_minus_1 = bits.byte(3)?.min(6);
        let is_temporal_id_nested = bits.flag()?;
        skip_profile_tier_level(&mut bits, layers_minus_1)?;
        let id = golomb::at_most(&mut bits, 15)?;
        let chroma_format = golomb::at_most(&mut bits, 3)?;
        let has_separate_planes = chroma_format == 3 && bits.flag()?;
        let (wide, high) = (golomb::unsigned(&mut bits)?, golomb::unsigned(&mut bits)?);
        // Table 6-1: units of cropping.
        let unit_x = if matches!(chroma_format, 1 | 2) { 2 } else { 1 };
        let unit_y = if chroma_format == 1 { 2 } else { 1 };
        let (mut width, mut height) = (wide, high);
        let has_window = bits.flag()?;
        if has_window {
            let mut pair = || golomb::unsigned(&mut bits)?.checked_add(golomb::unsigned(&mut bits)?);
            width = wide.checked_sub(pair()?.checked_mul(unit_x)?)?;
            height = high.checked_sub(pair()?.checked_mul(unit_y)?)?;
        }
        if width == 0 || height == 0 {
            return None;
        }
        let bit_depth_luma = 8 + golomb::at_most(&mut bits, 7)?;
        let bit_depth_chroma = 8 + golomb::at_most(&mut bits, 7)?;
        let mut sps = Self {
            id,
            profile_tier_level,
            temporal_layers: layers_minus_1 + 1,
            is_temporal_id_nested,
            chroma_format,
            has_separate_planes,
            order_bits: 4,
            bit_depth_luma,
            bit_depth_chroma,
            width,
            height,
            max_num_reorder: 0,
            pixel_aspect: (1, 1),
            frame_rate: None,
            min_spatial_segmentation: 0,
        };
        let _cut_off = sps.read_rest(&mut bits, layers_minus_1);
        Some(sps)
    }

    /// From the order of frames to the VUI. `None` when it ends too early; what was read until then stays.
    fn read_rest(&mut self, bits: &mut Bits<'_>, layers_minus_1: u8) -> Option<()> {
        self.order_bits = golomb::at_most(bits, 12)? + 4;
        let has_all_layers = bits.flag()?;
        for _ in if has_all_layers { 0 } else { layers_minus_1 }..=layers_minus_1 {
            golomb::skip(bits, 1)?;
            self.max_num_reorder = golomb::at_most(bits, MAX_DPB_FRAMES)?;
            golomb::skip(bits, 1)?;
        }
        golomb::skip(bits, 6)?;
        let has_scaling_lists = bits.flag()?;
        if has_scaling_lists {
            let has_own = bits.flag()?;
            if has_own {
                skip_scaling_lists(bits)?;
            }
        }
        bits.skip(2)?;
        let has_pcm = bits.flag()?;
        if has_pcm {
            bits.skip(8)?;
            golomb::skip(bits, 2)?;
            bits.skip(1)?;
        }
        skip_short_term_sets(bits)?;
        let has_long_term = bits.flag()?;
        if has_long_term {
            let count = golomb::at_most(bits, 32)?;
            bits.skip(usize::from(count) * (usize::from(self.order_bits) + 1))?;
        }
        bits.skip(2)?;
        let has_vui = bits.flag()?;
        if has_vui { self.read_vui(bits, layers_minus_1) } else { Some(()) }
    }

    fn read_vui(&mut self, bits: &mut Bits<'_>, layers_minus_1: u8) -> Option<()> {
        self.pixel_aspect = vui::head(bits)?;
        bits.skip(1)?;
        let has_fields = bits.flag()?;
        bits.skip(1)?;
        let has_window = bits.flag()?;
        if has_window {
            golomb::skip(bits, 4)?;
        }
        let has_timing = bits.flag()?;
        if has_timing {
            self.frame_rate = timing(bits)?;
            if let Some((frames, seconds)) = self.frame_rate.filter(|_| has_fields) {
                self.frame_rate = vui::fraction(frames.into(), 2 * u64::from(seconds));
            }
            let has_hrd = bits.flag()?;
            if has_hrd {
                skip_hrd(bits, layers_minus_1)?;
            }
        }
        let has_restriction = bits.flag()?;
        if has_restriction {
            bits.skip(3)?;
            self.min_spatial_segmentation =
                u16::try_from(golomb::unsigned(bits)?).ok().filter(|index| *index < 4096)?;
        }
        Some(())
    }
}

/// Frames a second that a video parameter set says (section 7.3.2.1).
pub fn vps_frame_rate(unit: &[u8]) -> Option<(u32, u32)> {
    let bytes = nal::unescaped(unit.get(HEADER..)?, MAX_SET);
    let mut bits = Bits::new(&bytes);
    bits.skip(12)?;
    let layers_minus_1 = bits.byte(3)?.min(6);
    bits.skip(1 + 16)?;
    skip_profile_tier_level(&mut bits, layers_minus_1)?;
    let has_all_layers = bits.flag()?;
    for _ in if has_all_layers { 0 } else { layers_minus_1 }..=layers_minus_1 {
        golomb::skip(&mut bits, 3)?;
    }
    let highest_layer = bits.take(6)?;
    let layer_sets = golomb::unsigned(&mut bits)?;
    bits.skip(usize::try_from(layer_sets.checked_mul(highest_layer + 1)?).ok()?)?;
    let has_timing = bits.flag()?;
    if has_timing { timing(&mut bits)? } else { None }
}

/// `num_units_in_tick` to `num_ticks_poc_diff_one_minus1`: ticks a second in lowest terms. A tick is a frame.
fn timing(bits: &mut Bits<'_>) -> Option<Option<(u32, u32)>> {
    let (ticks, scale) = (bits.take(32)?, bits.take(32)?);
    let has_order = bits.flag()?;
    if has_order {
        golomb::skip(bits, 1)?;
    }
    Some(vui::fraction(scale.into(), ticks.into()))
}

/// Section 7.3.3, with the profile of the whole.
fn skip_profile_tier_level(bits: &mut Bits<'_>, layers_minus_1: u8) -> Option<()> {
    bits.skip(96)?;
    let mut length = 0;
    for _ in 0..layers_minus_1 {
        length += if bits.flag()? { 88 } else { 0 };
        length += if bits.flag()? { 8 } else { 0 };
    }
    if layers_minus_1 > 0 {
        bits.skip(2 * (8 - usize::from(layers_minus_1)))?;
    }
    bits.skip(length)
}

/// Section 7.3.4.
fn skip_scaling_lists(bits: &mut Bits<'_>) -> Option<()> {
    for size in 0..4 {
        for _ in 0..if size == 3 { 2 } else { 6 } {
            let has_own = bits.flag()?;
            if !has_own {
                golomb::skip(bits, 1)?;
                continue;
            }
            let coefficients = 64.min(1 << (4 + 2 * size));
            golomb::skip(bits, coefficients + u32::from(size > 1))?;
        }
    }
    Some(())
}

/// All `st_ref_pic_set` of a sequence parameter set (section 7.3.7).
fn skip_short_term_sets(bits: &mut Bits<'_>) -> Option<()> {
    let sets = golomb::at_most(bits, MAX_SHORT_TERM_SETS)?;
    // How many frames the previous set names.
    let mut frames = 0;
    for set in 0..sets {
        let is_predicted = set > 0 && bits.flag()?;
        if is_predicted {
            bits.skip(1)?;
            golomb::skip(bits, 1)?;
            let mut used = 0;
            for _ in 0..=frames {
                let is_used = bits.flag()?;
                let is_kept = is_used || bits.flag()?;
                used += u32::from(is_kept);
            }
            frames = used;
        } else {
            let (before, behind) = (golomb::at_most(bits, MAX_DPB_FRAMES)?, golomb::at_most(bits, MAX_DPB_FRAMES)?);
            frames = u32::from(before) + u32::from(behind);
            for _ in 0..frames {
                golomb::skip(bits, 1)?;
                bits.skip(1)?;
            }
        }
    }
    Some(())
}

/// Annex E.2.2, with what all layers have in common.
fn skip_hrd(bits: &mut Bits<'_>, layers_minus_1: u8) -> Option<()> {
    let (has_nal, has_vcl) = (bits.flag()?, bits.flag()?);
    let mut has_parts = false;
    if has_nal || has_vcl {
        has_parts = bits.flag()?;
        if has_parts {
            bits.skip(8 + 5 + 1 + 5)?;
        }
        bits.skip(8)?;
        if has_parts {
            bits.skip(4)?;
        }
        bits.skip(15)?;
    }
    for _ in 0..=layers_minus_1 {
        let is_fixed = bits.flag()?;
        let is_fixed_within = is_fixed || bits.flag()?;
        let mut has_low_delay = false;
        if is_fixed_within {
            golomb::skip(bits, 1)?;
        } else {
            has_low_delay = bits.flag()?;
        }
        let buffers = if has_low_delay { 0 } else { golomb::at_most(bits, 31)? };
        for _ in 0..usize::from(has_nal) + usize::from(has_vcl) {
            for _ in 0..=buffers {
                golomb::skip(bits, if has_parts { 4 } else { 2 })?;
                bits.skip(1)?;
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::codec::testing::hex;
    use proptest::prelude::*;

    #[test]
    fn sets_of_encoders_are_read() {
        type Expected = (u8, u8, u32, u32, (u32, u32), Option<(u32, u32)>, u8);
        #[track_caller]
        fn check(set: &str, expect: Expected) {
            let sps = Sps::parse(&hex(set)).unwrap();
            assert_eq!((sps.bit_depth_luma, sps.temporal_layers), (sps.bit_depth_chroma, 1));
            let size = (sps.width, sps.height, sps.pixel_aspect, sps.frame_rate, sps.max_num_reorder);
            let found = (sps.chroma_format, sps.bit_depth_luma, size.0, size.1, size.2, size.3, size.4);
            assert_eq!(found, expect, "{set}");
        }
        // With an HRD.
        check(
            "42010101600000030090000003000003003ca00a480b9c9596566924caf01680800001f480003a98300a4b370007a12000f42440",
            (1, 8, 322, 182, (1, 1), Some((30_000, 1001)), 2),
        );
        // Cropped on all sides.
        check(
            "42010101600000030090000003000003003ca00a480b9b22596566924caf0568080000030008000003019300a4b370007a12000f4244",
            (1, 8, 318, 180, (40, 33), Some((50, 1)), 2),
        );
        // Ten bits, wide pixels.
        check(
            "42010102200000030090000003000003003ca00a880c1c44cd965654a4c2f0e680800001f480003a9804",
            (1, 10, 322, 182, (4, 3), Some((30_000, 1001)), 2),
        );
        // Scaling lists.
        check(
            "4201010408000003009d0800000300003cb00a480b9c96d96566924e5780b40400000fa40001d4c020",
            (2, 10, 322, 182, (1, 1), Some((30_000, 1001)), 2),
        );
        // Twelve bits.
        check(
            "420101040800000300980800000300003c90015101838f8b294b2b2a5261780b40400000fa40001d4c02",
            (3, 12, 322, 182, (1, 1), Some((30_000, 1001)), 2),
        );
    }

    #[test]
    fn video_parameter_sets_may_tell_the_rate() {
        assert_eq!(
            vps_frame_rate(&hex("40010c01ffff01600000030090000003000003003c95980c000003000400000300c940")),
            Some((50, 1))
        );
        assert_eq!(vps_frame_rate(&hex("40010c01ffff01600000030090000003000003003c959809")), None);
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes: Vec<u8>) {
            let _ = Sps::parse(&bytes);
            let _ = Sps::parse(&[&[0x42, 1, 1, 1, 0x60, 0, 0, 3, 0, 0, 3, 0, 0, 3, 0, 0, 3, 0, 93][..], &bytes].concat());
            let _ = vps_frame_rate(&bytes);
        }
    }
}
