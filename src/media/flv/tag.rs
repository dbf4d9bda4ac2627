//! Bodies of audio and video tags, which are those of RTMP messages as well, and what stands around them in a file.
//!
//! Legacy heads are those of the Adobe Flash Video File Format Specification 10.1, annex E.4; enhanced heads, with a
//! FourCC in place of a number, those of Enhanced RTMP v2, sections "Enhanced Audio" and "Enhanced Video".

use crate::media::codec::{CodecParameters, pcm};
use crate::media::track::{AudioShape, TrackInfo};
use bytes::{Buf, Bytes};
use std::fmt;

/// Tag and message type of audio.
pub const AUDIO: u8 = 8;
/// Tag and message type of video.
pub const VIDEO: u8 = 9;
/// Tag type of script data.
pub const SCRIPT: u8 = 18;

/// Bytes in front of the body of a tag in a file.
pub const FRAME_HEAD: usize = 11;
/// Bytes behind it.
pub const FRAME_TAIL: usize = 4;
/// Longest body that a tag in a file can have.
pub const MAX_BODY: usize = 0xff_ffff;

/// What stands in front of a body of so many bytes ([`MAX_BODY`] at most) in a file; `time` is in milliseconds (section E.4.1).
pub fn frame_head(kind: u8, length: usize, time: u32) -> [u8; FRAME_HEAD] {
    let [_, a, b, c] = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    let [high, low @ ..] = time.to_be_bytes();
    [kind, a, b, c, low[0], low[1], low[2], high, 0, 0, 0]
}

/// What stands behind a body of so many bytes: the size of the tag.
pub fn frame_tail(length: usize) -> [u8; FRAME_TAIL] {
    u32::try_from(FRAME_HEAD + length).unwrap_or(u32::MAX).to_be_bytes()
}

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
const H264_ID: u8 = 7;
/// H.265 has none in the specification; this one is what publishers of several vendors use, with the layout of H.264.
const H265_ID: u8 = 12;
const MP3_ID: u8 = 2;
const ALAW_ID: u8 = 7;
const MULAW_ID: u8 = 8;
const ENHANCED_ID: u8 = 9;
const AAC_ID: u8 = 10;

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

    fn four_cc(&self) -> Option<[u8; 4]> {
        match self {
            Self::Mp3(_) => Some(MP3_FOUR_CC),
            Self::Unsupported(Unsupported::FourCc(name)) => Some(*name),
            _ => FOUR_CC.iter().find(|(codec, _)| codec == self).map(|(_, name)| *name),
        }
    }

    fn of_four_cc(name: [u8; 4]) -> Self {
        match FOUR_CC.iter().find(|(_, known)| *known == name) {
            Some((codec, _)) => *codec,
            None if name == MP3_FOUR_CC => Self::Mp3(AudioShape { rate: 44_100, channels: 2 }),
            None => Self::Unsupported(Unsupported::FourCc(name)),
        }
    }

    /// By `CodecID`.
    fn of_video_id(id: u8) -> Self {
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
    fn of_sound(flags: u8) -> Self {
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
    const fn has_composition(&self) -> bool {
        matches!(self, Self::H264 | Self::H265 | Self::Unsupported(Unsupported::FourCc([b'v', b'v', b'c', b'1'])))
    }
}

/// What a body has of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The configuration of its decoder.
    Config,
    /// A frame.
    Frame {
        /// A decoder may begin with it. Of no meaning for audio.
        is_keyframe: bool,
        /// How much later than it is decoded it is shown, in milliseconds.
        composition: i32,
    },
    /// The end of its sequence.
    End,
    /// Metadata, the layout of channels, a configuration for MPEG-2 TS, and what is reserved.
    Other,
}

/// Longest head of a body.
const MAX_HEAD: usize = 10;

/// What a body begins with, in front of a configuration or frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Head {
    bytes: [u8; MAX_HEAD],
    length: usize,
}

impl Head {
    fn push(&mut self, bytes: &[u8]) {
        let end = self.length + bytes.len();
        if let Some(place) = self.bytes.get_mut(self.length..end) {
            place.copy_from_slice(bytes);
            self.length = end;
        }
    }
}

