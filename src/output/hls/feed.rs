//! One container of a stream as segments: the tasks that read its packets, one for each encoding of the video, and what requests
//! see of them.

use super::{
    changes::{Changes, Topic},
    gzip,
    joined::Joined,
    pieces::{Found, PacketReader},
    tracks::Tracks,
};
use crate::{
    engine::rendition::Rendition,
    media::{
        Container, Muxer, NotCarried, Packet, TrackSet,
        segment::{Keys, Moment, Segmenter, Settings, Wish},
    },
    output::record::playback::Playback,
    source::demand::{Demand, Lease},
    stream::{Delivery, Entry, Join, Reader, StreamOutput},
    sys::{Shutdown, monotonic, since_1970},
    telemetry::HlsStats,
};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant, SystemTime},
};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// Nothing runs for so long after the last request, and three target durations more.
const LINGER: Duration = Duration::from_secs(10);
/// How often the end of that is looked for.
const LOOK: Duration = Duration::from_secs(1);
/// Recordings have what was before the first segment within this time: a part of them is a second by default.
const PAST_WITHIN: Duration = Duration::from_secs(4);
/// What came longer ago was there before anybody asked for segments.
const LIVE: Duration = Duration::from_millis(500);
/// Pause before an output is read again that has ended.
const AGAIN: Duration = Duration::from_millis(200);

/// What a feed reads.
#[derive(Debug, Clone)]
pub struct Source {
    /// Name of the stream, for the log.
    pub stream: String,
    /// The stream itself, then its renditions in other sizes.
    pub parts: Vec<Part>,
}

/// One encoding of the video, with the audio of its own.
#[derive(Debug, Clone)]
pub struct Part {
    /// What the stream is made of, where its tracks may have to be encoded otherwise for a container.
    pub rendition: Option<Arc<Rendition>>,
    /// Any output of the stream.
    pub output: StreamOutput,
    /// Leased while there are requests.
    pub demand: Demand,
}

/// One container of a stream as segments. Clones are the same.
#[derive(Debug, Clone)]
pub struct Feed(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    container: Container,
    settings: Settings,
    /// Name of the stream, for the log.
    stream: String,
    shutdown: Shutdown,
    stats: Arc<HlsStats>,
    /// Cancelled when the stream is gone or another one.
    stop: CancellationToken,
    /// What was before the first segment, where playlists list that.
    recordings: OnceLock<(Playback, String)>,
    changes: Changes,
    joined: Joined,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    source: Source,
    /// Why there are no segments.
    refused: Option<NotCarried>,
    /// There while the tasks run.
    segments: Option<Segmenter>,
    /// What the encodings have.
    tracks: Tracks,
    /// Cancelled when the tasks are to end.
    run: CancellationToken,
    used: Instant,
    rendered: Vec<Rendered>,
    /// Segments that were encrypted for one request and are sent to others, oldest first.
    encrypted: VecDeque<Encrypted>,
}

/// A segment as it is sent.
#[derive(Debug)]
struct Encrypted {
    rendition: &'static str,
    number: u64,
    bytes: bytes::Bytes,
}

/// A playlist that was rendered for one request and is sent to others.
#[derive(Debug)]
struct Rendered {
    version: u64,
    key: RenderKey,
    text: bytes::Bytes,
    /// The same as gzip, if a client has taken that and it is shorter.
    packed: Option<bytes::Bytes>,
}

/// What playlists differ in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderKey {
    /// Name of the rendition.
    pub rendition: &'static str,
    /// Whether it is a delta.
    pub skips: bool,
    /// What is carried into its addresses.
    pub query: String,
}

/// Most playlists that are kept.
const MAX_RENDERED: usize = 40;
/// Most bytes of encrypted segments that are kept: those that players who are up to date request.
const MAX_ENCRYPTED: usize = 32 << 20;

/// What a request found.
#[derive(Debug)]
pub enum Sight<T> {
    /// What it is for.
    Ready(T),
    /// It may come.
    NotYet,
}

impl Feed {
    /// Nothing runs yet.
    pub fn new(
        container: Container,
        settings: Settings,
        source: Source,
        shutdown: Shutdown,
        stats: Arc<HlsStats>,
    ) -> Self {
        let stream = source.stream.clone();
        let stop = shutdown.token().child_token();
        let state = State {
            tracks: Tracks::new(source.parts.len()),
            source,
            refused: None,
            segments: None,
            run: stop.child_token(),
            used: Instant::now(),
            rendered: Vec::new(),
            encrypted: VecDeque::new(),
        };
        Self(Arc::new(Shared {
            container,
            settings,
            stream,
            shutdown,
            stats,
            stop,
            recordings: OnceLock::new(),
            changes: Changes::default(),
            joined: Joined::default(),
            state: Mutex::new(state),
        }))
    }

