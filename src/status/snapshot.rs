//! A snapshot of the state of the server, its feeds and its streams. JSON, metrics, events and pages are made of it.
//!
//! The names of the fields are documented in docs/http.md.

use super::{
    history::{FeedReading, Reading, Readings},
    link::Linked,
    outputs::{self, Output},
    publish::Published,
    push::Push,
    recording::Recording,
    server_info::ServerInfo,
    stream_stats::{ViewersStatus, WriteStats, rfc3339, seconds},
    tracks::{self, TrackSummary},
};
use crate::{
    access::Access,
    config::{self, Config, Encoding, Mode, Pages, Serving, Source, text_without_secrets},
    engine::registry::{FeedHandle, Registry, StreamHandle},
    media::Container,
    source::{
        per_request::PerRequestStream,
        status::{Record, Status},
    },
    stream::{Pauses, RtpStats, ViewerInfo, Viewers},
};
use serde::Serialize;
use std::{
    collections::{BTreeMap, HashSet},
    net::SocketAddr,
    time::SystemTime,
};

/// Takes snapshots.
#[derive(Debug, Clone)]
pub struct StatusReader {
    registry: Registry,
    /// Without secrets.
    config: Config,
    info: ServerInfo,
}

/// The state at one moment.
#[derive(Debug, Serialize)]
pub struct StatusSnapshot {
    /// The server itself.
    pub server: Server,
    /// The sums over all streams.
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
    /// The version of the program.
    pub version: &'static str,
    time: String,
    started: String,
    /// Since the start.
    pub uptime_seconds: u64,
    pid: u32,
    /// The load level of the machine.
    pub load: &'static str,
    /// Where it listens, by protocol; for those who see all streams.
    pub listening: BTreeMap<&'static str, SocketAddr>,
    /// The active configuration.
    pub configuration: Configuration,
}

/// The active configuration.
#[derive(Debug, Serialize)]
pub struct Configuration {
    /// When it was applied.
    pub loaded: String,
    /// Why the newest configuration was rejected.
    pub error: Option<String>,
    address: String,
    logdir: Option<String>,
    memory_max_bytes: Option<u64>,
}

/// The sums over all streams.
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
    /// The name of the state.
    pub state: &'static str,
    /// When the state was entered.
    pub since: String,
    /// Somebody keeps it from its viewers. Its state is `paused` where it would be `running`.
    pub paused: bool,
    /// Starts so far.
    pub starts: u64,
    /// Starts after a failure.
    pub restarts: u64,
    /// The reason of the last failure.
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
    title: Option<String>,
    labels: BTreeMap<String, String>,
    kind: &'static str,
    source: String,
    /// The feed that it reads.
    pub feed: Option<String>,
    /// `on-demand` or `continuous`.
    pub mode: &'static str,
    linger_seconds: Option<f64>,
    resurrect: bool,
    /// Its life.
    #[serde(flatten)]
    pub life: Life,
    tracks: Vec<TrackSummary>,
    /// Bytes read so far; unknown where a worker reads the source itself.
    pub bytes_in: Option<u64>,
    bit_rate_in: Option<u64>,
    /// Time since the last bytes.
    pub idle_seconds: Option<f64>,
    /// Who publishes to it, if that is its source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publish: Option<Published>,
    /// What comes over its link, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<Linked>,
}

/// A stream.
#[derive(Debug, Serialize)]
pub struct Stream {
    /// As configured.
    pub name: String,
    /// What it is called where people read.
    pub title: Option<String>,
    labels: BTreeMap<String, String>,
    /// Its path, percent-encoded.
    pub url: String,
    /// `shared`, `exclusive` or `shot`.
    pub kind: &'static str,
    container: Option<&'static str>,
    /// Its content type.
    pub mimetype: String,
    /// The codecs in its container, once they are known.
    codecs: Option<String>,
    /// Those that it is made of.
    pub feeds: Vec<String>,
    encoding: &'static str,
    source: Option<String>,
    /// Its tracks, as far as they are known.
    pub tracks: Vec<TrackSummary>,
    /// What it is offered in.
    pub outputs: Vec<Output>,
    /// What its outputs are made of, if it has several.
    pub encodings: Vec<outputs::Encoding>,
    /// Whether viewers get its placeholder.
    placeholder: bool,
    /// Its life.
    #[serde(flatten)]
    pub life: Life,
    /// WriteStats so far.
    #[serde(flatten)]
    pub written: WriteStats,
    /// Its viewers.
    #[serde(flatten)]
    pub viewers: ViewersStatus,
    /// Its recorder, if it is recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recording: Option<Recording>,
    /// Its pushes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pushes: Vec<Push>,
    /// What its recordings are in.
    #[serde(skip)]
    pub records_in: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clients: Option<Vec<Client>>,
}

