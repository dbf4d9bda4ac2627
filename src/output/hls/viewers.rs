//! HlsViewers of playlists. Each request is a response of its own, so a token identifies a viewer that the multivariant
//! playlist puts into the addresses of the others; one without it is recognised by its address.

use crate::stream::{Arrival, Progress, ViewerHandle, Viewers};
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

/// Most viewers of one stream.
const MAX_VIEWERS: usize = 20_000;
/// Most viewers of one stream from one address: the connections that it may have bound them too.
const MAX_OF_ADDRESS: usize = 1000;

/// The viewers of one stream. Clones are the same.
#[derive(Debug, Clone)]
pub struct HlsViewers(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    stream: String,
    viewers: Viewers,
    next: AtomicU64,
    known: Mutex<HashMap<Key, Viewer>>,
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
    pub fn new(stream: &str, viewers: Viewers, seed: u64) -> Self {
        let shared = Shared { stream: stream.to_owned(), viewers, next: AtomicU64::new(seed), known: Mutex::default() };
        Self(Arc::new(shared))
    }

    /// A token for one more viewer.
    pub fn token(&self) -> u64 {
        self.0.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether there are as many as there may be.
    pub fn is_full(&self) -> bool {
        self.known().len() >= MAX_VIEWERS
    }

    /// Those who have asked for nothing for this time are gone.
    pub fn expire(&self, now: Instant, after: Duration) {
        let is_gone = |viewer: &Viewer| now.saturating_duration_since(viewer.seen) > after;
        let gone: Vec<Viewer> =
            self.known().extract_if(|_, viewer| is_gone(viewer)).map(|(_, viewer)| viewer).collect();
        for viewer in gone {
            self.log(&viewer);
        }
    }

    fn log(&self, viewer: &Viewer) {
        let seconds = viewer.seen.saturating_duration_since(viewer.since).as_secs();
        let Viewer { peer, requests, progress: Progress { bytes, .. }, .. } = viewer;
        tracing::info!(stream = self.0.stream, %peer, protocol = "hls", requests, bytes, seconds, "viewer left");
    }

    fn visit(&self, visit: &Visit, peer: SocketAddr, now: Instant) {
        let mut known = self.known();
        // Media has no token, so that a cache fetches it once: it is counted for the viewer of its address who asked last.
        let key = match visit.is_playlist {
            true => Key { address: peer.ip(), token: visit.token },
            false => {
                let of_address = known.iter().filter(|(key, _)| key.address == peer.ip());
                let Some((key, _)) = of_address.max_by_key(|(_, viewer)| viewer.seen) else { return };
                *key
            }
        };
        if !known.contains_key(&key) {
            let of_address = known.keys().filter(|key| key.address == peer.ip()).count();
            if known.len() >= MAX_VIEWERS || of_address >= MAX_OF_ADDRESS {
                return;
            }
            let arrival = Arrival { protocol: "hls", user: None, peer };
            let viewer = self.0.viewers.join(arrival, SystemTime::now());
            let viewer = Viewer { viewer, peer, since: now, seen: now, requests: 0, progress: Progress::default() };
            known.insert(key, viewer);
            tracing::debug!(stream = self.0.stream, %peer, protocol = "hls", "viewer joined");
        }
        let Some(viewer) = known.get_mut(&key) else { return };
        viewer.seen = if visit.is_playlist { now } else { viewer.seen };
        viewer.requests += 1;
        viewer.progress.bytes += visit.bytes;
        let progress = viewer.progress;
        viewer.viewer.report(progress);
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Key, Viewer>> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_requests_are_one_viewer_until_they_stop() {
        let counted = Viewers::default();
        let viewers = HlsViewers::new("cam", counted.clone(), 7);
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
        let viewers = HlsViewers::new("cam", counted.clone(), 0);
        let (now, peer) = (Instant::now(), SocketAddr::from(([192, 0, 2, 1], 5000)));
        for token in 0..2 * MAX_OF_ADDRESS as u64 {
            viewers.visit(&Visit::playlist(&viewers, Some(token), 1), peer, now);
        }
        assert_eq!(counted.stats().now, MAX_OF_ADDRESS);
    }
}
