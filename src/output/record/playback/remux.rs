//! A film in another container: the bytes of its MP4 go in, those of the other container come out. Pure.

use crate::{
    media::{Container, Muxer, NotCarried, Sample, TrackInfo, demux::Demuxed, mp4, track::TrackId},
    output::record::muxing::FileMuxer,
};
use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant},
};

/// Media of a fragment of MP4, in nanoseconds.
const FRAGMENT: i64 = 1_000_000_000;
/// A track that has nothing for so long is not waited for, in nanoseconds: longer than a part of a recording.
const PATIENCE: i64 = 12_000_000_000;

/// Makes a film of another container, as its MP4 is read.
pub struct Remuxer {
    demuxer: mp4::Demuxer,
    muxer: FileMuxer,
    order: Order,
    /// What the muxer takes for the present when the first sample comes.
    epoch: Instant,
    /// When what waits in the muxer begins.
    begun: i64,
}

/// Why a film is not made in a container.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemuxError {
    /// The container has no room for its codecs.
    #[error(transparent)]
    NotCarried(#[from] NotCarried),
    /// The index of the film is too long to be read whole.
    #[error("a film of some hours at most is had in another container: ask for a shorter span, or for clip.mp4")]
    TooLong,
}

impl Remuxer {
    /// For the film that begins with these bytes, which have its movie box; `created` is in seconds since 1970. Also returns the first
    /// bytes of the other container, of which MP4 is the one in fragments.
    ///
    /// # Errors
    /// When the container cannot carry what is in the film.
    pub fn new(container: Container, front: &[u8], created: u64) -> Result<(Self, Vec<u8>), RemuxError> {
        let (mut demuxer, mut found) = (mp4::Demuxer::new(), Vec::new());
        demuxer.push(front, &mut found);
        let tracks = found.into_iter().find_map(|found| match found {
            Demuxed::Tracks(tracks) => Some(tracks),
            Demuxed::Sample(_) => None,
        });
        let tracks = tracks.ok_or(RemuxError::TooLong)?;
        let chosen = Muxer::select(container, &tracks)?;
        let info = |id: &TrackId| tracks.tracks().iter().find(|track| track.id == *id).cloned();
        let chosen: Vec<TrackInfo> = chosen.iter().filter_map(info).collect();
        let (muxer, header) = FileMuxer::new(container, &chosen, created).ok_or(RemuxError::TooLong)?;
        let order = Order::new(chosen.iter().map(|track| track.id));
        Ok((Self { demuxer, muxer, order, epoch: Instant::now(), begun: 0 }, header))
    }

    /// The next bytes of the film, and what they become.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let (mut found, mut out) = (Vec::new(), Vec::new());
        self.demuxer.push(bytes, &mut found);
        self.order.take(found);
        while let Some(sample) = self.order.next() {
            self.mux(&sample, &mut out);
        }
        out
    }

    /// The film has ended: the last bytes.
    pub fn finish(mut self) -> Vec<u8> {
        let (mut found, mut out) = (Vec::new(), Vec::new());
        self.demuxer.finish(&mut found);
        self.order.take(found);
        while let Some((_, sample)) = self.order.waiting.pop_first() {
            self.mux(&sample, &mut out);
        }
        out.extend(self.muxer.rest());
        out
    }

    fn mux(&mut self, sample: &Sample, out: &mut Vec<u8>) {
        let at = sample.dts.nanos();
        if at.saturating_sub(self.begun) >= FRAGMENT {
            out.extend(self.muxer.take());
            self.begun = at;
        }
        // As if it came when it is decoded.
        let since = Duration::from_nanos(u64::try_from(at).unwrap_or(0));
        self.muxer.push(sample, self.epoch.checked_add(since).unwrap_or(self.epoch));
    }
}

impl fmt::Debug for Remuxer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remuxer").field("begun", &self.begun).finish_non_exhaustive()
    }
}

/// Sorts samples by when they are decoded: a recording has a second of one track, then that of the next one.
struct Order {
    /// Of each track, when the newest sample is decoded.
    newest: BTreeMap<TrackId, i64>,
    waiting: BTreeMap<(i64, u64), Sample>,
    count: u64,
}

impl Order {
    fn new(tracks: impl Iterator<Item = TrackId>) -> Self {
        Self { newest: tracks.map(|id| (id, i64::MIN)).collect(), waiting: BTreeMap::new(), count: 0 }
    }

    /// Samples of other tracks are dropped.
    fn take(&mut self, found: Vec<Demuxed>) {
        for found in found {
            let Demuxed::Sample(sample) = found else { continue };
            let Some(newest) = self.newest.get_mut(&sample.track) else { continue };
            *newest = sample.dts.nanos();
            self.count += 1;
            self.waiting.insert((sample.dts.nanos(), self.count), sample);
        }
    }

    /// The next sample that no other one comes before.
    fn next(&mut self) -> Option<Sample> {
        let ((at, _), _) = self.waiting.first_key_value()?;
        let (slowest, fastest) = (self.newest.values().min()?, self.newest.values().max()?);
        let is_next = at <= slowest || *at < fastest.saturating_sub(PATIENCE);
        is_next.then(|| self.waiting.pop_first()).flatten().map(|(_, sample)| sample)
    }
}
