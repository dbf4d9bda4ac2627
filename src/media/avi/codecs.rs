//! How each codec is carried: its four characters or its number, and what of a sample in canonical form is a chunk.

use crate::media::{
    Sample, TrackInfo,
    codec::{CodecParameters, pcm},
    track::Shape,
    ts::Elementary,
};
use bytes::Bytes;

/// `wFormatTag` of PCM, floating point, G.711, MPEG audio, AAC and AC-3.
const PCM: u16 = 1;
const FLOAT: u16 = 3;
const A_LAW: u16 = 6;
const MU_LAW: u16 = 7;
const MPEG: u16 = 0x50;
const MP3: u16 = 0x55;
const AAC: u16 = 0xff;
const AC3: u16 = 0x2000;
/// Slots a second for video of which no rate is known: more than a camera has.
const SLOTS: (u32, u32) = (60, 1);
/// Bytes of a frame of AC-3 at most (ATSC A/52, table 5.18).
const AC3_FRAME: u16 = 3840;
/// The same of a channel of AAC (ISO/IEC 14496-3, section 4.5.3.1).
const AAC_FRAME: u16 = 768;

/// How a track is carried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Carriage {
    pub(super) format: Format,
    /// Units of the track last `scale / rate` seconds: frames, or for PCM the samples of all channels.
    pub(super) scale: u32,
    pub(super) rate: u32,
    /// Bytes of a unit; 0 where a chunk is one.
    pub(super) unit: u32,
    /// What a chunk is made of; `None`: a sample as it is.
    elementary: Option<Elementary>,
}

/// What the header says of a track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Format {
    Video {
        code: [u8; 4],
        width: u32,
        height: u32,
    },
    Audio {
        tag: u16,
        channels: u16,
        rate: u32,
        /// `nBlockAlign`.
        block: u16,
        bits: u16,
        more: Bytes,
        /// The byte of which silence is made, for PCM.
        silence: Option<u8>,
    },
}

/// Whether a track of this codec can be carried.
pub fn carries(codec: &CodecParameters) -> bool {
    match codec {
        CodecParameters::H264(_)
        | CodecParameters::H265(_)
        | CodecParameters::Mpeg1Video
        | CodecParameters::Mpeg2Video
        | CodecParameters::Mpeg4Visual(_)
        | CodecParameters::Vp8
        | CodecParameters::Vp9(_)
        | CodecParameters::Jpeg
        | CodecParameters::Aac(_)
        | CodecParameters::MpegAudio(_)
        | CodecParameters::Ac3(_) => true,
        CodecParameters::Pcm(format) => *format != pcm::Format::S16Be,
        CodecParameters::Av1(_)
        | CodecParameters::Raw(_)
        | CodecParameters::Theora(_)
        | CodecParameters::Opus(_)
        | CodecParameters::Vorbis(_)
        | CodecParameters::Flac(_)
        | CodecParameters::Eac3(_) => false,
    }
}

