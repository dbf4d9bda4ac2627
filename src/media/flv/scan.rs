//! FLV tags (Adobe Flash Video File Format Specification 10.1, annex E), also of Enhanced RTMP.
//!
//! The header is that of the file, and everything before the first video or audio: `onMetaData` and the codec
//! configurations. Configurations that change later are forwarded to viewers.

use super::tag::{AUDIO, FRAME_HEAD, SCRIPT, VIDEO};
use crate::media::codec::rfc6381::Setup;
use crate::media::framing::{FrameLength, FrameRole, Framing};

/// Longest tag that is believed.
const MAX_TAG: usize = 8 << 20;
/// The header of a file and the size of the tag before it, which is none.
const FILE_HEAD: usize = 9 + 4;

/// Tags of at most one video and one audio stream.
#[derive(Debug, Default)]
pub(in crate::media) struct Flv {
    place: Place,
    has_pictures: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Outside,
    Header,
    Media,
}

impl Framing for Flv {
    fn measure(bytes: &[u8]) -> FrameLength {
        match bytes {
            [b'F', ..] => match bytes.get(..FILE_HEAD) {
                Some([b'F', b'L', b'V', 1, _, 0, 0, 0, 9, ..]) => FrameLength::Unit(FILE_HEAD),
                Some(_) => FrameLength::Nothing,
                None => FrameLength::More,
            },
            [AUDIO | VIDEO | SCRIPT, ..] => tag(bytes),
            [] => FrameLength::More,
            _ => FrameLength::Nothing,
        }
    }

    fn role(&mut self, unit: &[u8]) -> FrameRole {
        let (kind, content) = (unit.first().copied(), unit.get(FRAME_HEAD..).unwrap_or_default());
        let first = content.first().copied().unwrap_or_default();
        let second = content.get(1).copied().unwrap_or_default();
        // Enhanced RTMP marks its tags and keeps the kind of packet where the codec was before.
        let is_enhanced = if kind == Some(VIDEO) { first & 0x80 != 0 } else { first >> 4 == 9 };
        let is_setup = match kind {
            Some(b'F') => {
                *self = Self { place: Place::Header, has_pictures: unit.get(4).is_some_and(|flags| flags & 1 != 0) };
                true
            }
            Some(VIDEO | AUDIO) if is_enhanced => first & 0x0f == 0,
            Some(VIDEO) => first & 0x0f == 7 && second == 0,
            Some(AUDIO) => first >> 4 == 10 && second == 0,
            _ => true,
        };
        self.has_pictures |= kind == Some(VIDEO);
        match self.place {
            Place::Outside => FrameRole::Drop,
            Place::Header if is_setup => FrameRole::Header,
            Place::Media if is_setup => FrameRole::Delta,
            Place::Header | Place::Media => {
                self.place = Place::Media;
                // FrameType 1 is a keyframe, if a frame comes at all: the end of a sequence is marked so, too.
                let has_picture = match first & 0x0f {
                    kind if is_enhanced => matches!(kind, 1 | 3),
                    7 => second == 1,
                    _ => true,
                };
                let is_key = kind == Some(VIDEO) && first & 0x70 == 0x10 && has_picture;
                if is_key || !self.has_pictures { FrameRole::Join } else { FrameRole::Delta }
            }
        }
    }
}

/// The configurations of the tracks of a header: video, then audio. A track that is announced without one is unknown.
pub(in crate::media) fn setups(header: &[u8]) -> Vec<Setup<'_>> {
    let (mut video, mut audio) = (None, None);
    let mut rest = header;
    while let FrameLength::Unit(length) = Flv::measure(rest) {
        let Some((unit, after)) = rest.split_at_checked(length) else { break };
        rest = after;
        let content = unit.get(FRAME_HEAD..).unwrap_or_default();
        match (unit, content) {
            ([b'F', ..], _) => {
                let flags = unit.get(4).copied().unwrap_or_default();
                video = (flags & 1 != 0).then_some(Setup::Unknown);
                audio = (flags & 4 != 0).then_some(Setup::Unknown);
            }
            ([VIDEO, ..], [first, 0, _, _, _, record @ .., _, _, _, _]) if first & 0x8f == 7 => {
                video = Some(Setup::Avc("avc1", record));
            }
            // A configuration by its four characters: Enhanced RTMP, section "Enhanced Video".
            ([VIDEO, ..], [first, name @ ..]) if first & 0x8f == 0x80 => video = enhanced(name).or(video),
            ([AUDIO, ..], [first, 0, config @ .., _, _, _, _]) if first >> 4 == 10 => audio = Some(Setup::Aac(config)),
            _ => {}
        }
    }
    video.into_iter().chain(audio).collect()
}

fn enhanced(content: &[u8]) -> Option<Setup<'_>> {
    let (name, record) = content.split_first_chunk::<4>()?;
    Some(match name {
        b"avc1" => Setup::Avc("avc1", record),
        b"hvc1" => Setup::Hevc("hvc1", record),
        b"av01" => Setup::Av1(record),
        b"vp08" => Setup::Named("vp8"),
        b"vp09" => Setup::Vp9(record),
        _ => return None,
    })
}

