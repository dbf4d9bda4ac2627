//! MPEG-1 and MPEG-2 audio: what the header of a frame says (ISO/IEC 11172-3, section 2.4.1.3).

use serde::{Deserialize, Serialize};

/// What does not change from frame to frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameters {
    /// 1 to 3.
    pub layer: u8,
    /// It has one of the lower rates of MPEG-2 (ISO/IEC 13818-3) or MPEG-2.5.
    pub is_low_rate: bool,
}

impl Parameters {
    /// The usual name.
    pub const fn name(&self) -> &'static str {
        match self.layer {
            1 => "MP1",
            2 => "MP2",
            _ => "MP3",
        }
    }

    /// The name in the `codecs` parameter of media types.
    pub const fn codec_string(&self) -> &'static str {
        match self.layer {
            3 => "mp3",
            _ if self.is_low_rate => "mp4a.69",
            _ => "mp4a.6B",
        }
    }
}
