//! Detects keyframes by the first bytes of a coded frame, for encoders that never set
//! `random_access_indicator`.

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
}

impl KeyframeDetector {
    pub(super) fn new(codec: Codec) -> Self {
        Self { codec, bytes: Vec::new(), seen: 0, has_sequence: false }
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
            let kind = self.codec.kind_of(rest.get(at + 3..).unwrap_or_default(), self.has_sequence);
            match kind {
                Nal::Cut => {
                    self.seen += at;
                    return None;
                }
                Nal::Slice { key } => return Some(key),
                Nal::Sequence => self.has_sequence = true,
                Nal::Other => {}
            }
            self.seen += at + 3;
        }
    }
}

/// What begins behind a start code.
enum Nal {
    /// Not enough bytes to tell.
    Cut,
    Sequence,
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
            (Self::Mpeg2, [0, _, bits, ..]) => Nal::Slice { key: has_sequence && bits >> 3 & 7 == 1 },
            (Self::Mpeg2, [0, ..]) => Nal::Cut,
            // ITU-T H.264, table 7-1.
            (Self::H264, [head, rest @ ..]) => match (head & 0x1f, rest) {
                (5, _) => Nal::Slice { key: true },
                (7, _) => Nal::Sequence,
                // A slice: first_mb_in_slice 0 (bit `1`), then slice_type 2 (`011`) or 7 (`0001000`) is intra. With
                // its parameter sets it is where an open GOP can be joined.
                (1 | 2, &[bits, ..]) => {
                    Nal::Slice { key: has_sequence && (bits >> 4 == 0b1011 || bits == 0b1000_1000) }
                }
                (1 | 2, []) => Nal::Cut,
                _ => Nal::Other,
            },
            // ITU-T H.265, table 7-1: 16 to 21 are the IRAP pictures, up to 31 are slices.
            (Self::H265, [head, ..]) => match head >> 1 & 0x3f {
                kind @ 0..=31 => Nal::Slice { key: (16..=21).contains(&kind) },
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
            let mut detector = KeyframeDetector::new(codec);
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
    fn what_is_no_pes_packet_is_no_keyframe() {
        assert_eq!(KeyframeDetector::new(Codec::H264).push(b"\0\0\x02"), Some(false));
    }
}