/// A tag and its length after it.
fn tag(bytes: &[u8]) -> FrameLength {
    let Some([_, a, b, c, _, _, _, _, stream @ ..]) = bytes.first_chunk::<FRAME_HEAD>() else {
        return FrameLength::More;
    };
    let length = FRAME_HEAD + (usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c));
    if length > MAX_TAG || *stream != [0, 0, 0] {
        return FrameLength::Nothing;
    }
    match bytes.get(length..).and_then(|rest| rest.first_chunk()) {
        Some(behind) if u32::from_be_bytes(*behind) as usize != length => FrameLength::Nothing,
        _ => FrameLength::Unit(length + 4),
    }
}

#[cfg(test)]
mod tests {
    use crate::media::{Container, testing::Scan};
    use proptest::prelude::*;

    const PLAIN: &[u8] = include_bytes!("../../../tests/data/h264-aac.flv");
    const GSTREAMER: &[u8] = include_bytes!("../../../tests/data/h264-gst.flv");

    /// A whole tag.
    fn tag(kind: u8, time: u32, content: &[u8]) -> Vec<u8> {
        let [high, low @ ..] = time.to_be_bytes();
        let length = &(content.len() as u32).to_be_bytes()[1..];
        let behind = (super::FRAME_HEAD + content.len()) as u32;
        [&[kind], length, &low, &[high, 0, 0, 0], content, &behind.to_be_bytes()].concat()
    }

    #[test]
    fn captures_are_joined_at_key_pictures() {
        for (capture, joins) in [(PLAIN, 3), (GSTREAMER, 3)] {
            let found = Scan::of(None, capture, &[usize::MAX]);
            assert_eq!((found.container, found.headers.len(), found.joins.len()), (Some(Container::Flv), 1, joins));
            assert!(found.joined() == capture && found.headers[0].0 == 0);
            assert!(found.joins.iter().all(|&at| found.media[at] == 9 && found.media[at + 11] == 0x17));
        }
    }

    #[test]
    fn a_header_behind_garbage_is_believed_by_the_whole_tag_behind_it() {
        let first = tag(18, 0, &[7; 80]);
        let mut damaged = first.clone();
        *damaged.last_mut().unwrap() ^= 1;
        for (first, is_believed) in [(first, true), (damaged, false)] {
            let bytes = [b"garbage", &PLAIN[..13], &first, &PLAIN[13..]].concat();
            let whole = Scan::of(Some(Container::Flv), &bytes, &[usize::MAX]);
            assert_eq!(whole.headers.len(), usize::from(is_believed));
            assert!(Scan::of(Some(Container::Flv), &bytes, &[35]) == whole);
        }
    }

    #[test]
    fn tags_are_judged_by_their_first_bytes() {
        #[track_caller]
        fn check(flags: u8, tags: &[(u8, &[u8])], header: usize, joins: usize) {
            let mut bytes = [b"FLV\x01", &[flags][..], &[0, 0, 0, 9, 0, 0, 0, 0]].concat();
            for (kind, content) in tags {
                bytes.extend([*kind, 0, 0, content.len() as u8, 0, 0, 0, 0, 0, 0, 0]);
                bytes.extend_from_slice(content);
                bytes.extend((11 + content.len() as u32).to_be_bytes());
            }
            let found = Scan::of(None, &bytes, &[7]);
            assert_eq!((found.headers[0].1.len() - 13, found.joins.len()), (header, joins));
            assert!(found.joined() == bytes);
        }
        let script: (u8, &[u8]) = (18, b"onMetaData");
        let sound: (u8, &[u8]) = (8, &[0xaf, 1, 0]);
        check(4, &[script, (8, &[0xaf, 0, 0]), sound, sound], 25 + 18, 2);
        check(1, &[(9, &[0x17, 0]), (9, &[0x17, 1]), (9, &[0x27, 1]), sound, (9, &[0x17, 1]), (9, &[0x17, 2])], 17, 2);
        // HEVC by its four characters: configuration, keyframe, frame, keyframe without composition time, metadata.
        let hevc: [&[u8]; 5] = [b"\x90hvc1", b"\x91hvc1", b"\xa1hvc1", b"\x93hvc1", b"\x94hvc1"];
        check(1, &hevc.map(|content| (9, content)), 20, 2);
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(
            capture in prop::sample::select(vec![PLAIN, GSTREAMER]),
            hole in 0usize..9000,
            sizes in prop::collection::vec(1usize..3000, 1..8),
        ) {
            let bytes = [&capture[..hole], &capture[hole + 9..]].concat();
            let scan = |sizes: &[usize]| Scan::of(Some(Container::Flv), &bytes, sizes);
            prop_assert_eq!(scan(&sizes), scan(&[usize::MAX]));
        }
    }
}
