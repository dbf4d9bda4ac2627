//! The streams and clients of the server, from the state that the API shows, for the shapes of SRS.

use super::{
    rates::{Rates, Traffic},
    shape::{Client, HOST, Stream, Vhost, track},
};
use crate::{
    access::{Access, Action, Decision, Subject},
    api::{call::State, control::permit_feed},
    engine::registry::{FeedHandle, StreamHandle},
    media::{MediaKind, TrackSet},
    source::publisher::{CurrentPublisher, PublishSlot},
    status::snapshot,
};
use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

/// What one request sees.
#[derive(Debug)]
pub(super) struct Seen {
    /// In the order of the configuration.
    pub(super) streams: Vec<Stream>,
    /// Those that the request may end: viewers by stream in the order in which they came, each stream's publisher first.
    pub(super) clients: Vec<Known>,
    pub(super) vhost: Vhost,
}

/// A client, and how it is ended.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) client: Client,
    pub(super) end: End,
}

/// What ends when a client is ended.
#[derive(Debug)]
pub(super) enum End {
    Viewer(Arc<StreamHandle>, u64),
    Publisher(PublishSlot),
}

/// The id of something, which is the same as long as what it is made of.
fn id(parts: impl Hash) -> String {
    let mut hasher = DefaultHasher::new();
    parts.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// The id of what has a name, with the mark that SRS gives it.
pub(super) fn named(parts: impl Hash) -> String {
    format!("vid-{}", id(parts))
}

/// A stream with what is counted of it.
struct Counted<'a> {
    handle: &'a Arc<StreamHandle>,
    shown: &'a snapshot::Stream,
    publisher: Option<(PublishSlot, CurrentPublisher)>,
    bytes: Traffic,
}

/// Looks at everything, and picks what this access may see. `host` is where the client reaches the server.
pub(super) fn look(state: &State, access: &Access, host: &str, rates: &Mutex<Rates>) -> Seen {
    let (snapshot, now) = (state.reader.snapshot(), Instant::now());
    let streams = state.registry.streams().iter();
    let counted = streams.filter_map(|handle| {
        let shown = snapshot.streams.iter().find(|shown| shown.name == handle.config.name.as_str())?;
        Some(counted(state, handle, shown))
    });
    let counted: Vec<Counted<'_>> = counted.collect();
    let mut rates = rates.lock().unwrap_or_else(PoisonError::into_inner);
    let mut clients: Vec<Known> = counted.iter().flat_map(|stream| clients_of(stream, host)).collect();
    // A publisher is a client of the first stream of its feed alone.
    let mut known = HashSet::new();
    clients.retain(|client| known.insert(client.client.id.clone()));
    // Of all, whoever asks: another one may see others.
    let counts = counted.iter().map(|stream| (named(stream.name()), stream.bytes));
    let of_clients = clients.iter().map(|known| (known.client.id.clone(), known.client.bytes));
    rates.note(counts.chain(of_clients), now);
    let existed = state.reader.info().since().elapsed();
    let seen = counted.iter().filter(|stream| access.sees(stream.name()));
    let streams: Vec<Stream> = seen
        .map(|stream| {
            let id = named(stream.name());
            stream.shape(id.clone(), host, rates.kbps(&id, stream.bytes, existed, now))
        })
        .collect();
    let may_end = |known: &Known| match &known.end {
        End::Viewer(stream, _) => {
            let subject = Subject::Stream(stream.config.name.as_str());
            matches!(access.decide(Action::Kick, subject), Decision::Allowed { .. })
        }
        End::Publisher(slot) => permit_feed(state, access, slot.feed().as_str()).is_ok(),
    };
    let mut clients: Vec<Known> = clients.into_iter().filter(may_end).collect();
    for Known { client, .. } in &mut clients {
        client.rates = rates.kbps(&client.id, client.bytes, client.alive, now);
    }
    let fragment = counted.iter().find(|stream| access.sees(stream.name()) && stream.handle.playlist_path().is_some());
    let vhost = Vhost {
        id: named(HOST),
        clients: streams.iter().map(|stream| stream.clients).sum(),
        streams: streams.len(),
        bytes: streams.iter().fold(Traffic::default(), |sum, stream| sum.plus(stream.bytes)),
        rates: streams.iter().fold(Traffic::default(), |sum, stream| sum.plus(stream.rates)),
        fragment: fragment.map(|stream| stream.handle.config.hls.segment),
    };
    Seen { streams, clients, vhost }
}

