//! The side of a shard that other threads use: what comes for its sessions (datagrams, requests, batches of their streams) waits here. The
//! inbox is bounded: datagrams beyond that are dropped, as by a socket.

use super::{
    hooked::Message,
    member::Member,
    mux::{SessionId, Source},
    session::AcceptError,
    state::SessionState,
    viewer::OpenedLayer,
};
use std::{
    collections::VecDeque,
    mem,
    net::SocketAddr,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicUsize, Ordering},
    },
    task::Wake,
    time::Instant,
};
use str0m::channel::ChannelId;
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};

/// Most datagrams that wait: what a fast viewer sends in a second, of each of hundreds.
const MAX_WAITING: usize = 4096;

/// The side of a shard that other threads use.
#[derive(Debug, Default)]
pub struct Shard {
    state: Mutex<State>,
    woken: Condvar,
    sessions: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    inbox: Inbox,
    /// Until when the thread sleeps; `None` while it is awake, or about to be. Nothing is in the inbox while it sleeps.
    sleeps_until: Option<Instant>,
}

/// What waits for the thread of a shard.
#[derive(Debug, Default)]
pub struct Inbox {
    /// New sessions.
    pub joining: Vec<(SessionId, Member)>,
    /// Datagrams, in their order.
    pub datagrams: VecDeque<(SessionId, Datagram)>,
    /// Requests, in their order.
    pub commands: Vec<(SessionId, Command)>,
    /// Channels with a batch.
    pub woken: Vec<usize>,
    /// The thread is to end.
    pub is_closing: bool,
}

/// A datagram that came for a session.
#[derive(Debug)]
pub struct Datagram {
    /// From whom.
    pub source: Source,
    /// To which of the advertised addresses.
    pub destination: SocketAddr,
    /// What came.
    pub bytes: Vec<u8>,
}

/// What is asked of a session over HTTP.
#[derive(Debug)]
pub enum Command {
    /// Another ICE session, by this offer; the answer goes back.
    Restart(String, oneshot::Sender<Result<String, AcceptError>>),
    /// The layer that the viewer wants is opened, or cannot be.
    Layer(Option<OpenedLayer>),
    /// The viewer chooses a layer by its number, or lets losses decide; `true` when it is there.
    Choose(Option<usize>, oneshot::Sender<bool>),
    /// Which layers there are.
    Layers(oneshot::Sender<Option<LayerState>>),
    /// What the session is doing, and its changes; `None` when it has subscribers enough.
    Watch(oneshot::Sender<Option<watch::Receiver<SessionState>>>),
    /// Something outside sends this on a data channel. The permit bounds what waits here.
    Say(ChannelId, Message, OwnedSemaphorePermit),
    /// What a data channel leads to has ended.
    EndChannel(ChannelId),
    /// The viewer leaves.
    Close(&'static str),
}

/// The layers of a viewer.
#[derive(Debug)]
pub struct LayerState {
    /// What they are called.
    pub names: Arc<[String]>,
    /// The number of the one that is sent.
    pub active: usize,
    /// The number of the one that the viewer has chosen.
    pub chosen: Option<usize>,
}

impl Shard {
    /// The number of sessions.
    pub fn sessions(&self) -> usize {
        self.sessions.load(Ordering::Relaxed)
    }

    /// Takes over a session.
    pub fn adopt(&self, id: SessionId, member: Member) {
        self.sessions.fetch_add(1, Ordering::Relaxed);
        self.fill(|inbox| inbox.joining.push((id, member)));
    }

    /// A session is gone.
    pub fn removed(&self) {
        self.sessions.fetch_sub(1, Ordering::Relaxed);
    }

    /// A datagram for a session; `false` when there are too many.
    pub fn receive(&self, id: SessionId, datagram: Datagram) -> bool {
        let mut has_room = false;
        self.fill(|inbox| {
            has_room = inbox.datagrams.len() < MAX_WAITING;
            if has_room {
                inbox.datagrams.push_back((id, datagram));
            }
        });
        has_room
    }

    /// Asks something of a session.
    pub fn command(&self, id: SessionId, command: Command) {
        self.fill(|inbox| inbox.commands.push((id, command)));
    }

    /// All viewers leave, and the thread ends.
    pub fn close(&self) {
        self.fill(|inbox| inbox.is_closing = true);
    }

    fn fill(&self, fill: impl FnOnce(&mut Inbox)) {
        let mut state = self.state();
        fill(&mut state.inbox);
        self.wake(state);
    }

    /// Who is awake looks into the inbox before it sleeps: only the first one that fills it wakes the thread up.
    fn wake(&self, mut state: MutexGuard<'_, State>) {
        let sleeps = state.sleeps_until.take().is_some();
        drop(state);
        if sleeps {
            self.woken.notify_one();
        }
    }