    /// Playlists also list what these recordings have, if its settings say so.
    pub fn with_past(self, recordings: Playback, stream: String) -> Self {
        let _ = self.0.recordings.set((recordings, stream));
        self
    }

    /// A configuration was applied: this is the same stream.
    pub fn set_source(&self, source: Source) {
        self.0.state().source = source;
    }

    /// Why there were no segments when they were last requested.
    pub fn refused(&self) -> Option<NotCarried> {
        self.0.state().refused.clone()
    }

    /// The stream is gone.
    pub fn stop(&self) {
        self.0.stop.cancel();
    }

    /// Someone needs it for some time more: starts the task if it does not run.
    pub fn request(&self) {
        let mut state = self.0.state();
        state.used = Instant::now();
        if state.segments.is_none() && !self.0.stop.is_cancelled() {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            state.segments = Some(Segmenter::new(self.0.settings, now));
            state.refused = None;
            let parts = state.source.parts.len();
            state.tracks = Tracks::new(parts);
            state.run = self.0.stop.child_token();
            let stop = state.run.clone();
            drop(state);
            let name = format!("segments of {} in {}", self.0.stream, self.0.container);
            self.0.shutdown.spawn(name, run(self.0.clone(), stop.clone()));
            for part in 1..parts {
                let name = format!("segments of {} in {}, rendition {part}", self.0.stream, self.0.container);
                self.0.shutdown.spawn(name, run_part(self.0.clone(), part, stop.clone()));
            }
        }
    }

    /// Looks at the segments; `None` while nothing runs.
    pub fn look<T>(&self, look: impl FnOnce(&Segmenter) -> T) -> Option<T> {
        self.0.state().segments.as_ref().map(look)
    }

    /// The newest parts in one piece each.
    pub fn joined(&self) -> &Joined {
        &self.0.joined
    }

    /// A manifest of DASH is sent.
    pub fn set_shown(&self) {
        if let Some(segments) = &mut self.0.state().segments {
            segments.set_shown();
        }
    }

    /// Looks at the segments with each change of this kind until there is what is looked for, at most `within`; `None` when it did not
    /// come. Cancel-safe.
    pub async fn wait<T>(
        &self,
        topic: Topic,
        within: Duration,
        mut look: impl FnMut(&Segmenter) -> Sight<T>,
    ) -> Option<T> {
        let search = async {
            loop {
                let changed = self.0.changes.next(topic);
                if let Sight::Ready(found) = self.look(&mut look)? {
                    return Some(found);
                }
                changed.await;
            }
        };
        tokio::time::timeout(within, search).await.ok()?
    }

    /// A playlist, rendered once for each version.
    pub fn rendered(&self, key: RenderKey, render: impl FnOnce(&Segmenter) -> Option<String>) -> Option<bytes::Bytes> {
        let mut state = self.0.state();
        let State { segments, rendered, .. } = &mut *state;
        let segments = segments.as_ref()?;
        let version = segments.version();
        if let Some(known) = rendered.iter().find(|known| known.version == version && known.key == key) {
            return Some(known.text.clone());
        }
        let text = bytes::Bytes::from(render(segments)?);
        rendered.retain(|known| known.version == version);
        if rendered.len() < MAX_RENDERED {
            rendered.push(Rendered { version, key, text: text.clone(), packed: None });
        }
        Some(text)
    }

    /// A segment of these pieces, encrypted; mostly once for all requests. `None` where there is no memory for it.
    pub async fn encrypted(
        &self,
        keys: &Arc<Keys>,
        rendition: &'static str,
        number: u64,
        pieces: Vec<bytes::Bytes>,
    ) -> Option<bytes::Bytes> {
        let is_it = |known: &Encrypted| (known.rendition, known.number) == (rendition, number);
        if let Some(known) = self.0.state().encrypted.iter().find(|known| is_it(known)) {
            return Some(known.bytes.clone());
        }
        let keys = keys.clone();
        // A large segment takes milliseconds.
        let made = tokio::task::spawn_blocking(move || keys.encrypted(rendition, number, &pieces));
        let bytes = bytes::Bytes::from(made.await.ok()??);
        let mut state = self.0.state();
        let kept = &mut state.encrypted;
        if !kept.iter().any(is_it) {
            kept.push_back(Encrypted { rendition, number, bytes: bytes.clone() });
        }
        while kept.len() > 1 && kept.iter().map(|known| known.bytes.len()).sum::<usize>() > MAX_ENCRYPTED {
            kept.pop_front();
        }
        Some(bytes)
    }

