//! Codecs by their names in the configuration, and which containers they fit into.

use crate::media::Container;
use std::fmt;

/// A codec for video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VideoCodec {
    /// H.264.
    H264,
    /// H.265.
    H265,
    /// VP8.
    Vp8,
    /// VP9.
    Vp9,
    /// AV1.
    Av1,
    /// MPEG-2 video.
    Mpeg2,
    /// JPEG images.
    Mjpeg,
}

/// A codec for audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AudioCodec {
    /// AAC.
    Aac,
    /// MPEG-1 layer III.
    Mp3,
    /// FLAC.
    Flac,
    /// PCM of 16 bits.
    Pcm,
    /// AC-3.
    Ac3,
    /// Opus.
    Opus,
    /// Vorbis.
    Vorbis,
}

/// A codec for either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// For video.
    Video(VideoCodec),
    /// For audio.
    Audio(AudioCodec),
}

impl Codec {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        let video = VideoCodec::ALL.into_iter().map(Self::Video);
        video.chain(AudioCodec::ALL.into_iter().map(Self::Audio))
    }

    /// The name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Video(codec) => codec.name(),
            Self::Audio(codec) => codec.name(),
        }
    }

    /// The codec with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::all().find(|codec| codec.name() == name)
    }

    /// Whether it is for video.
    pub const fn is_video(self) -> bool {
        matches!(self, Self::Video(_))
    }

    /// Whether the server can mux it into a container. [`VideoCodec::of`] and [`AudioCodec::of`] say what GStreamer's muxers take,
    /// which pipelines are written with.
    pub const fn fits(self, container: Container) -> bool {
        use {AudioCodec as A, VideoCodec as V};
        match (container, self) {
            (Container::Ts, Self::Video(codec)) => matches!(codec, V::H264 | V::H265 | V::Av1 | V::Mpeg2),
            (Container::Ts, Self::Audio(codec)) => matches!(codec, A::Aac | A::Mp3 | A::Ac3 | A::Opus),
            (Container::Mp4, Self::Audio(codec)) => !matches!(codec, A::Vorbis | A::Pcm),
            (Container::Flv, Self::Video(codec)) => matches!(codec, V::H264 | V::H265 | V::Vp8 | V::Vp9 | V::Av1),
            (Container::Flv, Self::Audio(codec)) => {
                matches!(codec, A::Aac | A::Mp3 | A::Opus | A::Flac | A::Ac3)
            }
            (Container::Webm, Self::Video(codec)) => matches!(codec, V::Vp8 | V::Vp9 | V::Av1),
            (Container::Webm, Self::Audio(codec)) => matches!(codec, A::Opus | A::Vorbis),
            (Container::Ogg, Self::Audio(codec)) => matches!(codec, A::Opus | A::Vorbis | A::Flac),
            (Container::Avi, Self::Video(codec)) => !matches!(codec, V::Av1),
            (Container::Avi, Self::Audio(codec)) => matches!(codec, A::Aac | A::Mp3 | A::Ac3 | A::Pcm),
            (Container::Rtp, Self::Video(codec)) => !matches!(codec, V::Mpeg2),
            (Container::Rtp, Self::Audio(codec)) => matches!(codec, A::Aac | A::Opus | A::Mp3 | A::Ac3 | A::Pcm),
            (Container::WebRtc, Self::Video(codec)) => matches!(codec, V::H264 | V::Vp8 | V::Vp9 | V::Av1),
            (Container::WebRtc, Self::Audio(codec)) => matches!(codec, A::Opus),
            (Container::Mkv, _)
            | (Container::Mp4, Self::Video(_))
            | (Container::Mjpeg, Self::Video(V::Mjpeg))
            | (Container::Mp3, Self::Audio(A::Mp3))
            | (Container::Aac, Self::Audio(A::Aac))
            | (Container::Flac, Self::Audio(A::Flac))
            | (Container::Wav, Self::Audio(A::Pcm)) => true,
            _ => false,
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl VideoCodec {
    /// All of them.
    pub const ALL: [Self; 7] = [Self::H264, Self::H265, Self::Vp8, Self::Vp9, Self::Av1, Self::Mpeg2, Self::Mjpeg];

    /// The name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::H264 => "h264",
            Self::H265 => "h265",
            Self::Vp8 => "vp8",
            Self::Vp9 => "vp9",
            Self::Av1 => "av1",
            Self::Mpeg2 => "mpeg2",
            Self::Mjpeg => "mjpeg",
        }
    }

    /// What the muxer of a pipeline takes, the usual one first.
    pub const fn of(container: Container) -> &'static [Self] {
        match container {
            Container::Ts => &[Self::H264, Self::H265, Self::Mpeg2],
            Container::Webm => &[Self::Vp8, Self::Vp9, Self::Av1],
            Container::Mkv => &Self::ALL,
            Container::Flv => &[Self::H264],
            Container::Mp4 => &[Self::H264, Self::H265, Self::Vp9, Self::Av1],
            Container::Mjpeg => &[Self::Mjpeg],
            // What Ogg has of its own, Theora, is of another time.
            Container::Ogg
            | Container::Mp3
            | Container::Aac
            | Container::Flac
            | Container::Wav
            | Container::Avi
            | Container::WebRtc
            | Container::Rtp
            | Container::Raw => &[],
        }
    }

    /// The pixel formats that its encoder takes, by GStreamer's names; the one for all players first.
    pub(super) const fn pixel_formats(self) -> &'static [&'static str] {
        match self {
            Self::H264 | Self::H265 => &["I420", "Y42B", "Y444", "I420_10LE", "I422_10LE", "Y444_10LE"],
            Self::Vp9 => &["I420", "Y444"],
            Self::Mjpeg => &["I420", "Y42B", "Y444"],
            Self::Vp8 | Self::Av1 | Self::Mpeg2 => &["I420"],
        }
    }
}

