//! From a request to its answer.

use super::{
    live::{LiveReply, Viewing},
    query,
    query::{QueryError, Still},
    site::{Site, Target},
};
use crate::{
    feed::{picture, registry::StreamHandle},
    ipc::{PictureFault, PictureFormat},
    media::Container,
    stream::Join,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use percent_encoding::percent_decode_str;
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::sync::watch;
use warp::{Filter, filters::path::FullPath, reply::Response};

/// How long the head of an answer may wait for a stream whose container only its bytes can tell.
const CONTAINER_KNOWN: Duration = Duration::from_secs(3);
/// When a client may ask again after a 503.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("2");
const ALLOWED: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");

/// All answers of the newest of these sites.
pub fn routes(sites: watch::Receiver<Arc<Site>>) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone {
    let raw_query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::method().and(warp::path::full()).and(raw_query).and(warp::header::headers_cloned()).then(
        move |method, path: FullPath, query: String, headers| {
            let site = sites.borrow().clone();
            async move { answer(&site, &method, path.as_str(), &query, &headers).await }
        },
    )
}

async fn answer(site: &Site, method: &Method, path: &str, query: &str, headers: &HeaderMap) -> Response {
    fail::fail_point!("request");
    let path = percent_decode_str(path).decode_utf8();
    let target = path.ok().and_then(|path| site.find(&path));
    let mut response = match target {
        Some(target) => reach(target, method, query, headers).await,
        None => return say(StatusCode::NOT_FOUND, "nothing is here; the streams are listed at /"),
    };
    mark(response.headers_mut());
    response
}

/// A whole answer that is a sentence.
pub fn say(status: StatusCode, sentence: &str) -> Response {
    let mut response = text(status, sentence);
    mark(response.headers_mut());
    response
}

/// Sets what every answer of this server has: it is of this moment, and any page may use it.
fn mark(headers: &mut HeaderMap) {
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store, must-revalidate"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert(header::EXPIRES, HeaderValue::from_static("0"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
}

async fn reach(target: Target<'_>, method: &Method, query: &str, headers: &HeaderMap) -> Response {
    match *method {
        Method::GET | Method::HEAD => match target {
            Target::Page(page) => page(headers.get(header::HOST).and_then(|host| host.to_str().ok())),
            Target::Stream(stream) => live(stream, method, query).await,
            Target::Picture(stream, format) => still(stream, method, query, format, headers).await,
        },
        Method::OPTIONS => {
            let mut response = text(StatusCode::NO_CONTENT, "");
            response.headers_mut().insert(header::ALLOW, ALLOWED);
            response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_METHODS, ALLOWED);
            response
        }
        _ => {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "this can only be read: GET or HEAD");
            response.headers_mut().insert(header::ALLOW, ALLOWED);
            response
        }
    }
}

async fn live(stream: &Arc<StreamHandle>, method: &Method, query: &str) -> Response {
    let entry = match query::entry(query) {
        Ok(entry) => entry,
        Err(error) => return bad(&error),
    };
    let mut response = text(StatusCode::OK, "");
    if method == Method::HEAD {
        set_type(&mut response, stream, stream.fanout.container());
        return response;
    }
    if stream.fanout.is_closed() {
        return unavailable("this stream's feed is dead and not to be resurrected");
    }
    let lease = stream.demand.lease();
    let reader = stream.fanout.subscribe(entry);
    let mut container = Some(stream.config.container);
    if stream.config.container == Container::Raw {
        // Only the first bytes tell what it is; a feed that is slow to start is served as unknown.
        container = tokio::time::timeout(CONTAINER_KNOWN, stream.fanout.container_known()).await.ok();
    }
    let joinable = stream.fanout.container().or(container).is_some_and(Container::is_joinable);
    if !joinable && (entry.header || entry.join != Join::Live) {
        return text(
            StatusCode::NOT_IMPLEMENTED,
            "this stream is in a container that voyandz does not know: it can be had without header= and keyframe= only",
        );
    }
    set_type(&mut response, stream, stream.fanout.container());
    response.extensions_mut().insert(LiveReply::new(Viewing { reader, lease }));
    response
}

/// The configured type; where it is only a default, the type of what the bytes turned out to be.
fn set_type(response: &mut Response, stream: &StreamHandle, found: Option<Container>) {
    let is_default = stream.config.mimetype == stream.config.container.mimetype();
    let mimetype = match found {
        Some(found) if is_default => found.mimetype(),
        _ => &stream.config.mimetype,
    };
    if let Ok(value) = HeaderValue::from_str(mimetype) {
        response.headers_mut().insert(header::CONTENT_TYPE, value);
    }
}

async fn still(
    stream: &Arc<StreamHandle>,
    method: &Method,
    query: &str,
    format: Option<Still>,
    headers: &HeaderMap,
) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let format = match query::picture(query, format, accept) {
        Ok(format) => format,
        Err(error) => return bad(&error),
    };
    if stream.config.mimetype.starts_with("audio/") {
        return text(StatusCode::UNSUPPORTED_MEDIA_TYPE, "this stream has no pictures");
    }
    let mimetype = HeaderValue::from_static(match format {
        PictureFormat::Jpeg { .. } => "image/jpeg",
        PictureFormat::Png => "image/png",
    });
    let mut response = if method == Method::HEAD {
        text(StatusCode::OK, "")
    } else {
        match picture::take(stream, format).await {
            Ok(picture) => Response::new(picture.into()),
            Err(PictureFault::NoVideo) => {
                return text(StatusCode::UNSUPPORTED_MEDIA_TYPE, "this stream has no pictures");
            }
            Err(PictureFault::NotYet) => return unavailable("no picture came in time"),
            Err(PictureFault::Failed(reason)) => {
                tracing::warn!(stream = %stream.config.name, reason, "no picture");
                return unavailable("the picture could not be made");
            }
        }
    };
    response.headers_mut().insert(header::CONTENT_TYPE, mimetype);
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

fn bad(error: &QueryError) -> Response {
    text(StatusCode::BAD_REQUEST, &error.to_string())
}

fn unavailable(reason: &str) -> Response {
    let mut response = text(StatusCode::SERVICE_UNAVAILABLE, reason);
    response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
    response
}

/// A sentence as an answer.
fn text(status: StatusCode, sentence: &str) -> Response {
    let line = if sentence.is_empty() { String::new() } else { format!("{sentence}\n") };
    let mut response = Response::new(line.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
