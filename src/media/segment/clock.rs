//! The date that belongs to a time of the media.

use super::piece::Moment;

/// A larger step of the date is a jump of the source, in nanoseconds; a smaller one is jitter and drift.
const JUMP: i64 = 200_000_000;
/// Most of a smaller step that is followed for each segment, in nanoseconds. Players take each step for drift.
const FOLLOWED: i64 = 2_000_000;
/// Media may arrive so much later than usual, in nanoseconds, before that is taken for its date.
const HELD_UP: i64 = 10_000_000_000;

/// Maps times of the media to dates, both in nanoseconds.
#[derive(Debug, Default)]
pub(super) struct MediaClock {
    /// Date of time 0.
    offset: Option<i64>,
}

impl MediaClock {
    /// Media of this time has this moment.
    pub(super) fn observe(&mut self, time: i64, moment: Moment) {
        let (date, latest) = match moment {
            Moment::Captured(date) => (date, JUMP),
            Moment::Arrived(date) => (date, HELD_UP),
        };
        let found = date.saturating_sub(time);
        let step = found.saturating_sub(self.offset.unwrap_or(found));
        self.offset = match self.offset {
            Some(offset) if (-JUMP..=latest).contains(&step) => Some(offset + step.clamp(-FOLLOWED, FOLLOWED)),
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
            clock.observe(time * MILLI, Moment::Captured(captured * MILLI));
            clock.date(time * MILLI).unwrap() / MILLI
        });
        assert_eq!(dates, [1000, 3001, 5003, 7001, 19_000]);
    }

    #[test]
    fn media_that_is_held_up_on_its_way_keeps_its_date() {
        let mut clock = MediaClock::default();
        // A network stands still for five seconds, then all comes together; later the source begins elsewhere.
        let arrivals = [(0, 1000), (2000, 8000), (4000, 8001), (6000, 7000), (8000, 30_000), (10_000, 31_000)];
        let dates = arrivals.map(|(time, arrived)| {
            clock.observe(time * MILLI, Moment::Arrived(arrived * MILLI));
            clock.date(time * MILLI).unwrap() / MILLI
        });
        assert_eq!(dates, [1000, 3002, 5004, 7002, 30_000, 31_000]);
    }
}
