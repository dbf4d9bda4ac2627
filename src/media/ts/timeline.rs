//! Timestamps of 33 bits as instants (ISO/IEC 13818-1, section 2.4.3.6).

use super::clock::{WRAP, distance};
use super::pes::CLOCK;
use crate::media::Time;

/// Unrolls the timestamps of a program: each is taken as near as can be to the one that was seen last, of any track.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// In ticks since the wrap before the first one.
    last: Option<i64>,
}

impl Timeline {
    /// PTS and DTS of a PES packet; a DTS that is missing is the PTS.
    pub(super) fn stamps(&mut self, pts: Option<u64>, dts: Option<u64>) -> (Option<Time>, Option<Time>) {
        let Some(pts) = pts else { return (None, None) };
        let dts = self.at(dts.unwrap_or(pts));
        let pts = near(dts, pts);
        (Some(time(pts)), Some(time(dts)))
    }

    fn at(&mut self, stamp: u64) -> i64 {
        let ticks = self.last.map_or(stamp as i64, |last| near(last, stamp));
        self.last = Some(ticks);
        ticks
    }
}

/// The instant nearest to `last` that has this timestamp.
fn near(last: i64, stamp: u64) -> i64 {
    last.saturating_add(distance(last.rem_euclid(WRAP as i64) as u64, stamp))
}

fn time(ticks: i64) -> Time {
    Time::from_ticks(ticks, CLOCK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wraps_are_unrolled_in_both_directions() {
        let mut timeline = Timeline::default();
        let mut ticks = |pts: u64, dts: Option<u64>| {
            let (pts, dts) = timeline.stamps(Some(pts % WRAP), dts.map(|dts| dts % WRAP));
            (pts.unwrap().ticks(CLOCK), dts.unwrap().ticks(CLOCK))
        };
        let wrap = WRAP as i64;
        assert_eq!(ticks(WRAP - 90, None), (wrap - 90, wrap - 90));
        assert_eq!(ticks(WRAP + 10, Some(WRAP - 20)), (wrap + 10, wrap - 20));
        assert_eq!(ticks(WRAP + 3000, None), (wrap + 3000, wrap + 3000));
        // Audio that is behind, of before the wrap.
        assert_eq!(ticks(WRAP - 500, None), (wrap - 500, wrap - 500));
        assert_eq!(ticks(WRAP + 6000, Some(WRAP + 3000)), (wrap + 6000, wrap + 3000));
        assert_eq!(timeline.stamps(None, Some(5)), (None, None));
    }
}
