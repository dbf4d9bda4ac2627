//! What muxers of live tracks take.

use std::time::{Duration, Instant};

/// How long the first samples wait for tracks that have not come.
const PATIENCE: Duration = Duration::from_secs(2);
/// Most samples that wait: pictures and sound of two seconds, and many more of tracks that come from a file.
pub(super) const MAX_WAITING: usize = 1024;

/// A sample, with what its bytes are kept in. Times are nanoseconds of one clock for all tracks.
#[derive(Debug)]
pub struct Sample<P> {
    /// When it is decoded.
    pub decode: i64,
    /// When it is shown.
    pub shown: i64,
    /// For how long, if its encoder says so.
    pub duration: Option<Duration>,
    /// It can be decoded without others.
    pub is_sync: bool,
    /// How many bytes it has.
    pub length: usize,
    /// They themselves, or where they are.
    pub payload: P,
}

/// The first samples of a stream, with the places of their tracks: what it begins with names its tracks, and has to wait
/// until all have come.
#[derive(Debug)]
pub(super) struct Waiting<P> {
    /// `None` when it has begun.
    samples: Option<Vec<(usize, Sample<P>)>>,
    /// When the first of them came.
    since: Option<Instant>,
}

impl<P> Waiting<P> {
    pub(super) fn new() -> Self {
        Self { samples: Some(Vec::new()), since: None }
    }

    pub(super) fn is_over(&self) -> bool {
        self.samples.is_none()
    }

    /// Takes a sample while it is not over; what the stream begins with, when that is known. `is_whole`: all tracks have come.
    pub(super) fn push(
        &mut self,
        place: usize,
        sample: Sample<P>,
        is_whole: bool,
        now: Instant,
    ) -> Option<Vec<(usize, Sample<P>)>> {
        let samples = self.samples.get_or_insert_default();
        samples.push((place, sample));
        let is_late = now.saturating_duration_since(*self.since.get_or_insert(now)) >= PATIENCE;
        if is_whole || is_late || samples.len() >= MAX_WAITING { self.samples.take() } else { None }
    }
}
