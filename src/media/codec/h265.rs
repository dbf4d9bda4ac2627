//! H.265: parameter sets and `HEVCDecoderConfigurationRecord` (ISO/IEC 14496-15, section 8.3.3.1).

use super::{golomb, h265_sps::Sps, nal};
use crate::media::bits::Bits;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// `nal_unit_type` of a video parameter set (ITU-T H.265, table 7-1).
pub const VPS: u8 = 32;
/// `nal_unit_type` of a sequence parameter set.
pub const SPS: u8 = 33;
/// `nal_unit_type` of a picture parameter set.
pub const PPS: u8 = 34;
/// `nal_unit_type` of supplemental enhancement information before a frame.
pub const PREFIX_SEI: u8 = 39;

/// The parameter sets of a track, as NAL units without start codes and lengths. Sequence parameter sets are never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameters {
    /// Video parameter sets.
    pub vps: Vec<Bytes>,
    /// Sequence parameter sets.
    pub sps: Vec<Bytes>,
    /// Picture parameter sets.
    pub pps: Vec<Bytes>,
}

impl Parameters {
    /// Those of a configuration record, and the size of the lengths before the NAL units that it is for.
    pub fn from_record(record: &[u8]) -> Option<(Self, usize)> {
        let (head, mut rest) = record.split_first_chunk::<23>()?;
        let mut parameters = Self { vps: Vec::new(), sps: Vec::new(), pps: Vec::new() };
        for _ in 0..head[22] {
            let (&[kind, high, low], after) = rest.split_first_chunk::<3>()?;
            let (sets, after) = super::h264::sets(u16::from_be_bytes([high, low]).into(), after)?;
            rest = after;
            match kind & 0x3f {
                VPS => parameters.vps.extend(sets),
                SPS => parameters.sps.extend(sets),
                PPS => parameters.pps.extend(sets),
                _ => {}
            }
        }
        Some((parameters, usize::from(head[21] & 3) + 1)).filter(|(parameters, _)| !parameters.sps.is_empty())
    }

    /// The configuration record, for NAL units with lengths of four bytes. Its parameter sets are complete (`hvc1`).
    pub fn record(&self) -> Vec<u8> {
        let sps = self.first_sps();
        let mut record = vec![1];
        record.extend(sps.as_ref().map_or([0; 12], |sps| sps.profile_tier_level));
        let segmentation = sps.as_ref().map_or(0, |sps| sps.min_spatial_segmentation);
        record.extend((0xf000 | segmentation).to_be_bytes());
        // Unknown: in which way frames can be decoded in parallel.
        record.push(0xfc);
        let (chroma_format, luma, chroma, layers, is_nested) = sps.map_or((1, 8, 8, 1, false), |sps| {
            let depths = (sps.bit_depth_luma, sps.bit_depth_chroma);
            (sps.chroma_format, depths.0, depths.1, sps.temporal_layers, sps.is_temporal_id_nested)
        });
        record.extend([0xfc | chroma_format, 0xf8 | (luma - 8), 0xf8 | (chroma - 8)]);
        // Unknown: the average frame rate, and whether it is constant.
        record.extend([0, 0, layers << 3 | u8::from(is_nested) << 2 | 3]);
        let kinds = [(VPS, &self.vps), (SPS, &self.sps), (PPS, &self.pps)];
        let kinds = || kinds.iter().filter(|(_, sets)| !sets.is_empty());
        record.push(kinds().count() as u8);
        for (kind, sets) in kinds() {
            let count = u16::try_from(sets.len()).unwrap_or(u16::MAX);
            record.push(0x80 | kind);
            record.extend(count.to_be_bytes());
            super::h264::write_sets(sets.iter().take(count.into()), &mut record);
        }
        record
    }

    /// ISO/IEC 14496-15, annex E.3: profile space and profile, compatibility flags in reverse order, tier and level,
    /// constraints without the zeros at their end.
    pub fn codec_string(&self) -> Option<String> {
        let [profile, a, b, c, d, constraints @ .., level] = self.first_sps()?.profile_tier_level;
        let space = ["", "A", "B", "C"].get(usize::from(profile >> 6))?;
        let compatibility = u32::from_be_bytes([a, b, c, d]).reverse_bits();
        let tier = if profile & 0x20 == 0 { 'L' } else { 'H' };
        let used = constraints.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let constraints: String = constraints.iter().take(used).map(|byte| format!(".{byte:X}")).collect();
        Some(format!("hvc1.{space}{}.{compatibility:X}.{tier}{level}{constraints}", profile & 0x1f))
    }

