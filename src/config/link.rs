//! A link that a feed comes over: an address of `url:` that needs no worker.

use super::{datagram_url::DatagramUrl, publish::PublishProtocol, rtmp_url::RtmpUrl, srt_url::SrtUrl};
use std::fmt;

/// A link that a feed comes over.
#[derive(Clone, PartialEq, Eq)]
pub enum Link {
    /// A listener of SRT, which is called.
    Srt(SrtUrl),
    /// A server of RTMP, which plays.
    Rtmp(RtmpUrl),
    /// Datagrams of MPEG-TS.
    Datagrams(DatagramUrl),
}

impl Link {
    /// Reads an address; the error says what is expected. `None` when it is of a protocol that a worker fetches.
    pub(super) fn parse(text: &str) -> Option<Result<Self, String>> {
        let (scheme, rest) = text.split_once("://")?;
        match scheme.to_ascii_lowercase().as_str() {
            "srt" if is_other_mode(rest) => None,
            "srt" => Some(SrtUrl::parse(text).map(Self::Srt)),
            "rtmp" | "rtmps" if has_user(rest) => None,
            "rtmp" | "rtmps" => Some(RtmpUrl::parse(text).map(Self::Rtmp).map_err(str::to_owned)),
            "udp" | "rtp" => Some(DatagramUrl::origin(text).map(Self::Datagrams)),
            _ => None,
        }
    }

    /// The protocol of what comes.
    pub const fn protocol(&self) -> PublishProtocol {
        match self {
            Self::Srt(_) => PublishProtocol::Srt,
            Self::Rtmp(_) => PublishProtocol::Rtmp,
            Self::Datagrams(url) if url.is_rtp => PublishProtocol::Rtp,
            Self::Datagrams(_) => PublishProtocol::Udp,
        }
    }

    /// The whole address, with its secrets.
    pub fn text(&self) -> String {
        match self {
            Self::Srt(url) => url.text(),
            Self::Rtmp(url) => url.text(),
            Self::Datagrams(url) => url.text(),
        }
    }

    /// The address without its secrets, for people.
    pub fn masked(&self) -> Self {
        match self {
            Self::Srt(url) => Self::Srt(url.masked()),
            Self::Rtmp(url) => Self::Rtmp(url.masked()),
            Self::Datagrams(url) => Self::Datagrams(url.clone()),
        }
    }
}

/// Whether GStreamer is to wait for a caller, or to meet another one.
fn is_other_mode(rest: &str) -> bool {
    let query = rest.split_once('?').map_or("", |(_, query)| query);
    query.split('&').any(|pair| matches!(pair, "mode=listener" | "mode=rendezvous"))
}

/// Whether a server of RTMP gets a user in Adobe's way, which GStreamer knows.
fn has_user(rest: &str) -> bool {
    rest.split(['/', '?']).next().is_some_and(|authority| authority.contains('@'))
}

/// Without its secrets.
impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked().text())
    }
}

/// Without its secrets.
impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
