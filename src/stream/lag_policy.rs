//! What a viewer gets that falls behind repeatedly. Pure: time comes in as a value.
//!
//! A jump to the newest join point helps who was held up once. Who is too slow for the stream falls behind again before
//! long, and sees video that freezes and leaps. Join points alone are a small part of the stream: with them it has a
//! frame that is whole and current, if only every second or so.

use std::time::{Duration, Instant};

/// So many overruns within [`WITHIN`] are no accident.
const OVERRUNS: usize = 3;
/// A reader that takes three quarters of a stream falls 4 s behind, which is what a ring keeps, every 16 s.
const WITHIN: Duration = Duration::from_secs(35);
/// How long a reduced reader must keep up with join points before it is trusted with everything; doubles each time that the
/// trust was wrong.
const TRIAL: Duration = Duration::from_secs(10);
/// Longest trial.
const LONGEST: Duration = Duration::from_secs(160);

/// How well a reader keeps up.
#[derive(Debug)]
pub struct LagPolicy {
    state: State,
    /// The newest overruns, the oldest of them first.
    overruns: [Option<Instant>; OVERRUNS],
    trial: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It gets everything; back from a reduction since then.
    Full { restored: Option<Instant> },
    /// It gets join points only, and has kept up with them since then.
    Reduced { since: Instant },
}

/// What changes for a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LagAction {
    /// From now on it gets join points only.
    Reduce,
    /// From now on it gets everything again.
    Restore,
}

impl Default for LagPolicy {
    fn default() -> Self {
        Self { state: State::Full { restored: None }, overruns: [None; OVERRUNS], trial: TRIAL }
    }
}

impl LagPolicy {
    /// The reader lost data because it was too slow.
    pub fn overrun(&mut self, now: Instant) -> Option<LagAction> {
        let State::Full { restored } = self.state else {
            self.state = State::Reduced { since: now };
            return None;
        };
        self.overruns.rotate_left(1);
        if let Some(newest) = self.overruns.last_mut() {
            *newest = Some(now);
        }
        let is_habit = self.overruns.first().copied().flatten().is_some_and(|oldest| age(oldest, now) <= WITHIN);
        is_habit.then(|| {
            // One that did well for long was held up by something new.
            let was_wrong = restored.is_some_and(|restored| age(restored, now) <= 2 * WITHIN);
            self.trial = if was_wrong { (self.trial * 2).min(LONGEST) } else { TRIAL };
            self.state = State::Reduced { since: now };
            LagAction::Reduce
        })
    }

    /// Time goes by.
    pub fn look(&mut self, now: Instant) -> Option<LagAction> {
        let State::Reduced { since } = self.state else { return None };
        (age(since, now) >= self.trial).then(|| {
            self.state = State::Full { restored: Some(now) };
            self.overruns = [None; OVERRUNS];
            LagAction::Restore
        })
    }
}

fn age(of: Instant, now: Instant) -> Duration {
    now.saturating_duration_since(of)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Seconds of overruns, and the seconds when the reader is reduced (`-`) and restored (`+`).
    #[track_caller]
    fn check(overruns: &[u64], expected: &str) {
        let (begin, mut lag, mut steps) = (Instant::now(), LagPolicy::default(), Vec::new());
        for second in 0..600 {
            let now = begin + Duration::from_secs(second);
            let overrun = overruns.contains(&second).then(|| lag.overrun(now)).flatten();
            steps.extend(overrun.or(lag.look(now)).map(|step| match step {
                LagAction::Reduce => format!("-{second}"),
                LagAction::Restore => format!("+{second}"),
            }));
        }
        assert_eq!(steps.join(" "), expected, "{overruns:?}");
    }

    #[test]
    fn who_falls_behind_again_and_again_is_reduced_until_it_keeps_up() {
        check(&[], "");
        check(&[5, 10], "");
        check(&[0, 20, 40, 60], "");
        check(&[5, 10, 15], "-15 +25");
        check(&[1, 18, 36], "-36 +46");
        // What it loses meanwhile makes it wait longer.
        check(&[5, 10, 15, 20, 28], "-15 +38");
        // Trust that was wrong makes the next trial longer.
        check(&[5, 10, 15, 30, 35, 40], "-15 +25 -40 +60");
        check(&[5, 10, 15, 30, 35, 40, 65, 70, 75], "-15 +25 -40 +60 -75 +115");
        // Long after, it is as one that never was slow.
        check(&[5, 10, 15, 30, 35, 40, 200, 205, 210], "-15 +25 -40 +60 -210 +220");
    }

    proptest! {
        #[test]
        fn steps_take_turns_and_every_reduction_ends(overruns in prop::collection::vec(0u64..500, 0..60)) {
            let (begin, mut lag, mut is_reduced) = (Instant::now(), LagPolicy::default(), false);
            for second in 0..=500 + LONGEST.as_secs() {
                let now = begin + Duration::from_secs(second);
                for step in overruns.iter().filter(|at| **at == second).map(|_| lag.overrun(now)).collect::<Vec<_>>() {
                    prop_assert!(step.is_none_or(|step| step == LagAction::Reduce && !is_reduced));
                    is_reduced |= step.is_some();
                }
                let step = lag.look(now);
                prop_assert!(step.is_none_or(|step| step == LagAction::Restore && is_reduced));
                is_reduced &= step.is_none();
            }
            prop_assert!(!is_reduced);
        }
    }
}
