//! Stills of one stream: those that were made and may be used again, and those that are being made.

use crate::ipc::{PictureFault, StillSpec};
use bytes::Bytes;
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};
use std::{
    collections::{HashMap, VecDeque},
    hash::{DefaultHasher, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Most stills that are cached for one stream.
const MAX_STILLS: usize = 8;
/// Most bytes that are cached for one stream: a few PNG of 1080p.
const MAX_BYTES: usize = 16 << 20;

/// How old a still may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// It is what the stream shows now.
    Current,
    /// It may have been captured this long ago.
    AtMost(Duration),
    /// It is captured after the request.
    Fresh,
}

/// A still.
#[derive(Debug, PartialEq, Eq)]
pub struct Still {
    /// The encoded image.
    pub bytes: Bytes,
    /// When it was captured, on the machine's monotonic clock; when that is not known, when it arrived.
    pub taken: Duration,
    /// The same as time since 1970, computed once, so that all who get this still see the same date.
    pub date: Option<Duration>,
    /// Identifies these bytes: a strong entity tag (RFC 9110, section 8.8.3), with its quotes.
    pub etag: String,
}

impl Still {
    /// A still that was captured at this time, by both clocks.
    pub fn new(bytes: Bytes, taken: Duration, date: Option<Duration>) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(&bytes);
        let etag = format!("\"{:016x}\"", hasher.finish());
        Self { bytes, taken, date, etag }
    }
}

/// A still that is being made, for all who wait for it.
pub(super) type InFlight = BoxFuture<'static, Result<Arc<Still>, PictureFault>>;

/// The stills of one stream. Requests for the same still at the same time share one.
#[derive(Debug, Default)]
pub struct StillCache(Mutex<Contents>);

#[derive(Debug, Default)]
struct Contents {
    /// Weak, so that a still is dropped, and its feed released, when the last request for it is gone.
    in_flight: HashMap<StillSpec, WeakShared<InFlight>>,
    newest: NewestStills,
}

impl StillCache {
    /// A still that was taken no longer than `limit` before `now`.
    pub fn get(&self, spec: StillSpec, limit: Duration, now: Duration) -> Option<Arc<Still>> {
        self.contents().newest.get(spec, limit, now)
    }

    /// Replaces the still of this format and size.
    pub fn put(&self, spec: StillSpec, still: Arc<Still>) {
        self.contents().newest.put(spec, still);
    }

    /// The still of this format and size that is being made, else the one that `make` starts.
    pub(super) fn join(&self, spec: StillSpec, make: impl FnOnce() -> InFlight) -> Shared<InFlight> {
        let mut contents = self.contents();
        let current = |weak: &WeakShared<InFlight>| weak.upgrade().filter(|making| making.peek().is_none());
        contents.in_flight.retain(|_, weak| current(weak).is_some());
        if let Some(making) = contents.in_flight.get(&spec).and_then(current) {
            return making;
        }
        let making = make().shared();
        contents.in_flight.extend(making.downgrade().map(|weak| (spec, weak)));
        making
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The newest still of each format and size, within a limit of number and bytes. Pure.
#[derive(Debug, Default)]
struct NewestStills {
    /// The newest one last.
    stills: VecDeque<(StillSpec, Arc<Still>)>,
}

impl NewestStills {
    fn put(&mut self, spec: StillSpec, still: Arc<Still>) {
        self.stills.retain(|(other, _)| *other != spec);
        self.stills.push_back((spec, still));
        let bytes =
            |stills: &VecDeque<(_, Arc<Still>)>| stills.iter().map(|(_, still)| still.bytes.len()).sum::<usize>();
        while self.stills.len() > MAX_STILLS || bytes(&self.stills) > MAX_BYTES {
            self.stills.pop_front();
        }
    }

    fn get(&self, spec: StillSpec, limit: Duration, now: Duration) -> Option<Arc<Still>> {
        let (_, still) = self.stills.iter().find(|(cached, _)| *cached == spec)?;
        (now.saturating_sub(still.taken) <= limit).then(|| still.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::PictureFormat;

    const SECOND: Duration = Duration::from_secs(1);

    fn jpeg(quality: u8) -> StillSpec {
        StillSpec::of(PictureFormat::Jpeg { quality })
    }

    fn still(length: usize, taken: u32) -> Arc<Still> {
        Arc::new(Still::new(vec![7; length].into(), SECOND * taken, None))
    }

    #[test]
    fn a_still_is_reused_until_it_is_too_old() {
        let mut stills = NewestStills::default();
        stills.put(jpeg(85), still(10, 100));
        let check = |spec, limit: u32, now: u32, found: bool| {
            assert_eq!(stills.get(spec, SECOND * limit, SECOND * now).is_some(), found, "{limit} {now}");
        };
        check(jpeg(85), 5, 105, true);
        check(jpeg(85), 5, 106, false);
        check(jpeg(85), 0, 100, true);
        check(jpeg(84), 5, 100, false);
        // A camera's clock may be ahead of ours.
        check(jpeg(85), 0, 99, true);
    }

    #[test]
    fn a_newer_still_replaces_the_one_before() {
        let mut stills = NewestStills::default();
        stills.put(jpeg(85), still(10, 1));
        stills.put(jpeg(85), still(11, 2));
        assert_eq!(stills.stills, [(jpeg(85), still(11, 2))]);
    }

    #[test]
    fn memory_is_bounded() {
        let mut stills = NewestStills::default();
        (1..=100).for_each(|quality| stills.put(jpeg(quality), still(10, 1)));
        assert_eq!(stills.stills.len(), MAX_STILLS);
        assert!(stills.get(jpeg(100), SECOND, SECOND).is_some());
        stills.put(jpeg(1), still(MAX_BYTES, 1));
        assert_eq!(stills.stills.len(), 1);
        stills.put(jpeg(2), still(MAX_BYTES + 1, 1));
        assert!(stills.stills.is_empty());
    }

    #[test]
    fn entity_tags_differ_by_content() {
        assert_eq!(still(10, 1).etag, still(10, 2).etag);
        assert_ne!(still(10, 1).etag, still(11, 1).etag);
        assert_eq!(still(10, 1).etag.len(), 18);
    }
}
