//! What is known of the server, its feeds and its streams at one moment: what every page of the state is made of.
//!
//! The names of the fields are promised in docs/http.md.

use super::{
    about::About,
    measures::{Made, Watched, seconds},
    tracks::{self, Track},
};
use crate::{
    config::{self, Config, Encoding, Mode, Pages, Serving, Source, text_without_secrets},
    engine::registry::{FeedHandle, Registry, StreamHandle},
    ipc::TrackKind,
    media::Container,
    source::{
        per_request::PerRequestStream,
        status::{Record, Status},
    },
    stream::{Audience, Member},
};
use jiff::Timestamp;
use serde::Serialize;
use std::time::SystemTime;

/// Who can tell all of it.
#[derive(Debug, Clone)]
pub struct View {
    registry: Registry,
    /// To be shown: without secrets.
    config: Config,
    about: About,
}

/// All that is known.
#[derive(Debug, Serialize)]
pub struct Facts {
    /// The server itself.
    pub server: Server,
    /// What all streams add up to.
    pub totals: Totals,
    /// In the order of the configuration.
    pub feeds: Vec<Feed>,
    /// In the order of the configuration.
    pub streams: Vec<Stream>,
}

/// The server itself.
#[derive(Debug, Serialize)]
pub struct Server {
    name: &'static str,
    /// Of the program.
    pub version: &'static str,
    time: String,
    started: String,
    /// Since the start.
    pub uptime_seconds: u64,
    pid: u32,
    /// Whether the machine keeps up.
    pub load: &'static str,
    /// Which configuration is in force.
    pub configuration: Configuration,
}

/// Which configuration is in force.
#[derive(Debug, Serialize)]
pub struct Configuration {
    /// When.
    pub loaded: String,
    /// Why the newest one is not.
    pub error: Option<String>,
    address: String,
    logdir: Option<String>,
    memory_max_bytes: Option<u64>,
}

/// What all streams add up to.
#[derive(Debug, Serialize)]
pub struct Totals {
    feeds: usize,
    streams: usize,
    readers: usize,
    readers_ever: u64,
    bytes_out: u64,
    gaps: u64,
    lost_packets: u64,
    reductions: u64,
    reduced_readers: usize,
    dropped_readers: u64,
}

/// The life of a feed or stream.
#[derive(Debug, Serialize)]
pub struct Life {
    /// The word for it.
    pub state: &'static str,
    /// When that began.
    pub since: String,
    /// Starts so far.
    pub starts: u64,
    /// Starts after a death.
    pub restarts: u64,
    /// Why it died last.
    pub last_error: Option<String>,
    last_error_time: Option<String>,
    last_lines: Vec<String>,
    /// The process that runs it.
    pub worker_pid: Option<u32>,
}

/// A feed.
#[derive(Debug, Serialize)]
pub struct Feed {
    /// As configured.
    pub name: String,
    kind: &'static str,
    source: String,
    feed: Option<String>,
    /// `on-demand` or `continuous`.
    pub mode: &'static str,
    linger_seconds: Option<f64>,
    resurrect: bool,
    /// How it is.
    #[serde(flatten)]
    pub life: Life,
    tracks: Vec<Track>,
    /// Read so far; unknown where a worker takes it in itself.
    pub bytes_in: Option<u64>,
    bit_rate_in: Option<u64>,
    /// Since the last bytes.
    pub idle_seconds: Option<f64>,
}

/// A stream.
#[derive(Debug, Serialize)]
pub struct Stream {
    /// As configured.
    pub name: String,
    /// Its path, percent-encoded.
    pub url: String,
    /// Whether it is made for each request.
    pub kind: &'static str,
    container: Option<&'static str>,
    /// Its type.
    pub mimetype: String,
    /// What is in its container, once that is known.
    codecs: Option<String>,
    feeds: Vec<String>,
    encoding: &'static str,
    source: Option<String>,
    tracks: Vec<Track>,
    /// Whether viewers see its placeholder.
    placeholder: bool,
    /// How it is.
    #[serde(flatten)]
    pub life: Life,
    /// Made so far.
    #[serde(flatten)]
    pub made: Made,
    /// Those who watch.
    #[serde(flatten)]
    pub watched: Watched,
    #[serde(skip_serializing_if = "Option::is_none")]
    clients: Option<Vec<Client>>,
}

