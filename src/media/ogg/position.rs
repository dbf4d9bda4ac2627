//! Positions of samples on a timeline that counts samples or frames, from times that jitter and jump.

use crate::media::Time;

/// A time that differs by less from the count is jitter, or was rounded: the count continues. In nanoseconds.
const JITTER: i64 = 20_000_000;
/// What may begin so much before the end of what was there, in nanoseconds: the count slows down until it fits.
const OVERLAP: i64 = 100_000_000;
/// The same of the first sample of a track, which is compared with those of other tracks: they may be ahead.
const LEAD: i64 = 2_000_000_000;
/// Longest pause that is shown to players after a break, in nanoseconds. Few of them survive an hour of nothing.
const MAX_PAUSE: i64 = 10_000_000_000;
/// What is left free after a jump, in nanoseconds: other tracks may have begun a little earlier.
const MARGIN: i64 = 100_000_000;

/// What the tracks of a stream have in common: where their timeline is, and how far it is moved.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// What is added to times, in nanoseconds: by the track that jumped last.
    shift: i64,
    /// The latest end of all samples of all tracks, in nanoseconds.
    end: Option<i64>,
    /// There is more than one track.
    pub(super) has_many: bool,
}

/// The count of one track.
#[derive(Debug)]
pub(super) struct Position {
    /// Counts a second, as a fraction.
    rate: (u32, u32),
    /// What is added to its times, in nanoseconds.
    shift: i64,
    /// The time of its last sample.
    last: Option<Time>,
    /// The count at the end of its last sample.
    end: Option<i64>,
}

impl Position {
    /// Of a track that has no samples yet. The rate must not be 0.
    pub(super) const fn new(rate: (u32, u32)) -> Self {
        Self { rate, shift: 0, last: None, end: None }
    }

    /// Whether there were no samples yet.
    pub(super) const fn is_new(&self) -> bool {
        self.end.is_none()
    }

    /// The count at the end of the last sample.
    #[cfg(test)]
    pub(super) fn end(&self) -> i64 {
        self.end.unwrap_or_default()
    }

    /// Places the next sample, which lasts `length` counts, at about this time. Returns the count at its end, which is never
    /// before that of the last one.
    pub(super) fn place(&mut self, time: Time, length: u32, is_break: bool, timeline: &mut Timeline) -> i64 {
        self.follow(time, is_break, timeline);
        let length = i64::from(length);
        let time = time.nanos().saturating_add(self.shift);
        let due = self.count(time).max(0);
        let begin = match self.end {
            None => due,
            Some(end) => {
                let early = self.nanos(end).saturating_sub(time);
                if early.saturating_abs() < self.jitter() { end } else { due.max(end.saturating_sub((length + 1) / 2)) }
            }
        };
        let end = begin.saturating_add(length);
        self.end = Some(end);
        let end_time = self.nanos(end);
        timeline.end = Some(timeline.end.map_or(end_time, |latest| latest.max(end_time)));
        end
    }

    /// Decides how far its times are moved.
    fn follow(&mut self, time: Time, is_break: bool, timeline: &mut Timeline) {
        let step = self.last.replace(time).map(|last| time.since(last));
        if !is_break && step.is_some_and(|step| (-OVERLAP..=MAX_PAUSE).contains(&step)) {
            return;
        }
        let time = time.nanos();
        let (end, overlap) = match (self.end, timeline.end) {
            (Some(end), _) => (self.nanos(end), OVERLAP),
            (None, Some(end)) => (end, LEAD),
            (None, None) => return,
        };
        let pause = |shift: i64| time.saturating_add(shift).saturating_sub(end);
        let fits = |shift: &i64| (-overlap..=MAX_PAUSE).contains(&pause(*shift));
        let own = if step.is_some() { self.shift } else { timeline.shift };
        let shift = [timeline.shift, own].into_iter().find(fits);
        // A pause that was not flagged as a break is one.
        let shift = shift.or_else(|| (!is_break && pause(own) > MAX_PAUSE).then_some(own));
        self.shift = shift.unwrap_or_else(|| {
            let margin = if timeline.has_many { MARGIN } else { 0 };
            timeline.shift = timeline.end.unwrap_or(end).saturating_add(margin).saturating_sub(time);
            timeline.shift
        });
    }

    /// A time that differs by less from the count is not followed. Frames are counted whole.
    fn jitter(&self) -> i64 {
        JITTER.max(self.nanos(3) / 4)
    }

    /// The count at a time in nanoseconds, rounded to the nearest.
    fn count(&self, nanos: i64) -> i64 {
        let (rate, divisor) = (i128::from(self.rate.0.max(1)), i128::from(self.rate.1.max(1)) * 1_000_000_000);
        narrow((i128::from(nanos) * rate + divisor / 2).div_euclid(divisor))
    }

