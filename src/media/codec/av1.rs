//! AV1: the sequence header (AV1 Bitstream, section 5.5) and `AV1CodecConfigurationRecord` (AV1 in ISOBMFF, section 2.3).

use super::super::bits::Bits;
use super::{obu, vui};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What a decoder needs before the first frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameters {
    /// The whole sequence header OBU, with its size field.
    pub sequence_header: Bytes,
}

impl Parameters {
    /// Those of a configuration record; `None` when there is no sequence header in it, which it may leave to the samples.
    pub fn from_record(record: &[u8]) -> Option<Self> {
        let (&[0x81, _, _, _], units) = record.split_first_chunk::<4>()? else { return None };
        let unit = obu::Obus::new(units).find(|unit| unit.kind == obu::SEQUENCE_HEADER)?;
        Some(Self { sequence_header: unit.with_size().into() })
    }

    /// `AV1CodecConfigurationRecord`.
    pub fn record(&self) -> Option<Vec<u8>> {
        let header = self.sequence()?;
        let flags = [
            header.is_high_tier,
            header.bit_depth > 8,
            header.bit_depth > 10,
            header.is_monochrome,
            header.has_half_width_chroma,
            header.has_half_height_chroma,
        ];
        let flags = flags.iter().fold(0, |flags, flag| flags << 1 | u8::from(*flag)) << 2;
        let mut record = vec![0x81, header.profile << 5 | header.level, flags | header.chroma_sample_position, 0];
        record.extend_from_slice(&self.sequence_header);
        Some(record)
    }

    /// Profile, level, tier and depth (AV1 in ISOBMFF, section 5).
    pub fn codec_string(&self) -> Option<String> {
        let header = self.sequence()?;
        let tier = if header.is_high_tier { 'H' } else { 'M' };
        Some(format!("av01.{}.{:02}{tier}.{:02}", header.profile, header.level, header.bit_depth))
    }

    /// What the sequence header says.
    pub fn sequence(&self) -> Option<SequenceHeader> {
        let unit = obu::Obus::new(&self.sequence_header).next()?;
        SequenceHeader::parse(unit.payload).filter(|_| unit.kind == obu::SEQUENCE_HEADER)
    }
}

/// What is read of a sequence header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequenceHeader {
    /// `seq_profile`, 0 to 2.
    pub profile: u8,
    /// `seq_level_idx[0]`, 0 to 31.
    pub level: u8,
    /// `seq_tier[0]`.
    pub is_high_tier: bool,
    /// `reduced_still_picture_header`: the frame has no header of its own to speak of, and is a keyframe.
    pub is_reduced_still: bool,
    /// Bits of a value: 8, 10 or 12.
    pub bit_depth: u8,
    /// There is no chroma.
    pub is_monochrome: bool,
    /// `subsampling_x`.
    pub has_half_width_chroma: bool,
    /// `subsampling_y`.
    pub has_half_height_chroma: bool,
    /// `chroma_sample_position`; 0 when unknown.
    pub chroma_sample_position: u8,
    /// Pixels of the largest frame.
    pub width: u32,
    /// Pixels of the largest frame.
    pub height: u32,
    /// Frames a second in lowest terms, where they are said and constant.
    pub frame_rate: Option<(u32, u32)>,
}

