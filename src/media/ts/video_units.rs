//! Cuts the payload of PES packets of video into access units.
//!
//! Most muxers put one access unit into each PES packet, which then leaves as it is. Others put several into one, or begin
//! PES packets anywhere; then the last access unit waits for the begin of the next. A field of H.264 is an access unit of its own, see
//! [`FieldPairs`](crate::media::FieldPairs).

use super::program::Coding;
use crate::media::Time;
use crate::media::codec::nal;
use bytes::{Bytes, BytesMut};

/// Longest access unit.
const MAX_UNIT: usize = 8 << 20;

/// One access unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::media) struct Unit {
    pub(in crate::media) data: Bytes,
    /// PTS and DTS, if its PES packet had them and it is the first that begins there.
    pub(super) pts: Option<Time>,
    pub(super) dts: Option<Time>,
    /// Something was lost before it.
    pub(super) discontinuity: bool,
}

/// Cuts one stream with start codes.
#[derive(Debug)]
pub(in crate::media) struct VideoUnits {
    coding: Coding,
    /// An access unit that may continue in the next PES packet.
    pending: BytesMut,
    /// Of the access unit that was begun.
    stamps: Stamps,
    /// Up to here all start codes were looked at.
    seen: usize,
    scan: Scan,
    /// PES packets begin within access units.
    is_unaligned: bool,
    discontinuity: bool,
}

/// PTS and DTS.
type Stamps = (Option<Time>, Option<Time>);

/// What is known of the access unit so far.
#[derive(Debug, Default)]
struct Scan {
    /// It has a slice: what cannot follow one within an access unit begins the next.
    has_slice: bool,
    /// It is the rest of one that left already.
    is_rest: bool,
    /// Start codes in this PES packet.
    codes: usize,
    /// MPEG-2: the second field of the frame is missing.
    needs_field: bool,
}

/// What begins at a start code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Comes before the slices of an access unit.
    Prefix,
    /// The first slice of a frame.
    First,
    /// Another slice of a frame.
    Slice,
    Other,
    /// More bytes are needed to decide.
    Cut,
}

impl VideoUnits {
    /// For a stream of this coding, which has start codes.
    pub(super) fn new(coding: Coding) -> Self {
        Self {
            coding,
            pending: BytesMut::new(),
            stamps: (None, None),
            seen: 0,
            scan: Scan::default(),
            is_unaligned: false,
            discontinuity: false,
        }
    }

    /// For bytes of which nothing but a start code shows where an access unit begins.
    pub(in crate::media) fn unaligned(coding: Coding) -> Self {
        Self { is_unaligned: true, ..Self::new(coding) }
    }

    /// Takes the payload of the next PES packet; gives the access units that are complete to `each`.
    pub(in crate::media) fn push(
        &mut self,
        payload: Bytes,
        stamps: Stamps,
        discontinuity: bool,
        each: &mut impl FnMut(Unit),
    ) {
        if discontinuity {
            self.forget();
        }
        self.scan.codes = 0;
        // Of the first access unit that begins in this PES packet.
        let mut stamps = Some(stamps);
        if self.pending.is_empty() {
            self.stamps = stamps.take().unwrap_or_default();
        }
        if self.is_unaligned {
            self.pending.extend_from_slice(&payload);
            let mut pending = std::mem::take(&mut self.pending);
            while let Some(at) = self.next_cut(&pending) {
                let unit = pending.split_to(at).freeze();
                self.cut(unit, stamps.take(), each);
            }
            self.pending = pending;
            if self.pending.len() > MAX_UNIT {
                self.forget();
            }
            return;
        }
        let mut rest = payload;
        while let Some(at) = self.next_cut(&rest) {
            let unit = rest.split_to(at);
            self.cut(unit, stamps.take(), each);
        }
        if self.scan.codes == 0 {
            self.continues();
        }
        if self.is_unaligned {
            self.pending = BytesMut::from(&rest[..]);
        } else {
            self.cut(rest, None, each);
        }
    }

    /// No more will come: the last access unit is complete.
    pub(in crate::media) fn finish(&mut self, each: &mut impl FnMut(Unit)) {
        let rest = std::mem::take(&mut self.pending).freeze();
        self.cut(rest, None, each);
    }

    /// What was begun is of no use.
    fn forget(&mut self) {
        self.pending.clear();
        self.seen = 0;
        (self.scan.has_slice, self.scan.is_rest, self.scan.needs_field) = (false, false, false);
        self.discontinuity = true;
    }

    /// This PES packet begins within an access unit, which left already.
    fn continues(&mut self) {
        (self.is_unaligned, self.scan.is_rest) = (true, true);
        self.discontinuity = true;
    }

