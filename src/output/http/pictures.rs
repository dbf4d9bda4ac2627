//! Pictures one after the other: as messages of a WebSocket (RFC 6455), or raw in one endless body.
//!
//! Each is captured when the client has taken the one before: a slow client sees fewer, and nothing waits for it.

use super::{
    departure::Departure,
    visit::{NO_PROGRESS, PROGRESS_WITHIN, Visit},
};
use crate::{
    ipc::PictureFault,
    media::raw_frame,
    still::{cache::Still, sequence::Sequence},
    stream::Audience,
};
use bytes::{Bytes, BytesMut};
use data_encoding::BASE64;
use futures_util::{SinkExt, Stream, StreamExt, stream};
use http::HeaderMap;
use http_body::Frame;
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        handshake::derive_accept_key,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};
use tokio_util::sync::CancellationToken;

/// Longest message of a client, which has nothing to say.
const MAX_HEARD: usize = 4 << 10;
/// Most messages of a client.
const CHATTER: usize = 10_000;
/// Most bytes that wait to be sent: one picture.
const MAX_UNSENT: usize = 64 << 20;

/// What stands for the container where waits are counted.
const PICTURES: &str = "pictures";

/// What a client is going to see.
#[derive(Debug)]
pub struct Showing {
    /// The pictures.
    pub sequence: Sequence,
    /// Those that it is to be counted among.
    pub audience: Audience,
    /// How they are sent.
    pub form: Form,
}

/// How pictures are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As messages of a WebSocket.
    Messages {
        /// As text.
        base64: bool,
    },
    /// Raw, behind heads.
    Frames,
}

/// The key of the answer to one who asks for a WebSocket (RFC 6455, section 4.2.2); `None` when it does not.
pub fn accept_key(headers: &HeaderMap) -> Option<String> {
    let value = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let is_asked = value("upgrade")?.split(',').any(|word| word.trim().eq_ignore_ascii_case("websocket"));
    let is_known = value("sec-websocket-version")? == "13";
    (is_asked && is_known).then_some(())?;
    Some(derive_accept_key(value("sec-websocket-key")?.as_bytes()))
}

/// Sends pictures over a connection that is a WebSocket from here on, until the client leaves, or `stop`.
pub async fn converse(
    socket: TcpStream,
    early: Bytes,
    mut showing: Showing,
    mut visit: Visit,
    stop: CancellationToken,
) {
    let limits = WebSocketConfig::default()
        .max_message_size(Some(MAX_HEARD))
        .max_frame_size(Some(MAX_HEARD))
        .write_buffer_size(0)
        .max_write_buffer_size(MAX_UNSENT);
    let mut socket = WebSocketStream::from_partially_read(socket, early.to_vec(), Role::Server, Some(limits)).await;
    let mut heard = 0;
    let (code, reason) = loop {
        visit.tell();
        tokio::select! {
            // First: when the server stops, pictures fail.
            biased;
            () = stop.cancelled() => break (CloseCode::Away, "server stops"),
            message = socket.next() => match message {
                Some(Ok(Message::Close(_)) | Err(_)) | None => {
                    visit.reason = "client left";
                    return;
                }
                Some(Ok(_)) if heard > CHATTER => break (CloseCode::Policy, "client talks"),
                Some(Ok(_)) => heard += 1,
            },
            still = showing.sequence.next() => {
                let still = match still {
                    Ok(still) => still,
                    Err(PictureFault::NoVideo) => break (CloseCode::Unsupported, "this stream has no pictures"),
                    Err(_) => break (CloseCode::Error, "the picture could not be made"),
                };
                let message = match showing.form {
                    Form::Messages { base64: true } => Message::text(BASE64.encode(&still.bytes)),
                    Form::Messages { base64: false } | Form::Frames => Message::Binary(still.bytes.clone()),
                };
                let length = message.len() as u64;
                match tokio::time::timeout(PROGRESS_WITHIN, socket.send(message)).await {
                    Ok(Ok(())) => visit.took(length, || PICTURES),
                    Ok(Err(_)) => {
                        visit.reason = "client left";
                        return;
                    }
                    Err(_) => {
                        visit.reason = NO_PROGRESS;
                        return;
                    }
                }
            }
        }
    };
    visit.reason = reason;
    let farewell = CloseFrame { code, reason: reason.into() };
    let _ = tokio::time::timeout(Duration::from_secs(1), socket.close(Some(farewell))).await;
}

/// The pieces of a body of raw pictures, which ends when the client leaves, or at `stop`.
pub fn frames(
    sequence: Sequence,
    departure: Departure,
    stop: CancellationToken,
) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> + Send {
    let first = Frames { sequence, departure, stop, number: 0, data: None };
    stream::unfold(first, |mut frames| async move { Some((Ok(Frame::data(frames.piece().await?)), frames)) })
}

/// Where a body of raw pictures is.
struct Frames {
    sequence: Sequence,
    departure: Departure,
    stop: CancellationToken,
    number: u64,
    /// What follows the head that was the last piece.
    data: Option<Bytes>,
}

impl Frames {
    /// A head or what follows it; `None` at the end.
    async fn piece(&mut self) -> Option<Bytes> {
        if let Some(data) = self.data.take() {
            return Some(data);
        }
        let still: Arc<Still> = tokio::select! {
            () = self.stop.cancelled() => return None,
            () = self.departure.wait() => return None,
            // A body can only be ended; the log of the worker has the reason.
            still = self.sequence.next() => still.ok()?,
        };
        let mut head = BytesMut::from(still.bytes.get(..raw_frame::HEAD)?);
        raw_frame::stamp(&mut head, self.number, still.date, still.taken);
        self.number += 1;
        self.data = Some(still.bytes.slice(raw_frame::HEAD..));
        Some(head.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_asks_for_a_websocket_gets_one() {
        let check = |fields: &[(&'static str, &'static str)], expect: Option<&str>| {
            let headers = fields.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
            assert_eq!(accept_key(&headers).as_deref(), expect, "{fields:?}");
        };
        // The example of RFC 6455, section 1.3.
        let key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        let version = ("sec-websocket-version", "13");
        let accepted = Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        check(&[("upgrade", "WebSocket"), version, key], accepted);
        check(&[("upgrade", "h2c, websocket"), version, key], accepted);
        check(&[("upgrade", "h2c"), version, key], None);
        check(&[("upgrade", "websocket"), ("sec-websocket-version", "8"), key], None);
        check(&[("upgrade", "websocket"), version], None);
        check(&[], None);
    }
}
