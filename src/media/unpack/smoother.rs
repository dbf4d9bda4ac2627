//! The times of a recording, made continuous: wild ones are replaced, jumps are taken out, for all tracks alike.

use crate::media::{Time, TrackId};

/// A step between two samples of a track that a recording may have, in nanoseconds: a scene that was not received, or a slow camera.
const MAX_GAP: i64 = 10_000_000_000;
/// Tracks without DTS go back by some frames.
const MAX_BACK: i64 = 500_000_000;
/// How far from where it is expected a sample may be that confirms a jump.
const NEAR: i64 = 3_000_000_000;
/// From one sample to the next, while nothing is known.
const STEP: i64 = 40_000_000;
/// The longest usual step.
const MAX_STEP: i64 = 1_000_000_000;

/// Maps the DTS of samples, in the order of a recording, to a timeline that begins at zero.
#[derive(Debug, Default)]
pub struct Smoother {
    /// What is added now, if anything came.
    shift: Option<i64>,
    tracks: Vec<Track>,
}

#[derive(Debug)]
struct Track {
    id: TrackId,
    shift: i64,
    /// Of the last sample, on the new timeline.
    last: i64,
    step: i64,
    /// A sample was elsewhere: its DTS, and what it was given. The next one shows whether the recording continues there.
    doubt: Option<(i64, i64)>,
    /// The last sample followed another track to where that had jumped.
    is_adopted: bool,
}

impl Smoother {
    /// The earliest of the first samples, in nanoseconds; it becomes zero. Without it the first sample does.
    pub fn begin(&mut self, earliest: Time) {
        self.shift.get_or_insert(0i64.saturating_sub(earliest.nanos()));
    }

    /// What to add to DTS and PTS of a sample, in nanoseconds.
    pub fn shift(&mut self, id: TrackId, dts: Time) -> i64 {
        let dts = dts.nanos();
        let newest = *self.shift.get_or_insert(0i64.saturating_sub(dts));
        let Some(track) = self.tracks.iter_mut().find(|track| track.id == id) else {
            let last = dts.saturating_add(newest);
            self.tracks.push(Track { id, shift: newest, last, step: STEP, doubt: None, is_adopted: false });
            return newest;
        };
        let shift = track.place(dts, newest);
        if track.shift != newest && track.doubt.is_none() {
            self.shift = Some(track.shift);
            let raised = track.shift;
            if track.is_adopted {
                // All tracks move on together, so that none goes back and they stay where they are to each other.
                self.tracks.iter_mut().filter(|track| track.shift == newest).for_each(|track| track.shift = raised);
            }
        }
        shift
    }
}

impl Track {
    fn place(&mut self, dts: i64, newest: i64) -> i64 {
        self.is_adopted = false;
        let at = |shift: i64| dts.saturating_add(shift);
        let follows = |last: i64, time: i64| (-MAX_BACK..=MAX_GAP).contains(&time.saturating_sub(last));
        let is_near = |last: i64, time: i64| time.saturating_sub(last).saturating_abs() <= NEAR;
        if let Some((elsewhere, given)) = self.doubt.take() {
            // It continues there, and not where it was.
            let there = given.saturating_sub(elsewhere);
            if follows(given, at(there)) && !is_near(self.last, at(self.shift)) {
                if newest != self.shift && is_near(self.last, at(newest)) {
                    return self.adopt(dts, newest);
                }
                self.shift = there;
                return self.go_on(dts, there);
            }
        }
        if follows(self.last, at(self.shift)) {
            return self.go_on(dts, self.shift);
        }
        // Another track has jumped there before.
        if newest != self.shift && is_near(self.last, at(newest)) {
            return self.adopt(dts, newest);
        }
        let given = self.last.saturating_add(self.step);
        self.doubt = Some((dts, given));
        self.last = given;
        given.saturating_sub(dts)
    }

    /// Follows another track to where that has jumped, and as much further as this one needs to continue without a step back.
    fn adopt(&mut self, dts: i64, newest: i64) -> i64 {
        let due = self.last.saturating_add(self.step);
        let missing = due.saturating_sub(dts.saturating_add(newest)).max(0);
        self.shift = newest.saturating_add(missing);
        self.is_adopted = true;
        self.go_on(dts, self.shift)
    }