impl Carriage {
    /// How a track is carried, if it can be.
    pub(super) fn of(info: &TrackInfo) -> Option<Self> {
        if !carries(&info.codec) {
            return None;
        }
        match info.shape {
            Shape::Video(shape) => {
                let code = match &info.codec {
                    CodecParameters::H264(_) => *b"H264",
                    CodecParameters::H265(_) => *b"HEVC",
                    CodecParameters::Mpeg1Video => *b"mpg1",
                    CodecParameters::Mpeg2Video => *b"mpg2",
                    CodecParameters::Mpeg4Visual(_) => *b"FMP4",
                    CodecParameters::Vp8 => *b"VP80",
                    CodecParameters::Vp9(_) => *b"VP90",
                    CodecParameters::Jpeg => *b"MJPG",
                    _ => return None,
                };
                let (rate, scale) = shape.frame_rate.filter(|(rate, scale)| *rate > 0 && *scale > 0).unwrap_or(SLOTS);
                let format = Format::Video { code, width: shape.width, height: shape.height };
                Some(Self { format, scale, rate, unit: 0, elementary: Elementary::of(&info.codec) })
            }
            Shape::Audio(shape) => {
                let channels = shape.channels.max(1);
                let frames = |samples, tag, block, more| {
                    let format = Format::Audio { tag, channels, rate: shape.rate, block, bits: 0, more, silence: None };
                    Some(Self { format, scale: samples, rate: shape.rate.max(1), unit: 0, elementary: None })
                };
                match &info.codec {
                    CodecParameters::Aac(parameters) => {
                        let samples = parameters.parse().map_or(1024, |config| config.samples());
                        frames(samples, AAC, AAC_FRAME.saturating_mul(channels), parameters.config.clone())
                    }
                    CodecParameters::MpegAudio(parameters) => match (parameters.layer, parameters.is_low_rate) {
                        (3, is_low_rate) => {
                            let samples: u16 = if is_low_rate { 576 } else { 1152 };
                            frames(samples.into(), MP3, samples, mp3(samples))
                        }
                        (1, _) => frames(384, MPEG, 384, Bytes::new()),
                        _ => frames(1152, MPEG, 1152, Bytes::new()),
                    },
                    CodecParameters::Ac3(_) => frames(1536, AC3, AC3_FRAME, Bytes::new()),
                    CodecParameters::Pcm(format) => {
                        let block = u16::try_from(format.bytes()).ok()?.checked_mul(channels)?;
                        let (tag, silence) = match format {
                            pcm::Format::ALaw => (A_LAW, 0xd5),
                            pcm::Format::MuLaw => (MU_LAW, 0xff),
                            pcm::Format::F32Le => (FLOAT, 0),
                            pcm::Format::U8 => (PCM, 0x80),
                            _ => (PCM, 0),
                        };
                        let format = Format::Audio {
                            tag,
                            channels,
                            rate: shape.rate,
                            block,
                            bits: u16::try_from(format.bytes() * 8).ok()?,
                            more: Bytes::new(),
                            silence: Some(silence),
                        };
                        let (scale, rate) = (u32::from(block), shape.rate.max(1).checked_mul(block.into())?);
                        Some(Self { format, scale, rate, unit: block.into(), elementary: None })
                    }
                    _ => None,
                }
            }
        }
    }

    pub(super) fn is_video(&self) -> bool {
        matches!(self.format, Format::Video { .. })
    }

    /// The number of the unit that begins at a time, in nanoseconds.
    pub(super) fn unit_at(&self, nanos: i64) -> u64 {
        let (rate, scale) = (u128::from(self.rate), u128::from(self.scale.max(1)) * 1_000_000_000);
        let nanos = u128::try_from(nanos).unwrap_or(0);
        u64::try_from((nanos * rate + scale / 2) / scale).unwrap_or(u64::MAX)
    }

    /// The data of a chunk.
    pub(super) fn chunk(&self, sample: &Sample) -> Bytes {
        match &self.elementary {
            None => sample.data.clone(),
            Some(elementary) => {
                let mut out = Vec::with_capacity(sample.data.len() + 64);
                elementary.write(sample, sample.is_sync, &mut |part| out.extend_from_slice(part));
                out.into()
            }
        }
    }
}

/// What `MPEGLAYER3WAVEFORMAT` has besides: its kind, no padding, the bytes of a block, one frame in each, and the usual delay.
fn mp3(samples: u16) -> Bytes {
    let [low, high] = samples.to_le_bytes();
    Bytes::copy_from_slice(&[1, 0, 2, 0, 0, 0, low, high, 1, 0, 0x71, 0x05])
}

/// Whether a decoder can begin with a chunk of video of which these are the first bytes.
pub(super) fn is_key(code: [u8; 4], begin: &[u8]) -> bool {
    match &code {
        // After the delimiter, keyframes have their parameter sets.
        b"H264" => matches!(begin, [0, 0, 0, 1, 9, _, 0, 0, 0, 1, first, ..] if first & 0x1f == 7),
        b"HEVC" => matches!(begin, [0, 0, 0, 1, 0x46, _, _, 0, 0, 0, 1, first, ..] if first >> 1 & 0x3f == 32),
        b"mpg1" | b"mpg2" => begin.starts_with(&[0, 0, 1, 0xb3]),
        b"FMP4" => matches!(begin, [0, 0, 1, 0xb0 | 0xb5 | 0..=0x2f, ..]),
        // RFC 6386, section 9.1.
        b"VP80" => begin.first().is_some_and(|first| first & 1 == 0),
        // VP9 bitstream, section 6.2: the marker, the profile, no frame that is shown again, a key frame.
        b"VP90" => begin.first().is_some_and(|first| first & 0b1100_1100 == 0b1000_0000),
        b"MJPG" => true,
        _ => false,
    }
}
