//! One track of a movie on its way: from its samples in the file to those in canonical form.

use super::{Located, fragment::Progress, movie};
use crate::media::{
    Time, TrackId, TrackInfo,
    codec::canonical::Canonicalizer,
    sample::Sample,
    track::{AudioShape, Shape, VideoShape},
};
use bytes::Bytes;
use std::time::Duration;

/// A longer step after a header is a break, in nanoseconds.
const MAX_STEP: i64 = 1_000_000_000;

/// A track.
#[derive(Debug)]
pub(super) struct Track {
    id: TrackId,
    canonicalizer: Canonicalizer,
    /// What the container says of it, and whether that is how wide a pixel is.
    shape: Shape,
    has_aspect: bool,
    info: Option<TrackInfo>,
    timescale: u32,
    /// What is added to all times, in ticks.
    offset: i64,
    /// What is taken off decode times, so that nothing is shown before it is decoded, in ticks.
    lag: i64,
    /// Decode time of the last sample.
    last: Option<Time>,
    is_interrupted: bool,
    /// There was a header after the last sample: the next one shows whether time continues.
    begins_again: bool,
    pub(super) progress: Progress,
}

/// What comes of a sample.
#[derive(Debug)]
pub(super) struct Taken {
    /// When it is decoded.
    pub(super) time: Time,
    /// The track is known now, or is another one than before.
    pub(super) has_changed: bool,
    /// `None` if nothing can be done with it.
    pub(super) sample: Option<Sample>,
}

impl Track {
    /// The track with this place in its movie.
    pub(super) fn new(at: usize, track: movie::Track, lag: i64) -> Self {
        let description = track.description;
        let mut new = Self {
            id: TrackId(u8::try_from(at).unwrap_or(u8::MAX)),
            canonicalizer: Canonicalizer::new(description.form),
            shape: description.shape,
            has_aspect: description.has_aspect,
            info: None,
            timescale: track.timescale,
            offset: track.offset,
            lag,
            last: None,
            is_interrupted: false,
            begins_again: false,
            progress: Progress { number: track.number, defaults: track.defaults, next: 0 },
        };
        new.learn();
        new
    }

    /// What is known of it; `None` before a sample said it, if the movie did not.
    pub(super) fn info(&self) -> Option<&TrackInfo> {
        self.info.as_ref()
    }

    /// Samples were lost.
    pub(super) fn interrupt(&mut self) {
        self.is_interrupted = true;
    }

    /// A header came that says the same of it.
    pub(super) fn begin_again(&mut self) {
        self.begins_again = self.last.is_some();
    }

    /// Whether the other one may be the same track with other parameters.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        (self.progress.number, self.timescale) == (other.progress.number, other.timescale)
    }

    /// It may continue where the other one was.
    pub(super) fn follow(&mut self, other: &Self) {
        (self.last, self.is_interrupted) = (other.last, other.is_interrupted);
        self.progress.next = other.progress.next;
        self.lag = self.lag.max(other.lag);
        self.begin_again();
    }

    /// A sample to come is shown so much later than it is decoded, in ticks: if that is earlier, all are decoded earlier.
    pub(super) fn shows(&mut self, composition: i64) {
        self.lag = self.lag.max(composition.saturating_neg());
    }

    /// Takes the next sample.
    pub(super) fn take(&mut self, located: &Located, data: &[u8]) -> Taken {
        let decode = located.decode.saturating_add(self.offset);
        let ticks = |ticks| Time::from_ticks(ticks, self.timescale);
        let dts = ticks(decode.saturating_sub(self.lag));
        if std::mem::take(&mut self.begins_again) {
            let step = self.last.map(|last| dts.since(last));
            self.is_interrupted |= step.is_none_or(|step| step <= 0 || step > MAX_STEP);
            self.last = None;
        }
        let dts = match self.last {
            Some(last) if dts <= last && last.since(dts) < Time::from_ticks(self.lag, self.timescale).nanos() => {
                last.shifted(1)
            }
            _ => dts,
        };
        let pts = ticks(decode.saturating_add(located.composition)).max(dts);
        let canonical = self.canonicalizer.push(Bytes::copy_from_slice(data));
        let has_changed =
            canonical.as_ref().is_some_and(|canonical| canonical.parameters_changed || self.info.is_none())
                && self.learn();
        let Some(canonical) = canonical.filter(|_| self.info.is_some()) else {
            return Taken { time: dts, has_changed, sample: None };
        };
        self.last = Some(dts);
        let length = Time::from_ticks(located.duration.into(), self.timescale).nanos();
        let sample = Sample {
            track: self.id,
            dts,
            pts,
            duration: u64::try_from(length).ok().filter(|length| *length > 0).map(Duration::from_nanos),
            // What the bytes say counts: some writers say of all samples that they are sync samples, or of none.
            is_sync: canonical.is_sync,
            discontinuity: std::mem::take(&mut self.is_interrupted),
            captured: None,
            entered: None,
            data: canonical.data,
        };
        Taken { time: dts, has_changed, sample: Some(sample) }
    }

    /// Looks at what is known of the codec now; whether that is something else.
    fn learn(&mut self) -> bool {
        let Some((codec, shape)) = self.canonicalizer.parameters() else { return false };
        let shape = match (shape, self.shape) {
            (Shape::Video(own), Shape::Video(told)) => Shape::Video(VideoShape {
                width: if own.width == 0 { told.width } else { own.width },
                height: if own.height == 0 { told.height } else { own.height },
                pixel_aspect: if self.has_aspect { told.pixel_aspect } else { own.pixel_aspect },
                frame_rate: own.frame_rate,
            }),
            (Shape::Audio(own), Shape::Audio(told)) => Shape::Audio(AudioShape {
                rate: if own.rate == 0 { told.rate } else { own.rate },
                channels: if own.channels == 0 { told.channels } else { own.channels },
            }),
            (own, _) => own,
        };
        let info = TrackInfo { id: self.id, codec: codec.clone(), shape };
        let is_other = self.info.as_ref() != Some(&info);
        self.info = Some(info);
        is_other
    }
}
