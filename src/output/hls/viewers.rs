//! Viewers of playlists. Each request is a response of its own, so a token identifies a viewer that the multivariant
//! playlist puts into the addresses of the others; one without it is recognised by its address.

use crate::{
    access::KICKED,
    stream::{Arrival, Progress, ViewerHandle, Viewers},
    telemetry::HlsStats,
};
use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

/// Most viewers of one stream.
const MAX_VIEWERS: usize = 20_000;
/// Most viewers of one stream from one address: the connections that it may have bound them too.
const MAX_OF_ADDRESS: usize = 1000;
/// How long an address is refused whose viewer was ended, and who names no token. With a token the viewer is refused for good.
const REFUSED_FOR: Duration = Duration::from_secs(60);
/// Most ended viewers that are remembered.
const MAX_ENDED: usize = 1000;

/// The viewers of one stream. Clones are the same.
#[derive(Debug, Clone)]
pub struct HlsViewers(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    stream: String,
    viewers: Viewers,
    next: AtomicU64,
    known: Mutex<Known>,
    /// Viewers that were ended by order, oldest first.
    ended: Mutex<VecDeque<(Key, Instant)>>,
    stats: Arc<HlsStats>,
}

#[derive(Debug, Default)]
struct Known {
    viewers: HashMap<Key, Viewer>,
    /// Who asked last of an address. It may be gone.
    newest: HashMap<IpAddr, Key>,
}

impl Known {
    /// The viewer of an address who asked last. Thousands may share one, and ask for a part at the same time.
    fn newest(&mut self, address: IpAddr) -> Option<Key> {
        if let Some(key) = self.newest.get(&address).filter(|key| self.viewers.contains_key(key)) {
            return Some(*key);
        }
        let of_address = self.viewers.iter().filter(|(key, _)| key.address == address);
        let newest = of_address.max_by_key(|(_, viewer)| viewer.seen).map(|(key, _)| *key);
        match newest {
            Some(key) => drop(self.newest.insert(address, key)),
            None => drop(self.newest.remove(&address)),
        }
        newest
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    address: IpAddr,
    token: Option<u64>,
}

#[derive(Debug)]
struct Viewer {
    viewer: ViewerHandle,
    peer: SocketAddr,
    since: Instant,
    seen: Instant,
    requests: u64,
    progress: Progress,
    /// Someone ordered that it ends.
    is_kicked: Arc<AtomicBool>,
}

/// A request of a viewer; goes with the response to the code that knows the client.
#[derive(Debug, Clone)]
pub struct Visit {
    viewers: HlsViewers,
    token: Option<u64>,
    bytes: u64,
    is_playlist: bool,
}

impl Visit {
    /// A request for a playlist of this many bytes.
    pub fn playlist(viewers: &HlsViewers, token: Option<u64>, bytes: u64) -> Self {
        Self { viewers: viewers.clone(), token, bytes, is_playlist: true }
    }

    /// A request for media of this many bytes.
    pub fn media(viewers: &HlsViewers, bytes: u64) -> Self {
        Self { viewers: viewers.clone(), token: None, bytes, is_playlist: false }
    }

    /// Counts the request.
    pub fn count(self, peer: SocketAddr) {
        self.viewers.clone().visit(&self, peer, Instant::now());
    }
}

impl HlsViewers {
    /// None yet. The tokens of viewers begin with `seed`, so that those of an earlier server are not used again.
    pub fn new(stream: &str, viewers: Viewers, seed: u64, stats: Arc<HlsStats>) -> Self {
        let (stream, next) = (stream.to_owned(), AtomicU64::new(seed));
        let shared = Shared { stream, viewers, next, known: Mutex::default(), ended: Mutex::default(), stats };
        Self(Arc::new(shared))
    }

