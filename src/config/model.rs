//! The checked configuration. Whoever holds one of these types need not check it again.

use super::{
    about::About,
    channels::ChannelHook,
    codec::Codec,
    hooks::Hook,
    link::Link,
    publish::Publish,
    publish_pattern::PublishPattern,
    push_target::{PushService, PushTarget},
    recording::Recording,
    telemetry::Telemetry,
};
use crate::{
    access::{Network, Policy, Secret},
    media::{Container, segment},
};
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

/// A whole checked configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Address to listen on.
    pub listen_addr: IpAddr,
    /// Port to listen on; 0 lets the system choose.
    pub listen_port: u16,
    /// Where the standard error output of commands is kept, one size-limited file a feed or stream.
    pub logdir: Option<PathBuf>,
    /// Where the journal is kept.
    pub statedir: Option<PathBuf>,
    /// A folder whose files can be downloaded.
    pub files: Option<PathBuf>,
    /// Memory in bytes that each worker, and each program with all that it starts, may have.
    pub memory_max: Option<u64>,
    /// Which pages are served.
    pub pages: Pages,
    /// Who may do what.
    pub auth: Policy,
    /// How connections are encrypted; they are not without it.
    pub tls: Option<Tls>,
    /// Where RTMP is served, if it is.
    pub rtmp: Option<Rtmp>,
    /// Where RTSP is served, if it is.
    pub rtsp: Option<Rtsp>,
    /// Where the API of SRS is served, if it is.
    pub srs: Option<Srs>,
    /// What the API may do.
    pub api: Api,
    /// How media reaches browsers over WebRTC; it does not without it.
    pub webrtc: Option<WebRtc>,
    /// The port for SRT; there is none without it.
    pub srt: Option<Srt>,
    /// Who gets events, in the order of the file.
    pub hooks: Vec<Hook>,
    /// Where traces go, if they are recorded.
    pub telemetry: Option<Telemetry>,
    /// Names that can be published to without being configured one by one.
    pub patterns: Vec<PublishPattern>,
    /// In the order of the file.
    pub feeds: Vec<Feed>,
    /// In the order of the file.
    pub streams: Vec<Stream>,
}

/// Which pages are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pages {
    /// Those that show streams.
    pub home: bool,
    /// Where the state of all feeds and streams is, if anywhere.
    pub stat: Option<StreamPath>,
    /// Where the same is as JSON, if anywhere.
    pub stat_json: Option<StreamPath>,
    /// `/config`, with the configuration as it is understood, without its secrets.
    pub config: bool,
    /// `/metrics`, with the same numbers for Prometheus.
    pub metrics: bool,
    /// `/events`, with what changes as it does.
    pub events: bool,
    /// Whether the state shows the addresses of viewers.
    pub clients: bool,
}

impl Config {
    /// Where a browser or program on this machine reaches a server with this port.
    pub fn local_address(&self, port: u16) -> String {
        let is_encrypted = self.tls.as_ref().is_some_and(|tls| tls.plain == Plain::None);
        let scheme = if is_encrypted { "https" } else { "http" };
        match self.listen_addr {
            IpAddr::V4(address) if address.is_unspecified() => format!("{scheme}://127.0.0.1:{port}"),
            IpAddr::V4(address) => format!("{scheme}://{address}:{port}"),
            IpAddr::V6(address) if address.is_unspecified() => format!("{scheme}://[::1]:{port}"),
            IpAddr::V6(address) => format!("{scheme}://[{address}]:{port}"),
        }
    }
}

/// What the API may do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Api {
    /// With the configuration.
    pub editing: Editing,
    /// Whether a change may bring programs, pipelines, files and rules.
    pub exec: bool,
    /// Where new entries go; otherwise to the first file while that can be written.
    pub file: Option<PathBuf>,
    /// Where `voyandz ctl` reaches the server without a password.
    pub socket: ControlPlace,
}

