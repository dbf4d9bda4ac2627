//! The program clock reference of a stream that we mux (section 2.4.2.2).

/// How far the PCR is behind the DTS of the lead track, at least and at most, in nanoseconds.
const BEHIND: std::ops::RangeInclusive<i64> = 125_000_000..=1_000_000_000;
/// A tick of 90 kHz, rounded up, in nanoseconds.
const TICK: i64 = 11_112;

/// What comes later than this is not late: it is of another timeline, which a source jumped away from.
const MOST_LATE: i64 = 3_000_000_000;
/// A PCR that would go back further than this after the lead track changed belongs to another timeline.
const MOST_BACK: i64 = 1_000_000_000;

/// Generates the PCR, by which decoders know when a sample is due. It follows the lead track, so far behind that audio
/// which comes later than video, because its encoder buffers, is still in time. Times are nanoseconds.
#[derive(Debug)]
pub(super) struct PcrGenerator {
    behind: i64,
    /// DTS of the newest sample of the lead track.
    newest: Option<i64>,
    last: Option<i64>,
}

impl Default for PcrGenerator {
    fn default() -> Self {
        Self { behind: *BEHIND.start(), newest: None, last: None }
    }
}

impl PcrGenerator {
    /// The PCR at a sample of the lead track; `None` at those of other tracks.
    pub(super) fn at(&mut self, dts: i64, leads: bool) -> Option<i64> {
        if !leads {
            let late = self.newest.map_or(0, |newest| newest.saturating_sub(dts));
            if late <= MOST_LATE {
                // The next one may be even later.
                self.behind = self.behind.max(late + late / 4).min(*BEHIND.end());
            }
            return None;
        }
        let now = dts.saturating_sub(self.behind);
        let continues = match (self.newest.replace(dts), self.last) {
            (Some(before), _) => dts > before,
            (None, last) => last.is_some_and(|last| last.saturating_sub(now) < MOST_BACK),
        };
        let now = self.last.filter(|_| continues).map_or(now, |last| now.max(last.saturating_add(TICK)));
        self.last = Some(now);
        Some(now)
    }

    /// Another track leads from now on, which may be a little behind.
    pub(super) fn lead_changed(&mut self) {
        self.newest = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    #[test]
    fn the_pcr_waits_for_late_audio() {
        let mut clock = PcrGenerator::default();
        // A frame each 40 ms, and audio that is so late behind each.
        let mut run = |late: i64, frames: std::ops::Range<i64>| -> Vec<i64> {
            let frame = |at: i64| {
                let told = clock.at(at * 40 * MS, true);
                assert_eq!(clock.at((at * 40 - late) * MS, false), None);
                told.unwrap() / MS
            };
            frames.map(frame).collect()
        };
        let told = [run(46, 0..10), run(240, 10..20), run(46, 20..30)].concat();
        assert!(told.is_sorted(), "{told:?}");
        assert_eq!((told[9], told[19], told[29]), (360 - 125, 760 - 300, 1160 - 300));
        // Nothing waits for what is much too late, and a jump back is a jump.
        assert_eq!((run(2900, 30..60).pop(), run(0, 0..1).pop()), (Some(2360 - 1000), Some(-1000)));
    }
    #[test]
    fn the_pcr_continues_when_another_track_leads() {
        let mut pcr = PcrGenerator::default();
        let first = pcr.at(1000 * MS, true).unwrap();
        pcr.lead_changed();
        assert_eq!(pcr.at(940 * MS, true), Some(first + TICK));
        assert_eq!(pcr.at(1100 * MS, true), Some(975 * MS));
        // Audio that is left of another timeline does not make it later.
        assert_eq!(pcr.at(-5000 * MS, false), None);
        assert_eq!(pcr.at(1140 * MS, true), Some(1015 * MS));
        pcr.lead_changed();
        assert_eq!(pcr.at(-5000 * MS, true), Some(-5125 * MS));
    }
}