impl AudioCodec {
    /// All of them.
    pub const ALL: [Self; 7] = [Self::Aac, Self::Opus, Self::Mp3, Self::Ac3, Self::Vorbis, Self::Flac, Self::Pcm];

    /// The name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aac => "aac",
            Self::Mp3 => "mp3",
            Self::Ac3 => "ac3",
            Self::Opus => "opus",
            Self::Vorbis => "vorbis",
            Self::Flac => "flac",
            Self::Pcm => "pcm",
        }
    }

    /// What the muxer of a pipeline takes, the usual one first.
    pub const fn of(container: Container) -> &'static [Self] {
        match container {
            Container::Ts => &[Self::Aac, Self::Mp3, Self::Ac3, Self::Opus],
            Container::Webm => &[Self::Opus, Self::Vorbis],
            Container::Mkv => &[Self::Opus, Self::Aac, Self::Mp3, Self::Ac3, Self::Vorbis, Self::Flac, Self::Pcm],
            Container::Ogg => &[Self::Opus, Self::Vorbis, Self::Flac],
            Container::Flv => &[Self::Aac, Self::Mp3],
            Container::Mp4 => &[Self::Aac, Self::Opus, Self::Mp3],
            Container::Mp3 => &[Self::Mp3],
            Container::Aac => &[Self::Aac],
            Container::Flac => &[Self::Flac],
            Container::Wav => &[Self::Pcm],
            Container::Mjpeg | Container::Avi | Container::WebRtc | Container::Rtp | Container::Raw => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{
        Muxer,
        codec::{CodecParameters, ac3, mpeg_audio, opus, pcm},
    };

    #[test]
    fn what_fits_is_what_the_muxers_carry() {
        // Those whose parameters are known without a sample.
        let known = [
            (Codec::Video(VideoCodec::Vp8), CodecParameters::Vp8),
            (Codec::Video(VideoCodec::Mpeg2), CodecParameters::Mpeg2Video),
            (Codec::Video(VideoCodec::Mjpeg), CodecParameters::Jpeg),
            (Codec::Audio(AudioCodec::Opus), CodecParameters::Opus(opus::Parameters::simple(2))),
            (
                Codec::Audio(AudioCodec::Mp3),
                CodecParameters::MpegAudio(mpeg_audio::Parameters { layer: 3, is_low_rate: false }),
            ),
            (Codec::Audio(AudioCodec::Pcm), CodecParameters::Pcm(pcm::Format::S16Le)),
            (
                Codec::Audio(AudioCodec::Ac3),
                CodecParameters::Ac3(ac3::Parameters { specific: bytes::Bytes::from_static(&[0x10, 0x3d, 0xe0]) }),
            ),
        ];
        for container in Container::ALL {
            for (codec, parameters) in &known {
                assert_eq!(codec.fits(container), Muxer::carries(container, parameters), "{codec} in {container}");
            }
        }
    }

    #[test]
    fn what_the_muxers_of_pipelines_take_fits() {
        for container in Container::ALL {
            assert!(VideoCodec::of(container).iter().all(|codec| Codec::Video(*codec).fits(container)), "{container}");
            assert!(AudioCodec::of(container).iter().all(|codec| Codec::Audio(*codec).fits(container)), "{container}");
        }
    }

    #[test]
    fn names_lead_back() {
        for codec in Codec::all() {
            assert_eq!(Codec::from_name(codec.name()), Some(codec));
        }
        assert_eq!(Codec::from_name("theora"), None);
    }
}