impl std::ops::Deref for Head {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

const SEQUENCE_START: u8 = 0;
const CODED_FRAMES: u8 = 1;
const SEQUENCE_END: u8 = 2;
const CODED_FRAMES_X: u8 = 3;
const AUDIO_MULTITRACK: u8 = 5;
const VIDEO_MULTITRACK: u8 = 6;
const MOD_EX: u8 = 7;

/// The head of a body, which the configuration or frame follows. The head is a legacy one where that can say it, which is
/// what most players know. `None` for what cannot be said: [`Part::Other`], the configuration of MP3 and PCM, an unsupported codec.
pub fn write(codec: Codec, track: u8, part: Part) -> Option<Head> {
    let mut head = Head::default();
    let (packet, is_keyframe, composition) = match part {
        Part::Config => (SEQUENCE_START, true, 0),
        Part::Frame { is_keyframe, composition } => (CODED_FRAMES, is_keyframe, composition),
        Part::End => (SEQUENCE_END, true, 0),
        Part::Other => return None,
    };
    let [_, composition @ ..] = composition.clamp(-0x80_0000, 0x7f_ffff).to_be_bytes();
    let frame_type = if is_keyframe { 0x10 } else { 0x20 };
    match codec {
        Codec::H264 if track == 0 => {
            head.push(&[frame_type | H264_ID, packet]);
            head.push(&composition);
        }
        // The rest of the flags of AAC is always the same (table E.4.2.1).
        Codec::Aac if track == 0 && packet != SEQUENCE_END => head.push(&[AAC_ID << 4 | 0x0f, packet]),
        Codec::Mp3(shape) if track == 0 => {
            let rate = match shape.rate {
                11_025 => 1,
                22_050 => 2,
                _ => 3,
            };
            head.push(&[MP3_ID << 4 | rate << 2 | 2 | u8::from(shape.channels > 1)]);
            return (packet == CODED_FRAMES).then_some(head);
        }
        Codec::Pcm(format @ (pcm::Format::ALaw | pcm::Format::MuLaw), shape) => {
            let id = if format == pcm::Format::ALaw { ALAW_ID } else { MULAW_ID };
            head.push(&[id << 4 | 2 | u8::from(shape.channels > 1)]);
            return (packet == CODED_FRAMES && track == 0).then_some(head);
        }
        Codec::Unsupported(_) => return None,
        _ => {
            let has_composition = codec.has_composition() && packet == CODED_FRAMES && composition != [0; 3];
            let packet = if codec.has_composition() && packet == CODED_FRAMES && !has_composition {
                CODED_FRAMES_X
            } else {
                packet
            };
            let (flags, multitrack) = match codec.is_video() {
                true => (0x80 | frame_type, VIDEO_MULTITRACK),
                false => (ENHANCED_ID << 4, AUDIO_MULTITRACK),
            };
            let name = codec.four_cc()?;
            match track {
                0 => head.push(&[flags | packet]),
                // `OneTrack` is 0.
                _ => head.push(&[flags | multitrack, packet]),
            }
            head.push(&name);
            if track != 0 {
                head.push(&[track]);
            }
            if has_composition {
                head.push(&composition);
            }
        }
    }
    Some(head)
}

/// What a body has of one track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Number of the track among those of its kind; 0 without multitrack.
    pub track: u8,
    /// Its codec.
    pub codec: Codec,
    /// What it is.
    pub part: Part,
    /// How much later than the tag's time its time is, in nanoseconds: less than a millisecond, unless the publisher errs.
    pub nanos: u32,
    /// The configuration or frame.
    pub data: Bytes,
}

/// The units of the body of a video tag. Those that cannot be read end it.
pub fn read_video(body: &Bytes) -> Units {
    let mut rest = body.clone();
    let Some(flags) = take::<1>(&mut rest).map(|[flags]| flags) else { return Units::default() };
    let frame_type = flags >> 4 & 7;
    let is_keyframe = matches!(frame_type, 1 | 4);
    if flags & 0x80 != 0 {
        let units = Units::enhanced(flags & 0x0f, is_keyframe, VIDEO_MULTITRACK, rest).unwrap_or_default();
        // A command to the player has no content (`VideoCommand`).
        return if frame_type == 5 { Units::default() } else { units };
    }
    let codec = Codec::of_video_id(flags & 0x0f);
    let part = match codec {
        _ if frame_type == 5 => return Units::default(),
        Codec::H264 | Codec::H265 => {
            let Some([packet, a, b, c]) = take(&mut rest) else { return Units::default() };
            match packet {
                0 => Part::Config,
                1 => Part::Frame { is_keyframe, composition: i32::from_be_bytes([a, b, c, 0]) >> 8 },
                2 => Part::End,
                _ => Part::Other,
            }
        }
        _ => Part::Frame { is_keyframe, composition: 0 },
    };
    Units::one(codec, part, rest)
}

