//! Why a target gets nothing, or nothing more.

use super::machine::Failure;
use crate::{
    link::{server::LinkError, srt::CallError},
    net::ClientError,
    output::webrtc::session::calling::CallError as WebRtcError,
};
use std::io;

/// Why a target gets nothing, or nothing more.
#[derive(Debug, thiserror::Error)]
pub(super) enum PushError {
    #[error(transparent)]
    Link(#[from] LinkError),
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

impl PushError {
    /// Whether somebody is there.
    pub(super) const fn failure(&self) -> Failure {
        match self {
            Self::Link(LinkError::Connect(_))
            | Self::Srt(CallError::Connect(_) | CallError::Silent)
            | Self::Http(ClientError::Connect { .. }) => Failure::Away,
            _ => Failure::Refused,
        }
    }
}
