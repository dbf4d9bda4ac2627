//! What is deleted next. Pure.

use crate::config::Keep;

/// A stream with recordings.
#[derive(Debug, Clone, Copy)]
pub struct Kept<'a> {
    /// Its name.
    pub stream: &'a str,
    /// What is kept of it.
    pub keep: Keep,
    /// Bytes of its files.
    pub bytes: u64,
    /// Its oldest day with files that may be deleted, since 1970.
    pub oldest: Option<i64>,
}

/// The oldest files of a stream are to be deleted.
#[derive(Debug, PartialEq, Eq)]
pub struct Deletion<'a> {
    /// Which stream.
    pub stream: &'a str,
    /// Only those that ended before this, in microseconds since 1970.
    pub before: Option<i64>,
    /// Why.
    pub reason: &'static str,
}

/// What is to be deleted now. `free` is the room on the disk, in bytes.
pub fn deletions<'a>(streams: &[Kept<'a>], free: Option<u64>, now: i64) -> Vec<Deletion<'a>> {
    let mut deletions = Vec::new();
    for kept in streams.iter().filter(|kept| kept.oldest.is_some()) {
        let stream = kept.stream;
        if let Some(age) = kept.keep.age {
            let before = now.saturating_sub(i64::try_from(age.as_micros()).unwrap_or(i64::MAX));
            if kept.oldest.is_some_and(|day| day <= super::index::day_of(before)) {
                deletions.push(Deletion { stream, before: Some(before), reason: "age" });
            }
        }
        if kept.keep.size.is_some_and(|size| kept.bytes > size) {
            deletions.push(Deletion { stream, before: None, reason: "size" });
        }
    }
    // Of those that care for the room, the oldest goes first.
    let is_short = |kept: &&Kept<'_>| kept.keep.free.zip(free).is_some_and(|(least, free)| free < least);
    let with_files = streams.iter().filter(|kept| kept.oldest.is_some());
    if let Some(oldest) = with_files.filter(is_short).min_by_key(|kept| kept.oldest) {
        deletions.push(Deletion { stream: oldest.stream, before: None, reason: "free space" });
    }
    deletions
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const DAY: i64 = 86_400_000_000;

    fn kept(stream: &str, keep: Keep, bytes: u64, oldest: Option<i64>) -> Kept<'_> {
        Kept { stream, keep, bytes, oldest }
    }

    #[test]
    fn each_limit_deletes() {
        let age = Keep { age: Some(Duration::from_secs(86_400)), ..Keep::default() };
        let size = Keep { size: Some(100), ..Keep::default() };
        let free = Keep { free: Some(1000), ..Keep::default() };
        let check = |streams: &[Kept<'_>], room, expect: &[(&str, &str)]| {
            let found = deletions(streams, Some(room), 10 * DAY);
            assert_eq!(found.iter().map(|found| (found.stream, found.reason)).collect::<Vec<_>>(), expect);
        };
        check(&[kept("a", Keep::default(), u64::MAX, Some(0))], 0, &[]);
        check(&[kept("a", age, 1, Some(9))], 0, &[("a", "age")]);
        check(&[kept("a", age, 1, Some(10))], 0, &[]);
        check(&[kept("a", age, 1, None)], 0, &[]);
        check(&[kept("a", size, 101, Some(10)), kept("b", size, 100, Some(1))], 0, &[("a", "size")]);
        check(&[kept("a", free, 1, Some(5)), kept("b", free, 1, Some(4))], 999, &[("b", "free space")]);
        check(&[kept("a", free, 1, Some(5)), kept("b", size, 1, Some(4))], 999, &[("a", "free space")]);
        check(&[kept("a", free, 1, Some(5))], 1000, &[]);
    }
}