    /// The same as gzip, compressed once for each version; `None` where that is not worth it.
    pub fn packed(&self, key: &RenderKey, text: &bytes::Bytes) -> Option<bytes::Bytes> {
        if text.len() < gzip::WORTH_IT {
            return None;
        }
        let is_same = |known: &Rendered| known.key == *key && known.text.as_ptr() == text.as_ptr();
        if let Some(packed) =
            self.0.state().rendered.iter().find(|known| is_same(known)).and_then(|known| known.packed.clone())
        {
            return Some(packed);
        }
        // Without the lock: media continues meanwhile.
        let packed = gzip::compressed(text)?;
        if let Some(known) = self.0.state().rendered.iter_mut().find(|known| is_same(known)) {
            known.packed = Some(packed.clone());
        }
        Some(packed)
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends after a while without requests; `true` when it has.
    fn ends(&self) -> bool {
        let mut state = self.state();
        let target = state.segments.as_ref().and_then(Segmenter::target).unwrap_or(0);
        let unused = state.used.elapsed();
        let is_over = unused > LINGER + Duration::from_secs(3 * target);
        if is_over {
            state.segments = None;
            state.rendered.clear();
            state.encrypted.clear();
        }
        is_over
    }

    fn take(&self, part: usize, reader: &mut PacketReader, packet: &Packet) {
        let date = |time: Option<Duration>| i64::try_from(time.and_then(since_1970)?.as_nanos()).ok();
        let captured = date(packet.captured).map(Moment::Captured);
        let mut found = Vec::new();
        reader.packet(packet, captured.or(date(packet.entered).map(Moment::Arrived)), &mut found);
        let came = packet.entered.or(packet.captured);
        let is_live = came.is_none_or(|came| monotonic().saturating_sub(came) < LIVE);
        self.apply(part, found, packet.captured, is_live);
    }

    /// Takes what a packet of an encoding has, which was captured then on the monotonic clock. `is_live`: it has just come.
    fn apply(&self, part: usize, found: Vec<Found>, captured: Option<Duration>, is_live: bool) {
        let (mut wishes, mut outputs) = (Vec::new(), Vec::new());
        let versions = {
            let mut state = self.state();
            let State { segments: Some(segments), tracks, source, .. } = &mut *state else { return };
            for found in found {
                match found {
                    Found::Header(mut headers) => {
                        if self.container == Container::Ts
                            && let Some(part) = source.parts.get(part)
                        {
                            let known = part.known_tracks(self.container);
                            headers.iter_mut().for_each(|header| header.describe(known.as_ref()));
                        }
                        tracks.set(part, headers, Instant::now());
                        tracks.all(Instant::now()).into_iter().for_each(|tracks| segments.begin(tracks));
                    }
                    Found::Piece(mut piece) => {
                        if tracks.is_waiting() {
                            tracks.all(Instant::now()).into_iter().for_each(|tracks| segments.begin(tracks));
                        }
                        piece.track = Tracks::number(part, piece.track);
                        segments.set_live(is_live);
                        wishes.extend(segments.push(piece));
                    }
                }
            }
            let (new_segments, new_parts) = segments.take_made();
            self.stats.made(new_segments, new_parts);
            // The tracks of a transport stream are one rendition.
            let versions = if self.container == Container::Ts { [segments.version(); 2] } else { segments.versions() };
            if !wishes.is_empty() {
                let of_part = |part: &Part| part.output.beside(self.container).fanout().clone();
                outputs.extend(source.parts.iter().map(of_part));
            }
            versions
        };
        for (wish, output) in wishes.iter().flat_map(|wish| outputs.iter().map(move |output| (wish, output))) {
            match (wish, captured) {
                (Wish::Soon, _) => output.want_keyframe(),
                (Wish::In(later), Some(captured)) => output.want_keyframe_at(captured + *later),
                (Wish::In(_), None) => {}
            }
        }
        self.changes.set(versions);
    }
}

impl Part {
    /// The tracks that a container carries, where it is made of the main encoding alone.
    fn known_tracks(&self, container: Container) -> Option<TrackSet> {
        let (tracks, _) = self.output.input().known_tracks().borrow().clone()?;
        let is_main = self.rendition.as_ref().is_none_or(|rendition| {
            rendition.sources(container, &tracks).is_ok_and(|sources| rendition.is_main(&sources))
        });
        let carried = tracks.tracks().iter().filter(|track| Muxer::carries(container, &track.codec));
        is_main.then(|| TrackSet::new(carried.cloned().collect()))
    }
}

/// Reads another encoding of the video, until the tasks end or it cannot be read.
async fn run_part(shared: Arc<Shared>, part: usize, stop: CancellationToken) {
    if let Err(refused) = read(&shared, part, &stop).await {
        tracing::warn!(stream = shared.stream, rendition = part, reason = %refused, "rendition not listed in playlists");
    }
    shared.state().tracks.leave_out(part);
}

/// Reads the packets of the stream and cuts them, until segments are no longer requested.
async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    tracing::debug!(stream = shared.stream, container = %shared.container, "segments started");
    let past = async {
        find_past(&shared).await;
        std::future::pending::<()>().await;
    };
    let refused = tokio::select! {
        read = read(&shared, 0, &stop) => read.err(),
        () = past => None,
    };
    stop.cancel();
    {
        let mut state = shared.state();
        if shared.stop.is_cancelled() || refused.is_some() {
            state.segments = None;
            state.rendered.clear();
            state.encrypted.clear();
        }
        state.refused = refused;
    }
    shared.joined.clear();
    // Who waits has nothing to wait for any more.
    shared.changes.wake_all();
    tracing::debug!(stream = shared.stream, container = %shared.container, "segments ended");
}

