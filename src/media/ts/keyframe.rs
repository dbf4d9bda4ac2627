//! Detects keyframes by the first bytes of a coded frame: encoders set `random_access_indicator` never, once, or for every frame.

use super::obu;
use super::psi::Codec;

/// Looks at the bytes of one PES packet until the type of its frame is known.
#[derive(Debug)]
pub(super) struct KeyframeDetector {
    codec: Codec,
    bytes: Vec<u8>,
    /// Up to here there is nothing of interest in `bytes`.
    seen: usize,
    /// What a decoder needs to begin (a sequence header or sequence parameter set) is part of this access unit.
    has_sequence: bool,
    /// It is known from elsewhere.
    knows_sequence: bool,
    /// A point from which a decoder recovers without a keyframe (ITU-T H.264, section D.1.8; H.265, section D.2.8).
    recovers: bool,
    /// Where the NAL units after the PES header begin, with their start codes, and which are parameter sets.
    units: Vec<(usize, bool)>,
    delimiter_ends: Option<usize>,
}

impl KeyframeDetector {
    /// With `knows_sequence`, a frame may be a keyframe without a sequence header of its own.
    pub(super) fn new(codec: Codec, knows_sequence: bool) -> Self {
        Self {
            codec,
            bytes: Vec::new(),
            seen: 0,
            has_sequence: false,
            knows_sequence,
            recovers: false,
            units: Vec::new(),
            delimiter_ends: None,
        }
    }

    /// Whether a decoder that has the parameter sets recovers from here on, though this is no keyframe.
    pub(super) fn recovers(&self) -> bool {
        self.recovers || self.has_sequence
    }

    /// Whether what a decoder needs to begin is part of the frame. Codecs that we know no sets of have all.
    pub(super) fn has_sequence(&self) -> bool {
        self.has_sequence || matches!(self.codec, Codec::Av1 | Codec::Other)
    }

    /// The parameter sets before the first slice, each with its start code.
    pub(super) fn sets(&self) -> Vec<Vec<u8>> {
        let ends = self.units.iter().skip(1).map(|(at, _)| *at).chain([self.seen]);
        let units = self.units.iter().zip(ends).filter(|((_, is_set), _)| *is_set);
        let sets = units.filter_map(|((at, _), end)| {
            let unit = self.bytes.get(*at..end)?;
            // A zero before the next start code belongs to that.
            let length = unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            Some([&[0], unit.get(..length)?].concat())
        });
        sets.collect()
    }

    /// Where in the PES packet parameter sets belong: after an access unit delimiter.
    pub(super) fn place_of_sets(&self) -> usize {
        self.delimiter_ends.unwrap_or_else(|| 9 + usize::from(self.bytes.get(8).copied().unwrap_or_default()))
    }

    /// Takes more of the PES packet, its header included; `Some` once it is known whether this is a keyframe.
    /// The caller bounds how often this is called.
    pub(super) fn push(&mut self, payload: &[u8]) -> Option<bool> {
        self.bytes.extend_from_slice(payload);
        if self.seen == 0 {
            // PES packet (section 2.4.3.6): start code prefix, stream id, length, flags, length of the rest of its header.
            if self.bytes.len() >= 3 && !self.bytes.starts_with(&[0, 0, 1]) {
                return Some(false);
            }
            self.seen = 9 + usize::from(*self.bytes.get(8)?);
        }
        if self.codec == Codec::Av1 {
            return obu::is_key(self.bytes.get(self.seen..)?);
        }
        loop {
            let rest = self.bytes.get(self.seen..)?;
            let Some(at) = rest.windows(3).position(|bytes| bytes == [0, 0, 1]) else {
                self.seen += rest.len().saturating_sub(2);
                return None;
            };
            let unit = rest.get(at + 3..).unwrap_or_default();
            let kind = self.codec.kind_of(unit, self.has_sequence || self.knows_sequence);
            let place = self.seen + at;
            if self.delimiter_ends.is_none() && matches!(self.units.as_slice(), [_]) && self.begins_with_delimiter() {
                // A start code of four bytes begins one earlier.
                let is_long = at > 0 && rest.get(at - 1) == Some(&0);
                self.delimiter_ends = Some(place - usize::from(is_long));
            }
            match kind {
                Nal::Cut => {
                    self.seen += at;
                    return None;
                }
                Nal::Slice { key } => {
                    self.seen += at;
                    return Some(key);
                }
                Nal::Sequence => self.has_sequence = true,
                Nal::Recovery => self.recovers = true,
                Nal::Set | Nal::Other => {}
            }
            self.units.push((place, matches!(kind, Nal::Sequence | Nal::Set)));
            self.seen += at + 3;
        }
    }
}

