//! The frames of one track that has nothing around it.

use crate::media::{
    Sample, Time, TrackId, TrackInfo, TrackSet,
    codec::canonical::{Canonical, Canonicalizer, SourceForm},
    demux::Demuxed,
    track::Shape,
};
use bytes::Bytes;

const TRACK: TrackId = TrackId(0);
/// From one frame to the next, in nanoseconds, where nothing tells.
const STEP: i64 = 40_000_000;

/// Makes samples of whole frames.
#[derive(Debug)]
pub(super) struct Frames {
    canonicalizer: Canonicalizer,
    /// When the next frame is due.
    next: Time,
    is_announced: bool,
}

impl Frames {
    pub(super) fn new(form: SourceForm) -> Self {
        Self { canonicalizer: Canonicalizer::new(form), next: Time::ZERO, is_announced: false }
    }

    pub(super) fn jpeg() -> Self {
        Self::new(SourceForm::Jpeg)
    }

    /// The next frame, at this time if it has one.
    pub(super) fn push(&mut self, frame: Bytes, time: Option<Time>, out: &mut Vec<Demuxed>) {
        let Some(Canonical { data, is_sync, parameters_changed }) = self.canonicalizer.push(frame) else { return };
        let Some((codec, shape)) = self.canonicalizer.parameters() else { return };
        if parameters_changed || !self.is_announced {
            self.is_announced = true;
            out.push(Demuxed::Tracks(TrackSet::new(vec![TrackInfo { id: TRACK, codec: codec.clone(), shape }])));
        }
        let step = match shape {
            Shape::Video(shape) => shape.frame_rate.filter(|(frames, _)| *frames > 0),
            Shape::Audio(_) => None,
        };
        let step = step.map_or(STEP, |(frames, seconds)| i64::from(seconds) * 1_000_000_000 / i64::from(frames));
        let dts = time.unwrap_or(self.next);
        self.next = dts.shifted(step.max(1));
        out.push(Demuxed::Sample(Sample {
            track: TRACK,
            dts,
            pts: dts,
            duration: None,
            is_sync,
            discontinuity: false,
            captured: None,
            entered: None,
            data,
        }));
    }
}
