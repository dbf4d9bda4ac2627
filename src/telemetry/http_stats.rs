//! Statistics of HTTP requests and responses. No clock in here.

use super::Spread;
use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Upper bounds of the histogram buckets, in milliseconds: from imperceptible to annoying.
const BOUNDS: [u32; 12] = [1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000];

/// Statistics of all requests.
#[derive(Debug, Default)]
pub struct HttpStats {
    responses: [[AtomicU64; CLASSES.len()]; Protocol::ALL.len()],
    refusals: [AtomicU64; Refusal::ALL.len()],
    failed_handshakes: AtomicU64,
    /// From the head of a request to the head of its response.
    pub responding: Histogram,
    /// By container: from the head of a request for a stream to the first bytes that the connection of the client took.
    first_bytes: Mutex<BTreeMap<&'static str, Histogram>>,
}

/// Classes of status codes.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Why a request or connection is refused for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// A connection: the limit of all connections is reached.
    Connections,
    /// A connection: its address has half of all connections.
    Address,
    /// A still: the machine is overloaded.
    Still,
    /// A viewer: the machine is overloaded.
    Viewer,
}

impl Refusal {
    /// All of them, in the order of their numbers.
    const ALL: [Self; 4] = [Self::Connections, Self::Address, Self::Still, Self::Viewer];

    /// The value of the label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Address => "address",
            Self::Still => "picture",
            Self::Viewer => "viewer",
        }
    }
}

/// The protocol of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2, of any kind.
    Http2,
    /// RTSP/1.0.
    Rtsp,
}

impl Protocol {
    /// All of them, in the order of their numbers.
    const ALL: [Self; 4] = [Self::Http10, Self::Http11, Self::Http2, Self::Rtsp];

    /// As in the request line, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http10 => "http/1.0",
            Self::Http11 => "http/1.1",
            Self::Http2 => "http/2",
            Self::Rtsp => "rtsp/1.0",
        }
    }
}

impl HttpStats {
    /// Counts a response with this status, this long after the head of the request.
    pub fn responded(&self, protocol: Protocol, status: u16, took: Duration) {
        self.counted(protocol, status);
        self.responding.add(took);
    }

    /// Counts a response with this status, which may have waited for a stream to start.
    pub fn counted(&self, protocol: Protocol, status: u16) {
        let classes = self.responses.get(protocol as usize);
        let class = usize::from(status / 100).checked_sub(1);
        if let Some(count) = classes.zip(class).and_then(|(classes, class)| classes.get(class)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a handshake of TLS that failed.
    pub fn handshake_failed(&self) {
        self.failed_handshakes.fetch_add(1, Ordering::Relaxed);
    }

    /// Handshakes of TLS that failed.
    pub fn failed_handshakes(&self) -> u64 {
        self.failed_handshakes.load(Ordering::Relaxed)
    }

    /// Counts a refusal.
    pub fn refused(&self, refusal: Refusal) {
        if let Some(count) = self.refusals.get(refusal as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The number of refusals by reason.
    pub fn refusals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Refusal::ALL.iter().zip(&self.refusals).map(|(refusal, count)| (refusal.name(), count.load(Ordering::Relaxed)))
    }

    /// Counts the first bytes of a stream in this container, this long after the head of the request.
    pub fn first_byte(&self, container: &'static str, took: Duration) {
        self.first_bytes.lock().unwrap_or_else(PoisonError::into_inner).entry(container).or_default().add(took);
    }

    /// How long viewers waited for their first bytes, by container.
    pub fn first_bytes(&self) -> Vec<(&'static str, Spread)> {
        let first_bytes = self.first_bytes.lock().unwrap_or_else(PoisonError::into_inner);
        first_bytes.iter().map(|(container, histogram)| (*container, histogram.read())).collect()
    }

    /// The number of responses by protocol and class of the status: `("http/1.1", "2xx", 7)`.
    pub fn responses(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        Protocol::ALL.iter().zip(&self.responses).flat_map(|(protocol, classes)| {
            let counts = CLASSES.iter().zip(classes);
            counts.map(|(class, count)| (protocol.name(), *class, count.load(Ordering::Relaxed)))
        })
    }
}

/// A histogram of durations.
#[derive(Debug, Default)]
pub struct Histogram {
    /// The counts up to each bound and above the previous one; the last bucket is above all bounds.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

impl Histogram {
    /// Counts one duration.
    pub fn add(&self, took: Duration) {
        let place = BOUNDS.partition_point(|bound| Duration::from_millis((*bound).into()) < took);
        if let Some(bucket) = self.buckets.get(place) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// All counts so far.
    pub fn read(&self) -> Spread {
        let counts = self.buckets.each_ref().map(|bucket| bucket.load(Ordering::Relaxed));
        let sum = Duration::from_micros(self.micros.load(Ordering::Relaxed));
        Spread::of(BOUNDS.iter().map(|bound| f64::from(*bound) / 1000.0), &counts, sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_is_counted_up_to_its_bound_and_beyond() {
        let histogram = Histogram::default();
        for millis in [0, 1, 2, 250, 251, 10_000, 60_000] {
            histogram.add(Duration::from_millis(millis));
        }
        let spread = histogram.read();
        let up_to = |bound: f64| spread.up_to.iter().find(|(known, _)| *known == bound).unwrap().1;
        assert_eq!([0.001, 0.005, 0.1, 0.25, 0.5, 5.0, 10.0].map(up_to), [2, 3, 3, 4, 5, 5, 6]);
        assert_eq!((spread.count, spread.sum), (7, 70.504));
    }

    #[test]
    fn refusals_are_counted_by_their_reason() {
        let stats = HttpStats::default();
        [Refusal::Viewer, Refusal::Address, Refusal::Viewer].into_iter().for_each(|refusal| stats.refused(refusal));
        let counted: Vec<_> = stats.refusals().collect();
        assert_eq!(counted, [("connections", 0), ("address", 1), ("picture", 0), ("viewer", 2)]);
    }

    #[test]
    fn responses_are_counted_by_protocol_and_class() {
        let stats = HttpStats::default();
        for (protocol, status) in [(Protocol::Http10, 200), (Protocol::Http11, 404), (Protocol::Http11, 499)] {
            stats.responded(protocol, status, Duration::ZERO);
        }
        stats.responded(Protocol::Http11, 700, Duration::ZERO);
        stats.responded(Protocol::Http11, 0, Duration::ZERO);
        let counted: Vec<_> = stats.responses().filter(|(.., count)| *count > 0).collect();
        assert_eq!(counted, [("http/1.0", "2xx", 1), ("http/1.1", "4xx", 2)]);
        assert_eq!(stats.responses().count(), Protocol::ALL.len() * CLASSES.len());
    }

    #[test]
    fn first_bytes_are_counted_by_container() {
        let stats = HttpStats::default();
        assert!(stats.first_bytes().is_empty());
        for (container, millis) in [("ts", 30), ("ts", 50), ("webm", 70)] {
            stats.first_byte(container, Duration::from_millis(millis));
        }
        let found = stats.first_bytes();
        let found: Vec<_> = found.iter().map(|(container, spread)| (*container, spread.count, spread.sum)).collect();
        assert_eq!(found, [("ts", 2, 0.08), ("webm", 1, 0.07)]);
    }
}
