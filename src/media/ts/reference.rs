//! The clock reference of a stream that is muxed here (section 2.4.2.2).

/// How far the clock reference is behind the pictures at least, in nanoseconds, and at most.
const BEHIND: std::ops::RangeInclusive<i64> = 125_000_000..=1_000_000_000;
/// The shortest step of the clock reference that it can tell, in nanoseconds.
const TICK: i64 = 11_112;

/// The clock reference, by which readers tell when a sample is due. It follows the pictures, so far behind that what comes
/// later than they do, as sound does that is encoded or sent in pieces, is still in time. Times are nanoseconds.
#[derive(Debug)]
pub(super) struct Reference {
    behind: i64,
    /// When the newest sample of the leader is decoded.
    newest: Option<i64>,
    last: Option<i64>,
}

impl Default for Reference {
    fn default() -> Self {
        Self { behind: *BEHIND.start(), newest: None, last: None }
    }
}

impl Reference {
    /// What it is at a sample, of the leader or another track; `None` if it is not to be told there.
    pub(super) fn at(&mut self, decode: i64, leads: bool) -> Option<i64> {
        if !leads {
            let late = self.newest.map_or(0, |newest| newest.saturating_sub(decode));
            // The next one may be later.
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
    fn the_clock_waits_for_sound_that_comes_late() {
        let mut clock = Reference::default();
        // A picture each 40 ms, and sound that is so late behind each.
        let mut run = |late: i64, pictures: std::ops::Range<i64>| -> Vec<i64> {
            let picture = |at: i64| {
                let told = clock.at(at * 40 * MS, true);
                assert_eq!(clock.at((at * 40 - late) * MS, false), None);
                told.unwrap() / MS
            };
            pictures.map(picture).collect()
        };
        let told = [run(46, 0..10), run(240, 10..20), run(46, 20..30)].concat();
        assert!(told.is_sorted(), "{told:?}");
        assert_eq!((told[9], told[19], told[29]), (360 - 125, 760 - 300, 1160 - 300));
        // What is much too late is not waited for, and a jump back is one.
        assert_eq!((run(5000, 30..60).pop(), run(0, 0..1).pop()), (Some(2360 - 1000), Some(-1000)));
    }
}