/// One who watches.
#[derive(Debug, Serialize)]
struct Client {
    address: String,
    since: String,
    bytes_out: u64,
    gaps: u64,
    reduced: bool,
}

impl View {
    /// Of what runs for this configuration.
    pub fn new(registry: &Registry, config: &Config, about: &About) -> Self {
        Self { registry: registry.clone(), config: config::masked(config), about: about.clone() }
    }

    /// Which pages there are.
    pub fn pages(&self) -> &Pages {
        &self.config.pages
    }

    /// What the server says of itself.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// What is known now.
    pub fn facts(&self) -> Facts {
        let Self { registry, config, about } = self;
        let feeds: Vec<Feed> =
            config.feeds.iter().zip(registry.feeds()).map(|(config, feed)| Feed::of(config, feed)).collect();
        let (mut shared, mut private) = (registry.streams().iter(), registry.per_request().iter());
        let clients = config.pages.clients;
        let streams: Vec<Stream> = config
            .streams
            .iter()
            .filter_map(|config| match config.serving {
                Serving::Shared => Some(Stream::shared(config, shared.next()?, clients)),
                Serving::Exclusive | Serving::Shot => Some(Stream::private(config, private.next()?, clients)),
            })
            .collect();
        let now = about.now();
        Facts {
            server: Server {
                name: env!("CARGO_PKG_NAME"),
                version: env!("CARGO_PKG_VERSION"),
                time: written(SystemTime::now()),
                started: written(about.started()),
                uptime_seconds: about.since().elapsed().as_secs(),
                pid: std::process::id(),
                load: about.pressure().load().name(),
                configuration: Configuration {
                    loaded: written(now.loaded),
                    error: now.refused.as_deref().map(text_without_secrets),
                    address: std::net::SocketAddr::new(config.listen_addr, config.listen_port).to_string(),
                    logdir: config.logdir.as_ref().map(|folder| folder.display().to_string()),
                    memory_max_bytes: config.memory_max,
                },
            },
            totals: Totals::of(feeds.len(), &streams),
            feeds,
            streams,
        }
    }
}

impl Totals {
    fn of(feeds: usize, streams: &[Stream]) -> Self {
        let sum = |count: fn(&Watched) -> u64| streams.iter().map(|stream| count(&stream.watched)).sum();
        Self {
            feeds,
            streams: streams.len(),
            readers: streams.iter().map(|stream| stream.watched.readers).sum(),
            readers_ever: sum(|watched| watched.readers_ever),
            bytes_out: sum(|watched| watched.bytes_out),
            gaps: sum(|watched| watched.gaps),
            lost_packets: sum(|watched| watched.lost_packets),
            reductions: sum(|watched| watched.reductions),
            reduced_readers: streams.iter().map(|stream| stream.watched.reduced_readers).sum(),
            dropped_readers: sum(|watched| watched.dropped_readers),
        }
    }
}

impl Life {
    fn of(record: Record) -> Self {
        let (last_error, last_error_time) = record.last_failure.unzip();
        Self {
            state: record.state.word(),
            since: written(record.since),
            starts: record.starts,
            restarts: record.restarts,
            last_error: last_error.as_deref().map(text_without_secrets),
            last_error_time: last_error_time.map(written),
            last_lines: record.last_lines.iter().map(|line| text_without_secrets(line)).collect(),
            worker_pid: record.pid,
        }
    }

    /// Of what is made for each request: it runs while there are runs.
    fn of_runs(status: &Status, runs: usize) -> Self {
        let life = Self::of(status.read());
        Self { state: if runs > 0 { "running" } else { life.state }, worker_pid: None, ..life }
    }
}

