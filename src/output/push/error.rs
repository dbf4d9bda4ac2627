//! Why a target gets nothing, or nothing more.

use crate::{
    link::{rtmp::RtmpError, srt::CallError},
    net::{ClientError, tls::client::TlsConnectError},
    output::{rtsp, webrtc::session::calling::CallError as WebRtcError},
};
use std::io;

/// Why a target gets nothing, or nothing more.
#[derive(Debug, thiserror::Error)]
pub(super) enum PushError {
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    #[error(transparent)]
    Tls(#[from] TlsConnectError),
    #[error("no answer within 10 s")]
    Silent,
    #[error(transparent)]
    Rtmp(#[from] RtmpError),
    #[error("protocol error")]
    Rtsp(#[from] rtsp::client::ClientError),
    #[error("the target refuses: {0}")]
    Refused(String),
    #[error("the target ended the connection: {0}")]
    Ended(String),
    #[error("the target left")]
    Left(#[source] io::Error),
    #[error("no progress for 10 s")]
    NoProgress,
    #[error(transparent)]
    Srt(#[from] CallError),
    #[error(transparent)]
    Http(#[from] ClientError),
    #[error(transparent)]
    WebRtc(#[from] WebRtcError),
    #[error("no connection over UDP within 10 s: none of the addresses in the answer responds")]
    Unreachable,
    #[error("cannot make a certificate for DTLS")]
    NoCertificate,
    #[error("the network does not take it")]
    Network(#[source] io::Error),
}
