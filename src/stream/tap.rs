//! Samples of a stream for who makes something else of them than packets: recorders.

use super::FanOut;
use crate::media::{Container, Muxer, NotCarried, Sample, TrackInfo, TrackSet};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

/// Most samples that wait for a reader: half a minute of video and audio.
const MAX_ITEMS: usize = 4096;
/// Most bytes of them.
const MAX_BYTES: usize = 64 << 20;

/// What comes next.
#[derive(Debug, Clone, PartialEq)]
pub enum Tapped {
    /// The tracks of all samples that follow.
    Tracks(Vec<TrackInfo>),
    /// A sample.
    Sample(Sample),
    /// Another run of the source begins.
    Restarted,
    /// So many samples were lost here, because the reader was too slow.
    Lost(u64),
    /// The container cannot carry the tracks that come now.
    Refused(NotCarried),
}

/// What waits for one reader. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Queue(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    news: Notify,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Tapped>,
    bytes: usize,
    lost: u64,
}

impl Queue {
    fn push(&self, item: Tapped) {
        self.state().push(item);
        self.0.news.notify_one();
    }

    /// What comes next; waits for it. Cancel-safe.
    pub(super) async fn next(&self) -> Tapped {
        loop {
            if let Some(item) = self.state().pop() {
                return item;
            }
            self.0.news.notified().await;
        }
    }

    /// Whether both are the same.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn push(&mut self, item: Tapped) {
        let bytes = if let Tapped::Sample(sample) = &item { sample.data.len() } else { 0 };
        let is_full = self.items.len() >= MAX_ITEMS || self.bytes + bytes > MAX_BYTES;
        if matches!(item, Tapped::Sample(_)) && is_full {
            self.lost += 1;
            return;
        }
        self.settle();
        self.bytes += bytes;
        // The others are few, but nothing bounds how often tracks change.
        if self.items.len() < 2 * MAX_ITEMS {
            self.items.push_back(item);
        }
    }

    fn pop(&mut self) -> Option<Tapped> {
        if self.items.is_empty() {
            self.settle();
        }
        let item = self.items.pop_front()?;
        if let Tapped::Sample(sample) = &item {
            self.bytes -= sample.data.len();
        }
        Some(item)
    }

    /// What was lost takes its place in the order.
    fn settle(&mut self) {
        let lost = std::mem::take(&mut self.lost);
        if lost > 0 {
            self.items.push_back(Tapped::Lost(lost));
        }
    }
}

/// The end of a reader in the writer of the rendition: gives it the tracks that a container can carry, and their samples.
#[derive(Debug)]
pub(super) struct Tap {
    container: Container,
    queue: Queue,
    selected: Vec<TrackInfo>,
}

impl Tap {
    pub(super) fn new(container: Container, queue: Queue) -> Self {
        Self { container, queue, selected: Vec::new() }
    }

    pub(super) fn is_of(&self, queue: &Queue) -> bool {
        self.queue.is_same(queue)
    }

    /// The tracks from now on.
    pub(super) fn tracks(&mut self, set: &TrackSet) -> Result<(), NotCarried> {
        let selected = match Muxer::select(self.container, set) {
            Ok(selected) => selected,
            Err(fault) => {
                self.selected.clear();
                self.queue.push(Tapped::Refused(fault.clone()));
                return Err(fault);
            }
        };
        let selected: Vec<TrackInfo> = selected.iter().filter_map(|id| set.get(*id).cloned()).collect();
        if selected != self.selected {
            self.selected.clone_from(&selected);
            self.queue.push(Tapped::Tracks(selected));
        }
        Ok(())
    }

    pub(super) fn push(&self, sample: &Sample) {
        if self.selected.iter().any(|track| track.id == sample.track) {
            self.queue.push(Tapped::Sample(sample.clone()));
        }
    }

    pub(super) fn restart(&self) {
        self.queue.push(Tapped::Restarted);
    }

    pub(super) fn clear(&mut self) {
        self.selected.clear();
        self.restart();
    }
}

/// Where what is written to a rendition goes.
#[derive(Debug)]
pub(super) enum Sink {
    /// A muxer with its packets.
    Packager(super::packager::Packager),
    /// A reader of samples.
    Tap(Tap),
}

impl Sink {
    pub(super) fn is_fanout(&self, fanout: &FanOut) -> bool {
        matches!(self, Self::Packager(packager) if packager.fanout().is_same(fanout))
    }

    pub(super) fn is_queue(&self, queue: &Queue) -> bool {
        matches!(self, Self::Tap(tap) if tap.is_of(queue))
    }

    /// The next sample does not continue what was written last.
    pub(super) fn interrupt(&self) {
        match self {
            Self::Packager(packager) => packager.fanout().forget_joins(),
            Self::Tap(tap) => tap.restart(),
        }
    }

    pub(super) fn outdate(&mut self) {
        if let Self::Packager(packager) = self {
            packager.outdate();
        }
    }

    pub(super) fn tracks(&mut self, set: &TrackSet) -> Result<(), NotCarried> {
        match self {
            Self::Packager(packager) => packager.tracks(set),
            Self::Tap(tap) => tap.tracks(set),
        }
    }

    pub(super) fn push(&mut self, sample: &Sample, now: std::time::Instant) {
        match self {
            Self::Packager(packager) => packager.push(sample, now),
            Self::Tap(tap) => tap.push(sample),
        }
    }

    pub(super) fn clear(&mut self) {
        match self {
            Self::Packager(packager) => packager.clear(),
            Self::Tap(tap) => tap.clear(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{Time, TrackId};
    use bytes::Bytes;

    fn sample(millis: i64) -> Tapped {
        let time = Time::from_millis(millis);
        Tapped::Sample(Sample {
            track: TrackId(0),
            dts: time,
            pts: time,
            duration: None,
            is_sync: true,
            discontinuity: false,
            captured: None,
            entered: None,
            data: Bytes::from_static(&[0; 1000]),
        })
    }

    #[test]
    fn a_slow_reader_is_told_what_it_lost_and_where() {
        let mut state = State::default();
        for number in 0..MAX_ITEMS as i64 + 7 {
            state.push(sample(number));
        }
        assert_eq!(state.pop(), Some(sample(0)));
        state.push(sample(99));
        for _ in 1..MAX_ITEMS {
            assert!(matches!(state.pop(), Some(Tapped::Sample(_))));
        }
        assert_eq!((state.pop(), state.pop(), state.pop()), (Some(Tapped::Lost(7)), Some(sample(99)), None));
        assert_eq!(state.bytes, 0);
    }

    #[test]
    fn a_loss_at_the_end_is_told_too() {
        let mut state = State::default();
        for number in 0..=MAX_ITEMS as i64 {
            state.push(sample(number));
        }
        let count = std::iter::from_fn(|| state.pop()).count();
        assert_eq!((count, state.pop()), (MAX_ITEMS + 1, None));
    }
}
