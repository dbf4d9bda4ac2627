//! The parameter sets of a stream of H.264 or H.265, as they come among its access units.

use crate::media::bits::Bits;
use crate::media::codec::{golomb, h264, h265, h265_sps, nal};
use bytes::Bytes;
use std::collections::BTreeMap;

/// Longest parameter set. Longer ones are no parameter sets; records have room for 65,535 bytes.
const MAX_SET: usize = 16 << 10;
/// Most video or sequence parameter sets: records of H.264 have room for 31. Encoders use one or two.
const MAX_SETS: usize = 31;
/// Most picture parameter sets, of which H.265 has 64. Encoders use up to eight.
const MAX_PICTURE_SETS: usize = 64;

/// What a parameter set is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Video,
    Sequence,
    Picture,
}

/// Parameter sets by their numbers. Of those with the same number, the newest is there.
#[derive(Debug, Default)]
pub(super) struct ParameterSets {
    video: BTreeMap<u8, Bytes>,
    sequence: BTreeMap<u8, Bytes>,
    picture: BTreeMap<u8, Bytes>,
}

impl ParameterSets {
    /// Takes a NAL unit that has the number `id`; whether that changes anything.
    pub(super) fn insert(&mut self, kind: Kind, id: impl FnOnce(&[u8]) -> Option<u8>, unit: &[u8]) -> bool {
        let (sets, most) = match kind {
            Kind::Video => (&mut self.video, MAX_SETS),
            Kind::Sequence => (&mut self.sequence, MAX_SETS),
            Kind::Picture => (&mut self.picture, MAX_PICTURE_SETS),
        };
        // Most are sent again with each keyframe: then nothing is to be read.
        if unit.len() > MAX_SET || sets.values().any(|set| set == unit) {
            return false;
        }
        match id(unit) {
            Some(id) if sets.len() < most || sets.contains_key(&id) => {
                // A copy, as the access unit is not to be held for it.
                sets.insert(id, Bytes::copy_from_slice(unit));
                true
            }
            _ => false,
        }
    }

    /// Those of H.264, once there are some.
    pub(super) fn h264(&self) -> Option<h264::Parameters> {
        let parameters = h264::Parameters { sps: list(&self.sequence), pps: list(&self.picture) };
        (!parameters.sps.is_empty() && !parameters.pps.is_empty()).then_some(parameters)
    }

    /// Those of H.265, once there are some.
    pub(super) fn h265(&self) -> Option<h265::Parameters> {
        let parameters =
            h265::Parameters { vps: list(&self.video), sps: list(&self.sequence), pps: list(&self.picture) };
        (!parameters.sps.is_empty() && !parameters.pps.is_empty()).then_some(parameters)
    }

    /// The sequence parameter set that a slice with this picture parameter set uses; `header` is the length of a NAL unit's header.
    pub(super) fn active(&self, picture: u8, header: usize) -> Option<&Bytes> {
        let (_, sequence) = picture_ids(self.picture.get(&picture)?, header)?;
        self.sequence.get(&sequence)
    }
}

fn list(sets: &BTreeMap<u8, Bytes>) -> Vec<Bytes> {
    sets.values().cloned().collect()
}

/// The number of a sequence parameter set of H.264 (ITU-T H.264, section 7.3.2.1.1).
pub(super) fn h264_sequence_id(unit: &[u8]) -> Option<u8> {
    let bytes = nal::unescaped(unit.get(1..)?, 16);
    let mut bits = Bits::new(&bytes);
    bits.skip(24)?;
    golomb::at_most(&mut bits, 31)
}

/// The number of a video parameter set of H.265 (ITU-T H.265, section 7.3.2.1).
pub(super) fn h265_video_id(unit: &[u8]) -> Option<u8> {
    unit.get(2).map(|first| first >> 4)
}

/// The number of a sequence parameter set of H.265.
pub(super) fn h265_sequence_id(unit: &[u8]) -> Option<u8> {
    h265_sps::Sps::parse(unit).map(|sps| sps.id)
}

/// The numbers of a picture parameter set and of its sequence parameter set, in H.264 and H.265.
pub(in crate::media::codec) fn picture_ids(unit: &[u8], header: usize) -> Option<(u8, u8)> {
    let bytes = nal::unescaped(unit.get(header..)?, 16);
    let mut bits = Bits::new(&bytes);
    Some((golomb::at_most(&mut bits, 255)?, golomb::at_most(&mut bits, 31)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(sets: &mut ParameterSets, kind: Kind, unit: &[u8]) -> bool {
        sets.insert(kind, |unit| unit.first().copied(), unit)
    }

    #[test]
    fn the_newest_of_each_number_stays() {
        let mut sets = ParameterSets::default();
        assert!(insert(&mut sets, Kind::Sequence, b"\x02b") && insert(&mut sets, Kind::Sequence, b"\x01a"));
        assert_eq!(sets.h264(), None, "without a picture parameter set");
        assert!(insert(&mut sets, Kind::Picture, b"\x01p"));
        assert!(!insert(&mut sets, Kind::Sequence, b"\x02b"), "the same again");
        assert!(insert(&mut sets, Kind::Sequence, b"\x02c"));
        assert_eq!(sets.h264().unwrap().sps, [&b"\x01a"[..], b"\x02c"]);
        assert_eq!(sets.h265().unwrap().pps, [&b"\x01p"[..]]);
    }

    #[test]
    fn they_are_bounded() {
        let mut sets = ParameterSets::default();
        let taken = (0..=255).filter(|id| insert(&mut sets, Kind::Picture, &[*id])).count();
        assert_eq!(taken, MAX_PICTURE_SETS);
        assert!(insert(&mut sets, Kind::Picture, b"\x01 with another content"));
        assert!(!insert(&mut sets, Kind::Picture, &[0; MAX_SET + 1]));
        assert!(!sets.insert(Kind::Sequence, |_| None, b"without a number"));
    }
}
