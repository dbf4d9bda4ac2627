//! A ring that is shared between one writer and many readers.

use super::{
    batch::Batch,
    keyframes::KeyframeRequests,
    ring::{Cursor, Delivery, Entry, Join, NewestGroup, Ring},
    stats::{StreamMeter, StreamStats},
};
use crate::media::{Container, Packet, codecs};
use bytes::Bytes;
use std::{
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// A keyframe younger than this is as good as a new one: no other is requested.
const FRESH: Duration = Duration::from_millis(250);

/// Handle to the fan-out of one stream. Clones are the same fan-out.
#[derive(Debug, Clone)]
pub struct FanOut(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    wants_keyframe: watch::Sender<KeyframeRequests>,
    can_force: bool,
    container: watch::Sender<Option<Container>>,
}

#[derive(Debug)]
struct State {
    ring: Ring,
    meter: StreamMeter,
    /// Grows with each change of the ring.
    version: Version,
    /// Readers that found nothing.
    waiting: Vec<Waker>,
    /// The empty list that takes turns with `waiting`, so that waking allocates nothing.
    spare: Vec<Waker>,
}

impl Default for FanOut {
    fn default() -> Self {
        Self::new()
    }
}

impl FanOut {
    /// An empty fan-out of bytes, whose source gives no keyframes on request.
    pub fn new() -> Self {
        Self::with(watch::Sender::default(), false)
    }

    /// An empty fan-out whose readers' requests for keyframes go there.
    pub fn requesting(keyframes: watch::Sender<KeyframeRequests>) -> Self {
        Self::with(keyframes, true)
    }

    fn with(wants_keyframe: watch::Sender<KeyframeRequests>, can_force: bool) -> Self {
        let state = State {
            ring: Ring::new(),
            meter: StreamMeter::default(),
            version: Version(0),
            waiting: Vec::new(),
            spare: Vec::new(),
        };
        Self(Arc::new(Shared {
            state: Mutex::new(state),
            wants_keyframe,
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

    /// Sets the format of the bytes. `opening` is sent to every reader first.
    pub fn set_container(&self, container: Container, opening: Option<&[u8]>) {
        self.state().ring.set_opening(opening);
        self.0.container.send_replace(Some(container));
    }

    /// Whether each join point is a whole frame in one packet, see [`Reader::reduce`].
    pub fn set_whole(&self, whole: bool) {
        self.state().ring.set_whole(whole);
    }

    /// See [`Ring::set_loose`].
    pub fn set_loose(&self, loose: bool) {
        self.state().ring.set_loose(loose);
    }

    /// Appends a packet and wakes the readers that wait. Never waits for a reader.
    pub fn push(&self, packet: Packet, notice: Option<Bytes>) {
        self.change(|state| {
            let now = Instant::now();
            state.meter.count(&packet, now);
            state.ring.push(packet, notice, now);
        });
    }

    /// The version of the next header; see [`Packet::needs`].
    pub fn set_header_version(&self, version: u32) {
        self.state().ring.set_header_version(version);
    }

    /// The container header for the packets that follow.
    pub fn set_header(&self, header: &[u8]) {
        self.state().ring.set_header(header);
    }

    /// The codecs, as the parameter of media types lists them, see [`crate::media::codecs`].
    pub fn codecs(&self) -> Option<String> {
        let container = self.container()?;
        let header = self.state().ring.header()?;
        codecs(container, &header)
    }

    /// Readers must not join at what was pushed so far.
    pub fn forget_joins(&self) {
        let mut state = self.state();
        state.ring.forget_joins();
        state.meter.pause();
    }

    /// What follows is no continuation: readers end, new ones begin with what comes.
    pub fn restart(&self) {
        self.change(|state| {
            state.ring.restart();
            state.meter.pause();
        });
    }

    /// Nothing more comes: readers end when they have read what is there.
    pub fn finish(&self) {
        self.change(|state| state.ring.finish());
    }

    /// Readers end, and new ones too.
    pub fn close(&self) {
        self.change(|state| {
            state.ring.close();
            state.meter.pause();
        });
    }

    /// Viewers get nothing from now on, or what comes from the next join point on.
    pub fn hold(&self, held: bool) {
        self.change(|state| state.ring.hold(held));
    }

    /// Undoes [`FanOut::close`].
    pub fn open(&self) {
        self.state().ring.open();
    }

    /// Whether readers end immediately.
    pub fn is_closed(&self) -> bool {
        self.state().ring.is_closed()
    }

    /// Changes when a keyframe is asked for.
    #[cfg(test)]
    pub(super) fn keyframe_requests(&self) -> watch::Receiver<KeyframeRequests> {
        self.0.wants_keyframe.subscribe()
    }

    /// Asks for a keyframe.
    pub fn want_keyframe(&self) {
        self.0.wants_keyframe.send_modify(KeyframeRequests::soon);
    }

    /// Asks that the first frame that is captured then or later is a keyframe. See [`KeyframeRequests::at`].
    pub fn want_keyframe_at(&self, captured: Duration) {
        self.0.wants_keyframe.send_modify(|requests| requests.at(captured));
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
            self.want_keyframe();
        }
        Reader { fanout: self.clone(), cursor: Cursor::new(&state.ring, entry, now), registered: None }
    }

    /// A new reader, for whom no keyframe is asked.
    pub fn subscribe_unforced(&self, entry: Entry) -> Reader {
        let state = self.state();
        Reader { fanout: self.clone(), cursor: Cursor::new(&state.ring, entry, Instant::now()), registered: None }
    }

    /// A new reader of the server itself, which makes something else of the packets: it gets them also while viewers are held.
    pub fn subscribe_unheld(&self, entry: Entry) -> Reader {
        let mut reader = self.subscribe(entry);
        reader.cursor.never_hold();
        reader
    }

    /// Age of the newest join point; `None` where there is none.
    pub fn newest_join_age(&self) -> Option<Duration> {
        self.state().ring.newest_join_age(Instant::now())
    }

    /// The header and all packets of the newest GOP.
    pub fn newest_group(&self) -> Option<NewestGroup> {
        self.state().ring.newest_group()
    }

    /// The state of the ring now, for [`FanOut::wake_after`].
    pub fn version(&self) -> Version {
        self.state().version
    }

    /// Replaces `batch` by what came after it; returns the state of the ring at that moment.
    pub fn next_batch(&self, batch: &mut Batch) -> Version {
        let state = self.state();
        state.ring.next_batch(batch);
        state.version
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

    /// What was written so far.
    pub fn reading(&self) -> StreamStats {
        self.state().meter.read(Instant::now())
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut waiting = {
            let mut state = self.state();
            change(&mut state);
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

/// A state of the ring, to see whether it has changed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version(u64);

impl Reader {
    /// Every packet is a frame of its own: the reader gets the newest ones only, at least `interval` apart. What it skips
    /// because it is slow is a gap; what it skips for the interval is none.
    pub fn thin(&mut self, interval: Duration) {
        self.cursor.thin(interval);
    }

    /// The reader gets join points only, always the newest one, from now on, or everything again. `false`, and nothing
    /// changes, where a join point alone cannot be shown: it is not known where its frame ends, or it is not video.
    pub fn reduce(&mut self, sparse: bool) -> bool {
        let can = self.fanout.state().ring.is_whole() || !sparse;
        if can {
            self.cursor.reduce(sparse);
        }
        can
    }

    /// The reader loses what is there already, and continues with the next join point to come: what it took last did not arrive.
    pub fn skip(&mut self) {
        let state = self.fanout.state();
        self.cursor.skip(&state.ring);
    }

    /// What comes next; waits for it. Cancel-safe.
    pub async fn next(&mut self) -> Delivery {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// The stream that is read.
    pub fn fanout(&self) -> &FanOut {
        &self.fanout
    }

    /// Whether `batch`, which is of the stream that is read, is all that comes next; it counts as read then.
    pub fn take_batch(&mut self, batch: &Batch) -> bool {
        self.cursor.take_batch(batch)
    }

    /// What comes next if it is there already; for readers that are woken by [`FanOut::wake_after`].
    pub fn try_next(&mut self) -> Option<Delivery> {
        let state = self.fanout.state();
        self.cursor.next(&state.ring)
    }

    /// As [`Reader::next`], for hand-written futures.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Delivery> {
        let mut state = self.fanout.state();
        match self.cursor.next(&state.ring) {
            Some(delivery) => Poll::Ready(delivery),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Kind;

    #[tokio::test]
    async fn a_waiting_reader_is_woken_by_the_next_packet() {
        let fanout = FanOut::new();
        let mut reader = fanout.subscribe(Entry { join: Join::Live, header: false });
        let task = tokio::spawn(async move { reader.next().await });
        fanout.push(Packet::copy_of(Kind::Delta, b"x"), None);
        assert!(matches!(task.await.unwrap(), Delivery::Packet(packet) if packet.payload() == "x"));
        assert_eq!((fanout.reading().packets, fanout.reading().bytes), (1, 1));
    }

    #[tokio::test]
    async fn a_reader_that_skips_continues_at_the_next_join_point() {
        let fanout = FanOut::new();
        let push = |kind, text: &[u8]| fanout.push(Packet::copy_of(kind, text), None);
        push(Kind::Keyframe, b"K1");
        let mut reader = fanout.subscribe(Entry { join: Join::Keyframe, header: false });
        assert!(matches!(reader.next().await, Delivery::Packet(packet) if packet.payload() == "K1"));
        push(Kind::Delta, b"d1");
        reader.skip();
        push(Kind::Delta, b"d2");
        assert!(reader.try_next().is_none());
        push(Kind::Keyframe, b"K2");
        assert!(matches!(reader.next().await, Delivery::Gap(2)));
        assert!(matches!(reader.next().await, Delivery::Packet(packet) if packet.payload() == "K2"));
    }

    #[tokio::test]
    async fn a_keyframe_is_asked_for_only_when_the_newest_is_old() {
        let keyframes = watch::Sender::default();
        let (fanout, wishes) = (FanOut::requesting(keyframes.clone()), keyframes.subscribe());
        fanout.push(Packet::copy_of(Kind::Keyframe, b"K"), None);
        let entry = Entry { join: Join::Keyframe, header: false };
        assert!(matches!(fanout.subscribe(entry).next().await, Delivery::Packet(_)));
        assert!(!wishes.has_changed().unwrap());
    }
}
