//! How tags name codecs: by a number (Adobe FLV 10.1, sections E.4.2.1 and E.4.3.1) or a FourCC (Enhanced RTMP v2).

use crate::media::codec::{CodecParameters, pcm};
use crate::media::track::{AudioShape, TrackInfo};
use std::fmt;

/// What a tag says of the codec of its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// H.264.
    H264,
    /// H.265.
    H265,
    /// AV1.
    Av1,
    /// VP8.
    Vp8,
    /// VP9.
    Vp9,
    /// AAC.
    Aac,
    /// MP3. Legacy heads say a rate and channels, which may be wrong: 44.1 kHz stands for every rate that they lack.
    Mp3(AudioShape),
    /// Opus.
    Opus,
    /// FLAC.
    Flac,
    /// AC-3.
    Ac3,
    /// E-AC-3.
    Eac3,
    /// PCM and G.711.
    Pcm(pcm::Format, AudioShape),
    /// One that voyandz does not know.
    Unsupported(Unsupported),
}

/// A codec that voyandz does not know. It is displayed by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unsupported {
    /// One with a number of legacy FLV.
    Named(&'static str),
    /// One with a FourCC.
    FourCc([u8; 4]),
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::FourCc(name) => write!(f, "`{}`", name.escape_ascii()),
        }
    }
}

/// FourCCs of codecs without anything else to say of them.
const FOUR_CC: [(Codec, [u8; 4]); 10] = [
    (Codec::H264, *b"avc1"),
    (Codec::H265, *b"hvc1"),
    (Codec::Av1, *b"av01"),
    (Codec::Vp8, *b"vp08"),
    (Codec::Vp9, *b"vp09"),
    (Codec::Aac, *b"mp4a"),
    (Codec::Opus, *b"Opus"),
    (Codec::Flac, *b"fLaC"),
    (Codec::Ac3, *b"ac-3"),
    (Codec::Eac3, *b"ec-3"),
];
const MP3_FOUR_CC: [u8; 4] = *b".mp3";

/// `CodecID` and `SoundFormat` (tables E.4.3.1 and E.4.2.1).
pub(super) const H264_ID: u8 = 7;
/// H.265 has none in the specification; this one is what publishers of several vendors use, with the layout of H.264.
const H265_ID: u8 = 12;
pub(super) const MP3_ID: u8 = 2;
pub(super) const ALAW_ID: u8 = 7;
pub(super) const MULAW_ID: u8 = 8;
pub(super) const ENHANCED_ID: u8 = 9;
pub(super) const AAC_ID: u8 = 10;

impl Codec {
    /// That of a track; `None` when FLV cannot carry it: another codec, or G.711 with another rate than its only one.
    pub fn of(track: &TrackInfo) -> Option<Self> {
        let shape = track.audio().copied();
        Some(match &track.codec {
            CodecParameters::H264(_) => Self::H264,
            CodecParameters::H265(_) => Self::H265,
            CodecParameters::Av1(_) => Self::Av1,
            CodecParameters::Vp8 => Self::Vp8,
            CodecParameters::Vp9(_) => Self::Vp9,
            CodecParameters::Aac(_) => Self::Aac,
            CodecParameters::Opus(_) => Self::Opus,
            CodecParameters::Flac(_) => Self::Flac,
            CodecParameters::Ac3(_) => Self::Ac3,
            CodecParameters::Eac3(_) => Self::Eac3,
            CodecParameters::MpegAudio(parameters) if parameters.layer == 3 => Self::Mp3(shape?),
            CodecParameters::Pcm(format @ (pcm::Format::ALaw | pcm::Format::MuLaw)) => {
                Self::Pcm(*format, shape.filter(|shape| shape.rate == 8000 && (1..=2).contains(&shape.channels))?)
            }
            _ => return None,
        })
    }

    /// Whether it is video.
    pub const fn is_video(&self) -> bool {
        matches!(self, Self::H264 | Self::H265 | Self::Av1 | Self::Vp8 | Self::Vp9)
    }

    /// `videocodecid` or `audiocodecid` of `onMetaData`: the number of a legacy head, else the FourCC.
    pub fn id(&self) -> u32 {
        match self {
            Self::H264 => H264_ID.into(),
            Self::Aac => AAC_ID.into(),
            Self::Mp3(_) => MP3_ID.into(),
            Self::Pcm(pcm::Format::MuLaw, _) => MULAW_ID.into(),
            Self::Pcm(..) => ALAW_ID.into(),
            _ => self.four_cc().map_or(0, u32::from_be_bytes),
        }
    }

