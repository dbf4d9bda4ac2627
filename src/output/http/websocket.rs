//! WebSockets (RFC 6455): stills as messages, and messages that are published.

use super::{
    access_log::RequestLog,
    intake::{self, Ended},
    query,
    response::{NO_VIDEO, Response, bad_request, text},
    still_stream::{Framing, StillStream, refuse_without_video, start},
    take_once::TakeOnce,
};
use crate::{
    access::End,
    ipc::PictureFault,
    output::{
        publish::feeder::Feeder,
        shard::{NO_PROGRESS, PROGRESS_WITHIN, session::Account},
    },
    still::{sequence::Sequence, take::StreamStills},
};
use bytes::Bytes;
use data_encoding::BASE64;
use futures_util::{SinkExt, StreamExt, stream};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use std::{
    sync::Arc,
    task::{Poll, ready},
    time::Duration,
};
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
/// Longest message of a publisher: some seconds of video.
const MAX_MEDIA: usize = 8 << 20;
/// Codes of an end that HTTP has a status for are that status after this (RFC 6455, section 7.4.2: codes for private use).
const OF_STATUS: u16 = 4000;
/// Longest reason of an end: a control frame has 125 bytes (section 5.5), and the code is in them.
const MAX_REASON: usize = 123;
/// How long a client may take for the end.
const FAREWELL: Duration = Duration::from_secs(1);
/// Most messages of a client that has nothing to send.
const MAX_MESSAGES: usize = 10_000;
/// Most bytes that wait to be sent: one still.
const MAX_UNSENT: usize = 64 << 20;
/// Stands for the container where waits are counted.
const PICTURES: &str = "pictures";
const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");

/// What a connection that becomes a WebSocket is for.
#[derive(Debug)]
pub enum Upgrade {
    /// Stills are sent.
    Stills(StillStream),
    /// Messages of the client are media.
    Publisher(Box<Feeder>),
    /// The client is refused: it ends with the reason.
    Refused(Ended),
}

/// Whether a request asks for a WebSocket.
pub fn is_asked(headers: &HeaderMap) -> bool {
    accept_key(headers).is_some()
}

/// The response that switches the connection to a WebSocket for this.
pub fn switch(headers: &HeaderMap, upgrade: Upgrade) -> Response {
    let Some(mut response) = switched(headers) else { return upgrade_required("media over a WebSocket") };
    response.extensions_mut().insert(TakeOnce::new(upgrade));
    response
}

fn upgrade_required(what: &str) -> Response {
    let sentence = format!("this path serves {what}: request an upgrade (RFC 6455)");
    let mut response = text(StatusCode::UPGRADE_REQUIRED, &sentence);
    response.headers_mut().insert(header::UPGRADE, WEBSOCKET);
    response
}

/// The response to a handshake; `None` when the request is none.
fn switched(headers: &HeaderMap) -> Option<Response> {
    let key = HeaderValue::from_str(&accept_key(headers)?).ok()?;
    let mut response = Response::new(String::new().into());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    response.headers_mut().insert(header::UPGRADE, WEBSOCKET);
    response.headers_mut().insert(header::SEC_WEBSOCKET_ACCEPT, key);
    Some(response)
}

/// Switches the connection to a WebSocket that sends stills.
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
    let Some(mut response) = switched(headers) else { return upgrade_required("stills over a WebSocket") };
    if method == Method::HEAD {
        return text(StatusCode::METHOD_NOT_ALLOWED, "a WebSocket needs the method GET");
    }
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