    /// Waits until something comes, at the latest until `until`. For the thread of the shard, which then locks what it works with before it
    /// calls [`Shard::take`].
    pub fn wait(&self, until: Instant) {
        let mut state = self.state();
        if !state.inbox.is_empty() {
            return;
        }
        state.sleeps_until = Some(until);
        let left = until.saturating_duration_since(Instant::now());
        let waited = self.woken.wait_timeout_while(state, left, |state| state.sleeps_until.is_some());
        waited.unwrap_or_else(PoisonError::into_inner).0.sleeps_until = None;
    }

    /// What has come.
    pub fn take(&self) -> Inbox {
        mem::take(&mut self.state().inbox)
    }

    /// Locks what the thread of the shard works with, for another thread to do a little of its work while it sleeps. `None` while it does
    /// not sleep: whoever holds this keeps it waiting for that little at most, as nobody gets this again before the thread has slept.
    pub fn lock_asleep<'a, T>(&self, work: &'a Mutex<T>) -> Option<MutexGuard<'a, T>> {
        let state = self.state();
        state.sleeps_until?;
        match work.try_lock() {
            Ok(work) => Some(work),
            Err(TryLockError::Poisoned(work)) => Some(work.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Something is due for its thread by then, after another one did a little of its work.
    pub fn due(&self, at: Instant) {
        let state = self.state();
        if state.sleeps_until.is_some_and(|until| at < until) {
            self.wake(state);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inbox {
    fn is_empty(&self) -> bool {
        let Self { joining, datagrams, commands, woken, is_closing } = self;
        joining.is_empty() && datagrams.is_empty() && commands.is_empty() && woken.is_empty() && !is_closing
    }
}

/// Wakes a shard on behalf of one stream.
pub struct ShardWaker {
    /// Which shard.
    pub shard: Arc<Shard>,
    /// The channel of the stream in it.
    pub channel: usize,
}

impl Wake for ShardWaker {
    fn wake(self: Arc<Self>) {
        self.shard.fill(|inbox| inbox.woken.push(self.channel));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const LONG: Duration = Duration::from_secs(3600);

    /// A thread that sleeps until something comes, and is seen asleep.
    fn asleep(shard: &Arc<Shard>, work: &Mutex<()>) -> std::thread::JoinHandle<()> {
        let thread = std::thread::spawn({
            let shard = shard.clone();
            move || shard.wait(Instant::now() + LONG)
        });
        while shard.lock_asleep(work).is_none() {
            std::thread::yield_now();
        }
        thread
    }

    #[test]
    fn others_work_only_while_the_thread_sleeps() {
        let (shard, work) = (Arc::new(Shard::default()), Mutex::new(()));
        assert!(shard.lock_asleep(&work).is_none(), "it is awake");
        let thread = asleep(&shard, &work);
        let held = shard.lock_asleep(&work).unwrap();
        assert!(shard.lock_asleep(&work).is_none(), "one at a time");
        drop(held);
        // From the first thing that comes, what follows waits behind it.
        shard.command(SessionId(1), Command::Close("left"));
        assert!(shard.lock_asleep(&work).is_none());
        thread.join().unwrap();
        assert!(shard.lock_asleep(&work).is_none());
        assert_eq!(shard.take().commands.len(), 1);
        assert!(shard.take().is_empty());
    }

    #[test]
    fn the_thread_wakes_up_for_what_is_due_sooner() {
        let (shard, work) = (Arc::new(Shard::default()), Mutex::new(()));
        let thread = asleep(&shard, &work);
        shard.due(Instant::now() + 2 * LONG);
        assert!(shard.lock_asleep(&work).is_some(), "it sleeps on");
        shard.due(Instant::now() + LONG / 2);
        thread.join().unwrap();
        assert!(shard.take().is_empty());
    }

    #[test]
    fn the_thread_does_not_sleep_while_something_waits() {
        let shard = Shard::default();
        shard.close();
        shard.wait(Instant::now() + LONG);
        assert!(shard.take().is_closing);
        // Nor longer than it may.
        shard.wait(Instant::now());
    }

    #[test]
    fn datagrams_are_bounded() {
        let (shard, address) = (Shard::default(), SocketAddr::from(([192, 0, 2, 1], 1)));
        let datagram =
            || Datagram { source: Source { address, is_tcp: false }, destination: address, bytes: Vec::new() };
        assert!((0..MAX_WAITING).all(|_| shard.receive(SessionId(1), datagram())));
        assert!(!shard.receive(SessionId(1), datagram()));
        assert_eq!(shard.take().datagrams.len(), MAX_WAITING);
        assert!(shard.receive(SessionId(1), datagram()));
    }
}
