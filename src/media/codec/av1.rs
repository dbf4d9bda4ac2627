//! AV1: the sequence header (AV1 Bitstream, section 5.5) and `AV1CodecConfigurationRecord` (AV1 in ISOBMFF, section 2.3).

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What a decoder needs before the first frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameters {
    /// The whole sequence header OBU, with its size field.
    pub sequence_header: Bytes,
}

impl Parameters {
    /// `AV1CodecConfigurationRecord`.
    pub fn record(&self) -> Option<Vec<u8>> {
        None
    }

    /// Profile, level, tier and depth (AV1 in ISOBMFF, section 5).
    pub fn codec_string(&self) -> Option<String> {
        None
    }
}