    /// Where in these bytes, which begin with an access unit, the next one does.
    fn next_cut(&mut self, bytes: &[u8]) -> Option<usize> {
        while let Some(at) = bytes.get(self.seen..).and_then(nal::start_code).map(|at| self.seen + at) {
            let part = self.scan.part(&self.coding, bytes.get(at + 3..).unwrap_or_default());
            self.seen = at;
            if part == Part::Cut {
                return None;
            }
            if self.scan.codes == 0 && part == Part::Slice && !self.is_unaligned {
                self.continues();
            }
            self.scan.codes += 1;
            let begins = matches!(part, Part::Prefix | Part::First) && (self.scan.has_slice || self.scan.is_rest);
            if begins {
                (self.seen, self.scan.has_slice) = (3, part == Part::First);
                return Some(at);
            }
            self.scan.has_slice |= matches!(part, Part::First | Part::Slice);
            self.seen = at + 3;
        }
        self.seen = self.seen.max(bytes.len().saturating_sub(2));
        None
    }

    /// An access unit is complete; the next has these timestamps.
    fn cut(&mut self, data: Bytes, stamps: Option<Stamps>, each: &mut impl FnMut(Unit)) {
        let (pts, dts) = std::mem::replace(&mut self.stamps, stamps.unwrap_or_default());
        if std::mem::take(&mut self.scan.is_rest) {
            self.discontinuity = true;
        } else if !data.is_empty() {
            each(Unit { data, pts, dts, discontinuity: std::mem::take(&mut self.discontinuity) });
        }
        if stamps.is_none() && !self.is_unaligned {
            (self.seen, self.scan.has_slice) = (0, false);
        }
    }
}

impl Scan {
    /// What begins with these bytes after a start code.
    fn part(&mut self, coding: &Coding, bytes: &[u8]) -> Part {
        match (coding, bytes) {
            (_, []) => Part::Cut,
            (Coding::H264, [head, rest @ ..]) => match (head & 0x1f, rest) {
                // `first_mb_in_slice` 0 is a single 1 (ITU-T H.264, section 7.3.3).
                (1 | 2 | 5, [first, ..]) => {
                    if first & 0x80 != 0 {
                        Part::First
                    } else {
                        Part::Slice
                    }
                }
                (1 | 2 | 5, []) => Part::Cut,
                // SEI, parameter sets, delimiter (section 7.4.1.2.3).
                (6..=9, _) => Part::Prefix,
                _ => Part::Other,
            },
            // `first_slice_segment_in_pic_flag` after two bytes of header, of the base layer (ITU-T H.265, section 7.3.6.1).
            (Coding::H265, [head, rest @ ..]) => match (head >> 1 & 0x3f, rest) {
                (kind, [second, first, ..]) if kind < 32 => {
                    let is_base = head & 1 == 0 && second >> 3 == 0;
                    if is_base && first & 0x80 != 0 { Part::First } else { Part::Slice }
                }
                (kind, _) if kind < 32 => Part::Cut,
                // Parameter sets, delimiter, prefix SEI, reserved (section 7.4.2.4.4).
                (32..=35 | 39 | 41..=44 | 48..=55, _) => Part::Prefix,
                _ => Part::Other,
            },
            (Coding::MpegVideo, &[code, ref rest @ ..]) => self.mpeg_part(code, rest),
            // VOP; group of VOPs, visual object sequence, video object and its layer (ISO/IEC 14496-2, table 6-3).
            (Coding::Mpeg4Visual, [0xb6, ..]) => Part::First,
            (Coding::Mpeg4Visual, [0xb0 | 0xb3 | 0..=0x2f, ..]) => Part::Prefix,
            _ => Part::Other,
        }
    }

