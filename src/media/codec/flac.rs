//! FLAC: `STREAMINFO` and the headers of frames (RFC 9639, sections 8.2 and 9.1).

use super::super::bits::Bits;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What a decoder needs before the first frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameters {
    /// The 34 bytes of `STREAMINFO`.
    pub stream_info: Bytes,
}

/// Bytes of `STREAMINFO`.
pub const STREAM_INFO: usize = 34;
/// What a stream begins with.
const MARKER: &[u8] = b"fLaC";

impl Parameters {
    /// Those of `STREAMINFO`, in whatever form it is there: by itself, with the header of its block, or after `fLaC`.
    pub fn from_header(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.strip_prefix(MARKER).unwrap_or(bytes);
        let stream_info = match bytes {
            // The header of a block that is not or is the last, and its length (section 8.1).
            [0 | 0x80, 0, 0, 34, rest @ ..] => rest.get(..STREAM_INFO)?,
            bytes => bytes.get(..STREAM_INFO)?,
        };
        let this = Self { stream_info: Bytes::copy_from_slice(stream_info) };
        this.parse().map(|_| this)
    }

    /// What `STREAMINFO` says.
    pub fn parse(&self) -> Option<StreamInfo> {
        StreamInfo::parse(&self.stream_info)
    }

    /// `STREAMINFO` of audio that does not end: what is known at its end only, the sizes of frames, the number of samples and
    /// the MD5, is unknown (section 8.2). So it stays equal when the same source begins again.
    pub fn endless(&self) -> Option<[u8; STREAM_INFO]> {
        let mut info: [u8; STREAM_INFO] = self.stream_info.get(..)?.try_into().ok()?;
        info.get_mut(4..10)?.fill(0);
        *info.get_mut(13)? &= 0xf0;
        info.get_mut(14..)?.fill(0);
        Some(info)
    }

    /// `fLaC` and `STREAMINFO` as the only block of metadata: a whole header.
    pub fn header(&self) -> Vec<u8> {
        [MARKER, &[0x80, 0, 0, STREAM_INFO as u8], &self.stream_info].concat()
    }
}

/// What `STREAMINFO` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamInfo {
    /// Fewest samples of a frame.
    pub min_block: u16,
    /// Most samples of a frame.
    pub max_block: u16,
    /// Samples a second of each channel.
    pub rate: u32,
    /// 1 to 8.
    pub channels: u16,
    /// Bits of a sample, 4 to 32.
    pub bits: u8,
}

impl StreamInfo {
    /// Reads the 34 bytes.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut bits = Bits::new(bytes.get(..STREAM_INFO)?);
        let (min_block, max_block) = (bits.take(16)?, bits.take(16)?);
        bits.skip(48)?;
        let this = Self {
            min_block: u16::try_from(min_block).ok()?,
            max_block: u16::try_from(max_block).ok()?,
            rate: bits.take(20)?,
            channels: u16::from(bits.byte(3)?) + 1,
            bits: bits.byte(5)? + 1,
        };
        Some(this).filter(|this| this.rate > 0 && this.max_block >= this.min_block && this.bits >= 4)
    }
}

/// Samples of each channel in a frame; `None` for what is no frame. The checksum is not looked at.
pub fn block_size(frame: &[u8]) -> Option<u32> {
    let &[0xff, second, third, _, number] = frame.first_chunk::<5>()? else { return None };
    if second & 0xfe != 0xf8 {
        return None;
    }
    // The number is coded as UTF-8 codes characters, up to 36 bits.
    let number = match number.leading_ones() {
        0 => 1,
        ones @ 2..=7 => ones as usize,
        _ => return None,
    };
    let behind = |at: usize| frame.get(4 + number + at).copied().map(u32::from);
    match third >> 4 {
        0 => None,
        1 => Some(192),
        code @ 2..=5 => Some(144 << code),
        6 => Some(behind(0)? + 1),
        7 => Some((behind(0)? << 8 | behind(1)?) + 1),
        code => Some(1 << code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn headers_are_read_in_every_form() {
        for (capture, first, channels) in [
            (&include_bytes!("../../../tests/data/sound.flac")[..], 8288, 1),
            (include_bytes!("../../../tests/data/sound-gst.flac"), 116, 2),
        ] {
            let parameters = Parameters::from_header(capture).unwrap();
            let info = parameters.parse().unwrap();
            assert_eq!((info.rate, info.channels, info.bits), (16_000, channels, 16));
            assert_eq!(block_size(&capture[first..]), Some(info.max_block.into()));
            assert_eq!(Parameters::from_header(&parameters.header()), Some(parameters.clone()));
            assert_eq!(Parameters::from_header(&parameters.stream_info), Some(parameters.clone()));
            assert_eq!(Parameters::from_header(&capture[4..]), Some(parameters));
        }
        assert_eq!(Parameters::from_header(&[0; 34]), None);
        assert_eq!(Parameters::from_header(b"fLaC"), None);
    }

    #[test]
    fn frames_tell_their_samples() {
        assert_eq!(block_size(&[0xff, 0xf8, 0xc9, 0x18, 0x05]), Some(4096));
        assert_eq!(block_size(&[0xff, 0xf9, 0x29, 0x18, 0x05]), Some(576));
        assert_eq!(block_size(&[0xff, 0xf9, 0x69, 0x18, 0xc2, 0x80, 0x0f]), Some(16));
        assert_eq!(block_size(&[0xff, 0xf9, 0x7d, 0x18, 0x00, 0x01, 0x00, 0x12, 0x34]), Some(257));
        assert_eq!(block_size(&[0xff, 0xf8, 0x1c, 0x18, 0xfe]), Some(192));
        assert_eq!((block_size(&[0xff, 0xf8, 0x09, 0x18, 5]), block_size(&[0xff, 0xfb, 0xc9, 0x18, 5])), (None, None));
        assert_eq!(block_size(&[0xff, 0xf8, 0x70, 0x18, 5, 1]), None);
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes: Vec<u8>) {
            let _ = block_size(&bytes);
            let _ = block_size(&[&[0xff, 0xf8][..], &bytes].concat());
            let _ = Parameters::from_header(&bytes);
        }
    }
}
