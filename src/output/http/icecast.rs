//! Source clients of icecast: a request without a length, `SOURCE` or `PUT`, and then media until the connection ends. It has no
//! standard; what is here is what icecast 2.4 does with libshout, ffmpeg and butt.
//!
//! For hyper such a request has an empty body, so the connection leaves hyper with it.

use super::{
    access_log::RequestLog,
    authorize::agent,
    intake::{self, Ended},
    publish,
    response::{Response, text},
    station::title_of,
};
use crate::{
    access::Gate,
    output::{
        publish::{feeder::Feeder, find::Target, permit::Credentials},
        shard::PROGRESS_WITHIN,
    },
};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use std::{
    io::{self, ErrorKind},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

/// Where source clients send the title of what they play.
pub const METADATA: &str = "/admin/metadata";
/// Most bytes of one read.
const PIECE: usize = 64 << 10;
/// How long a client may take for the end.
const FAREWELL: Duration = Duration::from_secs(1);
/// What libshout looks for in the response.
const UPDATED: &str = "<?xml version=\"1.0\"?>\n<iceresponse><message>Metadata update successful</message><return>1</return></iceresponse>";

/// A connection that has nothing but media after its request.
#[derive(Debug)]
pub struct RestOfConnection {
    /// Takes the media.
    pub feeder: Feeder,
    /// The line of the request in the log.
    pub log: RequestLog,
    /// The client waits for `100 Continue`.
    pub is_continued: bool,
}

/// Whether all that follows a request is its body. A request of HTTP/1 without a length has no body (RFC 9112, section 6.3), but for
/// these clients: they use the method `SOURCE`, or name a type of media or their station.
pub fn has_rest(method: &Method, headers: &HeaderMap) -> bool {
    if headers.contains_key(header::CONTENT_LENGTH) || headers.contains_key(header::TRANSFER_ENCODING) {
        return false;
    }
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default().to_ascii_lowercase();
    let is_media = ["audio/", "video/", "application/ogg"].iter().any(|media| kind.starts_with(media.as_bytes()));
    let names_station = || headers.keys().any(|name| name.as_str().starts_with("ice-"));
    method.as_str() == publish::SOURCE || *method == Method::PUT && (is_media || names_station())
}

/// Whether the client sends nothing before it is asked to.
pub fn waits(headers: &HeaderMap) -> bool {
    headers.get(header::EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Takes all that comes over a connection as media, until it ends, or `stop`. `early` was read of it already.
pub async fn serve(
    mut transport: impl AsyncRead + AsyncWrite + Unpin + Send,
    early: Bytes,
    rest: RestOfConnection,
    stop: CancellationToken,
) {
    let RestOfConnection { feeder, mut log, is_continued } = rest;
    // Clients that do not wait take this for the end of the handshake, and the rest for a body that they do not read.
    let head: &[u8] = match is_continued {
        true => b"HTTP/1.1 100 Continue\r\n\r\n",
        false => b"HTTP/1.0 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n",
    };
    if !matches!(tokio::time::timeout(PROGRESS_WITHIN, transport.write_all(head)).await, Ok(Ok(()))) {
        return;
    }
    let first = stream::iter((!early.is_empty()).then_some(Ok(early)));
    let media = first.chain(stream::try_unfold(&mut transport, |transport| async {
        let mut piece = BytesMut::with_capacity(PIECE);
        match transport.read_buf(&mut piece).await {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some((piece.freeze(), transport))),
            // The end of most clients: they have not read the response, and end TLS without a word.
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof) => Ok(None),
            Err(error) => Err(error),
        }
    }));
    let ended = tokio::select! {
        biased;
        ended = intake::receive(feeder, media) => ended,
        () = stop.cancelled() => {
            log.reason = "server stops";
            return;
        }
    };
    log.reason = intake::reason(&ended);
    let last = farewell(&ended, is_continued);
    let _ = tokio::time::timeout(FAREWELL, async {
        transport.write_all(last.as_bytes()).await?;
        transport.shutdown().await?;
        // What is on its way is read: a reset would take the response away.
        let mut unread = [0; 4096];
        while transport.read(&mut unread).await? > 0 {}
        Ok::<_, io::Error>(())
    })
    .await;
}

/// What is sent at the end: the response, or the body of that which was sent before.
fn farewell(Ended { status, sentence }: &Ended, is_continued: bool) -> String {
    if !is_continued {
        return format!("{sentence}\n");
    }
    let length = sentence.len() + 1;
    let kind = "Content-Type: text/plain; charset=utf-8";
    format!("HTTP/1.1 {status}\r\n{kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{sentence}\n")
}

/// Responds to a title as icecast does, for those who may publish there. It is in the state, as media has no place for it.
pub async fn update_metadata(target: Target, gate: &Gate, request: publish::Request<'_>) -> Response {
    let publish::Request { query, headers, peer } = request;
    let values = headers.get_all(header::AUTHORIZATION).iter().map(HeaderValue::as_bytes);
    let asking = peer.asking("http", query, agent(headers));
    if let Err(denied) = target.permit(gate, Credentials::read(query, values), asking).await {
        return publish::denial(gate, denied);
    }
    if let (Target::Feed(slot), Some(title)) = (target, title_of(query)) {
        slot.set_title(title);
    }
    let mut response = text(StatusCode::OK, UPDATED);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_whose_body_ends_with_the_connection_are_recognised() {
        let check = |method: &str, fields: &[(&'static str, &str)], expect| {
            let headers = fields.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert_eq!(has_rest(&method, &headers), expect, "{method} {fields:?}");
        };
        check("SOURCE", &[], true);
        check("SOURCE", &[("content-type", "audio/mpeg")], true);
        check("SOURCE", &[("content-length", "100")], false);
        check("PUT", &[("content-type", "Audio/mpeg")], true);
        check("PUT", &[("content-type", "application/ogg"), ("ice-public", "0")], true);
        check("PUT", &[("ice-name", "radio")], true);
        check("PUT", &[("ice-name", "radio"), ("transfer-encoding", "chunked")], false);
        check("PUT", &[("content-type", "text/plain")], false);
        check("PUT", &[], false);
        check("POST", &[("content-type", "audio/mpeg")], false);
        check("GET", &[("content-type", "audio/mpeg"), ("ice-name", "radio")], false);
    }

    #[test]
    fn the_end_is_a_response_of_its_own_for_those_who_waited() {
        let ended = Ended { status: StatusCode::CONFLICT, sentence: "disconnected: kicked".into() };
        assert_eq!(farewell(&ended, false), "disconnected: kicked\n");
        let whole = farewell(&ended, true);
        assert!(whole.starts_with("HTTP/1.1 409 Conflict\r\n") && whole.ends_with("\r\n\r\ndisconnected: kicked\n"));
    }
}
