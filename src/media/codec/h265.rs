//! H.265: parameter sets and `HEVCDecoderConfigurationRecord` (ISO/IEC 14496-15, section 8.3.3.1).

use bytes::Bytes;
use serde::{Deserialize, Serialize};

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
    /// Those of a configuration record, and the size of the lengths in front of the NAL units that it is for.
    pub fn from_record(record: &[u8]) -> Option<(Self, usize)> {
        let (head, mut rest) = record.split_first_chunk::<23>()?;
        let mut parameters = Self { vps: Vec::new(), sps: Vec::new(), pps: Vec::new() };
        for _ in 0..head[22] {
            let (&[kind, high, low], after) = rest.split_first_chunk::<3>()?;
            let (sets, after) = super::h264::sets(u16::from_be_bytes([high, low]).into(), after)?;
            rest = after;
            match kind & 0x3f {
                32 => parameters.vps.extend(sets),
                33 => parameters.sps.extend(sets),
                34 => parameters.pps.extend(sets),
                _ => {}
            }
        }
        Some((parameters, usize::from(head[21] & 3) + 1)).filter(|(parameters, _)| !parameters.sps.is_empty())
    }

    /// The configuration record, for NAL units with lengths of four bytes.
    pub fn record(&self) -> Vec<u8> {
        // TODO(codec): from the SPS.
        Vec::new()
    }

    /// ISO/IEC 14496-15, annex E.3: profile space and profile, compatibility flags in reverse order, tier and level,
    /// constraints without the zeros at their end.
    pub fn codec_string(&self) -> Option<String> {
        None
    }
}
