//! How a track is coded, as players are told in the header (section 8.5.2).

use crate::media::bits::Bits;
use mp4_atom::{
    Ac3, Ac3SpecificBox, Atom, Audio, Av01, Av1c, Avc1, Avc3, Avcc, Codec, Dops, Hev1, Hvc1, Hvcc, Mp4a, Opus,
    OpusChannelMapping, Pasp, Visual, Vp09, VpcC,
    esds::{DecoderConfig, DecoderSpecific, EsDescriptor, Esds, SLConfig},
};
use std::time::Duration;

/// Ticks a second of pictures: all usual rates have whole steps.
const PICTURE_TICKS: u32 = 90_000;
/// Ticks a second of Opus, whatever rate went into the encoder (Opus in ISOBMFF, section 4.1).
const OPUS_TICKS: u32 = 48_000;

/// How the samples of a track are coded.
#[derive(Debug, Clone, PartialEq)]
pub enum Coding {
    /// H.264; the record is an `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15, section 5.3.3.1).
    Avc {
        /// Its bytes.
        record: Vec<u8>,
        /// Parameter sets may be among the samples, too.
        in_band: bool,
    },
    /// H.265; the record is an `HEVCDecoderConfigurationRecord` (section 8.3.3.1).
    Hevc {
        /// Its bytes.
        record: Vec<u8>,
        /// Parameter sets may be among the samples, too.
        in_band: bool,
    },
    /// VP9.
    Vp9 {
        /// 0 to 3.
        profile: u8,
        /// Bits of a value.
        depth: u8,
        /// What chroma there is.
        chroma: Chroma,
    },
    /// AV1. More is told by the first sample.
    Av1 {
        /// Bits of a value.
        depth: u8,
        /// What chroma there is.
        chroma: Chroma,
    },
    /// AAC: an `AudioSpecificConfig` (ISO/IEC 14496-3, section 1.6.2.1).
    Aac(Vec<u8>),
    /// MPEG-1 audio and its extension to lower rates, MPEG-2.
    Mpeg {
        /// It has such a rate.
        is_low: bool,
    },
    /// Opus: an identification header (RFC 7845, section 5.1).
    Opus(Vec<u8>),
    /// AC-3. More is told by the first sample.
    Ac3,
}

/// How chroma is sampled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chroma {
    /// Not at all.
    None,
    /// Half as often in both directions.
    Quarter,
    /// Half as often from left to right.
    Half,
    /// As often as luma.
    Full,
}

/// What is shown or heard.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shape {
    /// Pictures.
    Pictures {
        /// In pixels.
        width: u16,
        /// In pixels.
        height: u16,
        /// Width and height of a pixel.
        pixel: (u32, u32),
        /// Pictures a second, as a ratio, if that is known.
        rate: Option<(u32, u32)>,
    },
    /// Sound.
    Sound {
        /// Samples a second.
        rate: u32,
        /// How many.
        channels: u16,
    },
}

/// Why a track cannot be described.
#[derive(Debug, thiserror::Error)]
pub enum CodingError {
    /// What the encoder says of itself is not as it should be.
    #[error("describe {what} in MP4: {source}")]
    Record {
        /// Of which codec.
        what: &'static str,
        /// What is wrong.
        source: mp4_atom::Error,
    },
    /// Something is missing in it.
    #[error("describe {0} in MP4: its setup is cut off")]
    Short(&'static str),
}

/// A track as it is described in a header.
#[derive(Debug, Clone, PartialEq)]
pub struct Track {
    pub(super) entry: Codec,
    pub(super) shape: Shape,
    /// Ticks a second.
    pub(super) timescale: u32,
}

impl Track {
    /// Describes a track that begins with this sample; `None` when nothing can begin with it.
    ///
    /// # Errors
    /// When the set-up that an encoder gave is not as its specification wants it.
    pub fn new(coding: &Coding, shape: Shape, first: &[u8]) -> Result<Option<Self>, CodingError> {
        let timescale = match (coding, shape) {
            (Coding::Opus(_), _) => OPUS_TICKS,
            (_, Shape::Pictures { .. }) => PICTURE_TICKS,
            (_, Shape::Sound { rate, .. }) => rate.max(1),
        };
        let entry = entry(coding, shape, first)?;
        Ok(entry.map(|entry| Self { entry, shape, timescale }))
    }

