//! How far back recordings will reach, and when their disk is full. Pure.

use crate::config::Keep;
use std::{collections::VecDeque, time::Duration};

/// A rate is known after so long.
const LEAST: Duration = Duration::from_secs(10);
const HOUR: u64 = 3600;
/// Hours whose bytes are counted: of a day, as most scenes have a night.
const HOURS: usize = 24;

/// Counts what is recorded of a stream, by the hour.
#[derive(Debug, Default)]
pub struct Meter {
    /// When it began, on a monotonic clock.
    began: Option<Duration>,
    /// Hours on that clock, and the bytes of each.
    hours: VecDeque<(u64, u64)>,
}

/// A stream whose recordings grow.
#[derive(Debug, Clone, Copy)]
pub struct Growing {
    /// What is kept of it.
    pub keep: Keep,
    /// Bytes that there are.
    pub bytes: u64,
    /// Bytes a second, where that is known.
    pub rate: Option<f64>,
}

/// What is to be expected of a stream.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Forecast {
    /// Its recordings will reach back so far; `None` without limits.
    pub holds: Option<Duration>,
    /// Its disk is full after that; `None` if it will not be.
    pub full_in: Option<Duration>,
}

impl Meter {
    /// So many bytes were written `now`.
    pub fn count(&mut self, now: Duration, bytes: u64) {
        self.began.get_or_insert(now);
        let hour = now.as_secs() / HOUR;
        match self.hours.back_mut().filter(|(last, _)| *last == hour) {
            Some((_, sum)) => *sum += bytes,
            None => self.hours.push_back((hour, bytes)),
        }
        while self.hours.len() > HOURS {
            self.hours.pop_front();
        }
    }

    /// Bytes a second of the last day, once that is known.
    pub fn rate(&self, now: Duration) -> Option<f64> {
        let since = now.checked_sub(self.began?).filter(|since| *since >= LEAST)?;
        let oldest = (now.as_secs() / HOUR).saturating_sub(HOURS as u64 - 1);
        let bytes: u64 = self.hours.iter().filter(|(hour, _)| *hour >= oldest).map(|(_, bytes)| bytes).sum();
        let counted = now.saturating_sub(Duration::from_secs(oldest * HOUR));
        Some(bytes as f64 / since.min(counted).as_secs_f64())
    }
}

/// What is to be expected of each of the streams of one disk, with so many bytes that are free.
pub fn forecast(streams: &[Growing], free: Option<u64>) -> Vec<Forecast> {
    let full_in = free.and_then(|free| full_in(streams, free as f64)).and_then(seconds);
    let shared = free.and_then(|free| shared(streams, free as f64));
    let of = |stream: &Growing| {
        let age = stream.keep.age.map(|age| age.as_secs_f64());
        let rate = stream.rate.filter(|rate| *rate > 0.0);
        let size = stream.keep.size.zip(rate).map(|(size, rate)| size as f64 / rate);
        let room = stream.keep.free.and(shared);
        let holds = [age, size, room].into_iter().flatten().min_by(f64::total_cmp);
        Forecast { holds: holds.and_then(seconds), full_in }
    };
    streams.iter().map(of).collect()
}

/// Seconds until streams without a limit of free space have taken all that there is, and all that is deleted for others.
fn full_in(streams: &[Growing], free: f64) -> Option<f64> {
    let (yielding, others): (Vec<&Growing>, Vec<&Growing>) =
        streams.iter().partition(|stream| stream.keep.free.is_some());
    let mut room = free + yielding.iter().map(|stream| stream.bytes as f64).sum::<f64>();
    // Those that reach a limit of their own grow until then.
    let mut growing: Vec<(f64, f64)> = others
        .iter()
        .filter_map(|stream| Some((stream.until_limit(), stream.rate.filter(|rate| *rate > 0.0)?)))
        .collect();
    growing.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut rate: f64 = growing.iter().map(|(_, rate)| rate).sum();
    let mut time = 0.0;
    for (until, own) in growing {
        let taken = (until - time) * rate;
        if taken >= room {
            return Some(time + room / rate);
        }
        room -= taken;
        time = until;
        rate -= own;
    }
    None
}

/// How many seconds the room holds that streams share whose oldest files are deleted when space is short.
fn shared(streams: &[Growing], free: f64) -> Option<f64> {
    let (yielding, others): (Vec<&Growing>, Vec<&Growing>) =
        streams.iter().partition(|stream| stream.keep.free.is_some());
    let least = yielding.iter().filter_map(|stream| stream.keep.free).max()? as f64;
    let rate: f64 = yielding.iter().filter_map(|stream| stream.rate).sum();
    let own: f64 = yielding.iter().map(|stream| stream.bytes as f64).sum();
    let taken: f64 = others.iter().map(|stream| stream.growth()).filter(|growth| growth.is_finite()).sum();
    (rate > 0.0).then(|| (own + free - least - taken).max(0.0) / rate)
}