async fn read(shared: &Shared, part: usize, stop: &CancellationToken) -> Result<(), NotCarried> {
    let Some(mut packets) = PacketReader::new(shared.container) else { return Ok(()) };
    // A slow feed must not keep the server from ending.
    let Some(first) = stop.run_until_cancelled(Subscription::new(shared, part)).await else { return Ok(()) };
    let mut subscription = first?;
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let delivery = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = look.tick(), if part == 0 => {
                if shared.ends() {
                    return Ok(());
                }
                continue;
            }
            delivery = subscription.reader.next() => delivery,
        };
        match delivery {
            Delivery::Aside(header) => {
                let found = packets.header(&header.payload());
                shared.apply(part, found.into_iter().collect(), None, true);
            }
            Delivery::Packet(packet) => shared.take(part, &mut packets, &packet),
            Delivery::Gap(lost) => {
                tracing::warn!(stream = shared.stream, rendition = part, lost, "segments lagged: skipped to keyframe");
                if part == 0
                    && let Some(segments) = &mut shared.state().segments
                {
                    segments.interrupt();
                }
            }
            Delivery::End => {
                // The tracks changed, or the configuration.
                if subscription.reader.fanout().is_closed() {
                    tokio::time::sleep(AGAIN).await;
                }
                let Some(next) = stop.run_until_cancelled(Subscription::new(shared, part)).await else {
                    return Ok(());
                };
                subscription = next?;
            }
        }
    }
}

/// Waits for the first segment and lists what recordings have from before it.
async fn find_past(shared: &Shared) {
    let (Some((recordings, stream)), Some(reach)) = (shared.recordings.get(), shared.settings.dvr) else { return };
    let first = loop {
        let changed = shared.changes.next(Topic::All);
        let first = shared.state().segments.as_ref().and_then(Segmenter::first);
        match first {
            Some(first) => break first,
            None => changed.await,
        }
    };
    let until = Instant::now() + PAST_WITHIN;
    let past = loop {
        match recordings.past(stream, first.clone(), reach, shared.settings.segment).await {
            // The file that is written has it in a moment.
            Ok((_, false)) if Instant::now() < until => tokio::time::sleep(AGAIN).await,
            Ok((past, _)) => break past,
            Err(error) => {
                tracing::warn!(stream = shared.stream, %error, "playlist without recordings");
                break Vec::new();
            }
        }
    };
    if let Some(segments) = &mut shared.state().segments {
        segments.extend_back(first.number, &past);
    }
    shared.changes.wake_all();
}

/// The packets, and what keeps them coming.
struct Subscription {
    reader: Reader,
    _lease: Lease,
}

impl Subscription {
    async fn new(shared: &Shared, part: usize) -> Result<Self, NotCarried> {
        let source = shared.state().source.parts.get(part).cloned();
        // The number of parts is that of the stream.
        let Some(source) = source else { return std::future::pending().await };
        let output = source.output.beside(shared.container);
        let lease = match &source.rendition {
            Some(rendition) => rendition.open(shared.container).await?,
            None => source.demand.lease().with(output.lease()),
        };
        let reader = output.fanout().subscribe(Entry { join: Join::Oldest, header: true });
        Ok(Self { reader, _lease: lease })
    }
}