impl SequenceHeader {
    /// Reads the payload of an OBU.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let mut bits = Bits::new(payload);
        let profile = bits.byte(3)?;
        bits.skip(1)?;
        let is_reduced_still = bits.flag()?;
        let (mut level, mut is_high_tier, mut frame_rate) = (0, false, None);
        if is_reduced_still {
            level = bits.byte(5)?;
        } else {
            let mut model_bits = None;
            let has_timing = bits.flag()?;
            if has_timing {
                frame_rate = timing(&mut bits)?;
                let has_model = bits.flag()?;
                if has_model {
                    // `decoder_model_info` (section 5.5.4).
                    model_bits = Some(usize::from(bits.byte(5)?) + 1);
                    bits.skip(32 + 5 + 5)?;
                }
            }
            let has_display_delay = bits.flag()?;
            let points = bits.take(5)?;
            for point in 0..=points {
                bits.skip(12)?;
                let point_level = bits.byte(5)?;
                let is_high = point_level > 7 && bits.flag()?;
                if point == 0 {
                    (level, is_high_tier) = (point_level, is_high);
                }
                if let Some(model_bits) = model_bits {
                    let has_parameters = bits.flag()?;
                    if has_parameters {
                        bits.skip(2 * model_bits + 1)?;
                    }
                }
                if has_display_delay {
                    let is_here = bits.flag()?;
                    if is_here {
                        bits.skip(4)?;
                    }
                }
            }
        }
        let (width_bits, height_bits) = (usize::from(bits.byte(4)?) + 1, usize::from(bits.byte(4)?) + 1);
        let (width, height) = (bits.take(width_bits)? + 1, bits.take(height_bits)? + 1);
        if !is_reduced_still {
            let has_frame_numbers = bits.flag()?;
            if has_frame_numbers {
                bits.skip(7)?;
            }
        }
        bits.skip(3)?;
        if !is_reduced_still {
            skip_tools(&mut bits)?;
        }
        bits.skip(3)?;
        let color = Color::read(&mut bits, profile)?;
        Some(Self {
            profile,
            level,
            is_high_tier,
            is_reduced_still,
            bit_depth: color.bit_depth,
            is_monochrome: color.is_monochrome,
            has_half_width_chroma: color.half.0,
            has_half_height_chroma: color.half.1,
            chroma_sample_position: color.chroma_sample_position,
            width,
            height,
            frame_rate,
        })
    }
}

/// `timing_info` (section 5.5.3).
fn timing(bits: &mut Bits<'_>) -> Option<Option<(u32, u32)>> {
    let (ticks, scale) = (bits.take(32)?, bits.take(32)?);
    let is_constant = bits.flag()?;
    if !is_constant {
        return Some(None);
    }
    let ticks_of_frame = u64::from(uvlc(bits)?) + 1;
    Some(u64::from(ticks).checked_mul(ticks_of_frame).and_then(|ticks| vui::fraction(scale.into(), ticks)))
}

/// A number with as many bits after its first 1 as there are zeros before it (section 4.10.3).
fn uvlc(bits: &mut Bits<'_>) -> Option<u32> {
    let mut zeros = 0;
    while !bits.flag()? {
        zeros += 1;
    }
    if zeros > 31 { Some(u32::MAX) } else { Some((1 << zeros) - 1 + bits.take(zeros)?) }
}

/// From `enable_interintra_compound` to `order_hint_bits_minus_1` (section 5.5.1).
fn skip_tools(bits: &mut Bits<'_>) -> Option<()> {
    bits.skip(4)?;
    let has_order_hint = bits.flag()?;
    if has_order_hint {
        bits.skip(2)?;
    }
    let chooses_screen_content = bits.flag()?;
    let may_be_screen_content = chooses_screen_content || bits.flag()?;
    if may_be_screen_content {
        let chooses_integer_vectors = bits.flag()?;
        if !chooses_integer_vectors {
            bits.skip(1)?;
        }
    }
    if has_order_hint { bits.skip(3) } else { Some(()) }
}

/// `color_config` (section 5.5.2).
struct Color {
    bit_depth: u8,
    is_monochrome: bool,
    /// Chroma has half the width, half the height.
    half: (bool, bool),
    chroma_sample_position: u8,
}