    /// Whether it has pictures.
    pub(super) fn has_pictures(&self) -> bool {
        matches!(self.shape, Shape::Pictures { .. })
    }

    /// How its samples follow one another.
    pub(super) fn tempo(&self) -> super::timing::Tempo {
        let (timescale, is_even) = (self.timescale, !self.has_pictures());
        super::timing::Tempo { timescale, is_even, nominal: self.pause() }
    }

    /// How far apart its pictures are by what the source says of its rate.
    pub(super) fn pause(&self) -> Duration {
        match self.shape {
            Shape::Pictures { rate: Some((pictures, seconds)), .. } if pictures > 0 => {
                Duration::from_secs(seconds.into()) / pictures
            }
            Shape::Pictures { .. } | Shape::Sound { .. } => Duration::ZERO,
        }
    }
}

fn entry(coding: &Coding, shape: Shape, first: &[u8]) -> Result<Option<Codec>, CodingError> {
    let (visual, pasp, audio) = (visual(shape), pasp(shape), audio(shape));
    Ok(Some(match coding {
        Coding::Avc { record, in_band } => {
            let avcc = parse::<Avcc>("H.264", record)?;
            match in_band {
                false => Avc1 { visual, avcc, pasp, ..Avc1::default() }.into(),
                true => Avc3 { visual, avcc, pasp, ..Avc3::default() }.into(),
            }
        }
        Coding::Hevc { record, in_band } => {
            let hvcc = parse::<Hvcc>("H.265", record)?;
            match in_band {
                false => Hvc1 { visual, hvcc, pasp, ..Hvc1::default() }.into(),
                true => Hev1 { visual, hvcc, pasp, ..Hev1::default() }.into(),
            }
        }
        Coding::Vp9 { profile, depth, chroma } => {
            let vpcc = VpcC {
                profile: *profile,
                level: vp9_level(shape),
                bit_depth: *depth,
                // Where chroma lies is not known: as with MPEG-2, which is usual.
                chroma_subsampling: match chroma {
                    Chroma::None | Chroma::Quarter => 0,
                    Chroma::Half => 2,
                    Chroma::Full => 3,
                },
                // The pictures tell their colours themselves.
                color_primaries: UNSPECIFIED,
                transfer_characteristics: UNSPECIFIED,
                matrix_coefficients: UNSPECIFIED,
                ..VpcC::default()
            };
            Vp09 { visual, vpcc, pasp, ..Vp09::default() }.into()
        }
        Coding::Av1 { depth, chroma } => {
            let Some(av1c) = av1c(first, *depth, *chroma) else { return Ok(None) };
            Av01 { visual, av1c, pasp, ..Av01::default() }.into()
        }
        Coding::Aac(config) => sound(audio, 0x40, Some(config)),
        Coding::Mpeg { is_low } => sound(audio, if *is_low { 0x69 } else { 0x6b }, None),
        Coding::Opus(head) => {
            let dops = dops(head).ok_or(CodingError::Short("Opus"))?;
            let audio = Audio { sample_rate: rate(OPUS_TICKS), ..audio };
            Opus { audio, dops, btrt: None }.into()
        }
        Coding::Ac3 => {
            let Some(dac3) = dac3(first) else { return Ok(None) };
            Ac3 { audio, dac3 }.into()
        }
    }))
}

/// What colours mean that nothing is said of (ISO/IEC 23091-2).
const UNSPECIFIED: u8 = 2;

fn parse<T: Atom>(what: &'static str, mut record: &[u8]) -> Result<T, CodingError> {
    if record.is_empty() {
        return Err(CodingError::Short(what));
    }
    T::decode_body(&mut record).map_err(|source| CodingError::Record { what, source })
}

fn visual(shape: Shape) -> Visual {
    let (width, height) = match shape {
        Shape::Pictures { width, height, .. } => (width, height),
        Shape::Sound { .. } => (0, 0),
    };
    Visual { data_reference_index: 1, width, height, ..Visual::default() }
}

fn pasp(shape: Shape) -> Option<Pasp> {
    let Shape::Pictures { pixel: (wide, high), .. } = shape else { return None };
    (wide != high).then(|| Pasp::new(wide, high).ok()).flatten()
}

fn audio(shape: Shape) -> Audio {
    let (sample_rate, channel_count) = match shape {
        Shape::Sound { rate: samples, channels } => (rate(samples), channels),
        Shape::Pictures { .. } => (rate(0), 0),
    };
    Audio { data_reference_index: 1, channel_count, sample_size: 16, sample_rate }
}

/// A rate as a sample entry has it, which is 0 where it does not fit: then the codec's own set-up tells it.
fn rate(samples: u32) -> mp4_atom::FixedPoint<u16> {
    u16::try_from(samples).unwrap_or_default().into()
}

/// Sound that is described as MPEG-4 does (ISO/IEC 14496-1, section 7.2.6.6), where each kind has a number.
fn sound(audio: Audio, kind: u8, config: Option<&Vec<u8>>) -> Codec {
    let dec_specific = config.map(|raw| DecoderSpecific { raw: raw.clone(), ..DecoderSpecific::default() });
    let dec_config =
        DecoderConfig { object_type_indication: kind, stream_type: 5, dec_specific, ..DecoderConfig::default() };
    let es_desc = EsDescriptor { dec_config, sl_config: SLConfig {}, ..EsDescriptor::default() };
    Mp4a { audio, esds: Esds { es_desc }, btrt: None, taic: None }.into()
}

/// From the header of Ogg, whose numbers begin with the lowest byte, to that of MP4.
fn dops(head: &[u8]) -> Option<Dops> {
    let body = head.strip_prefix(b"OpusHead")?;
    let &[_, output_channel_count, skip_low, skip_high, a, b, c, d, gain_low, gain_high, family, ref table @ ..] = body
    else {
        return None;
    };
    let channel_mapping = match (family, table) {
        (0, _) => None,
        (family, &[stream_count, coupled_count, ref channels @ ..]) => Some(OpusChannelMapping {
            family,
            stream_count,
            coupled_count,
            channel_mapping: channels.get(..usize::from(output_channel_count))?.to_vec(),
        }),
        _ => return None,
    };
    Some(Dops {
        output_channel_count,
        pre_skip: u16::from_le_bytes([skip_low, skip_high]),
        input_sample_rate: u32::from_le_bytes([a, b, c, d]),
        output_gain: i16::from_le_bytes([gain_low, gain_high]),
        channel_mapping,
    })
}

/// What the header of a frame says (ETSI TS 102 366, section 4.4 and annex F.4).
fn dac3(frame: &[u8]) -> Option<Ac3SpecificBox> {
    let mut bits = Bits::new(frame.strip_prefix(&[0x0b, 0x77])?);
    bits.skip(16)?;
    let (fscod, frame_size, bsid) = (bits.byte(2)?, bits.byte(6)?, bits.byte(5)?);
    let (bsmod, acmod) = (bits.byte(3)?, bits.byte(3)?);
    // Levels that are there only with some channels.
    let levels = [acmod & 1 != 0 && acmod != 1, acmod & 4 != 0, acmod == 2];
    bits.skip(2 * levels.iter().filter(|is_there| **is_there).count())?;
    Some(Ac3SpecificBox { fscod, bsid, bsmod, acmod, lfeon: bits.flag()?, bit_rate_code: frame_size >> 1 })
}

/// The set-up of AV1, which is in the sequence header of a key picture (AV1 Codec ISO Media File Format Binding, section 2.3).
fn av1c(sample: &[u8], depth: u8, chroma: Chroma) -> Option<Av1c> {
    let (whole, content) = sequence_header(sample)?;
    let (seq_profile, seq_level_idx_0, seq_tier_0) = av1_level(content)?;
    Some(Av1c {
        seq_profile,
        seq_level_idx_0,
        seq_tier_0,
        high_bitdepth: depth > 8,
        twelve_bit: depth > 10,
        monochrome: chroma == Chroma::None,
        chroma_subsampling_x: chroma != Chroma::Full,
        chroma_subsampling_y: matches!(chroma, Chroma::None | Chroma::Quarter),
        chroma_sample_position: 0,
        initial_presentation_delay: None,
        config_obus: whole.to_vec(),
    })
}

/// The first sequence header among the units of a sample (AV1 Bitstream, section 5.3): all of it, and its content.
fn sequence_header(mut sample: &[u8]) -> Option<(&[u8], &[u8])> {
    const SEQUENCE_HEADER: u8 = 1;
    loop {
        let head = *sample.first()?;
        let (has_extension, has_size) = (head & 4 != 0, head & 2 != 0);
        let at = 1 + usize::from(has_extension);
        let (size, size_length) =
            if has_size { leb128(sample.get(at..)?)? } else { (sample.len().checked_sub(at)?, 0) };
        let (begin, end) = (at + size_length, (at + size_length).checked_add(size)?);
        let (whole, content) = (sample.get(..end)?, sample.get(begin..end)?);
        if head >> 3 & 0xf == SEQUENCE_HEADER {
            return Some((whole, content));
        }
        sample = sample.get(end..)?;
    }
}

/// A number with seven bits a byte, the lowest first (section 4.10.5), and its length.
fn leb128(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0usize;
    for (at, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, at + 1));
        }
    }
    None
}

