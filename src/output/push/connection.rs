//! A connection to a target, of any protocol.

use super::{
    error::PushError,
    rtmp::RtmpConnection,
    rtsp::RtspConnection,
    whip::{Call as WhipCall, WhipConnection},
};
use crate::{
    config::{PushTarget, PushUrl},
    link::{
        datagrams,
        server::LinkError,
        srt::{Call, TS_PAYLOAD},
    },
    media::{Container, webrtc::tracks_of},
    output::webrtc::session::calling::CallError as WebRtcError,
};
use bytes::Bytes;
use std::{future::pending, time::Duration};

/// How long the last words may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);
/// So many packets of SRT that came too late together are not loss of a bad line: the line is too slow.
const TOO_MANY: u64 = 32;

/// A connection over which media may be sent.
#[derive(Debug)]
pub(super) enum Connection {
    Rtmp(Box<RtmpConnection>),
    Rtsp(Box<RtspConnection>),
    Srt(Box<SrtConnection>),
    Whip(Box<WhipConnection>),
    Datagrams(Box<datagrams::Sender>),
}

/// A call of SRT.
#[derive(Debug)]
pub(super) struct SrtConnection {
    call: Call,
    /// Packets that it had dropped when that was looked at last.
    dropped: u64,
}

/// What a target takes.
pub(super) const fn container(to: &PushUrl) -> Container {
    match to {
        PushUrl::Rtmp(_) => Container::Flv,
        PushUrl::Rtsp(_) => Container::Rtp,
        PushUrl::Whip(_) => Container::WebRtc,
        PushUrl::Srt(_) | PushUrl::Datagrams(_) => Container::Ts,
    }
}

/// Whether a target takes the header of the container among the packets. Those of RTP and WebRTC are descriptions, which it was sent before.
pub(super) const fn takes_header(to: &PushUrl) -> bool {
    !matches!(to, PushUrl::Rtsp(_) | PushUrl::Whip(_))
}

impl Connection {
    /// Connects, and asks to publish a stream with this name and header. Cancel-safe.
    pub(super) async fn open(
        target: &PushTarget,
        agent: String,
        (name, header): (&str, &Bytes),
    ) -> Result<Self, PushError> {
        Ok(match &target.to {
            PushUrl::Rtmp(to) => Self::Rtmp(Box::new(RtmpConnection::open(to, target.ca.as_deref(), agent).await?)),
            PushUrl::Rtsp(to) => {
                let tracks = String::from_utf8_lossy(header);
                let opened = RtspConnection::open(to, target.ca.as_deref(), agent, (name, &tracks)).await;
                Self::Rtsp(Box::new(opened?))
            }
            PushUrl::Srt(to) => Self::Srt(Box::new(SrtConnection { call: Call::connect(to).await?, dropped: 0 })),
            PushUrl::Whip(to) => {
                let (ca, token) = (target.ca.as_deref(), target.token.clone());
                let tracks = tracks_of(header).ok_or(WebRtcError::NoTracks)?;
                Self::Whip(Box::new(WhipConnection::open(WhipCall { to, ca, token, agent }, tracks).await?))
            }
            PushUrl::Datagrams(to) => {
                Self::Datagrams(Box::new(datagrams::Sender::open(to).await.map_err(LinkError::Connect)?))
            }
        })
    }

    /// Whether the server has said that it knows codecs by FourCC; `None` where that is no question.
    pub(super) const fn knows_four_cc(&self) -> Option<bool> {
        match self {
            Self::Rtmp(connection) => Some(connection.knows_four_cc()),
            Self::Rtsp(_) | Self::Srt(_) | Self::Whip(_) | Self::Datagrams(_) => None,
        }
    }

    /// Waits for what the target says, or does what is due. [`Connection::flush`] sends what is answered. Cancel-safe.
    pub(super) async fn listen(&mut self) -> Result<(), PushError> {
        match self {
            Self::Rtmp(connection) => Ok(connection.listen().await?),
            Self::Rtsp(connection) => Ok(connection.listen().await?),
            Self::Srt(connection) => {
                connection.call.drive().await?;
                // A target has nothing to send.
                drop(connection.call.take());
                Ok(())
            }
            Self::Whip(connection) => {
                connection.listen().await;
                Ok(())
            }
            Self::Datagrams(_) => pending().await,
        }
    }

    /// Sends what is answered. Not cancel-safe.
    pub(super) async fn flush(&mut self) -> Result<(), PushError> {
        match self {
            Self::Rtmp(connection) => Ok(connection.flush().await?),
            Self::Rtsp(connection) => Ok(connection.flush().await?),
            Self::Whip(connection) => connection.flush(),
            Self::Srt(_) | Self::Datagrams(_) => Ok(()),
        }
    }

    /// Sends a packet or header of the container. Returns the bytes. Not cancel-safe.
    pub(super) async fn send(&mut self, packet: Bytes) -> Result<u64, PushError> {
        match self {
            Self::Rtmp(connection) => Ok(connection.send(packet).await?),
            Self::Rtsp(connection) => Ok(connection.send(packet).await?),
            Self::Srt(connection) => {
                for start in (0..packet.len()).step_by(TS_PAYLOAD) {
                    let end = packet.len().min(start + TS_PAYLOAD);
                    connection.call.send(packet.slice(start..end)).await?;
                }
                Ok(packet.len() as u64)
            }
            Self::Whip(connection) => connection.send(packet).await,
            Self::Datagrams(sender) => sender.send(packet).await.map_err(PushError::Network),
        }
    }

    /// Whether the target has asked for a keyframe.
    pub(super) fn wants_keyframe(&mut self) -> bool {
        match self {
            Self::Whip(connection) => connection.wants_keyframe(),
            Self::Rtmp(_) | Self::Rtsp(_) | Self::Srt(_) | Self::Datagrams(_) => false,
        }
    }

    /// Packets that came too late since the last time, when they are so many that the target is too slow.
    pub(super) fn late(&mut self) -> Option<u64> {
        let Self::Srt(connection) = self else { return None };
        let dropped = connection.call.counts().sent.dropped;
        let late = dropped - connection.dropped;
        if late < TOO_MANY {
            return None;
        }
        connection.dropped = dropped;
        Some(late)
    }

    /// What the log says of the connection, beside what all have: packets that were sent again, and the round-trip time in ms.
    pub(super) fn line(&self) -> Option<(u64, u64)> {
        let (resent, rtt) = match self {
            Self::Srt(connection) => {
                let counts = connection.call.counts();
                (counts.sent.resent, counts.rtt)
            }
            Self::Whip(connection) => {
                let stats = connection.stats();
                (stats.retransmitted_packets_sent, stats.round_trip_time?)
            }
            Self::Rtmp(_) | Self::Rtsp(_) | Self::Datagrams(_) => return None,
        };
        Some((resent, u64::try_from(rtt.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Signals the target that nothing more comes, and closes.
    pub(super) async fn close(self) {
        match self {
            Self::Rtmp(connection) => connection.close().await,
            Self::Rtsp(connection) => connection.close().await,
            Self::Whip(connection) => connection.close().await,
            Self::Srt(connection) => connection.call.close(CLOSE_WITHIN).await,
            Self::Datagrams(_) => {}
        }
    }
}
