//! Bodies of audio and video tags, which are those of RTMP messages as well, and what stands around them in a file.
//!
//! Legacy heads are those of the Adobe Flash Video File Format Specification 10.1, annex E.4; enhanced heads, with a
//! FourCC in place of a number, those of Enhanced RTMP v2, sections "Enhanced Audio" and "Enhanced Video".

pub use super::codec::{Codec, Unsupported};
pub use super::part::Part;
pub use super::units::{Unit, Units, read_audio, read_video};

use super::codec::{AAC_ID, ALAW_ID, ENHANCED_ID, H264_ID, MP3_ID, MULAW_ID};
use super::part::{AUDIO_MULTITRACK, CODED_FRAMES, CODED_FRAMES_X, SEQUENCE_END, SEQUENCE_START, VIDEO_MULTITRACK};
use crate::media::codec::pcm;

/// Tag and message type of audio.
pub const AUDIO: u8 = 8;
/// Tag and message type of video.
pub const VIDEO: u8 = 9;
/// Tag type of script data.
pub const SCRIPT: u8 = 18;

/// Bytes before the body of a tag in a file.
pub const FRAME_HEAD: usize = 11;
/// Bytes after it.
pub const FRAME_TAIL: usize = 4;
/// Longest body that a tag in a file can have.
pub const MAX_BODY: usize = 0xff_ffff;

/// What stands before a body of so many bytes ([`MAX_BODY`] at most) in a file; `time` is in milliseconds (section E.4.1).
pub fn frame_head(kind: u8, length: usize, time: u32) -> [u8; FRAME_HEAD] {
    let [_, a, b, c] = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    let [high, low @ ..] = time.to_be_bytes();
    [kind, a, b, c, low[0], low[1], low[2], high, 0, 0, 0]
}

/// What stands after a body of so many bytes: the size of the tag.
pub fn frame_tail(length: usize) -> [u8; FRAME_TAIL] {
    u32::try_from(FRAME_HEAD + length).unwrap_or(u32::MAX).to_be_bytes()
}

/// Longest head of a body.
const MAX_HEAD: usize = 10;

/// What a body begins with, before a configuration or frame.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::track::AudioShape;
    use bytes::Bytes;

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
}
