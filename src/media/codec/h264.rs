//! H.264: parameter sets and `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15, section 5.3.3.1).

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// `nal_unit_type` of a slice of an IDR frame (ITU-T H.264, table 7-1).
pub const IDR: u8 = 5;
/// `nal_unit_type` of supplemental enhancement information.
pub const SEI: u8 = 6;
/// `nal_unit_type` of a sequence parameter set.
pub const SPS: u8 = 7;
/// `nal_unit_type` of a picture parameter set.
pub const PPS: u8 = 8;

/// The parameter sets of a track, as NAL units without start codes and lengths. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameters {
    /// Sequence parameter sets.
    pub sps: Vec<Bytes>,
    /// Picture parameter sets.
    pub pps: Vec<Bytes>,
}

impl Parameters {
    /// Those of a configuration record, and the size of the lengths before the NAL units that it is for.
    pub fn from_record(record: &[u8]) -> Option<(Self, usize)> {
        let (&[1, _, _, _, length_size, sps_count], rest) = record.split_first_chunk::<6>()? else { return None };
        let (sps, rest) = sets(usize::from(sps_count & 0x1f), rest)?;
        let (&pps_count, rest) = rest.split_first()?;
        let (pps, _) = sets(usize::from(pps_count), rest)?;
        Some((Self { sps, pps }, usize::from(length_size & 3) + 1)).filter(|(parameters, _)| !parameters.sps.is_empty())
    }

    /// The configuration record, for NAL units with lengths of four bytes.
    pub fn record(&self) -> Vec<u8> {
        let [profile, compatibility, level] = self.profile_level().unwrap_or([0; 3]);
        let mut record = vec![1, profile, compatibility, level, 0xff, 0xe0 | self.sps.len().min(31) as u8];
        write_sets(self.sps.iter().take(31), &mut record);
        record.push(self.pps.len().min(255) as u8);
        write_sets(self.pps.iter().take(255), &mut record);
        // What profiles with more than 8 bits or other chroma have besides (section 5.3.3.1.2).
        if !matches!(profile, 66 | 77 | 88)
            && let Some(sps) = self.sps.first().and_then(|sps| super::h264_sps::Sps::parse(sps))
        {
            record.extend([
                0xfc | sps.chroma_format,
                0xf8 | (sps.bit_depth_luma - 8),
                0xf8 | (sps.bit_depth_chroma - 8),
                0,
            ]);
        }
        record
    }

    /// Profile, constraints and level of the first sequence parameter set.
    pub fn profile_level(&self) -> Option<[u8; 3]> {
        self.sps.first()?.get(1..4)?.try_into().ok()
    }

    /// Profile, constraints and level, two hexadecimal digits each (RFC 6381, section 3.3).
    pub fn codec_string(&self) -> Option<String> {
        let [profile, compatibility, level] = self.profile_level()?;
        Some(format!("avc1.{profile:02x}{compatibility:02x}{level:02x}"))
    }
}

/// So many NAL units with lengths of two bytes, and what follows them.
pub(super) fn sets(count: usize, mut bytes: &[u8]) -> Option<(Vec<Bytes>, &[u8])> {
    let mut sets = Vec::new();
    for _ in 0..count {
        let (length, rest) = bytes.split_first_chunk::<2>()?;
        let (set, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        sets.push(Bytes::copy_from_slice(set));
        bytes = rest;
    }
    Some((sets, bytes))
}

pub(super) fn write_sets<'a>(sets: impl Iterator<Item = &'a Bytes>, out: &mut Vec<u8>) {
    for set in sets {
        out.extend_from_slice(&u16::try_from(set.len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend_from_slice(set);
    }
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
                "0164000dffe100196764000dacd941519e226c04400000fa40003a9803c50a658001000668ebe3cb22c0fdf8f800",
                "avc1.64000d",
            ),
            ("017a000dffe10018677a000db6cb40a8cf1117870800001f480007530078a15501000468ce0fc8fefafa00", "avc1.7a000d"),
            (
                "01f4000dffe1001967f4000d919b282a33c7c5e022000007d20001d4c01e28532c01000668ebe3c44844fff8f800",
                "avc1.f4000d",
            ),
            ("0142c00bffe100186742c00bda0a11f97011000003000100000300328f142aa001000468ce3c80", "avc1.42c00b"),
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
            for bytes in [bytes.clone(), [&[1, 100, 0, 30, 0xff][..], &bytes].concat()] {
                if let Some((parameters, _)) = Parameters::from_record(&bytes) {
                    let _ = (parameters.record(), parameters.codec_string());
                }
            }
        }
    }
}