impl Feed {
    fn of(config: &config::Feed, feed: &FeedHandle) -> Self {
        let (mode, linger_seconds) = match config.mode {
            Mode::Continuous => ("continuous", None),
            Mode::OnDemand { linger } => ("on-demand", Some(linger.as_secs_f64())),
        };
        let (kind, source) = match &config.source {
            Source::Pipeline(text) => ("pipeline", text.clone()),
            Source::Command(words) => ("command", shell_words::join(words)),
            Source::File { path, .. } => ("file", path.display().to_string()),
            Source::Pipe(path) => ("pipe", path.display().to_string()),
        };
        let record = feed.status.read();
        let tracks = tracks_of(&record);
        let came = feed.fanout.as_ref().map(crate::stream::FanOut::reading);
        Self {
            name: config.name.to_string(),
            kind,
            source,
            feed: config.parent.as_ref().map(ToString::to_string),
            mode,
            linger_seconds,
            resurrect: !config.no_resurrect,
            life: Life::of(record),
            tracks,
            bytes_in: came.map(|came| came.bytes),
            bit_rate_in: came.and_then(|came| came.bit_rate),
            idle_seconds: came.and_then(|came| came.idle).map(seconds),
        }
    }
}

impl Stream {
    fn shared(config: &config::Stream, stream: &StreamHandle, clients: bool) -> Self {
        let container = stream.fanout.container().or(Some(config.container));
        let record = stream.status.read();
        let (tracks, placeholder) = (tracks_of(&record), record.shows_placeholder);
        let made = Made::of(stream.fanout.reading());
        let codecs = stream.fanout.codecs();
        Self {
            placeholder,
            codecs,
            ..Self::of(config, container, Life::of(record), tracks, made, &stream.audience, clients)
        }
    }

    fn private(config: &config::Stream, stream: &PerRequestStream, clients: bool) -> Self {
        let container = (config.serving != Serving::Shot).then_some(config.container);
        let life = Life::of_runs(stream.status(), stream.runs());
        Self::of(config, container, life, Vec::new(), Made::default(), &stream.audience, clients)
    }

    fn of(
        config: &config::Stream,
        container: Option<Container>,
        life: Life,
        tracks: Vec<Track>,
        made: Made,
        audience: &Audience,
        clients: bool,
    ) -> Self {
        let (encoding, source) = match &config.encoding {
            Encoding::Copy => ("copy", None),
            Encoding::Pipeline(texts) => ("pipeline", Some(texts.join("\n"))),
            Encoding::Command(words) => ("command", Some(shell_words::join(words))),
        };
        Self {
            name: config.name.to_string(),
            url: config.path.encoded(),
            kind: match config.serving {
                Serving::Shared => "shared",
                Serving::Exclusive => "exclusive",
                Serving::Shot => "shot",
            },
            container: container.map(Container::name),
            mimetype: config.mimetype.clone(),
            codecs: None,
            feeds: config.feeds.iter().map(ToString::to_string).collect(),
            encoding,
            source,
            tracks,
            placeholder: false,
            life,
            made,
            watched: Watched::of(audience),
            clients: clients.then(|| audience.members().iter().map(Client::of).collect()),
        }
    }

    /// Whether it shows pictures already.
    pub fn shows_now(&self) -> bool {
        let is_sound = !self.tracks.is_empty() && self.tracks.iter().all(|track| track.kind == "audio");
        self.life.state == "running" && self.kind == "shared" && !self.mimetype.starts_with("audio/") && !is_sound
    }
}

impl Client {
    fn of(member: &Member) -> Self {
        Self {
            address: member.peer.to_string(),
            since: written(member.since),
            bytes_out: member.progress.bytes,
            gaps: member.progress.gaps,
            reduced: member.progress.is_reduced,
        }
    }
}

fn tracks_of(record: &Record) -> Vec<Track> {
    record.tracks.iter().map(|track| tracks::read(kind_of(track.kind), &track.caps)).collect()
}

fn kind_of(kind: TrackKind) -> &'static str {
    match kind {
        TrackKind::Video => "video",
        TrackKind::Audio => "audio",
        TrackKind::Muxed => "muxed",
    }
}

/// A moment as in RFC 3339, in UTC, to the millisecond.
fn written(time: SystemTime) -> String {
    Timestamp::try_from(time).map(|time| format!("{time:.3}")).unwrap_or_default()
}
