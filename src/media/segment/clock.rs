//! The date that belongs to a time of the media.

/// A larger step of the date is a jump of the source, in nanoseconds; a smaller one is jitter and drift.
const JUMP: i64 = 200_000_000;
/// Most of a smaller step that is followed for each segment, in nanoseconds. Players take each step for drift.
const FOLLOWED: i64 = 2_000_000;

/// Maps times of the media to dates, both in nanoseconds.
#[derive(Debug, Default)]
pub(super) struct MediaClock {
    /// Date of time 0.
    offset: Option<i64>,
}

impl MediaClock {
    /// Media of this time was captured at this date.
    pub(super) fn observe(&mut self, time: i64, captured: i64) {
        let found = captured.saturating_sub(time);
        let step = found.saturating_sub(self.offset.unwrap_or(found));
        self.offset = match self.offset {
            Some(offset) if step.saturating_abs() <= JUMP => Some(offset + step.clamp(-FOLLOWED, FOLLOWED)),
            _ => Some(found),
        };
    }

    /// The timeline of the media jumped.
    pub(super) fn reset(&mut self) {
        self.offset = None;
    }

    /// The date of media of this time.
    pub(super) fn date(&self, time: i64) -> Option<i64> {
        self.offset.map(|offset| offset.saturating_add(time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: i64 = 1_000_000;

    #[test]
    fn jitter_is_smoothed_and_a_jump_is_followed() {
        let mut clock = MediaClock::default();
        assert_eq!(clock.date(0), None);
        let dates = [(0, 1000), (2000, 3001), (4000, 5050), (6000, 6999), (8000, 19_000)].map(|(time, captured)| {
            clock.observe(time * MILLI, captured * MILLI);
            clock.date(time * MILLI).unwrap() / MILLI
        });
        assert_eq!(dates, [1000, 3001, 5003, 7001, 19_000]);
    }
}
