//! When a delivery that failed is tried again. Pure.

use std::time::Duration;

/// The pauses; the last one again and again.
const PAUSES: [u64; 6] = [1, 5, 30, 120, 600, 3600];
/// Tries of a program: one that always fails must not stop all that follows.
const TRIES_OF_PROGRAM: u32 = 5;

/// What a failed try means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// The receiver is not there, or cannot take it now. It may say when it can.
    Again(Option<Duration>),
    /// The receiver wants no more (410).
    Gone,
    /// A program failed.
    OfProgram,
}

/// What follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The same event once more after this.
    After(Duration),
    /// The next event.
    GiveUp,
    /// No more events.
    Disable,
}

/// Decides about the failure of try number `tries`, from 1.
pub(super) fn verdict(failure: Failure, tries: u32) -> Verdict {
    let pause = PAUSES.get(tries.saturating_sub(1) as usize).or(PAUSES.last()).map_or(0, |seconds| *seconds);
    let pause = Duration::from_secs(pause);
    let longest = Duration::from_secs(3600);
    match failure {
        Failure::Gone => Verdict::Disable,
        Failure::OfProgram if tries >= TRIES_OF_PROGRAM => Verdict::GiveUp,
        Failure::Again(Some(wanted)) => Verdict::After(wanted.clamp(pause, longest)),
        Failure::Again(None) | Failure::OfProgram => Verdict::After(pause),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_an_hour() {
        let after = |failure, tries| match verdict(failure, tries) {
            Verdict::After(pause) => pause.as_secs(),
            other => panic!("{other:?}"),
        };
        let again = Failure::Again(None);
        assert_eq!(
            (1..=8).map(|tries| after(again, tries)).collect::<Vec<_>>(),
            [1, 5, 30, 120, 600, 3600, 3600, 3600]
        );
        let wanted = |seconds| Failure::Again(Some(Duration::from_secs(seconds)));
        assert_eq!((after(wanted(0), 2), after(wanted(60), 2), after(wanted(99_999), 2)), (5, 60, 3600));
        assert_eq!(verdict(Failure::Gone, 1), Verdict::Disable);
        assert_eq!((after(Failure::OfProgram, 4), verdict(Failure::OfProgram, 5)), (120, Verdict::GiveUp));
    }
}
