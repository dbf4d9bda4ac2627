//! A ring that is shared between one writer and many readers.

use super::ring::{Cursor, Delivery, Entry, Join, Ring};
use crate::media::{Container, Packet};
use bytes::Bytes;
use std::{
    future::poll_fn,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};
use tokio::sync::{Notify, watch};

/// A keyframe younger than this is as good as a new one: nobody asks the encoder for another.
const FRESH: Duration = Duration::from_millis(250);

/// Handle to the fan-out of one stream. Clones are the same fan-out.
#[derive(Debug, Clone)]
pub struct FanOut(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    readers: AtomicUsize,
    packets: AtomicU64,
    bytes: AtomicU64,
    gaps: AtomicU64,
    wants_keyframe: Notify,
    can_force: bool,
    container: watch::Sender<Option<Container>>,
}

#[derive(Debug)]
struct State {
    ring: Ring,
    /// Grows with each change of the ring.
    version: Version,
    /// Readers that found nothing.
    waiting: Vec<Waker>,
    /// The empty list that takes turns with `waiting`, so that waking allocates nothing.
    spare: Vec<Waker>,
}

/// What went through a fan-out so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Packets written.
    pub packets: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Readers now.
    pub readers: usize,
    /// Times a reader fell behind and lost data.
    pub gaps: u64,
}

impl FanOut {
    /// An empty fan-out. `can_force` tells that keyframes can be had on request, see [`FanOut::keyframe_wanted`].
    pub fn new(can_force: bool) -> Self {
        let state = State { ring: Ring::new(), version: Version(0), waiting: Vec::new(), spare: Vec::new() };
        Self(Arc::new(Shared {
            state: Mutex::new(state),
            readers: AtomicUsize::new(0),
            packets: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            gaps: AtomicU64::new(0),
            wants_keyframe: Notify::new(),
            can_force,
            container: watch::Sender::new(None),
        }))
    }

    /// The container that the bytes are in, once that is known.
    pub fn container(&self) -> Option<Container> {
        *self.0.container.borrow()
    }

    /// Waits until the container is known. Cancel-safe.
    pub async fn container_known(&self) -> Container {
        let mut changes = self.0.container.subscribe();
        // The sender lives as long as this handle.
        let known = changes.wait_for(Option::is_some).await.ok().and_then(|container| *container);
        known.unwrap_or(Container::Raw)
    }

    /// Tells what the bytes are in. `opening` is sent to every reader first.
    pub fn set_container(&self, container: Container, opening: Option<&[u8]>) {
        self.state().ring.set_opening(opening);
        self.0.container.send_replace(Some(container));
    }

    /// Appends a packet and wakes the readers that wait. Never waits for a reader.
    pub fn push(&self, packet: Packet, notice: Option<Bytes>) {
        self.0.packets.fetch_add(1, Ordering::Relaxed);
        self.0.bytes.fetch_add(packet.len() as u64, Ordering::Relaxed);
        self.change(|ring| ring.push(packet, notice, Instant::now()));
    }

    /// The container header for the packets that follow.
    pub fn set_header(&self, header: &[u8]) {
        self.state().ring.set_header(header);
    }

    /// Nobody is to join at what was pushed so far.
    pub fn forget_joins(&self) {
        self.state().ring.forget_joins();
    }

    /// What follows is no continuation: readers end, new ones begin with what comes.
    pub fn restart(&self) {
        self.change(Ring::restart);
    }

    /// Nothing more comes: readers end when they have read what is there.
    pub fn finish(&self) {
        self.change(Ring::finish);
    }

    /// Readers end, and new ones too.
    pub fn close(&self) {
        self.change(Ring::close);
    }

    /// Undoes [`FanOut::close`].
    pub fn open(&self) {
        self.state().ring.open();
    }

    /// Whether readers end at once.
    pub fn is_closed(&self) -> bool {
        self.state().ring.is_closed()
    }

    /// Waits until a reader wants a keyframe sooner than it would come by itself. Cancel-safe; one waiter.
    pub async fn keyframe_wanted(&self) {
        self.0.wants_keyframe.notified().await;
    }

    /// A new reader.
    pub fn subscribe(&self, mut entry: Entry) -> Reader {
        let now = Instant::now();
        let state = self.state();
        if entry.join == Join::Keyframe
            && self.0.can_force
            && state.ring.newest_join_age(now).is_some_and(|age| age > FRESH)
        {
            entry.join = Join::Forced;
            self.0.wants_keyframe.notify_one();
        }
        self.0.readers.fetch_add(1, Ordering::Relaxed);
        Reader { fanout: self.clone(), cursor: Cursor::new(&state.ring, entry, now), registered: None }
    }

