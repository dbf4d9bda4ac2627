//! The decoding times of a rendition. Pure.

use crate::media::{Sample, Time, TrackId};
use std::time::Duration;

/// A step back of audio, in nanoseconds, that is an error of rounding: of the milliseconds of a container.
const ROUNDING: i64 = 2_000_000;
/// How far audio may begin before the end of what was before, in nanoseconds. More is a clock that jumped.
const OVERLAP: i64 = 1_000_000_000;

/// Keeps decoding times growing over runs of the sources.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// For each track: the newest decoding time that was written.
    pub(super) newest: Vec<(TrackId, Time)>,
    /// Added to the times of the present runs.
    shift: i64,
    /// The next sample may begin before the last one of an earlier run.
    restarted: bool,
}

impl Timeline {
    /// A run begins: its times may be any.
    pub(super) fn restart(&mut self) {
        self.restarted = true;
    }

    /// Moves a sample after the last one of its track. All tracks move by the same, so that they stay together. `false` for audio of a
    /// time that has been written: it is dropped.
    pub(super) fn place(&mut self, sample: &mut Sample, frame: Option<Duration>, is_video: bool) -> bool {
        if std::mem::take(&mut self.restarted) {
            self.shift = 0;
            // Other tracks may begin a little earlier than this one.
            let newest = self.newest.iter().map(|(_, newest)| *newest).max();
            let behind = newest.map_or(0, |newest| newest.since(sample.dts));
            if behind >= 0 && newest.is_some() {
                self.shift = behind + frame.map_or(20_000_000, |frame| frame.as_nanos() as i64);
            }
        }
        sample.dts = sample.dts.shifted(self.shift);
        sample.pts = sample.pts.shifted(self.shift);
        match self.newest.iter_mut().find(|(track, _)| *track == sample.track) {
            Some((_, newest)) => {
                let back = newest.since(sample.dts);
                if !is_video && back > ROUNDING && back < OVERLAP {
                    return false;
                }
                if back >= 0 && !sample.discontinuity {
                    let dts = newest.shifted(1_000_000);
                    sample.pts = sample.pts.max(dts);
                    sample.dts = dts;
                }
                *newest = sample.dts;
            }
            None => self.newest.push((sample.track, sample.dts)),
        }
        true
    }
}
