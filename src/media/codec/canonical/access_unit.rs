//! Access units of H.264 and H.265: their parameter sets are taken out, the rest gets lengths of four bytes.

use super::kept::Kept;
use super::parameter_sets::{self, Kind, ParameterSets};
use super::unit::{Found, Unit};
use crate::media::bits::Bits;
use crate::media::codec::{CodecParameters, golomb, h264, h264_sps, h265, h265_sps, nal, shape};
use bytes::Bytes;

/// A track of H.264 or H.265.
#[derive(Debug)]
pub(super) struct Track {
    codec: Codec,
    separation: Separation,
    sets: ParameterSets,
    /// The sets changed since they last took effect.
    is_changed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    H264,
    H265,
}

/// What separates NAL units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Separation {
    StartCodes,
    /// Lengths of so many bytes.
    Lengths(usize),
}

/// What a NAL unit is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Set(Kind),
    /// Part of a frame; whether of one with which a decoder may begin in any case.
    Slice {
        is_random_access: bool,
    },
    Sei,
    /// Something else that stays.
    Other,
    /// Delimiters, filler, marks of an end, and other layers.
    Dropped,
}

/// Of an access unit, what shows whether a decoder may begin with it.
#[derive(Debug, Default)]
struct Signs<'a> {
    first_slice: Option<&'a [u8]>,
    is_random_access: bool,
    has_sequence: bool,
    has_recovery_point: bool,
    /// Slices of which it is not known yet whether they need other frames.
    slices: Vec<&'a [u8]>,
}

impl Track {
    pub(super) fn new(codec: Codec, separation: Separation) -> Self {
        Self { codec, separation, sets: ParameterSets::default(), is_changed: false }
    }

    /// Takes a parameter set that comes beside the stream.
    pub(super) fn insert(&mut self, unit: &[u8]) {
        if let Role::Set(kind) = self.codec.role(unit) {
            self.is_changed |= self.sets.insert(kind, |unit| self.codec.id(kind, unit), unit);
        }
    }

    /// What is known before the first unit, of parameter sets that came beside the stream.
    pub(super) fn found(&mut self) -> Option<Found> {
        let found = self.parameters(None)?;
        self.is_changed = false;
        Some(found)
    }

    pub(super) fn push(&mut self, unit: &Bytes) -> Option<Unit> {
        let mut kept = Kept::new(unit);
        let mut signs = Signs::default();
        let is_canonical = self.separation == Separation::Lengths(4);
        match self.separation {
            Separation::StartCodes => nal::annex_b(unit).for_each(|nal| self.take(nal, nal, &mut kept, &mut signs)),
            Separation::Lengths(size) => {
                for (whole, nal) in nal::with_lengths(unit, size) {
                    self.take(nal, if is_canonical { whole } else { nal }, &mut kept, &mut signs);
                }
            }
        }
        let first_slice = signs.first_slice?;
        let is_sync = self.codec.is_sync(&signs);
        let mut found = None;
        if is_sync && self.is_changed {
            found = self.parameters(Some(first_slice));
            self.is_changed = found.is_none();
        }
        let data = if is_canonical { kept.joined() } else { kept.joined_with_lengths() };
        Some(Unit { data, is_sync, found })
    }

    /// Takes a NAL unit, of which `kept` is what would stay.
    fn take<'a>(&mut self, nal: &'a [u8], whole: &'a [u8], kept: &mut Kept<'a>, signs: &mut Signs<'a>) {
        let role = self.codec.role(nal);
        match role {
            Role::Dropped => return,
            Role::Set(kind) => {
                signs.has_sequence |= kind == Kind::Sequence;
                self.insert(nal);
                return;
            }
            Role::Slice { is_random_access } => {
                signs.first_slice = signs.first_slice.or(Some(nal));
                signs.is_random_access |= is_random_access;
                signs.slices.push(nal);
            }
            Role::Sei => signs.has_recovery_point |= has_recovery_point(nal, self.codec.header()),
            Role::Other => {}
        }
        kept.push(whole);
    }

    /// The parameters that apply from now on, with the shape of what the slice uses.
    fn parameters(&self, slice: Option<&[u8]>) -> Option<Found> {
        let active = slice
            .and_then(|slice| self.codec.picture_id(slice))
            .and_then(|picture| self.sets.active(picture, self.codec.header()));
        let (codec, shape) = match self.codec {
            Codec::H264 => {
                let parameters = self.sets.h264()?;
                let sps = active.or(parameters.sps.first()).and_then(|sps| h264_sps::Sps::parse(sps));
                let shape = sps.and_then(|sps| shape::of_h264(&sps));
                (CodecParameters::H264(parameters), shape)
            }
            Codec::H265 => {
                let parameters = self.sets.h265()?;
                let sps = active.or(parameters.sps.first()).and_then(|sps| h265_sps::Sps::parse(sps));
                let shape = sps.and_then(|sps| shape::of_h265(&sps, &parameters));
                (CodecParameters::H265(parameters), shape)
            }
        };
        Some(Found { codec, shape: shape.or_else(|| shape::video((0, 0), (1, 1), None))? })
    }
}