/// Where the control socket is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ControlPlace {
    /// Where the system keeps such sockets, by the port of the server.
    #[default]
    Usual,
    /// A path of its own.
    Path(PathBuf),
    /// There is none.
    Off,
}

/// What the API may do with the configuration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Editing {
    /// Change it, with the permission for that.
    #[default]
    Write,
    /// Show it.
    ReadOnly,
}

impl Editing {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Write, Self::ReadOnly];

    /// As the configuration names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::ReadOnly => "read-only",
        }
    }

    /// Whether it may be changed.
    pub fn permits_change(self) -> bool {
        self == Self::Write
    }
}

/// Where RTSP is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rtsp {
    /// Address and port; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// The even port of RTP, whose next one is that of RTCP; 0 lets the system choose, `None` is without datagrams.
    pub udp: Option<u16>,
    /// The groups that streams may be sent to.
    pub multicast: Option<Multicast>,
}

/// Groups that streams are sent to, one for each stream that somebody receives so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Multicast {
    /// Addresses of groups, of IPv4.
    pub groups: Network,
    /// The even port of the first track, whose next one is that of its RTCP; the second track has the two after these.
    pub port: u16,
    /// Networks that a datagram passes.
    pub ttl: u8,
    /// Name or address of the network interface, where that is not for the system to choose.
    pub interface: Option<String>,
}

/// The port for SRT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Srt {
    /// Where it listens.
    pub listen: SocketAddr,
    /// How long lost packets are waited for.
    pub latency: Duration,
    /// Encrypts all connections.
    pub passphrase: Option<Secret>,
    /// The stream of callers that name none.
    pub stream: Option<String>,
    /// Packets that are encrypted with one key.
    pub key_refresh: u64,
}

/// How media reaches browsers over WebRTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebRtc {
    /// Names and addresses under which viewers reach this server; its own addresses where there are none.
    pub hosts: Vec<String>,
    /// The UDP port; that of HTTP where there is none, 0 lets the system choose.
    pub udp: Option<u16>,
    /// Whether viewers may connect to the port of HTTP where UDP does not reach it.
    pub tcp: bool,
    /// Servers of STUN and TURN for clients (RFC 7064, RFC 7065).
    pub ice_servers: Vec<String>,
    /// What is behind data channels, by their labels.
    pub channels: Vec<ChannelHook>,
}

impl Default for WebRtc {
    fn default() -> Self {
        Self { hosts: Vec::new(), udp: None, tcp: true, ice_servers: Vec::new(), channels: Vec::new() }
    }
}

/// How connections are encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Where the certificate comes from.
    pub certificate: CertificateSource,
    /// The file with the authorities that vouch for certificates of clients; these are not asked for any without it.
    pub clients: Option<PathBuf>,
    /// Who may use the server without encryption.
    pub plain: Plain,
}

/// Where RTMP is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rtmp {
    /// Address and port; port 0 lets the system choose.
    pub listen: SocketAddr,
}

/// Where the API of SRS is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Srs {
    /// Address and port; port 0 lets the system choose.
    pub listen: SocketAddr,
}

/// Where a certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateSource {
    /// Files, as PEM.
    Files {
        /// The certificate, with those between it and its authority.
        certificate: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
    /// An authority of this server.
    Own {
        /// Where the authority is kept.
        folder: PathBuf,
        /// The names of the server, beside those of the machine.
        names: Vec<String>,
    },
    /// An authority that signs by ACME.
    Acme(Acme),
}

/// How certificates come by ACME (RFC 8555). To use it is to accept the terms of the authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acme {
    /// The names that the certificate is for, at least one.
    pub names: Vec<String>,
    /// Where the authority reaches a person: `mailto:` addresses.
    pub contact: Vec<String>,
    /// The address of the directory of the authority.
    pub directory: String,
    /// The file with the authorities that vouch for the directory; those of the system without it.
    pub authority: Option<PathBuf>,
    /// How this server proves that the names are its own.
    pub challenge: Challenge,
}

