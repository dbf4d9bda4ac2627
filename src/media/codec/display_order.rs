//! Where frames stand in the order in which they are shown, by their headers: the picture order count of H.264 (ITU-T H.264,
//! section 8.2.1.1) and H.265 (ITU-T H.265, section 8.3.1), and the temporal reference of MPEG-1 and MPEG-2 (ISO/IEC 13818-2, section
//! 6.3.9).

use super::{CodecParameters, golomb, h264_slice::ParameterSets, h265, h265_sps, mpeg_video, nal};
use crate::media::bits::Bits;

/// As much of a slice header as has the count in it.
const MAX_HEADER: usize = 32;

/// The place of one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Frames with smaller numbers are shown before it, back to the last frame that `begins`.
    pub number: i64,
    /// Numbers count again from here on.
    pub begins: bool,
}

/// Reads the places of the frames of one track, in the order in which they are decoded.
#[derive(Debug)]
pub struct DisplayOrder {
    codec: Codec,
    /// Of the last frame that others count from: its number.
    last: i64,
    has_begun: bool,
}

#[derive(Debug)]
enum Codec {
    H264(ParameterSets),
    H265(Vec<h265::PictureSet>, Vec<h265_sps::Sps>),
    /// The number that counts from the newest GOP header on.
    Mpeg {
        base: i64,
        highest: i64,
    },
}

impl DisplayOrder {
    /// For a track of this codec; `None` when its frames are shown in the order in which they come.
    pub fn new(codec: &CodecParameters) -> Option<Self> {
        let codec = match codec {
            CodecParameters::H264(_) => {
                let sets = ParameterSets::of(codec)?;
                let is_in_order =
                    sets.sequences.iter().all(|sps| sps.max_num_reorder == Some(0) || sps.order_bits.is_none());
                if is_in_order {
                    return None;
                }
                Codec::H264(sets)
            }
            CodecParameters::H265(parameters) => {
                let sps: Vec<_> = parameters.sps.iter().filter_map(|sps| h265_sps::Sps::parse(sps)).collect();
                if sps.iter().all(|sps| sps.max_num_reorder == 0) {
                    return None;
                }
                Codec::H265(parameters.pps.iter().filter_map(|pps| h265::PictureSet::parse(pps)).collect(), sps)
            }
            CodecParameters::Mpeg1Video | CodecParameters::Mpeg2Video => Codec::Mpeg { base: 0, highest: -1 },
            _ => return None,
        };
        Some(Self { codec, last: 0, has_begun: false })
    }

    /// By how many frames a frame may be decoded before its place, if the codec says so.
    pub fn depth(&self) -> Option<u8> {
        match &self.codec {
            Codec::H264(sets) => sets.sequences.iter().filter_map(|sps| sps.max_num_reorder).max(),
            Codec::H265(_, sps) => sps.iter().map(|sps| sps.max_num_reorder).max(),
            Codec::Mpeg { .. } => None,
        }
    }

    /// How far the numbers of two frames in a row are apart, as most encoders have it.
    pub fn step(&self) -> i64 {
        match self.codec {
            // Each field has a number.
            Codec::H264(..) => 2,
            Codec::H265(..) | Codec::Mpeg { .. } => 1,
        }
    }

    /// The place of the next frame, in the canonical form of its codec; `None` when its header is cut.
    pub fn next(&mut self, frame: &[u8]) -> Option<Place> {
        let header = match &mut self.codec {
            Codec::H264(sets) => h264_header(frame, sets)?,
            Codec::H265(pictures, sequences) => h265_header(frame, pictures, sequences)?,
            Codec::Mpeg { base, highest } => {
                let (reference, is_group) = mpeg_video::temporal_reference(frame)?;
                if is_group {
                    *base = *highest + 1;
                }
                // It has ten bits; without GOP headers it wraps.
                let number = match is_group || !self.has_begun {
                    true => *base + i64::from(reference),
                    false => near(self.last, (*base + i64::from(reference)) & 0x3ff, 10),
                };
                self.has_begun = true;
                self.last = number;
                *highest = (*highest).max(number);
                return Some(Place { number, begins: false });
            }
        };
        let begins = header.begins || !self.has_begun;
        self.has_begun = true;
        let number = match begins {
            true => i64::from(header.order),
            false => near(self.last, header.order.into(), header.bits),
        };
        if begins || header.is_counted_from {
            self.last = number;
        }
        Some(Place { number, begins })
    }
}

/// The number with these lowest bits that is nearest to `last`.
fn near(last: i64, lowest: i64, bits: u8) -> i64 {
    let whole = 1i64 << bits;
    let number = (last & !(whole - 1)) + lowest;
    match number - last {
        ahead if ahead > whole / 2 => number - whole,
        ahead if ahead <= -(whole / 2) => number + whole,
        _ => number,
    }
}

