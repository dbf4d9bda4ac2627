//! MPEG-1 and MPEG-2 audio: what the header of a frame says (ISO/IEC 11172-3, section 2.4.1.3).

use bytes::Bytes;
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

/// Kilobits a second by `bitrate_index` (section 2.4.2.3), of layers I to III at the rates of MPEG-1, then of layer I and of
/// layers II and III at lower ones (ISO/IEC 13818-3, section 2.4.2.3).
const KILOBITS: [[u16; 14]; 5] = [
    [32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
    [32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
    [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
    [32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
    [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
];

/// What the header of a frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Layer and kind of rate.
    pub parameters: Parameters,
    /// Samples a second of each channel.
    pub rate: u32,
    /// 1 or 2.
    pub channels: u16,
    /// Bytes of the frame with its header.
    pub frame_length: usize,
    /// Samples of each channel in the frame.
    pub samples: u32,
}

impl Header {
    /// Reads the header that bytes begin with. `None` when they do not, are fewer than four, or when the frame has no usual
    /// bit rate.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let &[0xff, second, third, fourth] = bytes.first_chunk::<4>()? else { return None };
        // Version 1 and layer 0 are reserved.
        let (version, layer) = (second >> 3 & 3, 4 - (second >> 1 & 3));
        if second & 0xe0 != 0xe0 || version == 1 || layer == 4 {
            return None;
        }
        let is_low_rate = version != 3;
        let table = match (is_low_rate, layer) {
            (false, layer) => layer - 1,
            (true, 1) => 3,
            (true, _) => 4,
        };
        let kilobits = KILOBITS.get(usize::from(table))?.get(usize::from(third >> 4).checked_sub(1)?)?;
        let divisor = match version {
            3 => 1,
            2 => 2,
            _ => 4,
        };
        let rate = [44_100, 48_000, 32_000].get(usize::from(third >> 2 & 3))? / divisor;
        let (samples, slot) = match layer {
            1 => (384, 4),
            3 if is_low_rate => (576, 1),
            _ => (1152, 1),
        };
        let slots = samples / 8 / slot * u32::from(*kilobits) * 1000 / rate + u32::from(third >> 1 & 1);
        let channels = if fourth >> 6 == 3 { 1 } else { 2 };
        let frame_length = (slots * slot) as usize;
        Some(Self { parameters: Parameters { layer, is_low_rate }, rate, channels, frame_length, samples })
    }
}

/// The whole frames that bytes consist of; ends at what is none or cut off.
pub fn frames(bytes: &Bytes) -> impl Iterator<Item = (Header, Bytes)> {
    let mut rest = bytes.clone();
    std::iter::from_fn(move || {
        let header = Header::parse(&rest).filter(|header| header.frame_length <= rest.len())?;
        Some((header, rest.split_to(header.frame_length)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CAPTURE: &[u8] = include_bytes!("../../../tests/data/sound.mp3");
    /// Length of the ID3 tag before the capture.
    const TAG: usize = 45;

    #[test]
    fn headers_are_read() {
        #[track_caller]
        fn check(bytes: [u8; 4], expect: (u8, u32, u16, usize, u32)) {
            let header = Header::parse(&bytes).unwrap();
            let found = (header.parameters.layer, header.rate, header.channels, header.frame_length, header.samples);
            assert_eq!(found, expect, "{bytes:x?}");
        }
        check([0xff, 0xfb, 0x90, 0x00], (3, 44_100, 2, 417, 1152));
        check([0xff, 0xfb, 0x92, 0x00], (3, 44_100, 2, 418, 1152));
        check([0xff, 0xfd, 0xa4, 0xc0], (2, 48_000, 1, 576, 1152));
        check([0xff, 0xff, 0xa4, 0x00], (1, 48_000, 2, 320, 384));
        check([0xff, 0xf3, 0x84, 0x00], (3, 24_000, 2, 192, 576));
        check([0xff, 0xe3, 0x88, 0x00], (3, 8000, 2, 576, 576));
        check([0xff, 0xf5, 0x84, 0x00], (2, 24_000, 2, 384, 1152));
        for bytes in [[0xff, 0xfb, 0x00, 0], [0xff, 0xfb, 0xf0, 0], [0xff, 0xeb, 0x90, 0], [0xff, 0xf9, 0x90, 0]] {
            assert_eq!(Header::parse(&bytes), None, "{bytes:x?}");
        }
    }

    #[test]
    fn frames_of_a_capture_follow_each_other() {
        let bytes = Bytes::from_static(&CAPTURE[TAG..]);
        let lengths: Vec<_> = frames(&bytes).map(|(_, frame)| frame.len()).collect();
        assert_eq!((lengths.len(), lengths.iter().sum()), (40, bytes.len()));
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes: [u8; 4]) {
            let length = Header::parse(&[0xff, bytes[1] | 0xe0, bytes[2], bytes[3]]).map(|header| header.frame_length);
            prop_assert!(length.is_none_or(|length| (4..=2881).contains(&length)), "{length:?}");
        }
    }
}
