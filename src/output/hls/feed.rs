//! One container of a stream as segments: the task that cuts its packets, and what requests see of them.

use super::pieces::{Found, PacketReader};
use crate::{
    engine::rendition::Rendition,
    media::{
        Container, NotCarried, Packet,
        segment::{Segmenter, Settings},
    },
    output::record::playback::Playback,
    source::demand::{Demand, Lease},
    stream::{Delivery, Entry, FanOut, Join, Reader, StreamOutput},
    sys::{Shutdown, since_1970},
};
use std::{
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant, SystemTime},
};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

/// Nothing runs for so long after the last request, and three target durations more.
const LINGER: Duration = Duration::from_secs(10);
/// How often the end of that is looked for.
const LOOK: Duration = Duration::from_secs(1);
/// Recordings have what was before the first segment within this time: a part of them is a second by default.
const PAST_WITHIN: Duration = Duration::from_secs(4);
/// Pause before an output is read again that has ended.
const AGAIN: Duration = Duration::from_millis(200);

/// What a feed reads.
#[derive(Debug, Clone)]
pub struct Source {
    /// What the stream is made of, where its tracks may have to be encoded otherwise for a container.
    pub rendition: Option<Arc<Rendition>>,
    /// Name of the stream, for the log.
    pub stream: String,
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
    /// Cancelled when the stream is gone or another one.
    stop: CancellationToken,
    /// What was before the first segment, where playlists list that.
    recordings: OnceLock<(Playback, String)>,
    /// The version of the segments.
    changes: watch::Sender<u64>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    source: Source,
    /// Why there are no segments.
    refused: Option<NotCarried>,
    /// There while the task runs.
    segments: Option<Segmenter>,
    used: Instant,
    rendered: Vec<Rendered>,
}

/// A playlist that was rendered for one request and is sent to others.
#[derive(Debug)]
struct Rendered {
    version: u64,
    key: RenderKey,
    text: bytes::Bytes,
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
const MAX_RENDERED: usize = 8;

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
    pub fn new(container: Container, settings: Settings, source: Source, shutdown: Shutdown) -> Self {
        let stream = source.stream.clone();
        let state = State { source, refused: None, segments: None, used: Instant::now(), rendered: Vec::new() };
        let stop = shutdown.token().child_token();
        let changes = watch::Sender::new(0);
        Self(Arc::new(Shared {
            container,
            settings,
            stream,
            shutdown,
            stop,
            recordings: OnceLock::new(),
            changes,
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
            drop(state);
            let name = format!("segments of {} in {}", self.0.stream, self.0.container);
            self.0.shutdown.spawn(name, run(self.0.clone()));
        }
    }

    /// Looks at the segments; `None` while nothing runs.
    pub fn look<T>(&self, look: impl FnOnce(&Segmenter) -> T) -> Option<T> {
        self.0.state().segments.as_ref().map(look)
    }

    /// Looks at the segments with each change until there is what is looked for, at most `within`; `None` when it did not
    /// come. Cancel-safe.
    pub async fn wait<T>(&self, within: Duration, mut look: impl FnMut(&Segmenter) -> Sight<T>) -> Option<T> {
        let deadline = tokio::time::Instant::now() + within;
        let mut changes = self.0.changes.subscribe();
        loop {
            changes.borrow_and_update();
            if let Sight::Ready(found) = self.look(&mut look)? {
                return Some(found);
            }
            tokio::time::timeout_at(deadline, changes.changed()).await.ok()?.ok()?;
        }
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
            rendered.push(Rendered { version, key, text: text.clone() });
        }
        Some(text)
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
        }
        is_over
    }

    fn take(&self, reader: &mut PacketReader, packet: &Packet, output: &FanOut) {
        let captured = packet.captured.and_then(since_1970).and_then(|time| i64::try_from(time.as_nanos()).ok());
        let mut found = Vec::new();
        reader.packet(packet, captured, &mut found);
        self.apply(found, output);
    }

    fn apply(&self, found: Vec<Found>, output: &FanOut) {
        let mut wants_keyframe = false;
        let version = {
            let mut state = self.state();
            let Some(segments) = &mut state.segments else { return };
            for found in found {
                match found {
                    Found::Header(tracks) => segments.begin(tracks),
                    Found::Piece(piece) => wants_keyframe |= segments.push(piece),
                }
            }
            segments.version()
        };
        if wants_keyframe {
            output.want_keyframe();
        }
        self.changes.send_if_modified(|known| std::mem::replace(known, version) != version);
    }
}

/// Reads the packets of the stream and cuts them, until segments are no longer requested.
async fn run(shared: Arc<Shared>) {
    tracing::debug!(stream = shared.stream, container = %shared.container, "segments started");
    let past = async {
        find_past(&shared).await;
        std::future::pending::<()>().await;
    };
    let refused = tokio::select! {
        read = read(&shared) => read.err(),
        () = past => None,
    };
    {
        let mut state = shared.state();
        if shared.stop.is_cancelled() || refused.is_some() {
            state.segments = None;
            state.rendered.clear();
        }
        state.refused = refused;
    }
    // Who waits has nothing to wait for any more.
    shared.changes.send_modify(|version| *version += 1);
    tracing::debug!(stream = shared.stream, container = %shared.container, "segments ended");
}

async fn read(shared: &Shared) -> Result<(), NotCarried> {
    let Some(mut packets) = PacketReader::new(shared.container) else { return Ok(()) };
    // A slow feed must not keep the server from ending.
    let Some(first) = shared.stop.run_until_cancelled(Subscription::new(shared)).await else { return Ok(()) };
    let mut subscription = first?;
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let delivery = tokio::select! {
            () = shared.stop.cancelled() => return Ok(()),
            _ = look.tick() => {
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
                shared.apply(found.into_iter().collect(), subscription.reader.fanout());
            }
            Delivery::Packet(packet) => shared.take(&mut packets, &packet, subscription.reader.fanout()),
            Delivery::Gap(lost) => {
                tracing::warn!(stream = shared.stream, lost, "segments lagged: skipped to keyframe");
                if let Some(segments) = &mut shared.state().segments {
                    segments.interrupt();
                }
            }
            Delivery::End => {
                // The tracks changed, or the configuration.
                if subscription.reader.fanout().is_closed() {
                    tokio::time::sleep(AGAIN).await;
                }
                let Some(next) = shared.stop.run_until_cancelled(Subscription::new(shared)).await else {
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
    let mut changes = shared.changes.subscribe();
    let first = loop {
        changes.borrow_and_update();
        let first = shared.state().segments.as_ref().and_then(Segmenter::first);
        match first {
            Some(first) => break first,
            None if changes.changed().await.is_err() => return,
            None => {}
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
    shared.changes.send_modify(|version| *version += 1);
}

/// The packets, and what keeps them coming.
struct Subscription {
    reader: Reader,
    _lease: Lease,
}

impl Subscription {
    async fn new(shared: &Shared) -> Result<Self, NotCarried> {
        let source = shared.state().source.clone();
        let output = source.output.beside(shared.container);
        let lease = match &source.rendition {
            Some(rendition) => rendition.open(shared.container).await?,
            None => source.demand.lease().with(output.lease()),
        };
        let reader = output.fanout().subscribe(Entry { join: Join::Oldest, header: true });
        Ok(Self { reader, _lease: lease })
    }
}
