//! Time-lapse: some keyframes of files as a movie, without decoding.

use super::{
    clip::{Clip, Extent, nanos},
    movie::TrackHead,
    table::{Placed, SampleTable},
};
use crate::media::track::MediaKind;

/// Most frames of one.
const MAX_FRAMES: u64 = 200_000;

/// Collects the frames of a time-lapse, file by file.
#[derive(Debug)]
pub struct Lapse {
    every: i64,
    rate: u32,
    /// The next frame is the first keyframe at or after this.
    next: i64,
    to: i64,
    head: Option<TrackHead>,
    table: SampleTable,
    extents: Vec<Extent>,
    used: usize,
    frames: u64,
    /// Bytes of them.
    length: u64,
}

impl Lapse {
    /// One keyframe every `every` nanoseconds of the time from `from` to before `to`, in nanoseconds of any clock; shown `rate` a second.
    pub fn new((from, to): (i64, i64), every: i64, rate: u32) -> Self {
        let (every, rate) = (every.max(1), rate.max(1));
        let table = SampleTable::default();
        Self { every, rate, next: from, to, head: None, table, extents: Vec::new(), used: 0, frames: 0, length: 0 }
    }

    /// The next file, whose time 0 is `begin` on that clock. Returns whether others may follow: not after its video has changed, or
    /// when there are too many frames.
    pub fn add(&mut self, tracks: &[(TrackHead, SampleTable)], begin: i64) -> bool {
        let video = tracks.iter().find(|(head, table)| head.kind == MediaKind::Video && !table.is_empty());
        let file = self.used;
        let Some((head, table)) = video else {
            self.used += 1;
            return true;
        };
        if !self.head.get_or_insert_with(|| head.clone()).continues(head) {
            return false;
        }
        self.used += 1;
        for sample in table.samples().filter(|sample| sample.is_sync) {
            let at = begin.saturating_add(nanos(sample.decode, head.timescale));
            if at < self.next {
                continue;
            }
            if at >= self.to {
                break;
            }
            if self.frames >= MAX_FRAMES {
                return false;
            }
            // Those that were due meanwhile are not made up for.
            let due = at.saturating_sub(self.next) / self.every + 1;
            self.next = self.next.saturating_add(due.saturating_mul(self.every));
            self.push(sample, head.timescale, file);
        }
        true
    }

    fn push(&mut self, sample: Placed, timescale: u32, file: usize) {
        let tick = |frame: u64| frame * u64::from(timescale) / u64::from(self.rate);
        let decode = tick(self.frames);
        let duration = u32::try_from(tick(self.frames + 1) - decode).unwrap_or(u32::MAX);
        let length = u64::from(sample.size);
        self.frames += 1;
        self.extents.push(Extent { file, at: sample.at, length });
        // Places are those in the movie, one sample after the other.
        self.table.push(Placed { decode, offset: 0, duration, at: self.length, ..sample });
        self.length += length;
    }

    /// The movie; `None` without frames. `created` is in seconds since 1970.
    pub fn finish(self, created: u64) -> Option<Clip> {
        let head = self.head.filter(|_| self.frames > 0)?;
        Some(Clip::of(&[(&head, &self.table)], created, self.extents, self.used))
    }
}
