//! Joins the fields of interlaced H.264 that are coded one by one (PAFF): the two of a frame are one sample.
//!
//! A field is a picture with an access unit of its own (ITU-T H.264, section 7.4.1.2.4), and comes as one from transport
//! streams, RTP and bare bytes. Files want both in one sample, which lasts as long as a frame, and so do decoders in hardware.

use super::{
    Sample,
    codec::{
        CodecParameters,
        h264_slice::{ParameterSets, SliceHeader},
    },
};
use bytes::BytesMut;

/// Joins the fields of one track.
#[derive(Debug)]
pub struct FieldPairs {
    sets: ParameterSets,
    /// A first field, until the sample after it has come.
    held: Option<(Sample, SliceHeader)>,
}

impl FieldPairs {
    /// For a track of this codec; `None` where no picture is a field.
    pub fn of(codec: &CodecParameters) -> Option<Self> {
        let sets = ParameterSets::of(codec)?;
        let may_have_fields = sets.sequences.iter().any(|sps| !sps.frame_mbs_only);
        may_have_fields.then_some(Self { sets, held: None })
    }

    /// Takes the next sample. What is complete goes to `each`, in order: two samples at most.
    pub fn push(&mut self, sample: Sample, mut each: impl FnMut(Sample)) {
        let (first, has_both) = {
            let mut headers = self.sets.headers(&sample.data);
            let first = headers.next();
            (first, first.is_some_and(|first| headers.any(|next| next.is_bottom_field != first.is_bottom_field)))
        };
        if let Some((held, field)) = self.held.take() {
            match first {
                Some(second) if !has_both && !sample.discontinuity && field.is_completed_by(&second) => {
                    return each(joined(held, &sample));
                }
                _ => each(held),
            }
        }
        match first.filter(|first| first.is_bottom_field.is_some() && !has_both) {
            Some(field) => self.held = Some((sample, field)),
            None => each(sample),
        }
    }

    /// The sample that waits for its second field, which will not come.
    pub fn flush(&mut self) -> Option<Sample> {
        self.held.take().map(|(sample, _)| sample)
    }
}

impl SliceHeader {
    /// Whether a picture is the second field of the frame whose first field has this header (ITU-T H.264, sections 3.30 and 3.31).
    fn is_completed_by(&self, second: &Self) -> bool {
        let is_opposite = self.is_bottom_field.zip(second.is_bottom_field).is_some_and(|(one, other)| one != other);
        is_opposite && self.frame_num == second.frame_num && !second.is_idr
    }
}

fn joined(first: Sample, second: &Sample) -> Sample {
    let mut data = BytesMut::with_capacity(first.data.len() + second.data.len());
    data.extend_from_slice(&first.data);
    data.extend_from_slice(&second.data);
    let duration = first.duration.zip(second.duration).map(|(one, other)| one + other);
    Sample { data: data.freeze(), duration, pts: first.pts.min(second.pts).max(first.dts), ..first }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{demux::Demuxed, testing::paff, unpack::AnyDemuxer};

    /// The pictures of a stream, each as a sample, and what joins them.
    fn pictures(frames: u32) -> (FieldPairs, Vec<Sample>) {
        let (mut demuxer, mut found) = (AnyDemuxer::new(), Vec::new());
        demuxer.push(&paff::byte_stream(frames, false), &mut found).unwrap();
        demuxer.finish(&mut found).unwrap();
        let (mut pairs, mut samples) = (None, Vec::new());
        for found in found {
            match found {
                Demuxed::Tracks(set) => pairs = FieldPairs::of(&set.tracks()[0].codec),
                Demuxed::Sample(sample) => samples.push(sample),
            }
        }
        (pairs.expect("an interlaced track"), samples)
    }

    fn lengths(pairs: &mut FieldPairs, samples: impl IntoIterator<Item = Sample>) -> Vec<usize> {
        let mut out = Vec::new();
        samples.into_iter().for_each(|sample| pairs.push(sample, |sample| out.push(sample.data.len())));
        out.extend(pairs.flush().map(|sample| sample.data.len()));
        out
    }

    #[test]
    fn fields_of_a_frame_are_one_sample() {
        let (mut pairs, samples) = pictures(9);
        // Two of three frames are fields.
        assert_eq!(samples.len(), 15);
        let size = |at: usize| samples[at].data.len();
        let expect: Vec<usize> = [0, 5, 10]
            .into_iter()
            .flat_map(|at| [size(at) + size(at + 1), size(at + 2) + size(at + 3), size(at + 4)])
            .collect();
        assert_eq!(lengths(&mut pairs, samples.clone()), expect);
        // Those that are one sample already stay so.
        let mut whole = Vec::new();
        samples.into_iter().for_each(|sample| pairs.push(sample, |sample| whole.push(sample)));
        assert_eq!(lengths(&mut pairs, whole), expect);
    }

    #[test]
    fn a_field_whose_other_one_is_lost_stays_alone() {
        let (mut pairs, samples) = pictures(6);
        let sizes: Vec<usize> = samples.iter().map(|sample| sample.data.len()).collect();
        // The second field of the first frame, and the first one of the second frame.
        let rest = [0, 3, 4, 5, 6].map(|at| samples[at].clone());
        assert_eq!(lengths(&mut pairs, rest), [sizes[0], sizes[3], sizes[4], sizes[5] + sizes[6]]);
        let mut torn = samples;
        torn[1].discontinuity = true;
        assert_eq!(lengths(&mut pairs, torn)[..2], sizes[..2]);
    }

    #[test]
    fn a_frame_begins_with_its_first_field_and_lasts_as_long_as_both() {
        let (mut pairs, mut samples) = pictures(1);
        for sample in &mut samples {
            sample.duration = Some(std::time::Duration::from_millis(20));
        }
        let mut out = Vec::new();
        let (dts, pts) = (samples[0].dts, samples[0].pts);
        samples.into_iter().for_each(|sample| pairs.push(sample, |sample| out.push(sample)));
        assert_eq!(out.len(), 1);
        assert_eq!((out[0].dts, out[0].pts, out[0].is_sync), (dts, pts, true));
        assert_eq!(out[0].duration, Some(std::time::Duration::from_millis(40)));
    }
}