impl Stream {
    /// What people read: its title, or else its name.
    pub fn called(&self) -> &str {
        self.title.as_deref().unwrap_or(&self.name)
    }
}

/// A viewer.
#[derive(Debug, Serialize)]
struct Client {
    address: String,
    since: String,
    bytes_out: u64,
    gaps: u64,
    reduced: bool,
    rtp: Option<RtpStats>,
}

impl StatusReader {
    /// Reads the state of what runs for this configuration.
    pub fn new(registry: &Registry, config: &Config, info: &ServerInfo) -> Self {
        Self { registry: registry.clone(), config: config::masked(config), info: info.clone() }
    }

    /// The enabled pages.
    pub fn pages(&self) -> &Pages {
        &self.config.pages
    }

    /// The state of the server itself.
    pub fn info(&self) -> &ServerInfo {
        &self.info
    }

    /// The current state of one stream that viewers share.
    pub fn stream(&self, name: &str) -> Option<Stream> {
        let config = self.config.streams.iter().find(|config| config.name.as_str() == name)?;
        let stream = self.registry.streams().iter().find(|stream| stream.config.name.as_str() == name)?;
        Some(Stream::shared(config, stream, self.config.pages.clients))
    }

    /// The names of all streams, in the order of the configuration.
    pub fn stream_names(&self) -> impl Iterator<Item = &str> {
        self.config.streams.iter().map(|stream| stream.name.as_str())
    }

    /// The current state of the streams whose name `is_wanted`.
    pub fn streams(&self, is_wanted: impl Fn(&str) -> bool) -> Vec<Stream> {
        let clients = self.config.pages.clients;
        let (mut shared, mut private) = (self.registry.streams().iter(), self.registry.per_request().iter());
        let of = |config: &config::Stream| {
            let is_wanted = is_wanted(config.name.as_str());
            match config.serving {
                Serving::Shared => {
                    shared.next().filter(|_| is_wanted).map(|stream| Stream::shared(config, stream, clients))
                }
                Serving::Exclusive | Serving::Shot => {
                    private.next().filter(|_| is_wanted).map(|stream| Stream::private(config, stream, clients))
                }
            }
        };
        self.config.streams.iter().filter_map(of).collect()
    }

