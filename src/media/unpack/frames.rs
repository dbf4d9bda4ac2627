//! The frames of one track that has nothing around it.

use super::presentation::Presentation;
use crate::media::{
    Sample, Time, TrackId, TrackInfo, TrackSet,
    codec::canonical::{Canonical, Canonicalizer, SourceForm},
    demux::Demuxed,
    track::Shape,
};
use bytes::Bytes;
use std::time::Duration;

const TRACK: TrackId = TrackId(0);
/// From one frame to the next, in nanoseconds, where nothing defines it.
const STEP: i64 = 40_000_000;

/// Makes samples of whole frames.
#[derive(Debug)]
pub(super) struct Frames {
    canonicalizer: Canonicalizer,
    /// When the next frame is due.
    next: Time,
    is_announced: bool,
    /// When frames are shown that have no times.
    presentation: Option<Presentation>,
    /// Frames per second that are to be taken for granted, as a fraction.
    rate: Option<(u32, u32)>,
}

impl Frames {
    pub(super) fn new(form: SourceForm) -> Self {
        Self {
            canonicalizer: Canonicalizer::new(form),
            next: Time::ZERO,
            is_announced: false,
            presentation: None,
            rate: None,
        }
    }

    /// With so many frames a second, whatever the codec says.
    pub(super) fn at_rate(self, rate: Option<(u32, u32)>) -> Self {
        Self { rate, ..self }
    }

    pub(super) fn jpeg() -> Self {
        Self::new(SourceForm::Jpeg)
    }

    /// Whether frames are shown in another order than that in which they come.
    pub(super) fn reorders(&self) -> bool {
        self.presentation.as_ref().is_some_and(Presentation::reorders)
    }

    /// The next frame, at this time if it has one.
    pub(super) fn push(&mut self, frame: Bytes, time: Option<Time>, out: &mut Vec<Demuxed>) {
        let Some(Canonical { data, is_sync, parameters_changed }) = self.canonicalizer.push(frame) else { return };
        let Some((codec, mut shape)) = self.canonicalizer.parameters() else { return };
        if let Shape::Video(shape) = &mut shape {
            shape.frame_rate = self.rate.or(shape.frame_rate);
        }
        if parameters_changed || !self.is_announced {
            self.is_announced = true;
            self.presentation = Presentation::new(codec).filter(|_| time.is_none());
            out.push(Demuxed::Tracks(TrackSet::new(vec![TrackInfo { id: TRACK, codec: codec.clone(), shape }])));
        }
        let step = match shape {
            Shape::Video(shape) => shape.frame_rate.filter(|(frames, _)| *frames > 0),
            Shape::Audio(_) => None,
        };
        let step = step.map_or(STEP, |(frames, seconds)| i64::from(seconds) * 1_000_000_000 / i64::from(frames));
        let dts = time.unwrap_or(self.next);
        let delay = self.presentation.as_mut().map_or(0, |presentation| presentation.delay(&data));
        let step = step.max(1);
        self.next = dts.shifted(step);
        out.push(Demuxed::Sample(Sample {
            track: TRACK,
            dts,
            pts: dts.shifted(step.saturating_mul(delay.into())),
            duration: time.is_none().then_some(Duration::from_nanos(step.unsigned_abs())),
            is_sync,
            discontinuity: false,
            captured: None,
            entered: None,
            data,
        }));
    }
}
