//! Stills that were made, and which of them may be given again. Pure.

use crate::ipc::Rendition;
use bytes::Bytes;
use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hasher},
    sync::Arc,
    time::Duration,
};

/// How many renditions of one stream are kept.
const MAX_KEPT: usize = 8;
/// How many bytes of them: a few PNG of 1080p.
const MAX_BYTES: usize = 16 << 20;

/// How old a picture may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// It is what the stream shows now.
    Current,
    /// It may have been taken this long ago.
    AtMost(Duration),
    /// It is to be captured after it was asked for.
    Fresh,
}

/// A still picture.
#[derive(Debug, PartialEq, Eq)]
pub struct Still {
    /// The encoded picture.
    pub bytes: Bytes,
    /// When it was captured, on the machine's monotonic clock; when that is not known, when it came.
    pub taken: Duration,
    /// The same as time since 1970: told once, so that all who get this picture hear the same.
    pub date: Option<Duration>,
    /// Tells these bytes from others: a strong entity tag (RFC 9110, section 8.8.3), with its quotes.
    pub etag: String,
}

impl Still {
    /// A picture that was taken then, by both clocks.
    pub fn new(bytes: Bytes, taken: Duration, date: Option<Duration>) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(&bytes);
        let etag = format!("\"{:016x}\"", hasher.finish());
        Self { bytes, taken, date, etag }
    }
}

/// The newest still of each rendition, as far as there is room.
#[derive(Debug, Default)]
pub struct Kept {
    /// The newest one last.
    stills: VecDeque<(Rendition, Arc<Still>)>,
}

impl Kept {
    /// Keeps a still in place of the one before.
    pub fn put(&mut self, rendition: Rendition, still: Arc<Still>) {
        self.stills.retain(|(other, _)| *other != rendition);
        self.stills.push_back((rendition, still));
        let bytes =
            |stills: &VecDeque<(_, Arc<Still>)>| stills.iter().map(|(_, still)| still.bytes.len()).sum::<usize>();
        while self.stills.len() > MAX_KEPT || bytes(&self.stills) > MAX_BYTES {
            self.stills.pop_front();
        }
    }

    /// A still that was taken no longer than `limit` before `now`.
    pub fn get(&self, rendition: Rendition, limit: Duration, now: Duration) -> Option<Arc<Still>> {
        let (_, still) = self.stills.iter().find(|(kept, _)| *kept == rendition)?;
        (now.saturating_sub(still.taken) <= limit).then(|| still.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::PictureFormat;

    const SECOND: Duration = Duration::from_secs(1);

    fn jpeg(quality: u8) -> Rendition {
        Rendition::of(PictureFormat::Jpeg { quality })
    }

    fn still(length: usize, taken: u32) -> Arc<Still> {
        Arc::new(Still::new(vec![7; length].into(), SECOND * taken, None))
    }

    #[test]
    fn a_still_is_given_until_it_is_too_old() {
        let mut kept = Kept::default();
        kept.put(jpeg(85), still(10, 100));
        let check = |rendition, limit: u32, now: u32, found: bool| {
            assert_eq!(kept.get(rendition, SECOND * limit, SECOND * now).is_some(), found, "{limit} {now}");
        };
        check(jpeg(85), 5, 105, true);
        check(jpeg(85), 5, 106, false);
        check(jpeg(85), 0, 100, true);
        check(jpeg(84), 5, 100, false);
        // A camera's clock may be ahead of ours.
        check(jpeg(85), 0, 99, true);
    }

    #[test]
    fn a_newer_still_takes_the_place_of_the_one_before() {
        let mut kept = Kept::default();
        kept.put(jpeg(85), still(10, 1));
        kept.put(jpeg(85), still(11, 2));
        assert_eq!(kept.stills, [(jpeg(85), still(11, 2))]);
    }

    #[test]
    fn memory_is_bounded() {
        let mut kept = Kept::default();
        (1..=100).for_each(|quality| kept.put(jpeg(quality), still(10, 1)));
        assert_eq!(kept.stills.len(), MAX_KEPT);
        assert!(kept.get(jpeg(100), SECOND, SECOND).is_some());
        kept.put(jpeg(1), still(MAX_BYTES, 1));
        assert_eq!(kept.stills.len(), 1);
        kept.put(jpeg(2), still(MAX_BYTES + 1, 1));
        assert!(kept.stills.is_empty());
    }

    #[test]
    fn tags_tell_pictures_apart() {
        assert_eq!(still(10, 1).etag, still(10, 2).etag);
        assert_ne!(still(10, 1).etag, still(11, 1).etag);
        assert_eq!(still(10, 1).etag.len(), 18);
    }
}
