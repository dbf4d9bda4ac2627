//! Which refused credentials are reported, when there are many. Pure.

use std::time::{Duration, Instant};

/// Reports of a minute.
const MOST: u32 = 20;
const MINUTE: Duration = Duration::from_secs(60);

/// Decides which refusals are reported.
#[derive(Debug, Default)]
pub struct Refusals {
    since: Option<Instant>,
    reported: u32,
    kept_back: u64,
}

impl Refusals {
    /// One more. Returns how many it stands for, if it is to be reported.
    pub fn refused(&mut self, now: Instant) -> Option<u64> {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= MINUTE) {
            (self.since, self.reported) = (Some(now), 0);
        }
        self.kept_back += 1;
        if self.reported >= MOST {
            return None;
        }
        self.reported += 1;
        Some(std::mem::take(&mut self.kept_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_a_few_reports_that_count_all() {
        let (mut refusals, start) = (Refusals::default(), Instant::now());
        let at = |millis: u64| start + Duration::from_millis(millis);
        let reports: Vec<_> = (0..10_000).filter_map(|count| refusals.refused(at(count))).collect();
        assert_eq!(reports, vec![1; MOST as usize]);
        assert_eq!(refusals.refused(at(60_000)), Some(10_000 - u64::from(MOST) + 1));
        assert_eq!(refusals.refused(at(60_001)), Some(1));
    }
}
