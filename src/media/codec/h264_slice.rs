//! The begin of a slice header of H.264 (ITU-T H.264, section 7.3.3).

use super::{CodecParameters, canonical::picture_ids, golomb, h264, h264_sps::Sps, nal};
use crate::media::bits::Bits;

/// As much of a slice header as is read.
const MAX_HEADER: usize = 32;

/// The parameter sets that slice headers refer to.
#[derive(Debug, Clone)]
pub struct ParameterSets {
    /// Identifiers of picture parameter sets, each with that of its sequence parameter set.
    pub(super) pictures: Vec<(u8, u8)>,
    /// Sequence parameter sets.
    pub sequences: Vec<Sps>,
}

/// What a slice header begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SliceHeader {
    /// `frame_num`.
    pub frame_num: u32,
    /// Of a picture that is one field: whether it is the bottom field.
    pub is_bottom_field: Option<bool>,
    /// It is of an IDR picture.
    pub is_idr: bool,
    /// `nal_ref_idc` is not 0.
    pub is_reference: bool,
    /// `pic_order_cnt_lsb` and how many bits it has, where slices have it.
    pub order: Option<(u32, u8)>,
}

impl ParameterSets {
    /// Those of a track; `None` when it is not H.264.
    pub fn of(codec: &CodecParameters) -> Option<Self> {
        let CodecParameters::H264(parameters) = codec else { return None };
        Some(Self {
            pictures: parameters.pps.iter().filter_map(|pps| picture_ids(pps, 1)).collect(),
            sequences: parameters.sps.iter().filter_map(|sps| Sps::parse(sps)).collect(),
        })
    }

    /// The slice headers of a frame, which has lengths before its NAL units. Those that are cut are skipped.
    pub fn headers<'a>(&'a self, frame: &'a [u8]) -> impl Iterator<Item = SliceHeader> + 'a {
        let is_slice = |nal: &&[u8]| matches!(nal.first().map(|head| head & 0x1f), Some(1..=5));
        nal::length_prefixed(frame, 4).filter(is_slice).filter_map(|nal| self.header(nal))
    }

    fn header(&self, nal: &[u8]) -> Option<SliceHeader> {
        let head = *nal.first()?;
        let is_idr = head & 0x1f == h264::IDR;
        let bytes = nal::unescaped(nal.get(1..)?, MAX_HEADER);
        let mut bits = Bits::new(&bytes);
        // first_mb_in_slice, slice_type.
        golomb::skip(&mut bits, 2)?;
        let picture = golomb::at_most(&mut bits, 255)?;
        let (_, sequence) = self.pictures.iter().find(|(id, _)| *id == picture)?;
        let sps = self.sequences.iter().find(|sps| sps.id == *sequence)?;
        if sps.has_separate_planes {
            bits.skip(2)?;
        }
        let frame_num = bits.take(sps.frame_num_bits.into())?;
        let is_field = !sps.frame_mbs_only && bits.flag()?;
        let is_bottom_field = if is_field { Some(bits.flag()?) } else { None };
        if is_idr {
            golomb::skip(&mut bits, 1)?;
        }
        let order = match sps.order_bits {
            Some(count) => Some((bits.take(count.into())?, count)),
            None => None,
        };
        Some(SliceHeader { frame_num, is_bottom_field, is_idr, is_reference: head & 0x60 != 0, order })
    }
}
