//! Where a stream is pushed to, checked.

use super::{
    address, datagram_url::DatagramUrl, rtmp_url::RtmpUrl, rtsp_url::RtspUrl, srt_url::SrtUrl, whip_url::WhipUrl,
};
use crate::access::{MASK, Secret};
use std::{fmt, path::PathBuf};

/// What an address of a push begins with.
const EXPECTED: &str =
    "an address that begins with rtmp://, rtmps://, rtsp://, rtsps://, srt://, whip://, whips://, udp:// or rtp://";
/// Endpoints of WHIP are known by such addresses.
const HTTP: &str = "whip:// or whips:// in place of http:// or https:// in the address of an endpoint of WHIP";

/// A target of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushTarget {
    /// Its address.
    pub to: PushUrl,
    /// Certificates of authorities, as PEM, in place of those of the system.
    pub ca: Option<PathBuf>,
    /// What proves to an endpoint of WHIP that we may publish.
    pub token: Option<Secret>,
}

/// A service that is asked for targets when a publisher begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushService {
    /// Its address, whose path and query may be secret.
    pub url: Secret,
    /// Certificates of authorities, as PEM, in place of those of the system.
    pub ca: Option<PathBuf>,
    /// What proves to it who asks.
    pub token: Option<Secret>,
}

impl PushService {
    /// The service without its secrets.
    pub fn masked(&self) -> Self {
        let (url, token) = (Secret::new(self.to_string()), self.token.as_ref().map(|_| Secret::new(MASK)));
        Self { url, token, ..self.clone() }
    }
}

/// Its address without its secrets.
impl fmt::Display for PushService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&address::masked_url(self.url.expose()))
    }
}

impl PushTarget {
    /// The target without its secrets.
    pub fn masked(&self) -> Self {
        let token = self.token.as_ref().map(|_| Secret::new(MASK));
        Self { to: self.to.masked(), token, ..self.clone() }
    }
}

/// The protocol of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushProtocol {
    /// RTMP.
    Rtmp,
    /// RTMP over TLS.
    Rtmps,
    /// RTSP, by ANNOUNCE and RECORD.
    Rtsp,
    /// RTSP over TLS.
    Rtsps,
    /// SRT, as the caller.
    Srt,
    /// WebRTC, by an offer over HTTP.
    Whip,
    /// WebRTC, by an offer over HTTPS.
    Whips,
    /// MPEG-TS in datagrams.
    Udp,
    /// MPEG-TS in packets of RTP.
    Rtp,
}

/// The address of a target. Nothing shows what is secret of it but [`PushUrl::text`].
#[derive(Clone, PartialEq, Eq)]
pub enum PushUrl {
    /// A server of RTMP.
    Rtmp(RtmpUrl),
    /// A server of RTSP.
    Rtsp(RtspUrl),
    /// A listener of SRT.
    Srt(SrtUrl),
    /// An endpoint of WHIP.
    Whip(WhipUrl),
    /// A receiver of datagrams.
    Datagrams(DatagramUrl),
}

impl PushProtocol {
    /// All of them.
    pub const ALL: [Self; 9] =
        [Self::Rtmp, Self::Rtmps, Self::Rtsp, Self::Rtsps, Self::Srt, Self::Whip, Self::Whips, Self::Udp, Self::Rtp];

    /// As an address names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rtmp => "rtmp",
            Self::Rtmps => "rtmps",
            Self::Rtsp => "rtsp",
            Self::Rtsps => "rtsps",
            Self::Srt => "srt",
            Self::Whip => "whip",
            Self::Whips => "whips",
            Self::Udp => "udp",
            Self::Rtp => "rtp",
        }
    }

    /// Whether it is encrypted by TLS.
    pub const fn is_tls(self) -> bool {
        matches!(self, Self::Rtmps | Self::Rtsps | Self::Whips)
    }
}

impl PushUrl {
    /// Reads an address; the error says what is expected.
    ///
    /// # Errors
    /// When it is none, or of another protocol.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, _) = text.split_once("://").ok_or("an address like rtmp://host/app/key")?;
        if matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https") {
            return Err(HTTP.to_owned());
        }
        let is_named = |protocol: &PushProtocol| protocol.name().eq_ignore_ascii_case(scheme);
        match PushProtocol::ALL.into_iter().find(is_named).ok_or(EXPECTED)? {
            PushProtocol::Rtmp | PushProtocol::Rtmps => Ok(Self::Rtmp(RtmpUrl::parse(text)?)),
            PushProtocol::Rtsp | PushProtocol::Rtsps => Ok(Self::Rtsp(RtspUrl::parse(text)?)),
            PushProtocol::Srt => Ok(Self::Srt(SrtUrl::parse(text)?)),
            PushProtocol::Whip | PushProtocol::Whips => Ok(Self::Whip(WhipUrl::parse(text)?)),
            PushProtocol::Udp | PushProtocol::Rtp => Ok(Self::Datagrams(DatagramUrl::target(text)?)),
        }
    }

    /// The protocol.
    pub const fn protocol(&self) -> PushProtocol {
        match self {
            Self::Rtmp(url) if url.is_tls => PushProtocol::Rtmps,
            Self::Rtmp(_) => PushProtocol::Rtmp,
            Self::Rtsp(url) if url.is_tls => PushProtocol::Rtsps,
            Self::Rtsp(_) => PushProtocol::Rtsp,
            Self::Srt(_) => PushProtocol::Srt,
            Self::Whip(url) if url.is_tls => PushProtocol::Whips,
            Self::Whip(_) => PushProtocol::Whip,
            Self::Datagrams(url) if url.is_rtp => PushProtocol::Rtp,
            Self::Datagrams(_) => PushProtocol::Udp,
        }
    }

    /// The whole address, with its secrets.
    pub fn text(&self) -> String {
        match self {
            Self::Rtmp(url) => url.text(),
            Self::Rtsp(url) => url.text(),
            Self::Srt(url) => url.text(),
            Self::Whip(url) => url.text(),
            Self::Datagrams(url) => url.text(),
        }
    }

    /// The address without its secrets, for people.
    pub fn masked(&self) -> Self {
        match self {
            Self::Rtmp(url) => Self::Rtmp(url.masked()),
            Self::Rtsp(url) => Self::Rtsp(url.masked()),
            Self::Srt(url) => Self::Srt(url.masked()),
            Self::Whip(url) => Self::Whip(url.masked()),
            Self::Datagrams(url) => Self::Datagrams(url.clone()),
        }
    }
}

/// Without its secrets.
impl fmt::Display for PushUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked().text())
    }
}

/// Without its secrets.
impl fmt::Debug for PushUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