    /// The header and all packets of the newest group of pictures.
    pub fn newest_group(&self) -> Option<Vec<Bytes>> {
        self.state().ring.newest_group()
    }

    /// The state of the ring now, for [`FanOut::wake_after`].
    pub fn version(&self) -> Version {
        self.state().version
    }

    /// Wakes `waker` once when the ring is no longer as it was at `seen`; `false` when that is so already.
    pub fn wake_after(&self, seen: Version, waker: &Waker) -> bool {
        let mut state = self.state();
        let unchanged = state.version == seen;
        if unchanged {
            state.waiting.push(waker.clone());
        }
        unchanged
    }

    /// Whether both are handles to the same fan-out.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Counters.
    pub fn stats(&self) -> Stats {
        Stats {
            packets: self.0.packets.load(Ordering::Relaxed),
            bytes: self.0.bytes.load(Ordering::Relaxed),
            readers: self.0.readers.load(Ordering::Relaxed),
            gaps: self.0.gaps.load(Ordering::Relaxed),
        }
    }

    fn count(&self, delivery: &Delivery) {
        if matches!(delivery, Delivery::Gap(_)) {
            self.0.gaps.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn change(&self, change: impl FnOnce(&mut Ring)) {
        let mut waiting = {
            let mut state = self.state();
            change(&mut state.ring);
            state.version = Version(state.version.0 + 1);
            let spare = std::mem::take(&mut state.spare);
            std::mem::replace(&mut state.waiting, spare)
        };
        waiting.drain(..).for_each(Waker::wake);
        self.state().spare = waiting;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while it was held cannot have left the ring half changed in a way that matters more than the stream.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One reader of a fan-out.
#[derive(Debug)]
pub struct Reader {
    fanout: FanOut,
    cursor: Cursor,
    /// Who is to be woken, and the version of the ring that it waits to see changed.
    registered: Option<(Version, Waker)>,
}

/// A state of the ring, to tell whether it has changed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version(u64);

impl Reader {
    /// What comes next; waits for it. Cancel-safe.
    pub async fn next(&mut self) -> Delivery {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// The stream that is read.
    pub fn fanout(&self) -> &FanOut {
        &self.fanout
    }

    /// What comes next if it is there already; for readers that are woken by [`FanOut::wake_after`].
    pub fn try_next(&mut self) -> Option<Delivery> {
        let state = self.fanout.state();
        self.cursor.next(&state.ring).inspect(|delivery| self.fanout.count(delivery))
    }

    /// As [`Reader::next`], for hand-written futures.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Delivery> {
        let mut state = self.fanout.state();
        match self.cursor.next(&state.ring) {
            Some(delivery) => {
                self.fanout.count(&delivery);
                Poll::Ready(delivery)
            }
            None => {
                // Still under the lock, so that a push cannot slip between the look and the wait.
                let waker = context.waker();
                let version = state.version;
                if !self.registered.as_ref().is_some_and(|(at, known)| *at == version && known.will_wake(waker)) {
                    state.waiting.push(waker.clone());
                    self.registered = Some((version, waker.clone()));
                }
                Poll::Pending
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.fanout.0.readers.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Kind;

    #[tokio::test]
    async fn a_waiting_reader_is_woken_by_the_next_packet() {
        let fanout = FanOut::new(false);
        let mut reader = fanout.subscribe(Entry { join: Join::Live, header: false });
        let task = tokio::spawn(async move { reader.next().await });
        fanout.push(Packet::copy_of(Kind::Delta, b"x"), None);
        assert!(matches!(task.await.unwrap(), Delivery::Packet(packet) if packet.payload() == "x"));
        assert_eq!(fanout.stats(), Stats { packets: 1, bytes: 1, readers: 0, gaps: 0 });
    }

    #[tokio::test]
    async fn a_keyframe_is_asked_for_only_when_the_newest_is_old() {
        let fanout = FanOut::new(true);
        fanout.push(Packet::copy_of(Kind::Keyframe, b"K"), None);
        let entry = Entry { join: Join::Keyframe, header: false };
        assert!(matches!(fanout.subscribe(entry).next().await, Delivery::Packet(_)));
        let wanted = tokio::time::timeout(Duration::ZERO, fanout.keyframe_wanted()).await;
        assert!(wanted.is_err());
    }
}