/// The units of the body of an audio tag. Those that cannot be read end it.
pub fn read_audio(body: &Bytes) -> Units {
    let mut rest = body.clone();
    // An empty body says that there is silence.
    let Some([flags]) = take(&mut rest) else { return Units::default() };
    if flags >> 4 == ENHANCED_ID {
        return Units::enhanced(flags & 0x0f, true, AUDIO_MULTITRACK, rest).unwrap_or_default();
    }
    let codec = Codec::of_sound(flags);
    let mut part = Part::Frame { is_keyframe: true, composition: 0 };
    if codec == Codec::Aac {
        match take(&mut rest) {
            Some([0]) => part = Part::Config,
            Some([1]) => {}
            _ => return Units::default(),
        }
    }
    Units::one(codec, part, rest)
}

/// The units of a body, in order.
#[derive(Debug, Clone, Default)]
pub struct Units {
    rest: Option<Bytes>,
    /// Of all units, else each has its own.
    codec: Option<Codec>,
    layout: Layout,
    nanos: u32,
    is_keyframe: bool,
    /// `AudioPacketType` or `VideoPacketType`, when the part is not known by itself.
    packet: u8,
    /// Of a legacy body.
    part: Option<Part>,
}

/// How the units of a body are told apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Layout {
    /// There is one, without a number.
    #[default]
    Single,
    /// There is one.
    OneTrack,
    /// Each has a length.
    Many,
}

impl Units {
    fn one(codec: Codec, part: Part, rest: Bytes) -> Self {
        Self { rest: Some(rest), codec: Some(codec), part: Some(part), ..Self::default() }
    }

    /// Reads on behind the flags.
    fn enhanced(mut packet: u8, is_keyframe: bool, multitrack: u8, mut rest: Bytes) -> Option<Self> {
        let mut nanos = 0;
        while packet == MOD_EX {
            let [size] = take(&mut rest)?;
            let size = match size {
                u8::MAX => usize::from(u16::from_be_bytes(take(&mut rest)?)) + 1,
                size => usize::from(size) + 1,
            };
            let extension = (rest.len() >= size).then(|| rest.split_to(size))?;
            let [next] = take(&mut rest)?;
            // `TimestampOffsetNano` is 0.
            if let (0, [a, b, c, ..]) = (next >> 4, &extension[..]) {
                nanos = u32::from_be_bytes([0, *a, *b, *c]);
            }
            packet = next & 0x0f;
        }
        let mut layout = Layout::Single;
        let mut codec = None;
        if packet == multitrack {
            let [next] = take(&mut rest)?;
            packet = next & 0x0f;
            layout = match next >> 4 {
                0 => Layout::OneTrack,
                1 | 2 => Layout::Many,
                _ => return None,
            };
            if packet == multitrack {
                return None;
            }
            if next >> 4 != 2 {
                codec = Some(Codec::of_four_cc(take(&mut rest)?));
            }
        } else {
            codec = Some(Codec::of_four_cc(take(&mut rest)?));
        }
        Some(Self { rest: Some(rest), codec, layout, nanos, is_keyframe, packet, part: None })
    }

    fn read(&mut self) -> Option<Unit> {
        let mut rest = self.rest.take()?;
        if self.layout == Layout::Many && rest.is_empty() {
            return None;
        }
        let codec = match self.codec {
            Some(codec) => codec,
            None => Codec::of_four_cc(take(&mut rest)?),
        };
        let mut track = 0;
        if self.layout != Layout::Single {
            [track] = take(&mut rest)?;
        }
        let mut data = rest;
        if self.layout == Layout::Many {
            let [a, b, c] = take(&mut data)?;
            let size = u32::from_be_bytes([0, a, b, c]) as usize;
            if data.len() < size {
                return None;
            }
            self.rest = Some(data.split_off(size));
        }
        let part = match (self.part, self.packet) {
            (Some(part), _) => part,
            (None, SEQUENCE_START) => Part::Config,
            (None, CODED_FRAMES) if codec.has_composition() => {
                let [a, b, c] = take(&mut data)?;
                Part::Frame { is_keyframe: self.is_keyframe, composition: i32::from_be_bytes([a, b, c, 0]) >> 8 }
            }
            (None, CODED_FRAMES) => Part::Frame { is_keyframe: self.is_keyframe, composition: 0 },
            (None, SEQUENCE_END) => Part::End,
            (None, CODED_FRAMES_X) if codec.is_video() => Part::Frame { is_keyframe: self.is_keyframe, composition: 0 },
            (None, _) => Part::Other,
        };
        Some(Unit { track, codec, part, nanos: self.nanos, data })
    }
}