    /// The current state.
    pub fn snapshot(&self) -> StatusSnapshot {
        let Self { registry, config, info } = self;
        let clients = config.pages.clients;
        let feeds: Vec<Feed> =
            config.feeds.iter().zip(registry.feeds()).map(|(config, feed)| Feed::of(config, feed, clients)).collect();
        let streams = self.streams(|_| true);
        let now = info.state();
        StatusSnapshot {
            server: Server {
                name: env!("CARGO_PKG_NAME"),
                version: env!("CARGO_PKG_VERSION"),
                time: rfc3339(SystemTime::now()),
                started: rfc3339(info.started()),
                uptime_seconds: info.since().elapsed().as_secs(),
                pid: std::process::id(),
                load: info.load().level().name(),
                listening: now.listening,
                configuration: Configuration {
                    loaded: rfc3339(now.loaded),
                    error: now.rejected.as_deref().map(text_without_secrets),
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

impl StatusSnapshot {
    /// Of each stream and feed what is kept for a while.
    pub fn readings(&self) -> Readings {
        let of = |stream: &Stream| {
            let (bit_rate, viewers) = (stream.written.bit_rate.unwrap_or(0), stream.viewers.readers as u64);
            (stream.name.clone(), Reading { bit_rate, viewers, gaps: stream.viewers.gaps })
        };
        let feed =
            |feed: &Feed| (feed.name.clone(), FeedReading { state: feed.life.state, restarts: feed.life.restarts });
        Readings { streams: self.streams.iter().map(of).collect(), feeds: self.feeds.iter().map(feed).collect() }
    }

    /// What of it `access` may see: the streams that it may view or take stills of, the feeds of these, and their sums.
    pub fn seen_by(mut self, access: &Access) -> Self {
        if access.sees_all() {
            return self;
        }
        self.streams.retain(|stream| access.sees(&stream.name));
        let named = self.streams.iter().flat_map(|stream| stream.feeds.iter().cloned());
        let links = self.feeds.iter().map(|feed| (feed.name.as_str(), feed.feed.as_deref()));
        let seen = with_parents(named.collect(), links);
        self.feeds.retain(|feed| seen.contains(&feed.name));
        self.totals = Totals::of(self.feeds.len(), &self.streams);
        // Both may name what is not seen.
        let configuration = &mut self.server.configuration;
        configuration.error = configuration.error.take().map(|_| "the newest configuration has errors".to_owned());
        configuration.logdir = None;
        self.server.listening.clear();
        self
    }
}

/// These feeds, and those that they read. No feed comes back to itself.
fn with_parents<'a>(
    mut names: HashSet<String>,
    links: impl Iterator<Item = (&'a str, Option<&'a str>)> + Clone,
) -> HashSet<String> {
    loop {
        let read = links.clone().filter(|(name, _)| names.contains(*name)).filter_map(|(_, parent)| parent);
        let missing: Vec<String> = read.filter(|parent| !names.contains(*parent)).map(str::to_owned).collect();
        if missing.is_empty() {
            return names;
        }
        names.extend(missing);
    }
}

impl Totals {
    fn of(feeds: usize, streams: &[Stream]) -> Self {
        let sum = |count: fn(&ViewersStatus) -> u64| streams.iter().map(|stream| count(&stream.viewers)).sum();
        Self {
            feeds,
            streams: streams.len(),
            readers: streams.iter().map(|stream| stream.viewers.readers).sum(),
            readers_ever: sum(|viewers| viewers.readers_ever),
            bytes_out: sum(|viewers| viewers.bytes_out),
            gaps: sum(|viewers| viewers.gaps),
            lost_packets: sum(|viewers| viewers.lost_packets),
            reductions: sum(|viewers| viewers.reductions),
            reduced_readers: streams.iter().map(|stream| stream.viewers.reduced_readers).sum(),
            dropped_readers: sum(|viewers| viewers.dropped_readers),
        }
    }
}

impl Life {
    fn of(record: Record, pauses: &Pauses) -> Self {
        let (last_error, last_error_time) = record.last_failure.unzip();
        let paused_since = pauses.since();
        let shown_since = paused_since.filter(|_| record.state.has_media()).map(|since| since.max(record.since));
        Self {
            state: if shown_since.is_some() { "paused" } else { record.state.word() },
            since: rfc3339(shown_since.unwrap_or(record.since)),
            paused: paused_since.is_some(),
            starts: record.starts,
            restarts: record.restarts,
            last_error: last_error.as_deref().map(text_without_secrets),
            last_error_time: last_error_time.map(rfc3339),
            last_lines: record.last_lines.iter().map(|line| text_without_secrets(line)).collect(),
            worker_pid: record.pid,
        }
    }

    /// The life of a stream that is started for each request: it is running while there are runs.
    fn of_runs(status: &Status, runs: usize, pauses: &Pauses) -> Self {
        let life = Self::of(status.read(), pauses);
        let state = match runs {
            0 => life.state,
            _ if life.paused => "paused",
            _ => "running",
        };
        Self { state, worker_pid: None, ..life }
    }
}

impl Feed {
    fn of(config: &config::Feed, feed: &FeedHandle, clients: bool) -> Self {
        let (mode, linger_seconds) = match config.mode {
            Mode::Continuous => ("continuous", None),
            Mode::OnDemand { linger } => ("on-demand", Some(linger.as_secs_f64())),
        };
        let (kind, source) = match &config.source {
            Source::Pipeline(text) => ("pipeline", text.clone()),
            Source::Command(words) => ("command", shell_words::join(words)),
            Source::File { path, .. } => ("file", path.display().to_string()),
            Source::Pipe(path) => ("pipe", path.display().to_string()),
            Source::Link(link) => ("link", link.to_string()),
            Source::Publish(publish) => {
                let protocols: Vec<_> = publish.protocols.iter().map(|protocol| protocol.name()).collect();
                ("publish", protocols.join(", "))
            }
        };
        let record = feed.status.read();
        let tracks = tracks::of(&record.tracks);
        let reading = feed.fanout.as_ref().map(crate::stream::FanOut::reading);
        Self {
            name: config.name.to_string(),
            title: config.about.title.clone(),
            labels: config.about.labels.clone(),
            kind,
            source,
            feed: config.parent.as_ref().map(ToString::to_string),
            mode,
            linger_seconds,
            resurrect: config.restart,
            life: Life::of(record, &feed.pauses),
            tracks,
            bytes_in: reading.map(|reading| reading.bytes),
            bit_rate_in: reading.and_then(|reading| reading.bit_rate),
            idle_seconds: reading.and_then(|reading| reading.idle).map(seconds),
            publish: feed.publish.as_ref().map(|slot| Published::of(slot, clients)),
            link: feed.link.as_ref().map(|link| Linked::of(link, clients)),
        }
    }
}

impl Stream {
    fn shared(config: &config::Stream, stream: &StreamHandle, clients: bool) -> Self {
        let stream = stream.current();
        let container = stream.fanout.container().or(Some(config.container));
        let record = stream.status.read();
        let placeholder = record.shows_placeholder;
        let apart =
            stream.rendition.iter().flat_map(|rendition| &rendition.alternatives).filter(|one| one.is_main_audio);
        let audio = apart.flat_map(|audio| tracks::of(&audio.status.read().tracks));
        let tracks = tracks::of(&record.tracks).into_iter().chain(audio).collect();
        let mut written = WriteStats::of(stream.fanout.reading());
        if written.bit_rate.is_none_or(|rate| rate == 0) {
            // Its main container is not made now: another one is about as large.
            let mut rates = stream.outputs.iter().filter_map(|output| output.fanout.reading().bit_rate);
            written.bit_rate = rates.find(|rate| *rate > 0).or(written.bit_rate);
        }
        let codecs = stream.fanout.codecs();
        Self {
            placeholder,
            codecs,
            outputs: outputs::outputs_of(stream),
            encodings: outputs::encodings_of(stream),
            recording: config.recording.as_ref().map(|_| Recording::of(&stream.recorder.read())),
            pushes: stream.pushes.read().into_iter().map(Push::of).collect(),
            ..Self::of(config, container, Life::of(record, &stream.pauses), tracks, written, &stream.viewers, clients)
        }
    }

    fn private(config: &config::Stream, stream: &PerRequestStream, clients: bool) -> Self {
        let container = (config.serving != Serving::Shot).then_some(config.container);
        let life = Life::of_runs(stream.status(), stream.runs(), &stream.pauses);
        Self::of(config, container, life, Vec::new(), WriteStats::default(), &stream.viewers, clients)
    }

    fn of(
        config: &config::Stream,
        container: Option<Container>,
        life: Life,
        tracks: Vec<TrackSummary>,
        written: WriteStats,
        viewers: &Viewers,
        clients: bool,
    ) -> Self {
        let (encoding, source) = match &config.encoding {
            Encoding::Copy => ("copy", None),
            Encoding::Pipeline(texts) => ("pipeline", Some(texts.join("\n"))),
            Encoding::Command(words) => ("command", Some(shell_words::join(words))),
        };
        Self {
            name: config.name.to_string(),
            title: config.about.title.clone(),
            labels: config.about.labels.clone(),
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
            outputs: Vec::new(),
            encodings: Vec::new(),
            placeholder: false,
            life,
            written,
            viewers: ViewersStatus::of(viewers),
            recording: None,
            pushes: Vec::new(),
            records_in: config.recording.as_ref().map(|recording| recording.format.name()),
            clients: clients.then(|| viewers.list().iter().map(Client::of).collect()),
        }
    }

    /// Whether the stream delivers video now.
    pub fn has_live_video(&self) -> bool {
        let is_audio = !self.tracks.is_empty() && self.tracks.iter().all(|track| track.kind == "audio");
        self.life.state == "running" && self.kind == "shared" && !self.mimetype.starts_with("audio/") && !is_audio
    }
}

impl Client {
    fn of(member: &ViewerInfo) -> Self {
        Self {
            address: member.peer.to_string(),
            since: rfc3339(member.since),
            bytes_out: member.progress.bytes,
            gaps: member.progress.gaps,
            reduced: member.progress.is_reduced,
            rtp: member.rtp,
        }
    }
}