    /// The time of a count in nanoseconds, rounded down.
    fn nanos(&self, count: i64) -> i64 {
        let (rate, divisor) = (i128::from(self.rate.0.max(1)), i128::from(self.rate.1.max(1)) * 1_000_000_000);
        narrow((i128::from(count) * divisor).div_euclid(rate))
    }
}

fn narrow(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: i64 = 1_000_000_000;

    /// Ends of samples of 20 ms at 48 kHz that come at these milliseconds; `b` marks a break.
    fn ends(times: &[(i64, bool)]) -> Vec<i64> {
        let (mut position, mut timeline) = (Position::new((48_000, 1)), Timeline::default());
        times
            .iter()
            .map(|(at, is_break)| position.place(Time::from_millis(*at), 960, *is_break, &mut timeline))
            .collect()
    }

    #[test]
    fn counts_follow_times_but_not_their_jitter() {
        #[track_caller]
        fn check(times: &[i64], expected: &[i64]) {
            let times: Vec<_> = times.iter().map(|at| (*at, false)).collect();
            assert_eq!(ends(&times), expected.iter().map(|end| end * 48).collect::<Vec<_>>());
        }
        check(&[0, 20, 40], &[20, 40, 60]);
        check(&[0, 35, 21, 79], &[20, 40, 60, 80]);
        check(&[100, 120, 500, 520], &[120, 140, 520, 540]);
        // Too much came: what follows is placed half as far until it fits.
        check(&[0, 0, 20, 40, 60], &[20, 30, 50, 70, 90]);
        check(&[-500, -480], &[20, 30]);
    }

    #[test]
    fn breaks_never_step_back_and_show_pauses_that_players_survive() {
        for (times, expected) in [
            (vec![(1000, false), (1020, true)], [1020, 1040]),
            (vec![(1000, false), (4000, true)], [1020, 4020]),
            (vec![(1000, false), (90_000, true)], [1020, 1040]),
            // It is not flagged as a break: the source was silent for so long.
            (vec![(1000, false), (90_000, false)], [1020, 90_020]),
            (vec![(90_000, false), (0, true)], [90_020, 90_040]),
            (vec![(90_000, false), (0, false)], [90_020, 90_040]),
        ] {
            assert_eq!(ends(&times), expected.map(|end| end * 48), "{times:?}");
        }
    }

    #[test]
    fn tracks_stay_together_over_a_jump() {
        for jump in [-3600 * SECOND, -SECOND, 3 * SECOND, 3600 * SECOND] {
            let mut timeline = Timeline { has_many: true, ..Timeline::default() };
            let mut video = Position::new((25, 1));
            let mut audio = Position::new((48_000, 1));
            let place = |position: &mut Position, time: i64, length, is_break, timeline: &mut Timeline| {
                let end = position.place(Time::from_nanos(5000 * SECOND + time), length, is_break, timeline);
                position.nanos(end - i64::from(length)) - time
            };
            let (mut last, mut moved) = (0, 0);
            for frame in 0..100 {
                let base = frame * SECOND / 25 + if frame >= 50 { jump } else { 0 };
                moved = place(&mut video, base, 1, frame == 50, &mut timeline);
                // Audio comes 60 ms late.
                let audio_frame = frame - 2;
                if audio_frame >= 0 {
                    let base = audio_frame * SECOND / 25 + if audio_frame >= 50 { jump } else { 0 };
                    last = place(&mut audio, base, 1920, audio_frame == 50, &mut timeline);
                }
            }
            assert!((last - moved).abs() < JITTER * 2, "{jump}: {last} {moved}");
        }
    }

    #[test]
    fn frames_that_were_dropped_are_counted() {
        let (mut position, mut timeline) = (Position::new((25, 1)), Timeline::default());
        let times = [0, 45, 79, 160, 200, 240];
        let ends = times.map(|at| position.place(Time::from_millis(at), 1, false, &mut timeline));
        assert_eq!(ends, [1, 2, 3, 5, 6, 7]);
        // More frames than the header promises: time stands still now and then.
        let (mut position, mut timeline) = (Position::new((25, 1)), Timeline::default());
        let end = (0..500).map(|n| position.place(Time::from_millis(n * 20), 1, false, &mut timeline)).last();
        assert!(end.is_some_and(|end| (248..=253).contains(&end)), "{end:?}");
    }

    proptest! {
        #[test]
        fn any_times_give_positions_that_do_not_fall(
            samples in prop::collection::vec((any::<i64>(), 0u32..5000, any::<bool>(), 0usize..2), 1..99), rate: (u32, u32),
        ) {
            let mut positions = [Position::new(rate), Position::new((48_000, 1))];
            let mut timeline = Timeline::default();
            for (time, length, is_break, track) in samples {
                let last = positions[track].end();
                prop_assert!(positions[track].place(Time::from_nanos(time), length, is_break, &mut timeline) >= last);
            }
        }
    }
}