impl Iterator for Units {
    type Item = Unit;

    fn next(&mut self) -> Option<Unit> {
        self.read()
    }
}

fn take<const N: usize>(bytes: &mut Bytes) -> Option<[u8; N]> {
    let taken = *bytes.first_chunk()?;
    bytes.advance(N);
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn units(kind: u8, body: &[u8]) -> Vec<Unit> {
        let body = Bytes::copy_from_slice(body);
        if kind == VIDEO { read_video(&body).collect() } else { read_audio(&body).collect() }
    }

    fn unit(track: u8, codec: Codec, part: Part, data: &'static [u8]) -> Unit {
        Unit { track, codec, part, nanos: 0, data: Bytes::from_static(data) }
    }

    const KEY: Part = Part::Frame { is_keyframe: true, composition: 0 };

    #[test]
    fn heads_are_those_of_the_specifications() {
        #[track_caller]
        fn check(codec: Codec, track: u8, part: Part, expect: &[u8]) {
            let head = write(codec, track, part).unwrap();
            assert_eq!(&head[..], expect);
            let kind = if codec.is_video() { VIDEO } else { AUDIO };
            let part = match part {
                Part::Frame { composition, .. } if kind == AUDIO => Part::Frame { is_keyframe: true, composition },
                part => part,
            };
            assert_eq!(units(kind, &[&head[..], b"data"].concat()), [unit(track, codec, part, b"data")]);
        }
        let frame = |is_keyframe, composition| Part::Frame { is_keyframe, composition };
        let shape = |rate, channels| AudioShape { rate, channels };
        check(Codec::H264, 0, Part::Config, &[0x17, 0, 0, 0, 0]);
        check(Codec::H264, 0, frame(true, 80), &[0x17, 1, 0, 0, 80]);
        check(Codec::H264, 0, frame(false, -1), &[0x27, 1, 0xff, 0xff, 0xff]);
        check(Codec::H264, 0, Part::End, &[0x17, 2, 0, 0, 0]);
        check(Codec::H264, 1, frame(true, 0), b"\x96\x03avc1\x01");
        check(Codec::H265, 0, Part::Config, b"\x90hvc1");
        check(Codec::H265, 0, frame(true, 0), b"\x93hvc1");
        check(Codec::H265, 0, frame(false, 40), b"\xa1hvc1\x00\x00\x28");
        check(Codec::H265, 7, frame(false, -40), b"\xa6\x01hvc1\x07\xff\xff\xd8");
        check(Codec::Av1, 0, frame(true, 0), b"\x91av01");
        check(Codec::Vp8, 0, frame(false, 0), b"\xa1vp08");
        check(Codec::Vp9, 0, Part::End, b"\x92vp09");
        check(Codec::Aac, 0, Part::Config, &[0xaf, 0]);
        check(Codec::Aac, 0, frame(true, 0), &[0xaf, 1]);
        check(Codec::Aac, 2, frame(true, 0), b"\x95\x01mp4a\x02");
        check(Codec::Aac, 0, Part::End, b"\x92mp4a");
        check(Codec::Mp3(shape(44_100, 2)), 0, frame(true, 0), &[0x2f]);
        check(Codec::Mp3(shape(22_050, 1)), 0, frame(true, 0), &[0x2a]);
        check(Codec::Pcm(pcm::Format::ALaw, shape(8000, 1)), 0, frame(true, 0), &[0x72]);
        check(Codec::Pcm(pcm::Format::MuLaw, shape(8000, 2)), 0, frame(true, 0), &[0x83]);
        check(Codec::Opus, 0, Part::Config, b"\x90Opus");
        check(Codec::Flac, 0, frame(true, 0), b"\x91fLaC");
        check(Codec::Ac3, 0, frame(true, 0), b"\x91ac-3");
        check(Codec::Eac3, 3, frame(true, 0), b"\x95\x01ec-3\x03");
        assert_eq!(write(Codec::Mp3(shape(48_000, 2)), 0, KEY).as_deref(), Some(&[0x2f][..]));
        assert_eq!(write(Codec::Mp3(shape(44_100, 2)), 0, Part::Config), None);
    }

    #[test]
    fn a_body_may_have_many_tracks() {
        let two = b"\x96\x11hvc1\x00\x00\x00\x05\x00\x00\x28ab\x04\x00\x00\x03\xff\xff\xff";
        let frame = |composition| Part::Frame { is_keyframe: true, composition };
        let expect = [unit(0, Codec::H265, frame(40), b"ab"), unit(4, Codec::H265, frame(-1), b"")];
        assert_eq!(units(VIDEO, two), expect);
        let mixed = b"\x95\x21Opus\x00\x00\x00\x01aspex\x01\x00\x00\x02bcmp4a\x02\x00\x00\x00";
        let expect = [
            unit(0, Codec::Opus, KEY, b"a"),
            unit(1, Codec::Unsupported(Unsupported::FourCc(*b"spex")), KEY, b"bc"),
            unit(2, Codec::Aac, KEY, b""),
        ];
        assert_eq!(units(AUDIO, mixed), expect);
        assert_eq!(units(AUDIO, &mixed[..20]), expect[..1]);
    }

    #[test]
    fn extensions_stand_in_front() {
        let expect = |nanos| [Unit { nanos, ..unit(0, Codec::Av1, KEY, b"data") }];
        assert_eq!(units(VIDEO, b"\x97\x02\x01\x02\x03\x01av01data"), expect(0x01_0203));
        // An unknown extension of 300 bytes, then the offset of the time, with a byte too many.
        let long = [b"\x97\xff\x01\x2b", &[9; 300][..], b"\x57\x03\0\0\x07\xff\x01av01data"].concat();
        assert_eq!(units(VIDEO, &long), expect(7));
        assert_eq!(units(VIDEO, &long[..300]), []);
    }

    #[test]
    fn what_is_no_frame_is_told_apart() {
        let part = |kind, body| units(kind, body).into_iter().map(|unit| unit.part).collect::<Vec<_>>();
        assert_eq!(part(VIDEO, b"\x94vp09\x02"), [Part::Other]);
        assert_eq!(part(VIDEO, b"\x95av01\x80"), [Part::Other]);
        assert_eq!(part(AUDIO, b"\x94Opus\x01\x02"), [Part::Other]);
        assert_eq!(part(VIDEO, b"\xd1av01"), []);
        assert_eq!(part(VIDEO, b"\x57\x00"), []);
        assert_eq!((part(AUDIO, b""), part(VIDEO, b"")), (vec![], vec![]));
    }

    #[test]
    fn codecs_of_flash_have_names() {
        let name = |kind, first: u8| match units(kind, &[first, 0, 0, 0, 0, 0])[0].codec {
            Codec::Unsupported(codec) => codec.to_string(),
            codec => panic!("{codec:?}"),
        };
        assert_eq!([0x12, 0x13, 0x14, 0x15, 0x16].map(|first| name(VIDEO, first)).join(", "), {
            "Sorenson H.263, Screen video, VP6, VP6 with alpha channel, Screen video 2"
        });
        assert_eq!([0x52, 0xb2].map(|first| name(AUDIO, first)), ["Nellymoser", "Speex"]);
        assert_eq!(units(VIDEO, b"\x91vvc1\0\0\x01ab")[0].part, Part::Frame { is_keyframe: true, composition: 1 });
        assert_eq!(Unsupported::FourCc(*b"a\n`\xff").to_string(), "`a\\n`\\xff`");
        assert!(matches!(units(AUDIO, &[0xe2, 0])[0].codec, Codec::Mp3(AudioShape { rate: 8000, channels: 1 })));
        assert!(matches!(
            units(AUDIO, &[0x36, 0])[0].codec,
            Codec::Pcm(pcm::Format::S16Le, AudioShape { rate: 11_025, .. })
        ));
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(first in prop::sample::select(vec![0x17u8, 0x9f, 0xaf, 0x96, 0x95, 0x97]), rest: Vec<u8>) {
            let body = [&[first][..], &rest].concat();
            for kind in [AUDIO, VIDEO] {
                prop_assert!(units(kind, &body).iter().map(|unit| unit.data.len()).sum::<usize>() <= body.len());
            }
        }
    }
}
