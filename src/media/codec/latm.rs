//! AAC in LATM and LOAS (ISO/IEC 14496-3, section 1.7), as digital television and RTP (RFC 6416) carry it.
//!
//! Streams of one program with one layer and one frame in each element are read: there are no others.

use super::super::bits::Bits;
use super::aac::{Config, Parameters, SYNC_EXTENSION};
use super::bit_writer::BitWriter;
use bytes::Bytes;

/// Bytes before the `AudioMuxElement` of a LOAS frame.
pub const HEADER: usize = 3;
/// What a LOAS frame begins with, in eleven bits.
const SYNC: u32 = 0x2b7;

/// Bytes of the LOAS frame that bytes begin with (section 1.7.2); `None` when they do not, or are fewer than three.
pub fn frame_length(bytes: &[u8]) -> Option<usize> {
    let mut bits = Bits::new(bytes);
    if bits.take(11)? != SYNC {
        return None;
    }
    Some(HEADER + bits.take(13)? as usize)
}

/// What does not change from element to element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamMuxConfig {
    parameters: Parameters,
    /// Bits after each frame that mean something else.
    other_data: usize,
}

impl StreamMuxConfig {
    /// Reads a `StreamMuxConfig` (section 1.7.3.1), as the `config` of RFC 6416 has it. `None` also when it has more than one program,
    /// layer or frame.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        Self::read(bytes, &mut Bits::new(bytes))
    }

    /// The configuration of the frames.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The frame of an `AudioMuxElement` without a configuration; `None` when it is cut off or empty.
    pub fn frame(&self, element: &[u8]) -> Option<Bytes> {
        self.read_frame(&mut Bits::new(element))
    }

    fn read(bytes: &[u8], bits: &mut Bits<'_>) -> Option<Self> {
        let version = bits.take(1)?;
        // `audioMuxVersionA` is reserved.
        if version == 1 {
            if bits.flag()? {
                return None;
            }
            value(bits)?;
        }
        let (is_same_time, frames, programs, layers) = (bits.flag()?, bits.take(6)?, bits.take(4)?, bits.take(3)?);
        if !is_same_time || (frames, programs, layers) != (0, 0, 0) {
            return None;
        }
        let begin = |bits: &Bits<'_>| {
            let mut from = Bits::new(bytes);
            from.skip(bits.position()).map(|()| from)
        };
        let mut is_extended = false;
        let config = match version {
            0 => {
                let mut from = begin(bits)?;
                let before = bits.position();
                let mut config = Config::read(bits)?;
                // No length says where it ends. GStreamer copies the extension that encoders of libav write.
                is_extended = begin(bits)?.take(11) == Some(SYNC_EXTENSION);
                if is_extended {
                    config.read_extension(bits);
                }
                copy(&mut from, bits.position() - before)?
            }
            _ => {
                let length = value(bits)? as usize;
                let config = copy(&mut begin(bits)?, length)?;
                bits.skip(length)?;
                config
            }
        };
        let parameters = Parameters { config };
        parameters.parse()?;
        // `frameLengthType` 0: each frame carries its length. What follows the configuration is often missing in RTP.
        let Some(length_type) = bits.take(3).filter(|_| !is_extended) else {
            return Some(Self { parameters, other_data: 0 });
        };
        if length_type != 0 {
            return None;
        }
        bits.skip(8)?;
        let mut other_data = 0;
        let has_other_data = bits.flag()?;
        if has_other_data {
            other_data = match version {
                0 => other_data_bits(bits)?,
                _ => value(bits)? as usize,
            };
        }
        let has_checksum = bits.flag()?;
        if has_checksum {
            bits.skip(8)?;
        }
        Some(Self { parameters, other_data })
    }

    /// `PayloadLengthInfo` and `PayloadMux` (sections 1.7.3.1 and 1.7.3.2).
    fn read_frame(&self, bits: &mut Bits<'_>) -> Option<Bytes> {
        let mut length = 0;
        loop {
            let more = bits.take(8)?;
            length += more as usize;
            if more != 255 {
                break;
            }
        }
        let frame: Option<Vec<u8>> = (0..length).map(|_| bits.byte(8)).collect();
        bits.skip(self.other_data)?;
        frame.filter(|frame| !frame.is_empty()).map(Bytes::from)
    }
}

/// Takes the frames of LOAS, which bring their configuration now and then.
#[derive(Debug, Default)]
pub struct Loas {
    config: Option<StreamMuxConfig>,
}

impl Loas {
    /// The frame of AAC in a frame of LOAS, and the configuration of the frames from this one on, if it is another. `None` before
    /// the first configuration, and for what is no frame.
    pub fn push(&mut self, frame: &[u8]) -> Option<(Bytes, Option<Parameters>)> {
        let element = frame.get(HEADER..frame_length(frame)?)?;
        let mut bits = Bits::new(element);
        let mut changed = None;
        let is_same = bits.flag()?;
        if !is_same {
            let config = StreamMuxConfig::read(element, &mut bits)?;
            let is_known = self.config.as_ref().is_some_and(|known| known.parameters == config.parameters);
            changed = (!is_known).then(|| config.parameters.clone());
            self.config = Some(config);
        }
        // A configuration that came with a broken frame is reported with the next whole one.
        let data = self.config.as_ref()?.read_frame(&mut bits);
        if data.is_none() && changed.is_some() {
            self.config = None;
        }
        Some((data?, changed))
    }
}

