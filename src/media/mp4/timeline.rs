//! One timeline for all tracks, without the jumps of the source.
//!
//! A player that meets a jump back drops all up to where it was, and one that meets a jump far ahead waits for as long. So a
//! jump is closed: what follows it continues where the newest sample of all tracks ended. All tracks are moved alike, so
//! that they stay in step, each from its own first sample after the jump on.

use crate::media::sample::Sample;
use std::time::Duration;

const SECOND: i64 = 1_000_000_000;
/// A longer gap is closed.
const MAX_GAP: i64 = 10 * SECOND;
/// Time that goes back by more than this jumps, even if the source does not say so.
const MAX_BACK: i64 = SECOND;
/// How long a sample lasts of which nothing is known.
const USUAL: i64 = SECOND / 25;

/// Moves the times of all tracks.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// Nanoseconds that are added after the newest jump.
    shift: i64,
    /// When the newest sample of all ends.
    end: i64,
}

/// Where one track is.
#[derive(Debug, Default)]
pub(super) struct Place {
    shift: i64,
    /// Decode time of the last sample, as the source said it.
    last: Option<i64>,
    /// Between the last two.
    step: Option<i64>,
}

impl Timeline {
    /// When a sample is decoded and shown, in nanoseconds.
    pub(super) fn place(&mut self, place: &mut Place, sample: &Sample) -> (i64, i64) {
        let decode = sample.dts.nanos();
        match place.last {
            None => place.shift = self.shift,
            Some(last) => {
                let step = decode.saturating_sub(last);
                let is_far = step > MAX_GAP && place.shift != self.shift;
                if sample.discontinuity || step < -MAX_BACK || is_far {
                    let own = last.saturating_add(place.shift);
                    let next = decode.saturating_add(self.shift);
                    let follows = (0..=MAX_GAP).contains(&next.saturating_sub(own));
                    let is_near = (-MAX_BACK..=MAX_GAP).contains(&next.saturating_sub(self.end));
                    if !follows && !is_near {
                        self.shift = self.end.saturating_sub(decode);
                    }
                    place.shift = self.shift;
                } else if (0..=SECOND).contains(&step) {
                    place.step = Some(step);
                }
            }
        }
        place.last = Some(decode);
        let told = sample.duration.and_then(nanos).filter(|length| *length <= SECOND);
        let (decode, shown) = (decode.saturating_add(place.shift), sample.pts.nanos().saturating_add(place.shift));
        self.end = self.end.max(decode.saturating_add(told.or(place.step).unwrap_or(USUAL)));
        (decode, shown)
    }
}

fn nanos(duration: Duration) -> Option<i64> {
    i64::try_from(duration.as_nanos()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{Time, TrackId};
    use bytes::Bytes;
    use proptest::prelude::*;

    fn sample(dts: Time, discontinuity: bool) -> Sample {
        let (track, is_sync) = (TrackId(0), true);
        let duration = Some(Duration::from_millis(40));
        Sample {
            track,
            dts,
            pts: dts,
            duration,
            is_sync,
            discontinuity,
            captured: None,
            entered: None,
            data: Bytes::new(),
        }
    }

    /// The milliseconds at which samples of two tracks are decoded: track, milliseconds, whether the source says that it jumped.
    fn placed(samples: &[(usize, i64, bool)]) -> Vec<i64> {
        let (mut timeline, mut places) = (Timeline::default(), [Place::default(), Place::default()]);
        let placed = samples.iter().map(|(track, millis, jumps)| {
            let sample = sample(Time::from_millis(*millis), *jumps);
            timeline.place(&mut places[*track], &sample).0 / 1_000_000
        });
        placed.collect()
    }

    #[test]
    fn a_jump_is_closed_for_all_tracks_alike() {
        let back =
            [(0, 50_000, false), (1, 50_005, false), (0, 0, true), (1, 50_025, false), (1, 8, true), (0, 40, false)];
        assert_eq!(placed(&back), [50_000, 50_005, 50_045, 50_025, 50_053, 50_085]);
        let ahead =
            [(0, 0, false), (1, 5, false), (1, 90_000_000, true), (0, 89_999_990, true), (0, 90_000_030, false)];
        assert_eq!(placed(&ahead), [0, 5, 45, 35, 75]);
        // The source does not say it.
        assert_eq!(placed(&[(0, 9000, false), (0, 0, false), (0, 40, false)]), [9000, 9040, 9080]);
    }

    #[test]
    fn a_pause_stays_and_so_does_a_track_that_is_late() {
        assert_eq!(placed(&[(0, 0, false), (0, 9000, true)]), [0, 9000]);
        assert_eq!(placed(&[(0, 0, false), (0, 60_000, false)]), [0, 60_000], "a slow camera");
        let late = [(1, 0, false), (0, 9000, false), (1, 2000, true), (1, 2020, false)];
        assert_eq!(placed(&late), [0, 9000, 2000, 2020]);
    }

    proptest! {
        #[test]
        fn any_jumps_are_survived(samples in prop::collection::vec((0usize..2, any::<i64>(), any::<bool>()), 1..50)) {
            let (mut timeline, mut places) = (Timeline::default(), [Place::default(), Place::default()]);
            for (track, nanos, jumps) in samples {
                timeline.place(&mut places[track], &sample(Time::from_nanos(nanos), jumps));
            }
        }
    }
}
