//! When a frame was made, written into the frame: it is read again where the frame arrives, on the same clock.

use std::time::Duration;

/// What nobody else writes; as the UUID of an SEI message it is 16 bytes long.
pub const MAGIC: &[u8; 16] = b"voyandz-bench-at";
/// The magic, then nanoseconds as 16 hexadecimal digits: text has no byte that a container would escape.
pub const LENGTH: usize = MAGIC.len() + 16;

/// The machine's monotonic clock.
pub fn now() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default())
}

/// A mark of this time.
pub fn write(at: Duration) -> [u8; LENGTH] {
    let mut mark = [0; LENGTH];
    mark[..MAGIC.len()].copy_from_slice(MAGIC);
    mark[MAGIC.len()..].copy_from_slice(format!("{:016x}", at.as_nanos()).as_bytes());
    mark
}

/// The times of all whole marks in these bytes.
pub fn find(bytes: &[u8]) -> impl Iterator<Item = Duration> + '_ {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        loop {
            // The first byte is rare in what a source writes, and a search for one byte is quick.
            let at = rest.iter().position(|byte| *byte == MAGIC[0])?;
            rest = &rest[at..];
            let digits = rest.get(MAGIC.len()..LENGTH).filter(|_| rest.starts_with(MAGIC));
            rest = &rest[1..];
            let time = digits.and_then(|digits| u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
            if let Some(time) = time {
                return Some(Duration::from_nanos(time));
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_found_among_other_bytes() {
        let (one, two) = (Duration::from_nanos(1), Duration::from_secs(1_000_000));
        let bytes = [b"vvoyandz-", &write(one)[..], b"v", &write(two)[..], &write(one)[..LENGTH - 1]].concat();
        assert_eq!(find(&bytes).collect::<Vec<_>>(), [one, two]);
    }
}
