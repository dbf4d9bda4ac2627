//! Milliseconds of tags for samples of two tracks, over jumps of their timeline.

use crate::media::Time;

/// What the first sample has before it: audio that leaves its encoder later than video of the same moment would be
/// before the begin of the file otherwise. Encoders and parsers hold up to 60 ms of audio, resamplers more.
const RESERVE: i64 = 500;
/// A flagged jump further ahead than this is dropped: players wait for it or give up.
const MAX_GAP: i64 = 10_000;
/// A track that lags behind the newest tag by more has jumped back.
const MAX_LAG: i64 = 5000;
/// From the newest tag to the first one after a jump: about a frame.
const STEP: i64 = 20;

/// Times of tags. All are 0 or more, and none is before an earlier one of its track.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// The time that is 0 in the file, in nanoseconds; `None` before the first sample.
    origin: Option<i64>,
    /// The one before the last jump, which a track may still need that has not jumped yet.
    previous: i64,
    /// The latest time of a tag, in milliseconds.
    newest: i64,
    tracks: [Track; 2],
}

#[derive(Debug, Default)]
struct Track {
    /// Its latest time, in milliseconds.
    last: Option<i64>,
    /// Its samples may still be those from before the last jump.
    is_behind: bool,
}

/// When a sample is decoded, in milliseconds of the file, and how much later it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) time: i64,
    pub(super) composition: i32,
}

impl Timeline {
    /// The latest time of a tag, in milliseconds.
    pub(super) fn newest(&self) -> i64 {
        self.newest
    }

    /// The timestamp of the next sample of the first or second track. `is_flagged`: its timeline may have jumped.
    pub(super) fn place(&mut self, is_second: bool, dts: Time, pts: Time, is_flagged: bool) -> Stamp {
        let [first, second] = &mut self.tracks;
        let (track, other) = if is_second { (second, first) } else { (first, second) };
        let current = *self.origin.get_or_insert(dts.nanos().saturating_sub(RESERVE * 1_000_000));
        let at = |origin: i64| millis(dts, origin);
        let (least, most) =
            (track.last.unwrap_or(self.newest - MAX_LAG), if is_flagged { self.newest + MAX_GAP } else { i64::MAX });
        let fits = |origin: &i64| (least..=most).contains(&at(*origin));
        let before = Some(self.previous).filter(|_| track.is_behind);
        let origins = [Some(current), before].into_iter().flatten();
        let origin = match origins.filter(fits).min_by_key(|origin| at(*origin).abs_diff(self.newest)) {
            Some(origin) => origin,
            // Times that a source does not keep in order are no jump.
            None if !is_flagged && at(current) < least && at(current) >= least - MAX_LAG => current,
            None => {
                let time = self.newest + STEP;
                let origin = dts.nanos().saturating_sub(time.saturating_mul(1_000_000));
                self.previous = current;
                self.origin = Some(origin);
                other.is_behind = true;
                origin
            }
        };
        track.is_behind &= Some(origin) != self.origin;
        let time = at(origin).max(track.last.unwrap_or(0)).max(0);
        track.last = Some(time);
        self.newest = self.newest.max(time);
        let composition = millis(pts, origin).saturating_sub(time).max(0);
        Stamp { time, composition: i32::try_from(composition).unwrap_or(i32::MAX) }
    }
}

/// Rounded from the exact time, so that steps do not add up their errors.
fn millis(time: Time, origin: i64) -> i64 {
    Time::from_nanos(time.nanos().saturating_sub(origin)).millis()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: i64 = 3_600_000;

    /// Places samples of (second track, milliseconds, flagged).
    fn times(samples: &[(bool, i64, bool)]) -> Vec<i64> {
        let mut timeline = Timeline::default();
        let place = |&(is_second, dts, is_flagged): &(bool, i64, bool)| {
            let time = Time::from_millis(dts);
            timeline.place(is_second, time, time, is_flagged).time
        };
        samples.iter().map(place).collect()
    }

    #[test]
    fn audio_may_be_earlier_than_the_first_video() {
        assert_eq!(times(&[(false, HOUR, false), (true, HOUR - 60, false)]), [500, 440]);
        assert_eq!(times(&[(false, HOUR, false), (true, HOUR - 700, false)]), [500, 0]);
    }

    #[test]
    fn rounding_does_not_add_up() {
        let mut timeline = Timeline::default();
        for frame in 0..100_000i64 {
            let dts = Time::from_ticks(frame * 1001, 30_000);
            let pts = Time::from_ticks((frame + 2) * 1001, 30_000);
            let stamp = timeline.place(false, dts, pts, false);
            assert_eq!(stamp.time, 500 + dts.millis());
            assert_eq!(stamp.time + i64::from(stamp.composition), 500 + pts.millis());
        }
    }

    #[test]
    fn a_jump_of_both_tracks_is_left_out() {
        for jump in [HOUR, -HOUR, -1000] {
            let samples = [
                (false, 10_000, false),
                (true, 9960, false),
                (false, 10_040 + jump, true),
                // One of the time before the jump is late; the next has jumped, flagged or not.
                (true, 9980, false),
                (true, 10_020 + jump, jump == HOUR),
                (false, 10_080 + jump, false),
            ];
            assert_eq!(times(&samples), [500, 460, 520, 480, 500, 560], "{jump}");
        }
    }

    #[test]
    fn gaps_that_players_bear_stay() {
        assert_eq!(times(&[(false, 0, false), (false, 9000, true), (false, 60_000, false)]), [500, 9500, 60_500]);
    }

    #[test]
    fn small_disorder_is_evened_out() {
        assert_eq!(times(&[(false, 0, false), (false, -20, false), (false, 40, false)]), [500, 500, 540]);
        assert_eq!(times(&[(false, HOUR, false), (false, 0, false), (false, 40, false)]), [500, 520, 560]);
    }

    proptest! {
        #[test]
        fn times_grow_within_a_track(samples in prop::collection::vec((any::<bool>(), any::<i64>(), 0i64..90, any::<bool>()), 0..60)) {
            let mut timeline = Timeline::default();
            let mut last = [0, 0];
            for (is_second, dts, later, is_flagged) in samples {
                let dts = Time::from_nanos(dts);
                let stamp = timeline.place(is_second, dts, dts.shifted(later * 1_000_000), is_flagged);
                prop_assert!(stamp.time >= last[usize::from(is_second)] && stamp.composition >= 0);
                last[usize::from(is_second)] = stamp.time;
            }
        }
    }
}