    /// A token for one more viewer.
    pub fn token(&self) -> u64 {
        self.0.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether there are as many as there may be.
    pub fn is_full(&self) -> bool {
        self.known().viewers.len() >= MAX_VIEWERS
    }

    /// Those who have asked for nothing for this time are gone.
    pub fn expire(&self, now: Instant, after: Duration) {
        let is_gone = |viewer: &Viewer| now.saturating_duration_since(viewer.seen) > after || viewer.is_kicked();
        let gone: Vec<(Key, Viewer)> = {
            let Known { viewers, newest } = &mut *self.known();
            let gone = viewers.extract_if(|_, viewer| is_gone(viewer)).collect();
            newest.retain(|_, key| viewers.contains_key(key));
            gone
        };
        for (key, viewer) in gone {
            if viewer.is_kicked() {
                self.remember(key, now);
            }
            self.left(&viewer);
        }
    }

    /// Whether this client was ended, and is to get nothing more.
    pub fn is_ended(&self, peer: IpAddr, token: Option<u64>, now: Instant) -> bool {
        let key = Key { address: peer, token };
        if self.known().viewers.get(&key).is_some_and(Viewer::is_kicked) {
            return true;
        }
        let is_refused = |(known, since): &(Key, Instant)| {
            *known == key && (token.is_some() || now.saturating_duration_since(*since) < REFUSED_FOR)
        };
        self.ended().iter().any(is_refused)
    }

    fn remember(&self, key: Key, now: Instant) {
        let mut ended = self.ended();
        if ended.len() >= MAX_ENDED {
            ended.pop_front();
        }
        ended.push_back((key, now));
    }

    fn ended(&self) -> MutexGuard<'_, VecDeque<(Key, Instant)>> {
        self.0.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn left(&self, viewer: &Viewer) {
        let reason = if viewer.is_kicked() { KICKED } else { "no more requests" };
        viewer.viewer.ended(reason);
        self.0.stats.viewer_left();
        let seconds = viewer.seen.saturating_duration_since(viewer.since).as_secs();
        let Viewer { peer, requests, progress: Progress { bytes, .. }, .. } = viewer;
        tracing::info!(stream = self.0.stream, %peer, protocol = "hls", requests, bytes, seconds, reason, "viewer left");
    }

    fn visit(&self, visit: &Visit, peer: SocketAddr, now: Instant) {
        self.0.stats.sent(visit.bytes);
        let mut known = self.known();
        // Media has no token, so that a cache fetches it once: it is counted for the viewer of its address who asked last.
        let key = match visit.is_playlist {
            true => Key { address: peer.ip(), token: visit.token },
            false => match known.newest(peer.ip()) {
                Some(key) => key,
                None => return,
            },
        };
        let Known { viewers: known, newest } = &mut *known;
        if !known.contains_key(&key) {
            let of_address = known.keys().filter(|key| key.address == peer.ip()).count();
            if known.len() >= MAX_VIEWERS || of_address >= MAX_OF_ADDRESS {
                return;
            }
            let arrival = Arrival { protocol: "hls", user: None, peer };
            let (progress, is_kicked) = (Progress::default(), Arc::<AtomicBool>::default());
            let kicked = is_kicked.clone();
            let end = Box::new(move || kicked.store(true, Ordering::Relaxed));
            let viewer = self.0.viewers.join(arrival, Some(end), SystemTime::now());
            self.0.stats.viewer_joined();
            let viewer = Viewer { viewer, peer, since: now, seen: now, requests: 0, progress, is_kicked };
            known.insert(key, viewer);
            tracing::debug!(stream = self.0.stream, %peer, protocol = "hls", "viewer joined");
        }
        if visit.is_playlist {
            newest.insert(peer.ip(), key);
        }
        let Some(viewer) = known.get_mut(&key) else { return };
        viewer.seen = if visit.is_playlist { now } else { viewer.seen };
        viewer.requests += 1;
        viewer.progress.bytes += visit.bytes;
        let progress = viewer.progress;
        viewer.viewer.report(progress);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Viewer {
    fn is_kicked(&self) -> bool {
        self.is_kicked.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ended_viewer_gets_nothing_more_and_others_do() {
        let (counted, stats) = (Viewers::default(), Arc::new(HlsStats::default()));
        let viewers = HlsViewers::new("cam", counted.clone(), 7, stats.clone());
        let (now, peer) = (Instant::now(), SocketAddr::from(([192, 0, 2, 1], 5000)));
        let [one, two] = [Some(viewers.token()), Some(viewers.token())];
        for token in [one, two, None] {
            viewers.visit(&Visit::playlist(&viewers, token, 10), peer, now);
        }
        assert_eq!((stats.viewers(), stats.bytes()), (3, 30));
        for number in [0, 2] {
            assert_eq!(counted.kick(number), Some(true));
        }
        let is_ended = |now| [one, two, None].map(|token| viewers.is_ended(peer.ip(), token, now));
        assert_eq!(is_ended(now), [true, false, true]);
        viewers.expire(now, Duration::from_secs(4));
        assert_eq!((is_ended(now), stats.viewers()), ([true, false, true], 1));
        assert_eq!(counted.ended(), [(KICKED, 2)]);
        // An address may be that of others by then.
        assert_eq!(is_ended(now + REFUSED_FOR), [true, false, false]);
        assert!(!viewers.is_ended([192, 0, 2, 9].into(), one, now));
    }

    #[test]
    fn many_requests_are_one_viewer_until_they_stop() {
        let counted = Viewers::default();
        let viewers = HlsViewers::new("cam", counted.clone(), 7, Arc::default());
        let (now, peer) = (Instant::now(), SocketAddr::from(([192, 0, 2, 1], 5000)));
        let (one, two) = (Some(viewers.token()), Some(viewers.token()));
        assert_ne!(one, two);
        let later = now + Duration::from_secs(5);
        // Media of one who never asked for a playlist, as of a cache, counts for no viewer.
        viewers.visit(&Visit::media(&viewers, 100), peer, now);
        assert_eq!(counted.stats().now, 0);
        viewers.visit(&Visit::playlist(&viewers, one, 10), peer, now);
        viewers.visit(&Visit::playlist(&viewers, one, 10), SocketAddr::from(([192, 0, 2, 1], 5001)), now);
        viewers.visit(&Visit::playlist(&viewers, two, 10), peer, later);
        viewers.visit(&Visit::media(&viewers, 100), peer, later);
        let stats = counted.stats();
        assert_eq!((stats.now, stats.ever, stats.progress.bytes), (2, 2, 130));
        viewers.expire(later, Duration::from_secs(4));
        assert_eq!(counted.stats().now, 1);
        // The other one is counted for media now.
        viewers.expire(later + Duration::from_secs(5), Duration::from_secs(4));
        assert_eq!((counted.stats().now, counted.stats().progress.bytes), (0, 130));
    }

    #[test]
    fn tokens_that_are_made_up_fill_no_memory() {
        let counted = Viewers::default();
        let viewers = HlsViewers::new("cam", counted.clone(), 0, Arc::default());
        let (now, peer) = (Instant::now(), SocketAddr::from(([192, 0, 2, 1], 5000)));
        for token in 0..2 * MAX_OF_ADDRESS as u64 {
            viewers.visit(&Visit::playlist(&viewers, Some(token), 1), peer, now);
        }
        assert_eq!(counted.stats().now, MAX_OF_ADDRESS);
    }
}
