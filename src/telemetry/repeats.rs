//! Says a repeated failure once, then sums up.

use std::time::{Duration, Instant};

/// First pause between two summaries; it doubles each time.
const FIRST_SUMMARY: Duration = Duration::from_secs(10);
/// Longest pause between two summaries.
const LAST_SUMMARY: Duration = Duration::from_secs(600);

/// What to log of a failure.
#[derive(Debug, PartialEq, Eq)]
pub enum Report {
    /// The first one, or the first after things went well.
    First,
    /// It happened this often since the first report.
    Again(u64),
}

/// Counts one kind of failure and decides when it is worth a line.
#[derive(Debug, Default)]
pub struct Repeats {
    run: Option<Run>,
}

#[derive(Debug)]
struct Run {
    count: u64,
    pause: Duration,
    next: Instant,
}

impl Repeats {
    /// Counts a failure at `now`.
    pub fn failed(&mut self, now: Instant) -> Option<Report> {
        let Some(run) = &mut self.run else {
            self.run = Some(Run { count: 1, pause: FIRST_SUMMARY, next: now + FIRST_SUMMARY });
            return Some(Report::First);
        };
        run.count += 1;
        (now >= run.next).then(|| {
            run.pause = LAST_SUMMARY.min(run.pause * 2);
            run.next = now + run.pause;
            Report::Again(run.count)
        })
    }

    /// Things are well again; returns how many failures that ends, for a closing line, if they were more than one.
    pub fn recovered(&mut self) -> Option<u64> {
        self.run.take().map(|run| run.count).filter(|&count| count > 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_failures_make_few_lines_and_the_last_carries_the_count() {
        let start = Instant::now();
        let mut repeats = Repeats::default();
        let reports: Vec<_> =
            (0..1000).filter_map(|second| repeats.failed(start + Duration::from_secs(second))).collect();
        assert_eq!(reports.first(), Some(&Report::First));
        assert!(reports.len() < 10, "{reports:?}");
        assert!(matches!(reports.last(), Some(Report::Again(count)) if *count > 300), "{reports:?}");
        assert_eq!(repeats.recovered(), Some(1000));
        assert_eq!(repeats.failed(start), Some(Report::First));
    }
}