/// Uses a connection that is a WebSocket from now on, until the client disconnects, or `stop`.
pub async fn serve(
    transport: impl AsyncRead + AsyncWrite + Unpin + Send,
    early: Bytes,
    upgrade: Upgrade,
    mut log: RequestLog,
    stop: CancellationToken,
) {
    let longest = if let Upgrade::Publisher(_) = upgrade { MAX_MEDIA } else { MAX_RECEIVED };
    let limits = WebSocketConfig::default()
        .max_message_size(Some(longest))
        .max_frame_size(Some(longest))
        .write_buffer_size(0)
        .max_write_buffer_size(MAX_UNSENT);
    let mut socket = WebSocketStream::from_partially_read(transport, early.to_vec(), Role::Server, Some(limits)).await;
    match upgrade {
        Upgrade::Stills(stills) => send_stills(socket, stills, log, stop).await,
        Upgrade::Publisher(feeder) => {
            let (code, reason) = publish(&mut socket, *feeder, &mut log, stop).await;
            end(&mut socket, code, &reason).await;
        }
        Upgrade::Refused(ended) => {
            log.reason = "refused";
            end(&mut socket, code_of(&ended), &ended.sentence).await;
        }
    }
}

/// Takes messages as media. Returns the code and the reason of the end.
async fn publish(
    socket: &mut WebSocketStream<impl AsyncRead + AsyncWrite + Unpin + Send>,
    feeder: Feeder,
    log: &mut RequestLog,
    stop: CancellationToken,
) -> (CloseCode, String) {
    let mut is_text = false;
    let media = stream::poll_fn(|context| {
        loop {
            return Poll::Ready(match ready!(socket.poll_next_unpin(context)) {
                Some(Ok(Message::Binary(bytes))) => Some(Ok(bytes)),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Ok(Message::Close(_))) => None,
                Some(Ok(Message::Text(_))) => {
                    is_text = true;
                    Some(Err(()))
                }
                Some(Err(_)) | None => Some(Err(())),
            });
        }
    });
    let ended = tokio::select! {
        biased;
        ended = intake::receive(feeder, media) => ended,
        () = stop.cancelled() => {
            log.reason = "server stops";
            return (CloseCode::Away, log.reason.to_owned());
        }
    };
    if is_text {
        log.reason = "not media";
        return (CloseCode::Unsupported, "media is sent in binary messages".to_owned());
    }
    log.reason = intake::reason(&ended);
    (code_of(&ended), ended.sentence)
}

fn code_of(ended: &Ended) -> CloseCode {
    match ended.status {
        StatusCode::OK => CloseCode::Normal,
        status => CloseCode::from(OF_STATUS + status.as_u16()),
    }
}

/// Ends a WebSocket with this reason, or with as much of it as there is room for.
async fn end(socket: &mut WebSocketStream<impl AsyncRead + AsyncWrite + Unpin>, code: CloseCode, reason: &str) {
    let room = (0..=MAX_REASON).rev().find_map(|length| reason.get(..length)).unwrap_or_default();
    let farewell = CloseFrame { code, reason: if reason.len() > MAX_REASON { room } else { reason }.to_owned().into() };
    let closed = async {
        socket.close(Some(farewell)).await?;
        // What the client has sent meanwhile is read: a reset would take the reason away.
        while let Some(Ok(_)) = socket.next().await {}
        Ok::<_, tokio_tungstenite::tungstenite::Error>(())
    };
    let _ = tokio::time::timeout(FAREWELL, closed).await;
}

/// Sends stills until the client disconnects, or `stop`.
async fn send_stills(
    mut socket: WebSocketStream<impl AsyncRead + AsyncWrite + Unpin>,
    mut stills: StillStream,
    mut log: RequestLog,
    stop: CancellationToken,
) {
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
    let _ = tokio::time::timeout(FAREWELL, socket.close(Some(farewell))).await;
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
    fn ends_have_codes_like_the_statuses_of_http() {
        let check = |status, expect: u16| {
            assert_eq!(u16::from(code_of(&Ended { status, sentence: String::new() })), expect);
        };
        check(StatusCode::OK, 1000);
        check(StatusCode::UNAUTHORIZED, 4401);
        check(StatusCode::CONFLICT, 4409);
    }

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