impl Color {
    fn read(bits: &mut Bits<'_>, profile: u8) -> Option<Self> {
        /// `CP_BT_709`, `TC_SRGB`, `MC_IDENTITY`: RGB, whose chroma is whole.
        const RGB: (u8, u8, u8) = (1, 13, 0);
        let is_deep = bits.flag()?;
        let is_twelve = profile == 2 && is_deep && bits.flag()?;
        let bit_depth = if is_twelve { 12 } else { 8 + 2 * u8::from(is_deep) };
        let is_monochrome = profile != 1 && bits.flag()?;
        let has_description = bits.flag()?;
        let description = match has_description {
            true => (bits.byte(8)?, bits.byte(8)?, bits.byte(8)?),
            false => (2, 2, 2),
        };
        let color = |half, chroma_sample_position| Self { bit_depth, is_monochrome, half, chroma_sample_position };
        if is_monochrome {
            bits.skip(1)?;
            return Some(color((true, true), 0));
        }
        if description == RGB {
            return Some(color((false, false), 0));
        }
        bits.skip(1)?;
        let half = match (profile, is_twelve) {
            (0, _) => (true, true),
            (1, _) => (false, false),
            (_, true) => {
                let half_width = bits.flag()?;
                (half_width, half_width && bits.flag()?)
            }
            (_, false) => (true, false),
        };
        let position = if half == (true, true) { bits.byte(2)? } else { 0 };
        Some(color(half, position))
    }
}

/// What the first bits of a frame header say (section 5.9.2), as far as the sequence header defines what they mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// `frame_type` is `KEY_FRAME`.
    pub is_key: bool,
    /// It is shown when it is decoded.
    pub is_shown: bool,
}

impl FrameHeader {
    /// Reads the payload of a frame or frame header OBU.
    pub fn parse(payload: &[u8], is_reduced_still: bool) -> Option<Self> {
        if is_reduced_still {
            return Some(Self { is_key: true, is_shown: true });
        }
        // `show_existing_frame`, `frame_type` in two bits, `show_frame`.
        let head = *payload.first()?;
        match head & 0x80 != 0 {
            true => Some(Self { is_key: false, is_shown: true }),
            false => Some(Self { is_key: head & 0x60 == 0, is_shown: head & 0x10 != 0 }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::codec::testing::hex;
    use proptest::prelude::*;

    #[test]
    fn records_of_ffmpeg_come_back() {
        #[track_caller]
        fn check(record: &str, name: &str, size: (u32, u32), rate: Option<(u32, u32)>) {
            let record = hex(record);
            let parameters = Parameters::from_record(&record).unwrap();
            assert_eq!(parameters.record(), Some(record));
            assert_eq!(parameters.codec_string().as_deref(), Some(name));
            let sequence = parameters.sequence().unwrap();
            assert_eq!(((sequence.width, sequence.height), sequence.frame_rate), (size, rate));
        }
        check("81000c000a0a00000003b4ff700be001", "av01.0.00M.08", (160, 120), None);
        check("81004c000a0b000000043d06d402f84040", "av01.0.00M.10", (322, 182), None);
        check("81000c000a0b000000043d06d4daf90040", "av01.0.00M.08", (322, 182), None);
        check("812000000a0a200000043d06d4daf902", "av01.1.00M.08", (322, 182), None);
        check("814048000a0b400000043d06d4daf94080", "av01.2.00M.10", (322, 182), None);
        check("81001c000a0a000000043d06d4daf92a", "av01.0.00M.08", (322, 182), None);
        check("811f0c000a0e000000fa1e836a210a88101010a0", "av01.0.31M.08", (322, 182), None);
    }

    #[test]
    fn keyframes_are_told_from_others() {
        let check = |head: u8, is_key, is_shown| {
            assert_eq!(FrameHeader::parse(&[head], false), Some(FrameHeader { is_key, is_shown }), "{head:x}");
        };
        check(0x10, true, true);
        check(0x00, true, false);
        // Between others, intra only, switch, one that was sent before.
        check(0x30, false, true);
        check(0x50, false, true);
        check(0x70, false, true);
        check(0x90, false, true);
        assert_eq!(FrameHeader::parse(&[], true), Some(FrameHeader { is_key: true, is_shown: true }));
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes: Vec<u8>, is_reduced_still: bool) {
            let _ = SequenceHeader::parse(&bytes);
            let _ = FrameHeader::parse(&bytes, is_reduced_still);
            let _ = Parameters::from_record(&bytes);
            let _ = Parameters { sequence_header: bytes.into() }.record();
        }
    }
}