/// How a server proves that a name is its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Challenge {
    /// By a certificate in a handshake (RFC 8737); port 443 of the name leads to the server.
    TlsAlpn,
    /// By a file (RFC 8555, section 8.3); port 80 of the name leads to the server.
    Http,
}

impl Challenge {
    /// Both, as a configuration names them.
    pub const ALL: [Self; 2] = [Self::TlsAlpn, Self::Http];

    /// Its name in the registry of RFC 8555.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TlsAlpn => "tls-alpn-01",
            Self::Http => "http-01",
        }
    }
}

/// Who may use the server without encryption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plain {
    /// Everyone.
    All,
    /// This machine.
    Local,
    /// None.
    None,
}

impl Plain {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::All, Self::Local, Self::None];

    /// As the configuration names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Local => "local",
            Self::None => "none",
        }
    }

    /// Whether a client at this address may.
    pub fn permits(self, peer: IpAddr) -> bool {
        match self {
            Self::All => true,
            Self::Local => peer.to_canonical().is_loopback(),
            Self::None => false,
        }
    }
}

/// A configured origin of media.
#[derive(Debug, Clone, PartialEq)]
pub struct Feed {
    /// Unique among feeds.
    pub name: FeedName,
    /// Where its media comes from.
    pub source: Source,
    /// Frames per second of what has no times of its own, as a fraction: images and bare video of a file, an address with one image.
    pub fps: Option<(u32, u32)>,
    /// The feed that its command reads. No feed comes back to itself over the feeds that it reads.
    pub parent: Option<FeedName>,
    /// When it runs.
    pub mode: Mode,
    /// Whether it restarts after a failure. Otherwise it stays failed until nothing needs it any more, and then starts on demand.
    pub restart: bool,
    /// What people say of it.
    pub about: About,
}

/// Where a feed's media comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// A gst-launch pipeline.
    Pipeline(String),
    /// A program and its arguments; its standard output is the feed. No shell is involved. `{input1}` stands for the
    /// parent; where it does not occur, the parent is on standard input.
    Command(Vec<String>),
    /// A regular file, played in real time.
    File {
        /// Which one.
        path: PathBuf,
        /// Whether it restarts at its end.
        looped: bool,
    },
    /// A named pipe, opened again when its writer leaves.
    Pipe(PathBuf),
    /// Who connects and sends it.
    Publish(Publish),
    /// A link that this server opens.
    Link(Link),
}

/// When a feed runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// From the start of the server to its end.
    Continuous,
    /// While someone uses it, and this long after its last use; zero for plain `on-demand`.
    OnDemand {
        /// How long it lives unused.
        linger: Duration,
    },
}

/// What viewers ask for.
#[derive(Debug, Clone, PartialEq)]
pub struct Stream {
    /// Unique among streams.
    pub name: StreamName,
    /// Names of configured feeds; empty for a stream that has its own source.
    pub feeds: Vec<FeedName>,
    /// Where viewers find it, beside `/stream/<name>`.
    pub path: StreamPath,
    /// What it is in.
    pub container: Container,
    /// The `Content-Type` of a response.
    pub mimetype: String,
    /// How it is made from its feeds.
    pub encoding: Encoding,
    /// What else it is offered in; `None` for a stream of one container.
    pub outputs: Option<Outputs>,
    /// What viewers see while nothing comes from its feeds; only of what a worker makes.
    pub placeholder: Option<Placeholder>,
    /// Viewers get it in pieces of several packets, later and for less work.
    pub throughput: bool,
    /// How its segments are cut, where playlists of it are asked for.
    pub hls: segment::Settings,
    /// The streams that are this one in other sizes and bit rates, which its playlists list beside it.
    pub renditions: Vec<StreamName>,
    /// The streams that are smaller layers of the same publisher: see [`Publish::layers`].
    pub layers: Vec<StreamName>,
    /// The stream that it is a rendition or a layer of.
    pub rendition_of: Option<StreamName>,
    /// How it is recorded, if it is.
    pub recording: Option<Recording>,
    /// Where it is sent to.
    pub pushes: Vec<PushTarget>,
    /// Who names further targets while it is published.
    pub push_service: Option<PushService>,
    /// How often it is made. Anything but [`Serving::Shared`] has [`Encoding::Command`].
    pub serving: Serving,
    /// What people say of it.
    pub about: About,
}

