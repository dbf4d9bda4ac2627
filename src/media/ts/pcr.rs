//! The program clock reference of a stream that we mux (section 2.4.2.2).

/// How far the PCR is behind the DTS of the lead track, at least and at most, in nanoseconds.
const BEHIND: std::ops::RangeInclusive<i64> = 125_000_000..=1_000_000_000;
/// A tick of 90 kHz, rounded up, in nanoseconds.
const TICK: i64 = 11_112;

/// Generates the PCR, by which decoders know when a sample is due. It follows the lead track, so far behind that audio which comes later
/// than video, because its encoder buffers, is still in time. Times are nanoseconds.
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
    pub(super) fn at(&mut self, decode: i64, leads: bool) -> Option<i64> {
        if !leads {
            let late = self.newest.map_or(0, |newest| newest.saturating_sub(decode));
            // The next one may be even later.
            self.behind = self.behind.max(late + late / 4).min(*BEHIND.end());
            return None;
        }
        let goes_on = self.newest.replace(decode).is_some_and(|before| decode > before);
        let now = decode - self.behind;
        let now = self.last.filter(|_| goes_on).map_or(now, |last| now.max(last + TICK));
        self.last = Some(now);
        Some(now)
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
        assert_eq!((run(5000, 30..60).pop(), run(0, 0..1).pop()), (Some(2360 - 1000), Some(-1000)));
    }
}