impl Growing {
    /// Bytes that it will still grow by.
    fn growth(&self) -> f64 {
        let Some(rate) = self.rate else { return 0.0 };
        let age = self.keep.age.map(|age| age.as_secs_f64() * rate);
        let size = self.keep.size.map(|size| size as f64);
        let most = [age, size].into_iter().flatten().min_by(f64::total_cmp).unwrap_or(f64::INFINITY);
        (most - self.bytes as f64).max(0.0)
    }

    /// Seconds until it does not grow any more.
    fn until_limit(&self) -> f64 {
        self.growth() / self.rate.filter(|rate| *rate > 0.0).unwrap_or(f64::INFINITY)
    }
}

/// `None` for what is too far away to be a time.
fn seconds(seconds: f64) -> Option<Duration> {
    const CENTURY: f64 = 3.2e9;
    Some(seconds).filter(|seconds| (0.0..CENTURY).contains(seconds)).map(Duration::from_secs_f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn growing(keep: Keep, bytes: u64, rate: f64) -> Growing {
        Growing { keep, bytes, rate: Some(rate) }
    }

    fn age(seconds: u64) -> Keep {
        Keep { age: Some(Duration::from_secs(seconds)), ..Keep::default() }
    }

    #[test]
    fn limits_and_room_decide() {
        let size = Keep { size: Some(1000), ..Keep::default() };
        let free = Keep { free: Some(200), ..Keep::default() };
        let check = |streams: &[Growing], room, expect: &[(Option<u64>, Option<u64>)]| {
            let whole = |time: Option<Duration>| time.map(|time| time.as_secs());
            let found: Vec<_> = forecast(streams, room).iter().map(|f| (whole(f.holds), whole(f.full_in))).collect();
            assert_eq!(found, expect);
        };
        check(&[growing(Keep::default(), 5, 10.0)], Some(1000), &[(None, Some(100))]);
        check(&[growing(Keep::default(), 5, 10.0)], None, &[(None, None)]);
        check(&[growing(Keep::default(), 5, 0.0)], Some(1000), &[(None, None)]);
        check(&[Growing { rate: None, ..growing(size, 5, 0.0) }], Some(1000), &[(None, None)]);
        // Its limit is reached before the disk is full, or after.
        check(&[growing(age(50), 0, 10.0)], Some(1000), &[(Some(50), None)]);
        check(&[growing(age(500), 0, 10.0)], Some(1000), &[(Some(500), Some(100))]);
        check(&[growing(size, 900, 10.0)], Some(1000), &[(Some(100), None)]);
        // One stops to grow after 10 s, then the other has all the room.
        let two = [growing(size, 900, 10.0), growing(Keep::default(), 0, 10.0)];
        check(&two, Some(1000), &[(Some(100), Some(90)), (None, Some(90))]);
        // Room is made by deletion.
        check(&[growing(free, 300, 10.0)], Some(900), &[(Some(100), None)]);
        let both = [growing(free, 300, 10.0), growing(size, 900, 10.0)];
        check(&both, Some(900), &[(Some(90), None), (Some(100), None)]);
        let greedy = [growing(free, 100, 10.0), growing(Keep::default(), 0, 10.0)];
        assert_eq!(forecast(&greedy, Some(900))[0].full_in, Some(Duration::from_secs(100)));
    }

    #[test]
    fn a_rate_is_that_of_the_last_day() {
        let mut meter = Meter::default();
        let at = Duration::from_secs;
        assert_eq!(meter.rate(at(5)), None);
        (100..200).for_each(|second| meter.count(at(second), 50));
        assert_eq!((meter.rate(at(105)), meter.rate(at(200))), (None, Some(50.0)));
        // An hour without anything halves it, and after a day nothing is left.
        assert!(meter.rate(at(300)).unwrap() < 26.0);
        assert_eq!(meter.rate(at(2 * 86_400)), Some(0.0));
    }

    proptest! {
        #[test]
        fn any_figures_are_answered(figures in prop::collection::vec((any::<u64>(), any::<f64>(), any::<Option<u64>>(), any::<Option<u64>>(), any::<Option<u32>>()), 0..5), free: Option<u64>) {
            let streams: Vec<_> = figures.iter().map(|(bytes, rate, size, least, age)| {
                let keep = Keep { age: age.map(|age| Duration::from_secs(age.into())), size: *size, free: *least };
                Growing { keep, bytes: *bytes, rate: Some(*rate) }
            }).collect();
            prop_assert_eq!(forecast(&streams, free).len(), streams.len());
        }
    }
}
