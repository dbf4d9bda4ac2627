//! VP9: what its frames say of themselves (VP9 Bitstream, section 6.2), as `vpcC` has it (VP Codec ISO Media File Format Binding).

use serde::{Deserialize, Serialize};

/// Profile and format of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameters {
    /// 0 to 3.
    pub profile: u8,
    /// The lowest level that suffices for size and rate, in tenths; 0 when unknown.
    pub level: u8,
    /// Bits of a value: 8, 10 or 12.
    pub bit_depth: u8,
    /// `chroma_subsampling` of `vpcC`: 1 is 4:2:0 with chroma at the luma's place, 2 is 4:2:2, 3 is 4:4:4.
    pub chroma_subsampling: u8,
}

impl Parameters {
    /// Profile, level and depth.
    pub fn codec_string(&self) -> String {
        match self.level {
            0 => "vp9".to_owned(),
            level => format!("vp09.{:02}.{level:02}.{:02}", self.profile, self.bit_depth),
        }
    }
}
