//! Stills as messages of a WebSocket (RFC 6455).

use super::{
    access_log::RequestLog,
    query,
    response::{NO_VIDEO, Response, bad_request, text},
    still_stream::{Framing, StillStream, refuse_without_video, start},
};
use crate::{
    access::End,
    ipc::PictureFault,
    output::shard::{NO_PROGRESS, PROGRESS_WITHIN, session::Account},
    still::{sequence::Sequence, take::StreamStills},
};
use bytes::Bytes;
use data_encoding::BASE64;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use std::{sync::Arc, time::Duration};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        handshake::derive_accept_key,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};
use tokio_util::sync::CancellationToken;

/// Longest message of a client, which has nothing to send.
const MAX_RECEIVED: usize = 4 << 10;
/// Most messages of a client.
const MAX_MESSAGES: usize = 10_000;
/// Most bytes that wait to be sent: one still.
const MAX_UNSENT: usize = 64 << 20;
/// Stands for the container where waits are counted.
const PICTURES: &str = "pictures";
const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");

/// Switches the connection to a WebSocket.
pub fn respond(stills: &Arc<StreamStills>, method: &Method, query: &str, headers: &HeaderMap) -> Response {
    let asked = query::still(query, None, "").and_then(|asked| {
        let interval = query::interval(query)?.unwrap_or_default();
        Ok((asked.spec, interval, query::as_text(query)?))
    });
    let (rendition, interval, base64) = match asked {
        Ok(asked) => asked,
        Err(error) => return bad_request(&error),
    };
    if let Some(refusal) = refuse_without_video(stills.stream()) {
        return refusal;
    }
    let Some(key) = accept_key(headers).and_then(|key| HeaderValue::from_str(&key).ok()) else {
        let sentence = "this path serves stills over a WebSocket: request an upgrade (RFC 6455)";
        let mut response = text(StatusCode::UPGRADE_REQUIRED, sentence);
        response.headers_mut().insert(header::UPGRADE, WEBSOCKET);
        return response;
    };
    if method == Method::HEAD {
        return text(StatusCode::METHOD_NOT_ALLOWED, "a WebSocket needs the method GET");
    }
    let mut response = Response::new(String::new().into());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    response.headers_mut().insert(header::UPGRADE, WEBSOCKET);
    response.headers_mut().insert(header::SEC_WEBSOCKET_ACCEPT, key);
    start(&mut response, stills.stream(), Sequence::new(stills, rendition, interval), Framing::WebSocket { base64 });
    response
}

/// The key of the response to a WebSocket handshake (RFC 6455, section 4.2.2); `None` when the request is none.
fn accept_key(headers: &HeaderMap) -> Option<String> {
    let value = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let is_asked = value("upgrade")?.split(',').any(|word| word.trim().eq_ignore_ascii_case("websocket"));
    let is_known = value("sec-websocket-version")? == "13";
    (is_asked && is_known).then_some(())?;
    Some(derive_accept_key(value("sec-websocket-key")?.as_bytes()))
}

/// Sends stills over a connection that is a WebSocket from now on, until the client disconnects, or `stop`.
pub async fn send_stills(
    transport: impl AsyncRead + AsyncWrite + Unpin,
    early: Bytes,
    mut stills: StillStream,
    mut log: RequestLog,
    stop: CancellationToken,
) {
    let limits = WebSocketConfig::default()
        .max_message_size(Some(MAX_RECEIVED))
        .max_frame_size(Some(MAX_RECEIVED))
        .write_buffer_size(0)
        .max_write_buffer_size(MAX_UNSENT);
    let mut socket = WebSocketStream::from_partially_read(transport, early.to_vec(), Role::Server, Some(limits)).await;
    let mut received = 0;
    let end = log.pass.as_ref().map(|pass| pass.end().clone());
    let (code, reason) = loop {
        log.report();
        tokio::select! {
            // First: when the server stops, stills fail.
            biased;
            () = stop.cancelled() => break (CloseCode::Away, "server stops"),
            reason = withdrawn(end.as_ref()) => break (CloseCode::Policy, reason),
            message = socket.next() => match message {
                Some(Ok(Message::Close(_)) | Err(_)) | None => {
                    log.reason = "client left";
                    return;
                }
                Some(Ok(_)) if received > MAX_MESSAGES => break (CloseCode::Policy, "client sends too much"),
                Some(Ok(_)) => received += 1,
            },
            still = stills.sequence.next() => {
                let still = match still {
                    Ok(still) => still,
                    Err(PictureFault::NoVideo) => break (CloseCode::Unsupported, NO_VIDEO),
                    Err(_) => break (CloseCode::Error, "the still could not be encoded"),
                };
                let message = match stills.framing {
                    Framing::WebSocket { base64: true } => Message::text(BASE64.encode(&still.bytes)),
                    Framing::WebSocket { base64: false } | Framing::Raw => Message::Binary(still.bytes.clone()),
                };
                let length = message.len() as u64;
                match tokio::time::timeout(PROGRESS_WITHIN, socket.send(message)).await {
                    Ok(Ok(())) => log.sent(length, &|| PICTURES),
                    Ok(Err(_)) => {
                        log.reason = "client left";
                        return;
                    }
                    Err(_) => {
                        log.reason = NO_PROGRESS;
                        return;
                    }
                }
            }
        }
    };
    log.reason = reason;
    let farewell = CloseFrame { code, reason: reason.into() };
    let _ = tokio::time::timeout(Duration::from_secs(1), socket.close(Some(farewell))).await;
}

/// Returns when the permission has ended.
async fn withdrawn(end: Option<&End>) -> &'static str {
    match end {
        Some(end) => end.wait().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_handshake_is_switched_to_a_websocket() {
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
