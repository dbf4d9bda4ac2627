//! What all responses have in common: headers, sentences as bodies, and the content type of a stream.

use super::query::QueryError;
use crate::{config, media::Container, stream::FanOut};
use bytes::Bytes;
use futures_util::{
    Stream, StreamExt,
    stream::{self, BoxStream},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use std::{
    borrow::Cow,
    convert::Infallible,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use warp::Reply;

pub use warp::reply::Response;

/// How long the head of a response may wait for a stream whose container only its bytes show.
const CONTAINER_KNOWN: Duration = Duration::from_secs(3);
/// When a client may retry after a 503.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("2");
/// The start of all content types of motion JPEG with a boundary.
const MULTIPART: &str = "multipart/x-mixed-replace";
/// The response to `fps=` for a stream that is not motion JPEG.
pub const FPS_OF_MJPEG_ONLY: &str =
    "fps= limits the frame rate of motion JPEG only: this stream is in another container";
/// The response where the feed of a stream failed for good.
pub const FEED_FAILED: &str = "the feed of this stream has failed and its restart is disabled";
/// The response to a request for stills of an audio stream.
pub const NO_VIDEO: &str = "this stream has no video";

/// A complete response whose body is a sentence.
pub fn complete(status: StatusCode, sentence: &str) -> Response {
    let mut response = text(status, sentence);
    set_common_headers(response.headers_mut());
    response
}

/// Sets the headers that every response of this server has: it must not be cached.
pub fn set_common_headers(headers: &mut HeaderMap) {
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store, must-revalidate"));
        headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
        headers.insert(header::EXPIRES, HeaderValue::from_static("0"));
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // nginx caches nothing that it is not to buffer. What is there as a whole waits for nothing in its buffers.
    let is_for_caches = headers.contains_key(header::CONTENT_LENGTH)
        && headers.get(header::CACHE_CONTROL).is_some_and(|cache| cache.as_bytes().starts_with(b"public"));
    if !is_for_caches {
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    }
}

/// A sentence as a response, without the common headers.
pub fn text(status: StatusCode, sentence: &str) -> Response {
    let line = if sentence.is_empty() { String::new() } else { format!("{sentence}\n") };
    let mut response = Response::new(line.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// 413, and the end of the connection: the body is not read.
pub fn too_large() -> Response {
    let mut response =
        complete(StatusCode::PAYLOAD_TOO_LARGE, "the body of a request may have at most 1 MiB, and is not read");
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// A body of several pieces that are there already, with its length.
pub fn pieces(pieces: Vec<Bytes>) -> Response {
    let length: usize = pieces.iter().map(Bytes::len).sum();
    let mut response = match <[Bytes; 1]>::try_from(pieces) {
        // Without a stream, which takes steps of its own: thousands of players get one at the same moment.
        Ok([whole]) => Response::new(whole.into()),
        Err(pieces) => {
            let pieces = stream::iter(pieces.into_iter().map(Ok::<_, Infallible>));
            warp::reply::stream(pieces).into_response()
        }
    };
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length as u64));
    response
}

/// A body that is made as it is taken.
pub fn streamed(body: impl Stream<Item = std::io::Result<Bytes>> + Send + 'static) -> Response {
    // warp wants bodies that could be polled from several threads, which none is.
    let mut body: Mutex<BoxStream<'static, _>> = Mutex::new(Box::pin(body));
    warp::reply::stream(stream::poll_fn(move |context| {
        body.get_mut().unwrap_or_else(PoisonError::into_inner).poll_next_unpin(context)
    }))
    .into_response()
}

/// 400 with the reason.
pub fn bad_request(error: &QueryError) -> Response {
    text(StatusCode::BAD_REQUEST, &error.to_string())
}

/// 503 with `Retry-After`.
pub fn unavailable(reason: &str) -> Response {
    let mut response = text(StatusCode::SERVICE_UNAVAILABLE, reason);
    response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
    response
}

/// Sets the configured content type. Where that is only a default and the bytes turned out to be another container, sets the
/// type of that one, with its codecs where players look for them.
pub fn set_type(response: &mut Response, stream: &config::Stream, found: Option<Container>, codecs: Option<String>) {
    let is_default = stream.mimetype == stream.container.mimetype();
    let mimetype: Cow<'_, str> = match found.filter(|found| *found != Container::Raw).unwrap_or(stream.container) {
        container if is_default => with_codecs(container, codecs),
        // The server delimits the parts itself, so a configured boundary would be wrong.
        Container::Mjpeg if stream.mimetype.starts_with(MULTIPART) => Container::Mjpeg.mimetype().into(),
        _ => stream.mimetype.as_str().into(),
    };
    if let Ok(value) = HeaderValue::from_str(&mimetype) {
        response.headers_mut().insert(header::CONTENT_TYPE, value);
    }
}

/// The content type of a container, with its codecs (RFC 6381) where browsers decide by them.
fn with_codecs(container: Container, codecs: Option<String>) -> Cow<'static, str> {
    match (container, codecs) {
        (Container::Mp4 | Container::Webm, Some(codecs)) => {
            format!("{}; codecs=\"{codecs}\"", container.mimetype()).into()
        }
        _ => container.mimetype().into(),
    }
}

/// The container of a stream. Where the configuration does not name it, only the first bytes show it, and where the client depends on what
/// was found (`is_found`); a feed that is slow to start is served as what it is expected to be.
pub async fn container_of(stream: &config::Stream, packets: &FanOut, is_found: bool) -> Option<Container> {
    let expected = Some(stream.container).filter(|container| *container != Container::Raw);
    if expected.is_some() && !is_found {
        return expected;
    }
    tokio::time::timeout(CONTAINER_KNOWN, packets.container_known()).await.ok().or(expected)
}
