//! Codecs: their parameters, and the one form in which their samples travel through the server.
//!
//! | codec | canonical form of a sample | parameters |
//! |---|---|---|
//! | H.264, H.265 | NAL units with a length of four bytes each; no parameter sets, delimiters and filler, SEI stays | the parameter sets |
//! | AV1 | OBUs with sizes; no temporal delimiter, no sequence header | the sequence header OBU |
//! | VP8, VP9 | a frame (VP9: a superframe) | VP9: profile, level, depth, chroma |
//! | MPEG-1, MPEG-2, MPEG-4 part 2 video | a frame with its start codes, sequence headers in band | MPEG-4: the configuration |
//! | JPEG | a whole JPEG image | none |
//! | Theora, Vorbis | a packet | the three headers |
//! | AAC | a raw frame, without ADTS or LATM | `AudioSpecificConfig` |
//! | Opus | a packet | `OpusHead` |
//! | FLAC | a frame | `STREAMINFO` |
//! | MPEG audio, AC-3, E-AC-3 | a frame with its header | what the header says |
//! | PCM, G.711 | interleaved samples | format |

pub mod aac;
pub mod ac3;
pub mod adts;
pub mod av1;
mod bit_writer;
pub mod canonical;
pub mod display_order;
pub mod flac;
mod golomb;
pub mod h264;
pub mod h264_slice;
pub mod h264_sps;
pub mod h265;
pub mod h265_sps;
pub mod jpeg;
pub mod latm;
pub mod mpeg4_visual;
pub mod mpeg_audio;
pub mod mpeg_video;
pub mod nal;
pub mod obu;
pub mod opus;
pub mod pcm;
pub mod raw_video;
pub mod rfc6381;
pub mod shape;
#[cfg(test)]
mod testing;
pub mod theora;
pub mod vorbis;
pub mod vp8;
pub mod vp9;
mod vui;
pub mod xiph;

use serde::{Deserialize, Serialize};

/// How the samples of a track are coded. Two equal values mean that a decoder needs no new parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CodecParameters {
    /// H.264 (ITU-T H.264).
    H264(h264::Parameters),
    /// H.265 (ITU-T H.265).
    H265(h265::Parameters),
    /// AV1.
    Av1(av1::Parameters),
    /// VP8.
    Vp8,
    /// VP9.
    Vp9(vp9::Parameters),
    /// MPEG-1 video.
    Mpeg1Video,
    /// MPEG-2 video.
    Mpeg2Video,
    /// MPEG-4 part 2.
    Mpeg4Visual(mpeg_video::Mpeg4Parameters),
    /// JPEG images.
    Jpeg,
    /// Frames that are not coded.
    Raw(raw_video::PixelFormat),
    /// Theora.
    Theora(xiph::Headers),
    /// AAC.
    Aac(aac::Parameters),
    /// Opus.
    Opus(opus::Parameters),
    /// Vorbis.
    Vorbis(xiph::Headers),
    /// FLAC.
    Flac(flac::Parameters),
    /// MPEG-1 and MPEG-2 audio, layers I to III.
    MpegAudio(mpeg_audio::Parameters),
    /// AC-3.
    Ac3(ac3::Parameters),
    /// E-AC-3.
    Eac3(ac3::Parameters),
    /// PCM and G.711.
    Pcm(pcm::Format),
}

impl CodecParameters {
    /// The usual name, for people: logs, pages and error texts.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::H264(_) => "H.264",
            Self::H265(_) => "H.265",
            Self::Av1(_) => "AV1",
            Self::Vp8 => "VP8",
            Self::Vp9(_) => "VP9",
            Self::Mpeg1Video => "MPEG-1 video",
            Self::Mpeg2Video => "MPEG-2 video",
            Self::Mpeg4Visual(_) => "MPEG-4 part 2",
            Self::Jpeg => "JPEG",
            Self::Raw(format) => format.name(),
            Self::Theora(_) => "Theora",
            Self::Aac(_) => "AAC",
            Self::Opus(_) => "Opus",
            Self::Vorbis(_) => "Vorbis",
            Self::Flac(_) => "FLAC",
            Self::MpegAudio(parameters) => parameters.name(),
            Self::Ac3(_) => "AC-3",
            Self::Eac3(_) => "E-AC-3",
            Self::Pcm(format) => format.name(),
        }
    }

    /// The name in the `codecs` parameter of media types (RFC 6381, and for MP4 the specifications of the codecs);
    /// `None` where there is none that players know.
    pub fn codec_string(&self) -> Option<String> {
        Some(match self {
            Self::H264(parameters) => parameters.codec_string()?,
            Self::H265(parameters) => parameters.codec_string()?,
            Self::Av1(parameters) => parameters.codec_string()?,
            Self::Vp8 => "vp8".to_owned(),
            Self::Vp9(parameters) => parameters.codec_string(),
            Self::Mpeg4Visual(_) => "mp4v.20".to_owned(),
            Self::Theora(_) => "theora".to_owned(),
            Self::Aac(parameters) => parameters.codec_string()?,
            Self::Opus(_) => "opus".to_owned(),
            Self::Vorbis(_) => "vorbis".to_owned(),
            Self::Flac(_) => "flac".to_owned(),
            Self::MpegAudio(parameters) => parameters.codec_string().to_owned(),
            Self::Ac3(_) => "ac-3".to_owned(),
            Self::Eac3(_) => "ec-3".to_owned(),
            Self::Mpeg1Video | Self::Mpeg2Video | Self::Jpeg | Self::Raw(_) | Self::Pcm(_) => return None,
        })
    }

    /// Whether it is video.
    pub const fn is_video(&self) -> bool {
        matches!(
            self,
            Self::H264(_)
                | Self::H265(_)
                | Self::Av1(_)
                | Self::Vp8
                | Self::Vp9(_)
                | Self::Mpeg1Video
                | Self::Mpeg2Video
                | Self::Mpeg4Visual(_)
                | Self::Jpeg
                | Self::Raw(_)
                | Self::Theora(_)
        )
    }
}