impl Stream {
    /// What people read: its title, or else its name.
    pub fn called(&self) -> &str {
        self.about.title.as_deref().unwrap_or(self.name.as_str())
    }

    /// The stream `<name>@<label>` beside this one: the same in another size, without what there is once, as recordings and pushes.
    /// `None` where the names are too long together.
    pub(super) fn beside(&self, label: &str) -> Option<Self> {
        let audio = |outputs: &Outputs| {
            let alternatives = outputs.alternatives.iter().filter(|one| !one.codec.is_video()).cloned().collect();
            Outputs { alternatives, ..outputs.clone() }
        };
        Some(Self {
            name: StreamName::of_rendition(&self.name, label).ok()?,
            path: StreamPath::new(&format!("{}@{label}", self.path.stem())).ok()?,
            outputs: self.outputs.as_ref().map(audio),
            recording: None,
            pushes: Vec::new(),
            push_service: None,
            renditions: Vec::new(),
            layers: Vec::new(),
            rendition_of: Some(self.name.clone()),
            ..self.clone()
        })
    }
}

impl Stream {
    /// Whether the other one is the same to viewers and recorders.
    pub fn is_same_media(&self, other: &Self) -> bool {
        Self { about: other.about.clone(), ..self.clone() } == *other
    }
}

/// The containers that a stream is offered in, each under the path of the stream with the name of the container as its extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outputs {
    /// All of them, in the order of preference; the container of the stream itself is one.
    pub containers: Vec<Container>,
    /// Encodings of one track each, for outputs that cannot carry the tracks of the stream. At most one for each codec.
    pub alternatives: Vec<Alternative>,
    /// What may be encoded on demand for outputs that none of these fits into.
    pub repair: Repair,
}

/// One track of a stream in another codec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alternative {
    /// Which one.
    pub codec: Codec,
    /// gst-launch pipelines that end in the track: the first that works on the machine is used.
    pub pipelines: Vec<String>,
}

/// Which tracks are encoded on demand for outputs that cannot carry them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repair {
    /// Audio; costs little.
    pub audio: bool,
    /// Video.
    pub video: bool,
}

impl Default for Repair {
    fn default() -> Self {
        Self { audio: true, video: false }
    }
}

/// What viewers see of a stream while nothing comes from its feeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placeholder {
    /// A card with the names of the feeds, their states, and why they ended last.
    Reason,
    /// A card with this text.
    Text(String),
    /// An image.
    Picture(PathBuf),
}

/// How the requests for a stream share the making of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serving {
    /// It is made once, and sent to all.
    Shared,
    /// Each viewer has a run of its command.
    Exclusive,
    /// Each request has a run of its command, which is answered as a whole when the command is done.
    Shot,
}

/// How a stream is made from its feeds.
#[derive(Debug, Clone, PartialEq)]
pub enum Encoding {
    /// Nothing is encoded that is encoded already.
    Copy,
    /// gst-launch pipelines between the tracks `video.` and `audio.` and a muxer, at least one: the first that works on the machine
    /// is used. Encoder settings end up here too. Those of a stream with several outputs end in their tracks, without a muxer.
    Pipeline(Vec<String>),
    /// A program that writes the stream to its standard output. `{input1}`, `{input2}` … stand for its feeds, in their
    /// order; where they do not occur, its one feed is on standard input.
    Command(Vec<String>),
}