/// What the header of the first slice of a frame has.
struct Header {
    /// The lowest bits of the number.
    order: u32,
    bits: u8,
    begins: bool,
    /// The numbers of later frames are near to this one.
    is_counted_from: bool,
}

fn h264_header(frame: &[u8], sets: &ParameterSets) -> Option<Header> {
    let header = sets.headers(frame).next()?;
    let (order, bits) = header.order?;
    Some(Header { order, bits, begins: header.is_idr, is_counted_from: header.is_reference })
}

fn h265_header(frame: &[u8], pictures: &[h265::PictureSet], sequences: &[h265_sps::Sps]) -> Option<Header> {
    let slice = nal::length_prefixed(frame, 4).find(|nal| h265::kind(nal).is_some_and(h265::is_slice))?;
    let kind = h265::kind(slice)?;
    let layer = *slice.get(1)? & 7;
    let bytes = nal::unescaped(slice.get(2..)?, MAX_HEADER);
    let mut bits = Bits::new(&bytes);
    // Section 7.3.6.1: first_slice_segment_in_pic_flag, no_output_of_prior_pics_flag.
    bits.skip(if (16..24).contains(&kind) { 2 } else { 1 })?;
    let picture = golomb::at_most(&mut bits, 63)?;
    let picture = pictures.iter().find(|set| set.id == picture)?;
    let sps = sequences.iter().find(|sps| sps.id == picture.sequence)?;
    // IDR frames have no number, and begin as those do that break the link.
    let is_idr = matches!(kind, 19 | 20);
    let order = if is_idr {
        0
    } else {
        bits.skip(picture.extra_bits.into())?;
        golomb::skip(&mut bits, 1)?;
        if picture.has_output_flag {
            bits.skip(1)?;
        }
        if sps.has_separate_planes {
            bits.skip(2)?;
        }
        bits.take(sps.order_bits.into())?
    };
    // Leading frames, and those that no other frame of their layer needs.
    let is_passed_over = matches!(kind, 6..=9) || kind < 16 && kind % 2 == 0;
    let is_counted_from = layer == 1 && !is_passed_over;
    Some(Header { order, bits: sps.order_bits, begins: is_idr || (16..19).contains(&kind), is_counted_from })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::codec::h264_sps;
    use crate::media::codec::testing::hex;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_the_nearest_with_their_lowest_bits() {
        for (last, lowest, expect) in [(0, 4, 4), (14, 2, 18), (16, 14, 14), (32, 8, 40), (30, 0, 32), (0, 14, -2)] {
            assert_eq!(near(last, lowest, 4), expect, "{last} {lowest}");
        }
    }

    #[test]
    fn temporal_references_count_on_over_groups_and_wraps() {
        let frame = |reference: u32, is_group: bool| {
            let head: &[u8] = if is_group { b"\0\0\x01\xb8\0\x08\0\x40" } else { b"" };
            [head, b"\0\0\x01\0", &[(reference >> 2) as u8, (reference << 6) as u8 | 0x0f]].concat()
        };
        let numbers = |frames: &[(u32, bool)]| {
            let mut order = DisplayOrder::new(&CodecParameters::Mpeg2Video).unwrap();
            let places = frames.iter().map(|(reference, is_group)| order.next(&frame(*reference, *is_group)).unwrap());
            places.map(|place| place.number).collect::<Vec<_>>()
        };
        // I B B of an open GOP, and the next one.
        let open =
            [(2, true), (0, false), (1, false), (5, false), (3, false), (4, false), (2, true), (0, false), (1, false)];
        assert_eq!(numbers(&open), [2, 0, 1, 5, 3, 4, 8, 6, 7]);
        assert_eq!(numbers(&[(1022, false), (1023, false), (0, false), (1, false)]), [1022, 1023, 1024, 1025]);
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..9)) {
            let sps = h264_sps::Sps::parse(&hex("6764000dacd941519e226c04400000fa40003a9803c50a6580")).unwrap();
            let codecs = [
                Codec::Mpeg { base: 0, highest: -1 },
                Codec::H264(ParameterSets { pictures: vec![(0, 0), (1, 0)], sequences: vec![sps] }),
                Codec::H265(vec![h265::PictureSet { id: 0, sequence: 0, extra_bits: 2, has_output_flag: true }], Vec::new()),
            ];
            for codec in codecs {
                let mut order = DisplayOrder { codec, last: 0, has_begun: false };
                for frame in &frames {
                    let length = (frame.len() as u32).to_be_bytes();
                    let _ = (order.next(frame), order.next(&[&length[..], frame].concat()));
                }
            }
        }
    }
}
