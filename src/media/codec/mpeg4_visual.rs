//! MPEG-4 part 2: the configuration at the beginning of its stream (ISO/IEC 14496-2, section 6.2), and the kinds of its frames.

use super::super::bits::Bits;
use super::nal::start_codes;
use super::vui;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What a decoder of MPEG-4 part 2 needs before the first frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameters {
    /// From the visual object sequence to the video object layer, with start codes; empty when it is in band only.
    pub config: Bytes,
}

/// Longest configuration.
const MAX_CONFIG: usize = 4096;

/// Start codes (table 6-3) without their prefix.
const LAYERS: std::ops::RangeInclusive<u8> = 0x20..=0x2f;
const SEQUENCE: u8 = 0xb0;
const GROUP: u8 = 0xb3;
const VISUAL_OBJECT: u8 = 0xb5;
const FRAME: u8 = 0xb6;

impl Parameters {
    /// The configuration before the first frame of an access unit, if there is one.
    pub fn of_unit(unit: &[u8]) -> Option<Self> {
        let at = |payload: &[u8]| unit.len() - payload.len() - 4;
        let mut begin = None;
        let mut has_layer = false;
        let mut end = unit.len();
        for (code, payload) in start_codes(unit) {
            match code {
                0..=0x1f | SEQUENCE | VISUAL_OBJECT => begin = begin.or(Some(at(payload))),
                GROUP | FRAME => {
                    end = at(payload);
                    break;
                }
                code if LAYERS.contains(&code) => {
                    begin = begin.or(Some(at(payload)));
                    has_layer = true;
                }
                _ => {}
            }
        }
        let config = unit.get(begin.filter(|_| has_layer)?..end)?;
        (config.len() <= MAX_CONFIG).then(|| Self { config: Bytes::copy_from_slice(config) })
    }

    /// What the video object layer says.
    pub fn layer(&self) -> Option<Layer> {
        let (_, payload) = start_codes(&self.config).find(|(code, _)| LAYERS.contains(code))?;
        Layer::read(&mut Bits::new(payload))
    }
}

/// What is read of a video object layer (section 6.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layer {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Width and height of a pixel; `(1, 1)` when unknown.
    pub pixel_aspect: (u32, u32),
    /// Frames a second in lowest terms, where it is constant.
    pub frame_rate: Option<(u32, u32)>,
}

impl Layer {
    fn read(bits: &mut Bits<'_>) -> Option<Self> {
        bits.skip(1 + 8)?;
        let mut version = 1;
        let has_version = bits.flag()?;
        if has_version {
            version = bits.byte(4)?;
            bits.skip(3)?;
        }
        let pixel_aspect = match bits.byte(4)? {
            2 => (12, 11),
            3 => (10, 11),
            4 => (16, 11),
            5 => (40, 33),
            15 => (bits.take(8)?, bits.take(8)?),
            _ => (1, 1),
        };
        let has_control = bits.flag()?;
        if has_control {
            bits.skip(3)?;
            let has_buffer = bits.flag()?;
            if has_buffer {
                bits.skip(79)?;
            }
        }
        /// `video_object_layer_shape` of a frame without a mask.
        const RECTANGULAR: u8 = 0;
        const GRAYSCALE: u8 = 3;
        let shape = bits.byte(2)?;
        if shape == GRAYSCALE && version != 1 {
            bits.skip(4)?;
        }
        bits.skip(1)?;
        let resolution = bits.take(16)?;
        bits.skip(1)?;
        let is_constant = bits.flag()?;
        let frame_rate = match is_constant {
            // In as many bits as the highest number below the resolution has.
            true => {
                let length = u32::BITS - resolution.saturating_sub(1).leading_zeros();
                let increment = bits.take(length.max(1) as usize)?;
                vui::fraction(resolution.into(), increment.into())
            }
            false => None,
        };
        if shape != RECTANGULAR {
            return None;
        }
        bits.skip(1)?;
        let width = bits.take(13)?;
        bits.skip(1)?;
        let height = bits.take(13)?;
        let pixel_aspect = if pixel_aspect.0 == 0 || pixel_aspect.1 == 0 { (1, 1) } else { pixel_aspect };
        Some(Self { width, height, pixel_aspect, frame_rate }).filter(|layer| layer.width > 0 && layer.height > 0)
    }
}

/// A decoder that has the configuration may begin with this access unit: its first frame is an I-VOP.
pub fn is_key(unit: &[u8]) -> bool {
    // `vop_coding_type` 0 (table 6-20).
    let first = start_codes(unit).find(|(code, _)| *code == FRAME);
    first.is_some_and(|(_, payload)| payload.first().is_some_and(|head| head >> 6 == 0))
}

/// Whether there is a frame, and not only the configuration.
pub fn has_frame(unit: &[u8]) -> bool {
    start_codes(unit).any(|(code, _)| code == FRAME)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::codec::testing::hex;
    use proptest::prelude::*;

    #[test]
    fn streams_tell_their_configuration() {
        #[track_caller]
        fn check(stream: &str, config: usize, expect: Layer) {
            let stream = hex(stream);
            let parameters = Parameters::of_unit(&stream).unwrap();
            assert_eq!(parameters.config, stream[..config]);
            assert_eq!(parameters.layer(), Some(expect));
            assert!(is_key(&stream) && has_frame(&stream) && !has_frame(&parameters.config));
        }
        let (width, height) = (322, 182);
        // ffmpeg, with a group after the configuration, and its pixels.
        check(
            "000001b001000001b58913000001000000012000c4958ba9850a1416d443000001b24c61766335392e33372e313030000001b3001007\
             000001b610001823",
            47,
            Layer { width, height, pixel_aspect: (12, 11), frame_rate: None },
        );
        // Xvid.
        check(
            "000001b003000001b5090000010000000120 00bc040 6c400670c28505b518f000001b25876694430303639000001b610610f85",
            43,
            Layer { width, height, pixel_aspect: (1, 1), frame_rate: Some((25, 1)) },
        );
        assert!(!is_key(&hex("000001b65000")) && Parameters::of_unit(&hex("000001b65000")).is_none());
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes: Vec<u8>, code in 0x20u8..0x30) {
            let headed = [&[0, 0, 1, code][..], &bytes].concat();
            for bytes in [bytes, headed] {
                if let Some(parameters) = Parameters::of_unit(&bytes) {
                    let _ = parameters.layer();
                }
                let _ = (is_key(&bytes), has_frame(&bytes));
            }
        }
    }
}
