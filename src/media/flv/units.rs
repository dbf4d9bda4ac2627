//! Reads the bodies of tags.

use super::codec::{Codec, ENHANCED_ID};
use super::part::{
    AUDIO_MULTITRACK, CODED_FRAMES, CODED_FRAMES_X, MOD_EX, Part, SEQUENCE_END, SEQUENCE_START, VIDEO_MULTITRACK,
};
use bytes::{Buf, Bytes};

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

/// How the units of a body are delimited.
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

    /// Reads on after the flags.
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
    use super::super::codec::Unsupported;
    use super::super::tag::{AUDIO, VIDEO};
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
