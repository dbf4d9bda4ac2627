//! Bare video, as the programs of cameras write it: H.264, H.265 and MPEG-2 with start codes, AV1 in OBUs.

use super::frames::Frames;
use crate::media::{
    byte_window::ByteWindow,
    codec::{canonical::SourceForm, obu},
    demux::Demuxed,
    ts::{Coding, VideoUnits},
};
use bytes::{Bytes, BytesMut};

/// Longest temporal unit of AV1.
const MAX_UNIT: usize = 32 << 20;
/// Profiles of H.264 (ITU-T H.264, annex A): other bytes after a start code look like one, too.
const H264_PROFILES: [u8; 10] = [66, 77, 88, 100, 110, 118, 122, 128, 144, 244];

/// Cuts bare video into frames.
#[derive(Debug)]
pub(super) struct Elementary {
    units: Units,
    frames: Frames,
}

#[derive(Debug)]
enum Units {
    StartCodes(Box<VideoUnits>),
    Obus(TemporalUnits),
}

impl Elementary {
    /// What these bytes are, and where a decoder may begin with them.
    pub(super) fn find(bytes: &[u8], rate: Option<(u32, u32)>) -> Option<(Self, usize)> {
        if bytes.starts_with(&[0x12, 0, 0x0a]) {
            let units = Units::Obus(TemporalUnits::default());
            return Some((Self { units, frames: Frames::new(SourceForm::Av1ObuStream(None)).at_rate(rate) }, 0));
        }
        let (coding, at) = codes(bytes).find_map(|(at, unit)| Some((coding_of(unit)?, at)))?;
        let form = match coding {
            Coding::H264 => SourceForm::H264AnnexB,
            Coding::H265 => SourceForm::H265AnnexB,
            _ => SourceForm::MpegVideo,
        };
        let units = Units::StartCodes(Box::new(VideoUnits::unaligned(coding)));
        Some((Self { units, frames: Frames::new(form).at_rate(rate) }, at))
    }

    pub(super) fn push(&mut self, bytes: &[u8], out: &mut Vec<Demuxed>) {
        let Self { units, frames } = self;
        match units {
            Units::StartCodes(units) => units.push(Bytes::copy_from_slice(bytes), (None, None), false, &mut |unit| {
                frames.push(unit.data, None, out);
            }),
            Units::Obus(units) => units.push(bytes, &mut |unit| frames.push(unit, None, out)),
        }
    }

    /// Whether frames are shown in another order than that in which they come.
    pub(super) fn reorders(&self) -> bool {
        self.frames.reorders()
    }

    pub(super) fn finish(&mut self, out: &mut Vec<Demuxed>) {
        let Self { units, frames } = self;
        match units {
            Units::StartCodes(units) => units.finish(&mut |unit| frames.push(unit.data, None, out)),
            Units::Obus(units) => units.finish(&mut |unit| frames.push(unit, None, out)),
        }
    }
}

/// Whether a place where bare video begins may come after these bytes: they have start codes, of no other format that has them.
pub(super) fn may_follow(bytes: &[u8]) -> bool {
    let mut codes = codes(bytes).peekable();
    // Packs, system headers and packets of program streams (ISO/IEC 13818-1, table 2-18); MPEG-4 part 2 and the like.
    let is_other = |unit: &[u8]| matches!(unit, [0xba.. | 0xb0, ..]);
    match codes.peek() {
        // Anything shorter than a start code and what follows it may be the begin of one.
        None => bytes.len() < 4096 && !bytes.first().is_some_and(u8::is_ascii_graphic),
        Some(_) => !codes.any(|(_, unit)| is_other(unit)),
    }
}

/// Where each start code is, and what follows it.
fn codes(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let starts = bytes.windows(3).enumerate().filter(|(_, three)| *three == [0, 0, 1]);
    starts.map(|(at, _)| (at, bytes.get(at + 3..).unwrap_or_default()))
}

fn coding_of(unit: &[u8]) -> Option<Coding> {
    match unit {
        // ITU-T H.265: a video parameter set, its `vps_base_layer_*` flags and `vps_max_layers_minus1` 0.
        [0x40, 0x01, 0x0c, ..] => Some(Coding::H265),
        // ITU-T H.264: a sequence parameter set.
        [0x27 | 0x47 | 0x67, profile, ..] if H264_PROFILES.contains(profile) => Some(Coding::H264),
        // ISO/IEC 13818-2: a sequence header of a picture that has a size, an aspect ratio and a rate.
        [0xb3, wide, both, high, codes, ..]
            if (*wide > 0 || both >> 4 > 0)
                && (both & 0x0f > 0 || *high > 0)
                && (1..=4).contains(&(codes >> 4))
                && (1..=8).contains(&(codes & 0x0f)) =>
        {
            Some(Coding::MpegVideo)
        }
        _ => None,
    }
}

/// Cuts a row of OBUs (AV1 specification, section 5.2) into temporal units: each begins with a delimiter.
#[derive(Debug, Default)]
struct TemporalUnits {
    window: ByteWindow,
    unit: BytesMut,
}

impl TemporalUnits {
    fn push(&mut self, bytes: &[u8], each: &mut impl FnMut(Bytes)) {
        let Self { window, unit } = self;
        window.push_steps(bytes, |bytes| {
            let (&head, after) = bytes.split_first()?;
            // Without a size it would be the last one of all; a damaged one is passed over byte by byte.
            if head & 0x82 != 0x02 {
                return Some(1);
            }
            let extension = usize::from(head & 4 != 0);
            let (size, digits) = obu::read_leb128(after.get(extension..)?)?;
            let Some(size) = Some(size).filter(|size| *size <= MAX_UNIT) else { return Some(1) };
            let whole = 1 + extension + digits + size;
            let obu = bytes.get(..whole)?;
            if head >> 3 & 15 == obu::TEMPORAL_DELIMITER && !unit.is_empty() {
                each(std::mem::take(unit).freeze());
            }
            if unit.len() + whole <= MAX_UNIT {
                unit.extend_from_slice(obu);
            }
            Some(whole)
        });
    }

    fn finish(&mut self, each: &mut impl FnMut(Bytes)) {
        if !self.unit.is_empty() {
            each(std::mem::take(&mut self.unit).freeze());
        }
    }
}
