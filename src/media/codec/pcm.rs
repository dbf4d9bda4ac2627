//! PCM and G.711 (ITU-T G.711).

use serde::{Deserialize, Serialize};

/// How a sample of one channel is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// 8 bits, unsigned.
    U8,
    /// 16 bits, little endian.
    S16Le,
    /// 16 bits, big endian.
    S16Be,
    /// 24 bits, little endian.
    S24Le,
    /// 32 bits, little endian.
    S32Le,
    /// 32-bit floating point, little endian.
    F32Le,
    /// G.711, A-law.
    ALaw,
    /// G.711, mu-law.
    MuLaw,
}

impl Format {
    /// The usual name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ALaw => "G.711 A-law",
            Self::MuLaw => "G.711 mu-law",
            _ => "PCM",
        }
    }

    /// Bytes of a sample of one channel.
    pub const fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::ALaw | Self::MuLaw => 1,
            Self::S16Le | Self::S16Be => 2,
            Self::S24Le => 3,
            Self::S32Le | Self::F32Le => 4,
        }
    }
}