fn counted<'a>(state: &State, handle: &'a Arc<StreamHandle>, shown: &'a snapshot::Stream) -> Counted<'a> {
    let is_own = |feed: &&FeedHandle| handle.config.feeds.contains(&feed.config.name);
    let feeds: Vec<&FeedHandle> = state.registry.feeds().iter().filter(is_own).collect();
    let publisher = feeds.iter().find_map(|feed| {
        let slot = feed.publish.as_ref()?;
        Some((slot.clone(), slot.read().current?))
    });
    // What comes in: of a publisher, of a program or pipe, else what the encoder makes.
    let read = feeds.iter().filter_map(|feed| Some(feed.fanout.as_ref()?.reading().bytes)).reduce(u64::saturating_add);
    let published = publisher.as_ref().map(|(_, current)| current.bytes);
    let received = published.or(read).or(shown.written.bytes).unwrap_or(0);
    Counted { handle, shown, publisher, bytes: Traffic { received, sent: shown.viewers.bytes_out } }
}

impl Counted<'_> {
    fn name(&self) -> &str {
        self.handle.config.name.as_str()
    }

    /// What clients of SRS call it: its path, where that has an application before the stream.
    fn path(&self) -> &str {
        let path = self.handle.config.path.stem().trim_start_matches('/');
        if path.contains('/') { path } else { self.name() }
    }

    fn shape(&self, id: String, host: &str, rates: Traffic) -> Stream {
        let runs = matches!(self.shown.life.state, "running" | "lingering" | "paused");
        let tracks = self.tracks();
        let track_of = |kind: MediaKind| {
            let tracks = tracks.as_ref().map(TrackSet::tracks).unwrap_or_default();
            tracks.iter().find(|track| track.kind() == kind).map(track)
        };
        let publisher = self.publisher.as_ref().map(|(_, current)| current);
        Stream {
            id,
            vhost: named(HOST),
            name: self.path().to_owned(),
            protocol: publisher.map_or("rtmp", |current| current.info.protocol.name()),
            host: host.to_owned(),
            now: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default(),
            clients: self.shown.viewers.readers + usize::from(publisher.is_some()),
            frames: publisher.map(|current| current.samples).or(self.shown.written.packets).unwrap_or(0),
            bytes: self.bytes,
            rates,
            is_active: runs || publisher.is_some(),
            publisher: self.publisher.as_ref().map(|(slot, current)| publisher_id(slot, current)),
            video: track_of(MediaKind::Video),
            audio: track_of(MediaKind::Audio),
        }
    }

    /// The tracks while they are known: those that viewers get, else those that are published.
    fn tracks(&self) -> Option<TrackSet> {
        let output = self.handle.sampled().and_then(|sampled| sampled.output.as_ref());
        let known = output.and_then(|output| output.input().known_tracks().borrow().clone()).map(|(tracks, _)| tracks);
        known.or_else(|| self.publisher.as_ref()?.0.tracks())
    }
}

fn publisher_id(slot: &PublishSlot, current: &CurrentPublisher) -> String {
    id(("publisher", slot.feed().as_str(), current.since))
}

/// The publisher of a stream, and its viewers; their rates are not known yet.
fn clients_of(stream: &Counted<'_>, host: &str) -> Vec<Known> {
    let name = stream.name();
    let client = |id: String, ip, protocol, publishes, since: SystemTime, bytes| Client {
        id,
        vhost: named(HOST),
        stream: (named(name), stream.path().to_owned()),
        ip,
        protocol,
        host: host.to_owned(),
        publishes,
        alive: since.elapsed().unwrap_or(Duration::ZERO),
        bytes,
        rates: Traffic::default(),
    };
    let publisher = stream.publisher.iter().map(|(slot, current)| Known {
        client: client(
            publisher_id(slot, current),
            current.info.peer.ip(),
            current.info.protocol.name(),
            true,
            current.since,
            Traffic { received: current.bytes, sent: 0 },
        ),
        end: End::Publisher(slot.clone()),
    });
    let viewers = stream.handle.viewers.list().into_iter().map(|viewer| Known {
        client: client(
            id(("viewer", name, viewer.number, viewer.since)),
            viewer.peer.ip(),
            viewer.protocol,
            false,
            viewer.since,
            Traffic { received: 0, sent: viewer.progress.bytes },
        ),
        end: End::Viewer(stream.handle.clone(), viewer.number),
    });
    publisher.chain(viewers).collect()
}