/// `LatmGetValue`: up to four bytes, the highest first.
fn value(bits: &mut Bits<'_>) -> Option<u32> {
    let bytes = bits.take(2)?;
    (0..=bytes).try_fold(0, |value, _| Some(value << 8 | bits.take(8)?))
}

/// `otherDataLenBits` of version 0: bytes, each after a bit that says whether another follows.
fn other_data_bits(bits: &mut Bits<'_>) -> Option<usize> {
    let mut length = 0usize;
    loop {
        let has_more = bits.flag()?;
        length = length.checked_mul(256)?.checked_add(bits.take(8)? as usize)?;
        if !has_more {
            return Some(length);
        }
    }
}

/// So many bits as bytes, with zeros at the end.
fn copy(bits: &mut Bits<'_>, count: usize) -> Option<Bytes> {
    let mut out = BitWriter::default();
    for _ in 0..count {
        out.write(bits.take(1)?, 1);
    }
    Some(out.into_bytes().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::codec::testing::hex;
    use proptest::prelude::*;

    #[test]
    fn configurations_of_rtp_are_read() {
        // Of GStreamer, and cut off after the configuration of AAC: low complexity, 44.1 kHz, stereo.
        for config in ["400024203fc0", "40002420"] {
            let config = StreamMuxConfig::parse(&hex(config)).unwrap();
            assert_eq!(config.parameters().config, [0x12, 0x10][..]);
            assert_eq!(config.frame(&[3, 1, 2, 3]), Some(Bytes::from_static(&[1, 2, 3])));
            assert_eq!((config.frame(&[3, 1, 2]), config.frame(&[0])), (None, None));
            let long = [&[255, 1][..], &[7; 256]].concat();
            assert_eq!(config.frame(&long).map(|frame| frame.len()), Some(256));
        }
        // Of GStreamer with an encoder of libav: mono, and without replication of bands, which an extension says.
        let config = StreamMuxConfig::parse(&hex("40002410adca00")).unwrap();
        assert_eq!(config.parameters().config, [0x12, 0x08, 0x56, 0xe5, 0x00][..]);
        assert_eq!(config.parameters().parse().map(|config| (config.rate(), config.channels())), Some((44_100, 1)));
        assert_eq!(config.frame(&[2, 1, 2]), Some(Bytes::from_static(&[1, 2])));
        // Two frames in an element; two programs.
        assert_eq!(StreamMuxConfig::parse(&hex("410024203fc0")), None);
        assert_eq!(StreamMuxConfig::parse(&hex("400824203fc0")), None);
    }

    /// A LOAS frame with these numbers of some bits.
    fn loas(fields: &[(u32, usize)]) -> Vec<u8> {
        let mut element = BitWriter::default();
        fields.iter().for_each(|(number, count)| element.write(*number, *count));
        let element = element.into_bytes();
        let mut header = BitWriter::default();
        header.write(SYNC, 11);
        header.write(element.len() as u32, 13);
        [header.into_bytes(), element].concat()
    }

    #[test]
    fn elements_keep_the_configuration_of_those_before_them() {
        // Version 1: a buffer's fullness, one of each, 16 bits of configuration, a length in each frame, no other data, a checksum.
        let fields =
            [(0, 1), (1, 1), (0, 1), (0, 2), (9, 8), (1, 1), (0, 13), (0, 2), (16, 8), (0x1190, 16), (0, 3), (0xff, 8)];
        let frame = [(0, 1), (1, 1), (0x55, 8), (2, 8), (0xab, 8), (0xcd, 8)];
        let with_config = loas(&[&fields[..], &frame].concat());
        let without = loas(&[(1, 1), (1, 8), (0xef, 8)]);
        assert_eq!(frame_length(&with_config), Some(with_config.len()));
        let mut stream = Loas::default();
        assert_eq!(stream.push(&without), None);
        let parameters = Parameters { config: Bytes::from_static(&[0x11, 0x90]) };
        assert_eq!(stream.push(&with_config), Some((Bytes::from_static(&[0xab, 0xcd]), Some(parameters))));
        assert_eq!(stream.push(&with_config), Some((Bytes::from_static(&[0xab, 0xcd]), None)));
        assert_eq!(stream.push(&without), Some((Bytes::from_static(&[0xef]), None)));
        assert_eq!(stream.push(&with_config[..with_config.len() - 1]), None);
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes: Vec<u8>) {
            let mut stream = Loas::default();
            let length = (bytes.len() as u16).to_be_bytes();
            let _ = stream.push(&[&[0x56, 0xe0 | length[0], length[1]], &bytes[..]].concat());
            for bytes in [bytes.clone(), [&[0x40, 0, 0x24, 0x20], &bytes[..]].concat(), [&[0xc0][..], &bytes].concat()] {
                if let Some(config) = StreamMuxConfig::parse(&bytes) {
                    let _ = config.frame(&bytes);
                }
            }
        }
    }
}