    pub(super) fn four_cc(&self) -> Option<[u8; 4]> {
        match self {
            Self::Mp3(_) => Some(MP3_FOUR_CC),
            Self::Unsupported(Unsupported::FourCc(name)) => Some(*name),
            _ => FOUR_CC.iter().find(|(codec, _)| codec == self).map(|(_, name)| *name),
        }
    }

    pub(super) fn of_four_cc(name: [u8; 4]) -> Self {
        match FOUR_CC.iter().find(|(_, known)| *known == name) {
            Some((codec, _)) => *codec,
            None if name == MP3_FOUR_CC => Self::Mp3(AudioShape { rate: 44_100, channels: 2 }),
            None => Self::Unsupported(Unsupported::FourCc(name)),
        }
    }

    /// By `CodecID`.
    pub(super) fn of_video_id(id: u8) -> Self {
        Self::Unsupported(Unsupported::Named(match id {
            H264_ID => return Self::H264,
            H265_ID => return Self::H265,
            1 => "JPEG in FLV",
            2 => "Sorenson H.263",
            3 => "Screen video",
            4 => "VP6",
            5 => "VP6 with alpha channel",
            6 => "Screen video 2",
            8 => "H.263",
            9 => "MPEG-4 part 2 in FLV",
            _ => "a video codec without a name",
        }))
    }

    /// By the first byte of the body.
    pub(super) fn of_sound(flags: u8) -> Self {
        let rate = 44_100 >> (3 - (flags >> 2 & 3));
        let shape = AudioShape { rate, channels: 1 + u16::from(flags & 1) };
        let telephone = AudioShape { rate: 8000, ..shape };
        Self::Unsupported(Unsupported::Named(match flags >> 4 {
            0 | 3 if flags & 2 == 0 => return Self::Pcm(pcm::Format::U8, shape),
            // 0 is in the order of the machine that made it, which was little endian.
            0 | 3 => return Self::Pcm(pcm::Format::S16Le, shape),
            1 => "ADPCM in FLV",
            MP3_ID => return Self::Mp3(shape),
            4..=6 => "Nellymoser",
            ALAW_ID => return Self::Pcm(pcm::Format::ALaw, telephone),
            MULAW_ID => return Self::Pcm(pcm::Format::MuLaw, telephone),
            AAC_ID => return Self::Aac,
            11 => "Speex",
            14 => return Self::Mp3(telephone),
            _ => "an audio codec without a name",
        }))
    }

    /// Whether its frames have a composition time in an enhanced head (`CodedFrames`): codecs with B-frames.
    pub(super) const fn has_composition(&self) -> bool {
        matches!(self, Self::H264 | Self::H265 | Self::Unsupported(Unsupported::FourCc([b'v', b'v', b'c', b'1'])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codecs_of_flash_have_names() {
        let name = |codec| match codec {
            Codec::Unsupported(codec) => codec.to_string(),
            codec => panic!("{codec:?}"),
        };
        let videos = [2, 3, 4, 5, 6].map(|id| name(Codec::of_video_id(id)));
        assert_eq!(videos.join(", "), "Sorenson H.263, Screen video, VP6, VP6 with alpha channel, Screen video 2");
        assert_eq!([0x52, 0xb2].map(|flags| name(Codec::of_sound(flags))), ["Nellymoser", "Speex"]);
        assert_eq!(name(Codec::of_four_cc(*b"a\n`\xff")), "`a\\n`\\xff`");
    }

    #[test]
    fn flags_of_sound_say_rate_and_channels() {
        let shape = |rate, channels| AudioShape { rate, channels };
        assert_eq!(Codec::of_sound(0xe2), Codec::Mp3(shape(8000, 1)));
        assert_eq!(Codec::of_sound(0x2b), Codec::Mp3(shape(22_050, 2)));
        assert_eq!(Codec::of_sound(0x36), Codec::Pcm(pcm::Format::S16Le, shape(11_025, 1)));
        assert_eq!(Codec::of_sound(0x0d), Codec::Pcm(pcm::Format::U8, shape(44_100, 2)));
    }

    #[test]
    fn metadata_has_the_number_or_the_four_characters() {
        assert_eq!((Codec::H264.id(), Codec::Aac.id(), Codec::H265.id()), (7, 10, 0x6876_6331));
    }
}
