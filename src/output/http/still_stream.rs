//! A response that sends one still after the other: over a WebSocket, or raw in one endless body.
//!
//! Each still is taken when the client has received the previous one: a slow client gets fewer, and delays no other.

use super::{
    response::{FEED_FAILED, NO_VIDEO, Response, text, unavailable},
    take_once::TakeOnce,
};
use crate::{engine::registry::StreamHandle, still::sequence::Sequence, stream::Viewers};
use http::StatusCode;

/// The stills that a client is going to receive.
#[derive(Debug)]
pub struct StillStream {
    /// The stills.
    pub sequence: Sequence,
    /// The viewers that the client is counted among.
    pub viewers: Viewers,
    /// How they are sent.
    pub framing: Framing,
}

/// How stills are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// As messages of a WebSocket.
    WebSocket {
        /// As text.
        base64: bool,
    },
    /// Raw frames, each after a header.
    Raw,
}

/// Makes stills the body of the response.
pub fn start(response: &mut Response, stream: &StreamHandle, sequence: Sequence, framing: Framing) {
    let stills = StillStream { sequence, viewers: stream.viewers.clone(), framing };
    response.extensions_mut().insert(TakeOnce::new(stills));
}

/// The response of a stream that has no video, or whose feed has failed.
pub fn refuse_without_video(stream: &StreamHandle) -> Option<Response> {
    if stream.config.mimetype.starts_with("audio/") {
        return Some(text(StatusCode::UNSUPPORTED_MEDIA_TYPE, NO_VIDEO));
    }
    stream.fanout.is_closed().then(|| unavailable(FEED_FAILED))
}