    /// The first sequence parameter set.
    pub fn first_sps(&self) -> Option<Sps> {
        Sps::parse(self.sps.first()?)
    }

    /// Frames a second in lowest terms, as a sequence or video parameter set says.
    pub fn frame_rate(&self) -> Option<(u32, u32)> {
        let of_vps = || self.vps.first().and_then(|vps| super::h265_sps::vps_frame_rate(vps));
        self.first_sps().and_then(|sps| sps.frame_rate).or_else(of_vps)
    }
}

/// What is read of a picture parameter set (ITU-T H.265, section 7.3.2.3.1): what slice headers have before their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureSet {
    /// `pps_pic_parameter_set_id`, up to 63.
    pub id: u8,
    /// `pps_seq_parameter_set_id`, up to 15.
    pub sequence: u8,
    /// `num_extra_slice_header_bits`.
    pub extra_bits: u8,
    /// `output_flag_present_flag`.
    pub has_output_flag: bool,
}

impl PictureSet {
    /// Reads a NAL unit.
    pub fn parse(unit: &[u8]) -> Option<Self> {
        let bytes = nal::unescaped(unit.get(2..)?, 16);
        let mut bits = Bits::new(&bytes);
        let (id, sequence) = (golomb::at_most(&mut bits, 63)?, golomb::at_most(&mut bits, 15)?);
        bits.skip(1)?;
        Some(Self { id, sequence, has_output_flag: bits.flag()?, extra_bits: bits.byte(3)? })
    }
}

/// `nal_unit_type` (ITU-T H.265, table 7-1), without what stands around it in the header.
pub fn kind(unit: &[u8]) -> Option<u8> {
    unit.first().map(|head| head >> 1 & 0x3f)
}

/// A slice of any frame (section 7.4.2.2, table 7-1).
pub fn is_slice(kind: u8) -> bool {
    kind < 32
}

/// A slice of a frame with which a decoder may begin: BLA, IDR and CRA (section 7.4.2.2, IRAP).
pub fn is_irap(kind: u8) -> bool {
    (16..=21).contains(&kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::codec::testing::hex;
    use proptest::prelude::*;

    #[test]
    fn records_of_ffmpeg_come_back() {
        for (record, name) in [
            (
                "0101600000009000000000003cf000fcfdf8f800000f03a00001001840010c01ffff01600000030090000003000003003c959809a10001003442010101600000030090000003000003003ca00a480b9c9596566924caf01680800001f480003a98300a4b370007a12000f42440a2000100074401c172b46240",
                "hvc1.1.6.L60.90",
            ),
            (
                "0102200000009000000000003cf000fcfdfafa00000f03a00001001840010c01ffff02200000030090000003000003003c959409a10001002a42010102200000030090000003000003003ca00a880c1c44cd965654a4c2f0e680800001f480003a9804a2000100064401c073c189",
                "hvc1.2.4.L60.90",
            ),
            (
                "0104080000009d08000000003cf000fcfefafa00000f03a00001001740010c01ffff0408000003009d0800000300003c959809a1000100294201010408000003009d0800000300003cb00a480b9c96d96566924e5780b40400000fa40001d4c020a2000100074401c172b46240",
                "hvc1.4.10.L60.9D.8",
            ),
            (
                "0104080000009808000000003cf000fcfffcfc00000f03a00001001740010c01ffff040800000300980800000300003c959409a10001002a420101040800000300980800000300003c90015101838f8b294b2b2a5261780b40400000fa40001d4c02a2000100084401c07318301890",
                "hvc1.4.10.L60.98.8",
            ),
        ] {
            let record = hex(record);
            let (parameters, length_size) = Parameters::from_record(&record).unwrap();
            assert_eq!((parameters.record(), length_size), (record, 4));
            assert_eq!(parameters.codec_string().as_deref(), Some(name));
        }
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes: Vec<u8>) {
            let head = [&[1][..], &[0; 21], &[3, 0x21, 0, 1]].concat();
            for bytes in [bytes.clone(), [&head[..], &bytes].concat()] {
                if let Some((parameters, _)) = Parameters::from_record(&bytes) {
                    let _ = (parameters.record(), parameters.codec_string(), parameters.frame_rate());
                }
            }
            let _ = Parameters { vps: vec![], sps: vec![bytes.into()], pps: vec![] }.record();
        }
    }
}
