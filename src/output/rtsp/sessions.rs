//! Sessions that live without their connection: their packets travel in datagrams. Any connection of the same client may keep
//! them alive, or end them.

use bytes::Bytes;
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Most sessions.
const MAX_SESSIONS: usize = 20_000;
/// Most sessions of one address.
const MAX_OF_ADDRESS: usize = 1000;

/// When a client last showed that it is there, in milliseconds of the monotonic clock.
#[derive(Debug, Default)]
pub struct Liveness(AtomicU64);

impl Liveness {
    /// It is there now.
    pub fn touch(&self, now: Duration) {
        self.0.store(u64::try_from(now.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// For so long it has not shown that.
    pub fn silence(&self, now: Duration) -> Duration {
        now.saturating_sub(Duration::from_millis(self.0.load(Ordering::Relaxed)))
    }
}

/// A datagram of a publisher.
#[derive(Debug)]
pub struct Datagram {
    /// Where it came from.
    pub from: SocketAddr,
    /// A packet.
    pub bytes: Bytes,
}

/// All such sessions. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Sessions(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    by_id: HashMap<String, Entry>,
    /// Where datagrams of clients come from.
    by_address: HashMap<SocketAddr, String>,
}

#[derive(Debug, Clone)]
struct Entry {
    peer: IpAddr,
    liveness: Arc<Liveness>,
    end: CancellationToken,
    /// Takes the datagrams of a publisher.
    sink: Option<mpsc::Sender<Datagram>>,
}

/// A session is listed until this is dropped.
#[derive(Debug)]
pub struct Listed {
    sessions: Sessions,
    id: String,
    addresses: Vec<SocketAddr>,
    /// When the client last showed that it is there.
    pub liveness: Arc<Liveness>,
    /// Cancelled when the client ends the session.
    pub end: CancellationToken,
}

impl Sessions {
    /// Lists a session of a client whose datagrams come from these addresses, and go to `sink` if it publishes; `None` when there are
    /// too many.
    pub fn add(
        &self,
        id: &str,
        peer: IpAddr,
        addresses: Vec<SocketAddr>,
        sink: Option<mpsc::Sender<Datagram>>,
        now: Duration,
    ) -> Option<Listed> {
        let entry = Entry { peer, liveness: Arc::default(), end: CancellationToken::new(), sink };
        entry.liveness.touch(now);
        let mut state = self.lock();
        let of_address = || state.by_id.values().filter(|entry| entry.peer == peer).count();
        if state.by_id.len() >= MAX_SESSIONS || of_address() >= MAX_OF_ADDRESS {
            return None;
        }
        for address in &addresses {
            state.by_address.insert(*address, id.to_owned());
        }
        let Entry { liveness, end, .. } = entry.clone();
        state.by_id.insert(id.to_owned(), entry);
        Some(Listed { sessions: self.clone(), id: id.to_owned(), addresses, liveness, end })
    }

    /// The client shows that it is there; whether this is a session of it.
    pub fn touch(&self, id: &str, peer: IpAddr, now: Duration) -> bool {
        let found = self.lock().by_id.get(id).filter(|entry| entry.peer == peer).cloned();
        found.inspect(|entry| entry.liveness.touch(now)).is_some()
    }

    /// Whether there is such a session.
    pub fn has(&self, id: &str) -> bool {
        self.lock().by_id.contains_key(id)
    }

    /// A datagram came from this address. Those of strangers have no effect; those that a publisher's task cannot take in time are lost.
    pub fn datagram(&self, from: SocketAddr, bytes: &[u8], now: Duration) {
        let state = self.lock();
        if let Some(entry) = state.by_address.get(&from).and_then(|id| state.by_id.get(id)) {
            entry.liveness.touch(now);
            if let Some(sink) = &entry.sink {
                let _ = sink.try_send(Datagram { from, bytes: Bytes::copy_from_slice(bytes) });
            }
        }
    }

    /// The client ends it; whether this was a session of it.
    pub fn end(&self, id: &str, peer: IpAddr) -> bool {
        let found = self.lock().by_id.get(id).filter(|entry| entry.peer == peer).cloned();
        found.inspect(|entry| entry.end.cancel()).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut state = self.sessions.lock();
        state.by_id.remove(&self.id);
        for address in &self.addresses {
            // A newer session may have it.
            if state.by_address.get(address) == Some(&self.id) {
                state.by_address.remove(address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_client_of_a_session_keeps_and_ends_it() {
        let (sessions, at) = (Sessions::default(), Duration::from_secs);
        let (own, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let (sink, mut datagrams) = mpsc::channel(1);
        let listed = sessions.add("s", own, vec![(own, 5001).into()], Some(sink), at(10)).unwrap();
        assert!(!sessions.touch("s", other, at(20)) && !sessions.end("s", other) && !sessions.touch("x", own, at(20)));
        sessions.datagram((other, 5001).into(), b"forged", at(20));
        sessions.datagram((own, 5003).into(), b"forged", at(20));
        assert_eq!(listed.liveness.silence(at(20)), at(10));
        assert!(datagrams.try_recv().is_err());
        for bytes in [b"one", b"two"] {
            sessions.datagram((own, 5001).into(), bytes, at(21));
        }
        assert_eq!(datagrams.try_recv().unwrap().bytes, b"one"[..]);
        assert!(datagrams.try_recv().is_err(), "the queue is bounded");
        assert!(sessions.touch("s", own, at(22)));
        assert_eq!(listed.liveness.silence(at(25)), at(3));
        assert!(sessions.end("s", own) && listed.end.is_cancelled());
        drop(listed);
        assert!(!sessions.end("s", own) && sessions.lock().by_address.is_empty());
    }

    #[test]
    fn they_are_bounded() {
        let sessions = Sessions::default();
        let own = IpAddr::from([192, 0, 2, 1]);
        let add = |number: usize| sessions.add(&number.to_string(), own, Vec::new(), None, Duration::ZERO);
        let listed: Vec<_> = (0..MAX_OF_ADDRESS + 5).filter_map(add).collect();
        assert_eq!(listed.len(), MAX_OF_ADDRESS);
    }
}
