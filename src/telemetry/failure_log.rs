//! Logs a repeated failure once, then as a count.

use std::time::{Duration, Instant};

/// First pause between two summaries; it doubles each time.
const FIRST_SUMMARY: Duration = Duration::from_secs(10);
/// Longest pause between two summaries.
const LAST_SUMMARY: Duration = Duration::from_secs(600);

/// What to log about a failure.
#[derive(Debug, PartialEq, Eq)]
pub enum Report {
    /// The first failure, or the first after a recovery.
    First,
    /// The number of failures since the last recovery.
    Again(u64),
}

/// Counts one kind of failure and decides when to log it.
#[derive(Debug, Default)]
pub struct FailureLog {
    run: Option<Run>,
}

#[derive(Debug)]
struct Run {
    count: u64,
    pause: Duration,
    next: Instant,
}

impl FailureLog {
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

    /// Whether the last was a failure.
    pub fn is_failing(&self) -> bool {
        self.run.is_some()
    }

    /// Ends a series of failures; returns their number if there was more than one, for a last log line.
    pub fn recovered(&mut self) -> Option<u64> {
        self.run.take().map(|run| run.count).filter(|&count| count > 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_failures_make_few_lines_with_a_count() {
        let start = Instant::now();
        let mut failures = FailureLog::default();
        let reports: Vec<_> =
            (0..1000).filter_map(|second| failures.failed(start + Duration::from_secs(second))).collect();
        assert_eq!(reports.first(), Some(&Report::First));
        assert!(reports.len() < 10, "{reports:?}");
        assert!(matches!(reports.last(), Some(Report::Again(count)) if *count > 300), "{reports:?}");
        assert_eq!(failures.recovered(), Some(1000));
        assert_eq!(failures.failed(start), Some(Report::First));
    }
}