/// Profile, level and tier of a sequence header (section 5.5.1).
fn av1_level(header: &[u8]) -> Option<(u8, u8, bool)> {
    let mut bits = Bits::new(header);
    let profile = bits.byte(3)?;
    let (_is_still, is_reduced) = (bits.flag()?, bits.flag()?);
    if is_reduced {
        return Some((profile, bits.byte(5)?, false));
    }
    let has_timing = bits.flag()?;
    if has_timing {
        bits.skip(64)?;
        let is_even = bits.flag()?;
        if is_even {
            // As many bits as there are zeros in front of the first one.
            let mut zeros = 0;
            while !bits.flag()? {
                zeros += 1;
            }
            bits.skip(zeros)?;
        }
        let has_model = bits.flag()?;
        if has_model {
            bits.skip(47)?;
        }
    }
    let _has_delay = bits.flag()?;
    bits.skip(17)?;
    let level = bits.byte(5)?;
    Some((profile, level, level > 7 && bits.flag()?))
}

fn vp9_level(shape: Shape) -> u8 {
    let Shape::Pictures { width, height, rate, .. } = shape else { return 0 };
    crate::media::codec::vp9::level(width.into(), height.into(), rate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PICTURES: Shape = Shape::Pictures { width: 320, height: 240, pixel: (1, 1), rate: Some((25, 1)) };
    const SOUND: Shape = Shape::Sound { rate: 48_000, channels: 2 };

    #[test]
    fn av1_is_described_by_its_first_key_picture() {
        // A temporal delimiter, then the sequence header of a real stream of 320x240, then the begin of a picture.
        let sample = b"\x12\0\x0a\x0a\0\0\0\x03\xb4\xfd\xff\x9d\xfc\x04\x32\x01\0";
        let coding = Coding::Av1 { depth: 8, chroma: Chroma::Quarter };
        let track = Track::new(&coding, PICTURES, sample).unwrap().unwrap();
        let Codec::Av01(Av01 { av1c, .. }) = track.entry else { panic!("{:?}", track.entry) };
        assert_eq!((av1c.seq_profile, av1c.seq_level_idx_0, av1c.seq_tier_0), (0, 0, false));
        assert_eq!(av1c.config_obus, &sample[2..14]);
        assert!(Track::new(&coding, PICTURES, b"\x12\0\x32\x01\0").unwrap().is_none(), "it is no key picture");
        assert_eq!(av1_level(&[0b0000_1100, 0b1000_0000]), Some((0, 0b10010, false)));
        // Level 5.0 of the high tier.
        assert_eq!(av1_level(&[0b0010_0000, 0, 0, 0b0110_0100, 0]).map(|(profile, ..)| profile), Some(1));
    }

    #[test]
    fn ac3_is_described_by_its_first_frame() {
        // 48 kHz, 192 kbit/s, stereo.
        let frame = [0x0b, 0x77, 0, 0, 0x14, 0x40, 0x43, 0xe1];
        let track = Track::new(&Coding::Ac3, SOUND, &frame).unwrap().unwrap();
        let expect = Ac3SpecificBox { fscod: 0, bsid: 8, bsmod: 0, acmod: 2, lfeon: false, bit_rate_code: 10 };
        assert!(matches!(track.entry, Codec::Ac3(Ac3 { dac3, .. }) if dac3 == expect));
        assert!(Track::new(&Coding::Ac3, SOUND, b"\x0b\x77").unwrap().is_none());
    }

    #[test]
    fn opus_keeps_its_set_up() {
        let stereo = b"OpusHead\x01\x02\x38\x01\x80\xbb\0\0\xff\xff\0";
        let expect = Dops {
            output_channel_count: 2,
            pre_skip: 312,
            input_sample_rate: 48_000,
            output_gain: -1,
            channel_mapping: None,
        };
        assert_eq!(dops(stereo), Some(expect));
        let surround = b"OpusHead\x01\x06\x38\x01\x80\xbb\0\0\0\0\x01\x04\x02\0\x04\x01\x02\x03\x05";
        let mapping = dops(surround).unwrap().channel_mapping.unwrap();
        assert_eq!((mapping.stream_count, mapping.coupled_count), (4, 2));
        assert_eq!(mapping.channel_mapping, [0, 4, 1, 2, 3, 5]);
        assert!(dops(&surround[..20]).is_none());
        // Whatever went into the encoder.
        let track = Track::new(&Coding::Opus(stereo.to_vec()), Shape::Sound { rate: 16_000, channels: 1 }, b"");
        assert_eq!(track.unwrap().unwrap().timescale, 48_000);
    }

    #[test]
    fn a_record_that_is_none_says_of_what() {
        let coding = Coding::Avc { record: vec![1, 0x4d], in_band: false };
        let fault = Track::new(&coding, PICTURES, b"").unwrap_err();
        assert_eq!(fault.to_string(), "describe H.264 in MP4: out of bounds");
        let fault = Track::new(&Coding::Hevc { record: Vec::new(), in_band: true }, PICTURES, b"").unwrap_err();
        assert_eq!(fault.to_string(), "describe H.265 in MP4: its setup is cut off");
    }

    #[test]
    fn levels_of_vp9_are_those_of_size_and_rate() {
        let level = |width, height, rate| vp9_level(Shape::Pictures { width, height, pixel: (1, 1), rate });
        assert_eq!(level(320, 240, Some((25, 1))), 20);
        assert_eq!(level(1280, 720, None), 31);
        assert_eq!(level(1920, 1080, Some((30_000, 1001))), 40);
        assert_eq!(level(1920, 1080, Some((60, 1))), 41);
        assert_eq!(level(u16::MAX, u16::MAX, None), 62);
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes: Vec<u8>) {
            let chroma = Chroma::Half;
            for coding in [
                Coding::Avc { record: bytes.clone(), in_band: false },
                Coding::Hevc { record: bytes.clone(), in_band: true },
                Coding::Av1 { depth: 10, chroma },
                Coding::Aac(bytes.clone()),
                Coding::Opus([b"OpusHead", &bytes[..]].concat()),
                Coding::Ac3,
            ] {
                for first in [bytes.clone(), [b"\x0b\x77", &bytes[..]].concat(), [b"\x0a\x20", &bytes[..]].concat()] {
                    let _ = Track::new(&coding, PICTURES, &first);
                }
            }
        }
    }
}