impl KeyframeDetector {
    fn begins_with_delimiter(&self) -> bool {
        let head = self.units.first().and_then(|(at, _)| self.bytes.get(at + 3)).copied().unwrap_or_default();
        match self.codec {
            Codec::H264 => head & 0x1f == 9,
            Codec::H265 => head >> 1 & 0x3f == 35,
            Codec::Mpeg2 | Codec::Av1 | Codec::Other => false,
        }
    }
}

/// What begins after a start code.
#[derive(Clone, Copy)]
enum Nal {
    /// Not enough bytes to decide.
    Cut,
    /// What all other sets refer to.
    Sequence,
    /// Another parameter set.
    Set,
    /// A message that decoding recovers here.
    Recovery,
    Slice {
        key: bool,
    },
    Other,
}

impl Codec {
    fn kind_of(self, nal: &[u8], has_sequence: bool) -> Nal {
        match (self, nal) {
            (Self::Av1 | Self::Other, _) => Nal::Slice { key: false },
            (_, []) => Nal::Cut,
            // ISO/IEC 13818-2, table 6-1; picture_coding_type 1 is an I frame.
            (Self::Mpeg2, [0xb3, ..]) => Nal::Sequence,
            // Extensions before a picture are those of its sequence.
            (Self::Mpeg2, [0xb5, ..]) => Nal::Set,
            (Self::Mpeg2, [0, _, bits, ..]) => Nal::Slice { key: has_sequence && bits >> 3 & 7 == 1 },
            (Self::Mpeg2, [0, ..]) => Nal::Cut,
            // ITU-T H.264, table 7-1.
            (Self::H264, [head, rest @ ..]) => match (head & 0x1f, rest) {
                (5, _) => Nal::Slice { key: true },
                (7, _) => Nal::Sequence,
                (8 | 13 | 15, _) => Nal::Set,
                (6, []) => Nal::Cut,
                (6, &[6, ..]) => Nal::Recovery,
                // A slice: first_mb_in_slice 0 (bit `1`), then slice_type 2 (`011`) or 7 (`0001000`) is intra. With
                // its parameter sets it is where an open GOP can be joined.
                (1 | 2, &[bits, ..]) => {
                    Nal::Slice { key: has_sequence && (bits >> 4 == 0b1011 || bits == 0b1000_1000) }
                }
                (1 | 2, []) => Nal::Cut,
                _ => Nal::Other,
            },
            // ITU-T H.265, table 7-1: 16 to 21 are the IRAP pictures, up to 31 are slices.
            (Self::H265, [head, rest @ ..]) => match (head >> 1 & 0x3f, rest) {
                (kind @ 0..=31, _) => Nal::Slice { key: (16..=21).contains(&kind) },
                (32, _) => Nal::Sequence,
                (33 | 34, _) => Nal::Set,
                (39, [] | [_]) => Nal::Cut,
                (39, &[_, 6, ..]) => Nal::Recovery,
                _ => Nal::Other,
            },
            (Self::Mpeg2, _) => Nal::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(codec: Codec, stream: &[u8], expect: Option<bool>) {
        let mut pes = b"\0\0\x01\xe0\0\0\x84\x80\x05abcde".to_vec();
        pes.extend(stream);
        for piece in [1, 2, 3, 7, 500] {
            let mut detector = KeyframeDetector::new(codec, false);
            let seen = pes.chunks(piece).find_map(|piece| detector.push(piece));
            assert_eq!(seen, expect, "in pieces of {piece}");
        }
    }

    #[test]
    fn keyframes_are_detected() {
        check(Codec::H264, b"\0\0\0\x01\x09\xf0\0\0\x01\x67abc\0\0\x01\x68a\0\0\x01\x65\x88", Some(true));
        check(Codec::H264, b"\0\0\0\x01\x09\xf0\0\0\x01\x06abc\0\0\x01\x41\x9a", Some(false));
        check(Codec::H264, b"\0\0\x01\x67abc\0\0\x01\x41\x88", Some(true));
        check(Codec::H264, b"\0\0\x01\x41\x88", Some(false));
        check(Codec::H264, b"\0\0\x01\x67abc\0\0\x01", None);
        check(Codec::H265, b"\0\0\x01\x40\x01a\0\0\x01\x26\x01", Some(true));
        check(Codec::H265, b"\0\0\x01\x46\x01a\0\0\x01\x02\x01", Some(false));
        check(Codec::Mpeg2, b"\0\0\x01\xb3abc\0\0\x01\xb8abcd\0\0\x01\0\0\x0f", Some(true));
        check(Codec::Mpeg2, b"\0\0\x01\xb3abc\0\0\x01\0\0\x17", Some(false));
        check(Codec::Mpeg2, b"\0\0\x01\0\0\x0f", Some(false));
        check(Codec::Av1, b"\x12\0\x0a\x01\0\x32\x05\x10", Some(true));
        check(Codec::Av1, b"\0\0\x01\x0a\x01\0\0\0\x01\x32\x05\x30", Some(false));
        check(Codec::Av1, b"\x12\0\x0a\x01", None);
        check(Codec::H264, b"", None);
    }

    #[test]
    fn sets_and_their_place_are_found() {
        let pes = |units: &[u8]| [b"\0\0\x01\xe0\0\0\x84\x80\x05abcde", units].concat();
        let check = |codec, units: &[u8], sets: &[&[u8]], place: usize| {
            let mut detector = KeyframeDetector::new(codec, false);
            assert_eq!(detector.push(&pes(units)), Some(true));
            assert_eq!(
                (detector.sets(), detector.place_of_sets()),
                (sets.iter().map(|set| set.to_vec()).collect(), 14 + place)
            );
        };
        let slice = b"\0\0\0\x01\x65\x88";
        let (sps, pps) = (&b"\0\0\0\x01\x67ab"[..], &b"\0\0\0\x01\x68a"[..]);
        check(Codec::H264, &[b"\0\0\0\x01\x09\xf0", sps, pps, slice].concat(), &[sps, pps], 6);
        check(Codec::H264, &[b"\0\0\x01\x09\xf0", &slice[1..]].concat(), &[], 5);
        check(Codec::H264, slice, &[], 0);
        let sets = [&b"\0\0\0\x01\x40\x01a"[..], b"\0\0\0\x01\x42\x01a", b"\0\0\0\x01\x44\x01a"];
        check(Codec::H265, &[&sets.concat()[..], b"\0\0\x01\x26\x01"].concat(), &sets, 0);
        let sequence = [&b"\0\0\0\x01\xb3abc"[..], b"\0\0\0\x01\xb5ab"];
        let picture = b"\0\0\x01\xb8abcd\0\0\x01\0\0\x0f";
        check(Codec::Mpeg2, &[&sequence.concat()[..], picture].concat(), &sequence, 0);
        // The sequence header came before.
        let mut detector = KeyframeDetector::new(Codec::Mpeg2, true);
        assert_eq!((detector.push(&pes(picture)), detector.has_sequence()), (Some(true), false));
    }

    #[test]
    fn decoders_recover_where_a_message_or_sets_are() {
        let recovers = |units: &[u8]| {
            let mut detector = KeyframeDetector::new(Codec::H264, false);
            assert_eq!(detector.push(&[b"\0\0\x01\xe0\0\0\x84\0\0", units].concat()), Some(false));
            detector.recovers()
        };
        assert!(recovers(b"\0\0\x01\x06\x06\x01\xc4\x80\0\0\x01\x41\x9a"));
        assert!(recovers(b"\0\0\x01\x67ab\0\0\x01\x41\x9a"));
        assert!(!recovers(b"\0\0\x01\x06\x05\x01\xc4\x80\0\0\x01\x41\x9a"));
        assert!(!recovers(b"\0\0\x01\x41\x9a"));
    }

    #[test]
    fn what_is_no_pes_packet_is_no_keyframe() {
        assert_eq!(KeyframeDetector::new(Codec::H264, false).push(b"\0\0\x02"), Some(false));
    }
}
