//! AAC: `AudioSpecificConfig` (ISO/IEC 14496-3, section 1.6.2.1) and ADTS headers (section 1.A.2).

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What a decoder needs before the first frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameters {
    /// The `AudioSpecificConfig`.
    pub config: Bytes,
}

impl Parameters {
    /// The audio object type of the configuration: five bits, or six more behind 31.
    pub fn codec_string(&self) -> Option<String> {
        let kind = match (*self.config.first()? >> 3, self.config.get(1)) {
            (31, Some(second)) => 32 + ((self.config.first()? & 7) << 3 | second >> 5),
            (31, None) => return None,
            (kind, _) => kind,
        };
        Some(format!("mp4a.40.{kind}"))
    }
}