impl Stream {
    /// The path of one of its outputs: its own without the extension of a container, with that of this one.
    pub fn output_path(&self, container: Container) -> Option<StreamPath> {
        StreamPath::new(&format!("{}.{container}", self.path.stem())).ok()
    }

    /// All that it is offered in.
    pub fn containers(&self) -> Vec<Container> {
        self.outputs.as_ref().map_or_else(|| vec![self.container], |outputs| outputs.containers.clone())
    }
}

/// Why a text is no name or path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// See the message.
    #[error("expected 1 to 64 letters, digits, `-`, `_`, `.` or inner blanks, not beginning with a dot")]
    Name,
    /// See the message.
    #[error(
        "expected a path like `/cam0.ts`: beginning with `/`, without empty parts, `.` and `..`, without control characters, `?` and `#`, and below 256 bytes"
    )]
    Path,
}

/// Longest name in bytes.
const MAX_NAME: usize = 64;

/// Letters, digits and a little punctuation: safe in URLs, file names, labels and logs.
fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ' ');
    (1..=MAX_NAME).contains(&name.len()) && !name.starts_with('.') && name.trim() == name && name.chars().all(fits)
}

macro_rules! name_type {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type(Arc<str>);

        impl $type {
            /// Checks and takes a name.
            ///
            /// # Errors
            /// When it has characters that do not fit everywhere a name appears.
            pub fn new(name: &str) -> Result<Self, NameError> {
                if is_name(name) { Ok(Self(name.into())) } else { Err(NameError::Name) }
            }

            /// As text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

name_type!(
    /// The name of a feed.
    FeedName
);
name_type!(
    /// The name of a stream.
    StreamName
);

impl FeedName {
    /// The name of a layer of a feed: `studio@m`, which no other feed can have. `None` when it is longer than names may be.
    pub fn of_layer(feed: &Self, label: &str) -> Option<Self> {
        let name = format!("{feed}@{label}");
        (name.len() <= MAX_NAME).then(|| Self(name.into()))
    }
}

impl StreamName {
    /// The name of a rendition of a stream: `cam0@720`, which no other stream can have.
    ///
    /// # Errors
    /// When it is longer than names may be.
    pub(super) fn of_rendition(stream: &Self, label: &str) -> Result<Self, NameError> {
        let name = format!("{stream}@{label}");
        if name.len() <= MAX_NAME { Ok(Self(name.into())) } else { Err(NameError::Name) }
    }
}

/// The path of a stream's URL, percent-decoded: `/a/cam 0.ts`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StreamPath(Arc<str>);

impl StreamPath {
    /// Checks and takes a decoded path.
    ///
    /// # Errors
    /// When it is no absolute path that a client can ask for.
    pub fn new(path: &str) -> Result<Self, NameError> {
        let part_fits = |part: &str| {
            !part.is_empty()
                && part != "."
                && part != ".."
                && !part.chars().any(|c| c.is_control() || matches!(c, '?' | '#' | '\\'))
        };
        let fits = path.len() < 256 && path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(part_fits));
        if fits { Ok(Self(path.into())) } else { Err(NameError::Path) }
    }

    /// As text, decoded.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Without the extension of a container, if it has one.
    pub fn stem(&self) -> &str {
        match (Container::from_extension(&self.0), self.0.rsplit_once('.')) {
            (Some(_), Some((stem, _))) => stem,
            _ => &self.0,
        }
    }

    /// As it stands in a URL.
    pub fn encoded(&self) -> String {
        use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
        /// What RFC 3986 does not allow in a path, and `%` itself.
        const ESCAPED: &AsciiSet = &CONTROLS
            .add(b' ')
            .add(b'"')
            .add(b'#')
            .add(b'%')
            .add(b'<')
            .add(b'>')
            .add(b'?')
            .add(b'[')
            .add(b']')
            .add(b'^')
            .add(b'`')
            .add(b'{')
            .add(b'|')
            .add(b'}');
        utf8_percent_encode(&self.0, ESCAPED).to_string()
    }
}

impl fmt::Display for StreamPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