    fn go_on(&mut self, dts: i64, shift: i64) -> i64 {
        let time = dts.saturating_add(shift);
        let step = time.saturating_sub(self.last);
        if (1..=MAX_STEP).contains(&step) {
            self.step = step;
        }
        self.last = time;
        shift
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const VIDEO: TrackId = TrackId(0);
    const AUDIO: TrackId = TrackId(1);
    const MS: i64 = 1_000_000;

    /// The times that samples are given, in milliseconds.
    fn check(samples: &[(TrackId, i64)], expect: &[i64]) {
        let mut smoother = Smoother::default();
        let found: Vec<_> =
            samples.iter().map(|(track, at)| at + smoother.shift(*track, Time::from_millis(*at)) / MS).collect();
        assert_eq!(found, expect);
    }

    fn video(times: &[i64]) -> Vec<(TrackId, i64)> {
        times.iter().map(|at| (VIDEO, *at)).collect()
    }

    #[test]
    fn times_begin_at_zero_and_gaps_stay() {
        check(&video(&[5000, 5040, 5080, 9080, 9120]), &[0, 40, 80, 4080, 4120]);
        // One frame in five seconds.
        check(&video(&[0, 5000, 10_000, 15_000]), &[0, 5000, 10_000, 15_000]);
    }

    #[test]
    fn a_wild_time_costs_no_more_than_itself() {
        for wild in [37_600_000, -37_600_000, 20_000, -900] {
            check(&video(&[0, 40, 80, wild, 160, 200]), &[0, 40, 80, 120, 160, 200]);
            check(&video(&[0, 40, 80, wild, wild + 50_000, 200, 240]), &[0, 40, 80, 120, 160, 200, 240]);
        }
    }

    #[test]
    fn a_jump_is_taken_out_for_all_tracks() {
        for jump in [100_000, -100_000, 3_600_000] {
            let samples = [
                (VIDEO, 0),
                (AUDIO, 10),
                (VIDEO, 40),
                (AUDIO, 50),
                (VIDEO, 80 + jump),
                (AUDIO, 90),
                (VIDEO, 120 + jump),
                (AUDIO, 130 + jump),
                (VIDEO, 160 + jump),
                (AUDIO, 170 + jump),
            ];
            check(&samples, &[0, 10, 40, 50, 80, 90, 120, 130, 160, 170]);
        }
    }

    #[test]
    fn no_track_goes_back_at_a_jump() {
        // Frames of AAC do not end where those of video do. Whichever track comes first in the new time, the other has come further.
        for (audio, jump) in [(21, -100_000), (21, 100_000), (23, -5000), (64, -100_000)] {
            for later in 0..8 {
                let mut samples: Vec<_> = (0..50).map(|number| (VIDEO, number * 40)).collect();
                samples.extend((0..2000 / audio + later).map(|number| (AUDIO, number * audio)));
                samples.sort_by_key(|(_, at)| *at);
                let mut second: Vec<_> = (0..50).map(|number| (VIDEO, number * 40 + jump)).collect();
                second.extend((0..2000 / audio).map(|number| (AUDIO, number * audio + jump)));
                second.sort_by_key(|(_, at)| *at);
                let mut smoother = Smoother::default();
                let (mut last, mut offsets) = ([None; 2], [0; 2]);
                for (track, at) in samples.into_iter().chain(second) {
                    let time = at * MS + smoother.shift(track, Time::from_millis(at));
                    let place = usize::from(track.0);
                    let step = if track == VIDEO { 40 } else { audio };
                    let before = last[place].replace(time);
                    assert!(
                        before.is_none_or(|before| time - before >= step * MS),
                        "{audio} {jump} {later}: {before:?} {time}"
                    );
                    offsets[place] = time / MS - at;
                }
                // They are where they were to each other.
                assert_eq!(offsets[0], offsets[1], "{audio} {jump} {later}");
            }
        }
    }

    #[test]
    fn tracks_begin_where_they_are_to_each_other() {
        let mut smoother = Smoother::default();
        smoother.begin(Time::from_millis(900));
        assert_eq!(smoother.shift(VIDEO, Time::from_millis(1000)), -900 * MS);
        assert_eq!(smoother.shift(AUDIO, Time::from_millis(900)), -900 * MS);
    }

    proptest! {
        #[test]
        fn times_never_step_far(times in prop::collection::vec((0u8..3, any::<i32>()), 1..60)) {
            let mut smoother = Smoother::default();
            let mut last = [None; 3];
            for (track, at) in times {
                let at = i64::from(at);
                let time = at * MS + smoother.shift(TrackId(track), Time::from_millis(at));
                let before = last[usize::from(track)].replace(time);
                if let Some(before) = before {
                    prop_assert!((-NEAR..=MAX_GAP).contains(&(time - before)), "{before} {time}");
                }
            }
        }
    }
}