    /// ISO/IEC 13818-2, table 6-1.
    fn mpeg_part(&mut self, code: u8, rest: &[u8]) -> Part {
        match (code, rest) {
            // Sequence header, group of pictures.
            (0xb3 | 0xb8, _) => {
                self.needs_field = false;
                Part::Prefix
            }
            (0x00, _) if self.needs_field => Part::Slice,
            (0x00, _) => Part::First,
            (0x01..=0xaf, _) => Part::Slice,
            // `picture_coding_extension`: four `f_code`s, `intra_dc_precision`, then `picture_structure` 3 is a frame.
            (0xb5, [id, _, structure, ..]) if id >> 4 == 8 => {
                self.needs_field = structure & 3 != 3 && !self.needs_field;
                Part::Other
            }
            (0xb5, [] | [_] | [_, _]) => Part::Cut,
            _ => Part::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DELIMITER: &[u8] = b"\0\0\x01\x09\xf0";
    const FIRST: &[u8] = b"\0\0\x01\x41\x9a\x11\x22\x33\x44";
    const SECOND: &[u8] = b"\0\0\x01\x41\x4a\x55\x66\x77";

    fn frame() -> Vec<u8> {
        [DELIMITER, FIRST, SECOND].concat()
    }

    /// Access units, with the milliseconds of their DTS; those of the PES packets are 0, 100, ….
    fn cut(units: &mut VideoUnits, payloads: &[Vec<u8>]) -> Vec<(Option<i64>, Vec<u8>, bool)> {
        let mut found = Vec::new();
        let mut each = |unit: Unit| found.push((unit.dts.map(Time::millis), unit.data.to_vec(), unit.discontinuity));
        for (at, payload) in payloads.iter().enumerate() {
            let stamp = Some(Time::from_millis(at as i64 * 100));
            units.push(Bytes::copy_from_slice(payload), (stamp, stamp), false, &mut each);
        }
        found
    }

    #[test]
    fn one_access_unit_leaves_as_it_came() {
        let found = cut(&mut VideoUnits::new(Coding::H264), &[frame(), frame()]);
        assert_eq!(found, [(Some(0), frame(), false), (Some(100), frame(), false)]);
    }

    #[test]
    fn several_access_units_are_separated() {
        for (coding, frames) in [
            (Coding::H264, vec![frame(), frame(), frame()]),
            (Coding::H264, vec![FIRST.to_vec(), [FIRST, SECOND].concat(), FIRST.to_vec()]),
            (
                Coding::H264,
                vec![[b"\0\0\x01\x67\x42\xc0\0\0\x01\x68a", FIRST].concat(), [b"\0\0\x01\x06ab", FIRST].concat()],
            ),
            (
                Coding::H265,
                vec![
                    b"\0\0\x01\x46\x01\x50\0\0\x01\x26\x01\xaf\0\0\x01\x26\x01\x2f".to_vec(),
                    b"\0\0\x01\x02\x01\xd0".to_vec(),
                ],
            ),
            (
                Coding::MpegVideo,
                vec![
                    b"\0\0\x01\xb3a\0\0\x01\xb8\0\0\x01\0ab\0\0\x01\xb5\x8f\xff\x43\0\0\x01\x01a\0\0\x01\x02".to_vec(),
                    b"\0\0\x01\0ab\0\0\x01\x01a".to_vec(),
                ],
            ),
            (
                Coding::Mpeg4Visual,
                vec![
                    b"\0\0\x01\xb0\x01\0\0\x01\xb5\x09\0\0\x01\0\0\0\x01\x20\0\0\x01\xb6a".to_vec(),
                    b"\0\0\x01\xb6b".to_vec(),
                ],
            ),
        ] {
            let found = cut(&mut VideoUnits::new(coding.clone()), &[frames.concat()]);
            assert_eq!(found.iter().map(|found| found.1.clone()).collect::<Vec<_>>(), frames, "{coding:?}");
            assert_eq!(found[0].0, Some(0));
            assert!(found[1..].iter().all(|found| found.0.is_none()));
        }
    }

    #[test]
    fn two_fields_are_one_frame() {
        let field = |structure: u8| [b"\0\0\x01\0ab\0\0\x01\xb5\x8f\xff", &[structure][..], b"\0\0\x01\x01a"].concat();
        let frames = [[field(1), field(2)].concat(), field(3), [field(2), field(1)].concat()];
        let found = cut(&mut VideoUnits::new(Coding::MpegVideo), &[frames.concat()]);
        assert_eq!(found.iter().map(|found| found.1.clone()).collect::<Vec<_>>(), frames);
    }

    #[test]
    fn packets_that_begin_anywhere_are_joined() {
        let stream = frame().repeat(8);
        let whole: Vec<Vec<u8>> = stream.chunks(31).map(<[u8]>::to_vec).collect();
        let mut units = VideoUnits::new(Coding::H264);
        let mut found = cut(&mut units, &whole);
        units.finish(&mut |unit| found.push((unit.dts.map(Time::millis), unit.data.to_vec(), unit.discontinuity)));
        // The first was taken as complete, which it was not; from then on it is known.
        assert_eq!(found.len(), 8, "{found:?}");
        assert!(found[2].2 && found[3..].iter().all(|found| found.1 == frame() && !found.2));
        assert!(found.iter().filter_map(|found| found.0).is_sorted());
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic_and_are_all_there(
            coding in prop::sample::select(vec![Coding::H264, Coding::H265, Coding::MpegVideo, Coding::Mpeg4Visual]),
            payloads in prop::collection::vec(prop::collection::vec(prop_oneof![Just(0u8), Just(0), Just(1), any::<u8>()], 1..60), 1..20),
            lost: Vec<bool>,
        ) {
            let (mut units, mut total) = (VideoUnits::new(coding), 0);
            for (at, payload) in payloads.iter().enumerate() {
                let lost = lost.get(at).copied().unwrap_or(false);
                units.push(Bytes::copy_from_slice(payload), (None, None), lost, &mut |unit| total += unit.data.len());
            }
            units.finish(&mut |unit| total += unit.data.len());
            prop_assert!(total <= payloads.iter().map(Vec::len).sum::<usize>());
        }
    }
}
