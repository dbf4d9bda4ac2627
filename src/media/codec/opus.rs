//! Opus: the identification header (RFC 7845, section 5.1) and the duration of packets (RFC 6716, section 3.1).

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What a decoder needs before the first packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameters {
    /// The whole `OpusHead`.
    pub head: Bytes,
}

impl Parameters {
    /// One or two channels without anything special.
    pub fn simple(channels: u8) -> Self {
        Self { head: [&b"OpusHead\x01"[..], &[channels], &[0; 9]].concat().into() }
    }

    /// Number of channels.
    pub fn channels(&self) -> u8 {
        self.head.get(9).copied().unwrap_or(2)
    }

    /// Samples at 48 kHz that are to be dropped at the beginning.
    pub fn pre_skip(&self) -> u16 {
        self.head.get(10..12).and_then(|bytes| bytes.try_into().ok()).map_or(0, u16::from_le_bytes)
    }
}

/// Samples at 48 kHz that a packet decodes to; `None` for what is no packet.
pub fn samples(packet: &[u8]) -> Option<u32> {
    let toc = *packet.first()?;
    // Samples of one frame, by configuration.
    let frame = match toc >> 3 {
        config @ 0..12 => [480, 960, 1920, 2880].get(usize::from(config & 3)).copied()?,
        config @ 12..16 => [480, 960].get(usize::from(config & 1)).copied()?,
        config => [120, 240, 480, 960].get(usize::from(config & 3)).copied()?,
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(packet.get(1)? & 0x3f),
    };
    Some(frame * frames).filter(|samples| *samples <= 5760)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_tell_how_long_they_last() {
        assert_eq!(samples(&[0xfc]), Some(960));
        assert_eq!(samples(&[0x0b, 0x03]), Some(2880));
        assert_eq!(samples(&[0x1b, 0x03]), None, "more than 120 ms");
        assert_eq!(samples(&[0x63, 0x02]), Some(960));
        assert_eq!((samples(&[]), samples(&[3])), (None, None));
    }
}