impl Codec {
    /// Bytes of a NAL unit's header.
    fn header(self) -> usize {
        match self {
            Self::H264 => 1,
            Self::H265 => 2,
        }
    }

    fn role(self, nal: &[u8]) -> Role {
        match (self, nal) {
            // ITU-T H.264, table 7-1.
            (Self::H264, [head, ..]) => match head & 0x1f {
                kind @ 1..=5 => Role::Slice { is_random_access: kind == h264::IDR },
                h264::SEI => Role::Sei,
                h264::SPS => Role::Set(Kind::Sequence),
                h264::PPS => Role::Set(Kind::Picture),
                // Also sets for extensions, which decoders of what remains do not miss.
                0 | 9..=13 | 15 => Role::Dropped,
                _ => Role::Other,
            },
            // ITU-T H.265, table 7-1. Layers above the first are for decoders that want several views or sizes.
            (Self::H265, [head, second, ..]) if head & 1 == 0 && second >> 3 == 0 => match head >> 1 & 0x3f {
                kind @ 0..=31 => Role::Slice { is_random_access: h265::is_irap(kind) },
                h265::VPS => Role::Set(Kind::Video),
                h265::SPS => Role::Set(Kind::Sequence),
                h265::PPS => Role::Set(Kind::Picture),
                35..=38 => Role::Dropped,
                h265::PREFIX_SEI => Role::Sei,
                _ => Role::Other,
            },
            _ => Role::Dropped,
        }
    }

    /// The number of a parameter set.
    fn id(self, kind: Kind, unit: &[u8]) -> Option<u8> {
        match (self, kind) {
            (_, Kind::Picture) => parameter_sets::picture_ids(unit, self.header()).map(|(id, _)| id),
            (Self::H264, _) => parameter_sets::h264_sequence_id(unit),
            (Self::H265, Kind::Video) => parameter_sets::h265_video_id(unit),
            (Self::H265, Kind::Sequence) => parameter_sets::h265_sequence_id(unit),
        }
    }

    /// Whether a decoder that has the parameter sets may begin here: with frames that say so, at the beginning of an open GOP, and
    /// where a stream without keyframes says that it has recovered soon.
    fn is_sync(self, signs: &Signs<'_>) -> bool {
        signs.is_random_access
            || signs.has_recovery_point
            || self == Self::H264
                && signs.has_sequence
                && signs.slices.iter().all(|slice| h264_slice(slice).is_some_and(|slice| slice.is_intra))
    }

    /// `pic_parameter_set_id` of the first slice of a frame.
    fn picture_id(self, slice: &[u8]) -> Option<u8> {
        match self {
            Self::H264 => h264_slice(slice).map(|slice| slice.picture_id),
            Self::H265 => {
                let kind = h265::kind(slice)?;
                let bytes = nal::unescaped(slice.get(2..)?, 16);
                let mut bits = Bits::new(&bytes);
                // Section 7.3.6.1.
                bits.skip(if (16..24).contains(&kind) { 2 } else { 1 })?;
                golomb::at_most(&mut bits, 63)
            }
        }
    }
}

struct H264Slice {
    /// Slice type I or SI: no other frame is needed.
    is_intra: bool,
    picture_id: u8,
}

/// What a slice header begins with (ITU-T H.264, section 7.3.3).
fn h264_slice(slice: &[u8]) -> Option<H264Slice> {
    let bytes = nal::unescaped(slice.get(1..)?, 16);
    let mut bits = Bits::new(&bytes);
    let _first_macroblock = golomb::unsigned(&mut bits)?;
    let kind = golomb::at_most(&mut bits, 9)?;
    Some(H264Slice { is_intra: matches!(kind % 5, 2 | 4), picture_id: golomb::at_most(&mut bits, 255)? })
}

/// Whether there is a recovery point among the messages of an SEI (ITU-T H.264, sections 7.3.2.3.1 and D.1.8; ITU-T H.265, section
/// D.2.8).
fn has_recovery_point(nal: &[u8], header: usize) -> bool {
    const RECOVERY_POINT: usize = 6;
    /// As much of an SEI as is looked at: encoders that put their settings there need 1 KiB.
    const MAX_SEI: usize = 4096;
    let bytes = nal::unescaped(nal.get(header..).unwrap_or_default(), MAX_SEI);
    let mut rest = bytes.as_slice();
    let number = |rest: &mut &[u8]| -> Option<usize> {
        let mut number = 0;
        loop {
            let (byte, after) = rest.split_first()?;
            *rest = after;
            number += usize::from(*byte);
            if *byte != 0xff {
                return Some(number);
            }
        }
    };
    while rest.len() > 2 {
        let Some((kind, size)) = number(&mut rest).zip(number(&mut rest)) else { return false };
        if kind == RECOVERY_POINT {
            return true;
        }
        rest = rest.get(size..).unwrap_or_default();
    }
    false
}
