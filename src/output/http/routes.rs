//! From a request to its answer.

use super::{
    departure::Departure,
    handed::Handed,
    live::{LiveReply, Viewing},
    pictures::{self, Form, Showing},
    query,
    query::{QueryError, Still},
    site::{Asked, Site, Target},
    still,
};
use crate::{
    config::{self, Serving},
    engine::registry::StreamHandle,
    ipc::PictureFault,
    media::Container,
    source::per_request::{PerRequestStream, ShotError},
    still::{sequence::Sequence, take::StreamStills},
    stream::{Entry, FanOut, Join},
    sys::load::{Load, Pressure},
    telemetry::{Refusal, Traffic},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use percent_encoding::percent_decode_str;
use std::{borrow::Cow, convert::Infallible, sync::Arc, time::Duration};
use tokio::sync::watch;
use warp::{Filter, filters::path::FullPath, reply::Response};

/// How long the head of an answer may wait for a stream whose container only its bytes can tell.
const CONTAINER_KNOWN: Duration = Duration::from_secs(3);
/// When a client may ask again after a 503.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("2");
/// What `throughput: true` collects for one write: ten pictures of a common camera. More would save little more, a player's
/// own buffer hides no more, and a viewer's place in the ring must not come near its end.
const BATCH: Duration = Duration::from_millis(350);
/// The beginning of all types of Motion JPEG with a boundary.
const MULTIPART: &str = "multipart/x-mixed-replace";
const FPS_ELSEWHERE: &str = "fps= thins out motion JPEG only: this stream is in another container";
const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
const ALLOWED: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");

/// What is refused while the machine does not keep up, and who counts it.
#[derive(Debug, Clone)]
struct Limits {
    pressure: Pressure,
    traffic: Arc<Traffic>,
}

impl Limits {
    /// The answer to who wants to watch, if it is no.
    fn viewer(&self) -> Option<Response> {
        (self.pressure.load() >= Load::Overloaded).then(|| {
            self.traffic.refused(Refusal::Viewer);
            unavailable("the machine does not keep up with those who watch already")
        })
    }

    /// The answer to who wants a picture that would have to be made, if it is no.
    fn picture(&self) -> Option<Response> {
        (self.pressure.load() >= Load::Strained).then(|| {
            self.traffic.refused(Refusal::Picture);
            unavailable("the machine does not keep up: no pictures are made, but max_age= gives those that were")
        })
    }
}

/// All answers of the newest of these sites. While the machine does not keep up, as `pressure` tells, less is given, which
/// `traffic` counts.
pub fn routes(
    sites: watch::Receiver<Arc<Site>>,
    pressure: Pressure,
    traffic: Arc<Traffic>,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone {
    let limits = Limits { pressure, traffic };
    let raw_query = warp::query::raw().or(warp::any().map(String::new)).unify();
    let client = warp::ext::optional().map(Option::unwrap_or_default);
    warp::method().and(warp::path::full()).and(raw_query).and(warp::header::headers_cloned()).and(client).then(
        move |method, path: FullPath, query: String, headers, client| {
            let (site, limits) = (sites.borrow().clone(), limits.clone());
            async move { answer(&site, &limits, &method, path.as_str(), &query, &headers, &client).await }
        },
    )
}

async fn answer(
    site: &Site,
    limits: &Limits,
    method: &Method,
    path: &str,
    query: &str,
    headers: &HeaderMap,
    client: &Departure,
) -> Response {
    fail::fail_point!("request");
    let path = percent_decode_str(path).decode_utf8();
    let target = path.ok().and_then(|path| site.find(&path));
    let mut response = match target {
        Some(target) => reach(target, limits, method, query, headers, client).await,
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

async fn reach(
    target: Target<'_>,
    limits: &Limits,
    method: &Method,
    query: &str,
    headers: &HeaderMap,
    client: &Departure,
) -> Response {
    if *method == Method::GET
        && let Target::Stream(_) | Target::Private(_) | Target::Socket(_) | Target::Frames(_) = target
        && let Some(refusal) = limits.viewer()
    {
        return refusal;
    }
    match *method {
        Method::GET | Method::HEAD => match target {
            Target::Page(page) => {
                let value = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
                let last_event = value(HeaderName::from_static("last-event-id"));
                page(Asked { host: value(header::HOST), query, last_event, client })
            }
            Target::Stream(stream) => live(stream, method, query, headers).await,
            Target::Private(stream) => match stream.config.serving {
                Serving::Shot => shot(stream, method, client).await,
                Serving::Exclusive | Serving::Shared => exclusive(stream, method, query, headers).await,
            },
            Target::Socket(stills) => socket(stills, method, query, headers),
            Target::Frames(stills) => frames(stills, method, query),
            Target::Picture(stills, format) => still(stills, limits, method, query, format, headers).await,
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

async fn live(stream: &Arc<StreamHandle>, method: &Method, query: &str, headers: &HeaderMap) -> Response {
    let (entry, interval) = match query::entry(query).and_then(|entry| Ok((entry, query::interval(query)?))) {
        Ok(asked) => asked,
        Err(error) => return bad(&error),
    };
    let mut response = text(StatusCode::OK, "");
    if method == Method::HEAD {
        set_type(&mut response, &stream.config, stream.fanout.container(), stream.fanout.codecs());
        return response;
    }
    if stream.fanout.is_closed() {
        return unavailable("this stream's feed is dead and not to be resurrected");
    }
    let lease = stream.demand.lease();
    let known = stream.fanout.container().unwrap_or(stream.config.container);
    let mut reader = stream.fanout.subscribe(suited(entry, known));
    let container = container_of(&stream.config, &stream.fanout).await;
    let container = stream.fanout.container().or(container);
    if container == Some(Container::Mjpeg) {
        reader.thin(interval.unwrap_or_default());
    } else if interval.is_some() {
        return text(StatusCode::BAD_REQUEST, FPS_ELSEWHERE);
    }
    let joinable = container.is_some_and(Container::is_joinable);
    if !joinable && (entry.header || entry.join != Join::Live) {
        return text(
            StatusCode::NOT_IMPLEMENTED,
            "this stream is in a container that voyandz does not know: it can be had without header= and keyframe= only",
        );
    }
    set_type(&mut response, &stream.config, stream.fanout.container(), stream.fanout.codecs());
    let early_heads = container == Some(Container::Mjpeg) && is_of_chromium(headers);
    let audience = stream.audience.clone();
    let batch = batch_of(&stream.config, container);
    begin(&mut response, &stream.config, Viewing { reader, lease, audience, batch, early_heads });
    response
}

/// How long packets are collected for a write. Of motion JPEG a viewer gets the newest picture only, and should get all.
fn batch_of(stream: &config::Stream, container: Option<Container>) -> Duration {
    if stream.throughput && container != Some(Container::Mjpeg) { BATCH } else { Duration::ZERO }
}

/// Has the answer go on with a stream. The line in the log leads from the request to those of the stream and its feeds.
fn begin(response: &mut Response, stream: &config::Stream, viewing: Viewing) {
    let feeds: Vec<_> = stream.feeds.iter().map(|feed| format!("feed {feed}")).collect();
    tracing::debug!(name = %format!("stream {}", stream.name), feeds = feeds.join(", "), "begins to watch");
    response.extensions_mut().insert(LiveReply::new(viewing));
}

/// Blocks of Matroska count their time from the cluster that they are in: one without it is damage to players. So who has the
/// header, and means to play, begins with a cluster.
fn suited(entry: Entry, container: Container) -> Entry {
    match (entry.join, container) {
        (Join::Live, Container::Webm | Container::Mkv) if entry.header => Entry { join: Join::NextKeyframe, ..entry },
        _ => entry,
    }
}

/// Whether the client shows a part of a multipart only when it has read the head of the next one. A script of it, which asks
/// for no image, reads the heads itself.
fn is_of_chromium(headers: &HeaderMap) -> bool {
    let value = |name| headers.get(name).and_then(|value| value.to_str().ok());
    value(header::USER_AGENT).is_some_and(|agent| agent.contains("Chrome/") || agent.contains("Chromium/"))
        && value(header::ACCEPT).is_none_or(|accepted| accepted.contains("image/"))
}

/// What a stream is in. Where the configuration does not say, only the first bytes tell; a feed that is slow to start is
/// served as unknown.
async fn container_of(stream: &config::Stream, packets: &FanOut) -> Option<Container> {
    match stream.container {
        Container::Raw => tokio::time::timeout(CONTAINER_KNOWN, packets.container_known()).await.ok(),
        known => Some(known),
    }
}

/// A stream that begins with this viewer.
async fn exclusive(stream: &Arc<PerRequestStream>, method: &Method, query: &str, headers: &HeaderMap) -> Response {
    // Every entry is the beginning, where the header and the first intra-frame are.
    let interval = match query::entry(query).and_then(|_| query::interval(query)) {
        Ok(interval) => interval,
        Err(error) => return bad(&error),
    };
    let mut response = text(StatusCode::OK, "");
    if method == Method::HEAD {
        set_type(&mut response, &stream.config, None, None);
        return response;
    }
    let (mut reader, lease) = match stream.open() {
        Ok(opened) => opened,
        Err(busy) => return unavailable(&busy.to_string()),
    };
    let container = container_of(&stream.config, reader.fanout()).await;
    let container = reader.fanout().container().or(container);
    let is_mjpeg = container == Some(Container::Mjpeg);
    match interval {
        Some(interval) if is_mjpeg => reader.thin(interval),
        Some(_) => return text(StatusCode::BAD_REQUEST, FPS_ELSEWHERE),
        None => {}
    }
    set_type(&mut response, &stream.config, reader.fanout().container(), reader.fanout().codecs());
    let (audience, early_heads) = (stream.audience.clone(), is_mjpeg && is_of_chromium(headers));
    let batch = batch_of(&stream.config, container);
    begin(&mut response, &stream.config, Viewing { reader, lease, audience, batch, early_heads });
    response
}

async fn shot(stream: &Arc<PerRequestStream>, method: &Method, client: &Departure) -> Response {
    let mut response = if method == Method::HEAD {
        text(StatusCode::OK, "")
    } else {
        let shot = tokio::select! {
            shot = stream.shot() => shot,
            // The command ends; what is said here reaches nobody.
            () = client.wait() => return unavailable("the client is gone"),
        };
        match shot {
            Ok(bytes) => Response::new(bytes.into()),
            Err(fault @ (ShotError::Failed(_) | ShotError::TooLong)) => {
                return text(StatusCode::INTERNAL_SERVER_ERROR, fault.to_string().trim_end());
            }
            Err(fault) => return unavailable(&fault.to_string()),
        }
    };
    set_type(&mut response, &stream.config, None, None);
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// The configured type; where it is only a default, the type of what the bytes turned out to be, if that is known, with the
/// codecs where players look for them.
fn set_type(response: &mut Response, stream: &config::Stream, found: Option<Container>, codecs: Option<String>) {
    let is_default = stream.mimetype == stream.container.mimetype();
    let mimetype: Cow<'_, str> = match found.filter(|found| *found != Container::Raw).unwrap_or(stream.container) {
        container if is_default => described(container, codecs),
        // Its parts are delimited anew, so a boundary that is configured is none.
        Container::Mjpeg if stream.mimetype.starts_with(MULTIPART) => Container::Mjpeg.mimetype().into(),
        _ => stream.mimetype.as_str().into(),
    };
    if let Ok(value) = HeaderValue::from_str(&mimetype) {
        response.headers_mut().insert(header::CONTENT_TYPE, value);
    }
}

/// The type of a container, with the codecs that are in it (RFC 6381) where browsers take the type for what it says.
fn described(container: Container, codecs: Option<String>) -> Cow<'static, str> {
    match (container, codecs) {
        (Container::Mp4 | Container::Webm, Some(codecs)) => {
            format!("{}; codecs=\"{codecs}\"", container.mimetype()).into()
        }
        _ => container.mimetype().into(),
    }
}

async fn still(
    stills: &Arc<StreamStills>,
    limits: &Limits,
    method: &Method,
    query: &str,
    format: Option<Still>,
    headers: &HeaderMap,
) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let asked = match query::still(query, format, accept) {
        Ok(asked) => asked,
        Err(error) => return bad(&error),
    };
    let stream = stills.stream();
    if stream.config.mimetype.starts_with("audio/") {
        return text(StatusCode::UNSUPPORTED_MEDIA_TYPE, "this stream has no pictures");
    }
    let kept = stills.cached(asked.rendition, asked.age);
    if !asked.may_start && kept.is_none() && !stream.status.read().state.has_media() {
        return unavailable("this stream does not run");
    }
    let mut response = text(StatusCode::OK, "");
    // Who is content with one that is there asks often; others get what they came for and are gone.
    if kept.is_none() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if method == Method::GET {
        let taken = if let Some(still) = kept {
            Ok(still)
        } else if let Some(refusal) = limits.picture() {
            return refusal;
        } else {
            stills.take(asked.rendition, asked.age).await
        };
        match taken {
            Ok(still) => {
                still::describe(&still, response.headers_mut());
                if still::is_known(headers, &still) {
                    *response.status_mut() = StatusCode::NOT_MODIFIED;
                } else {
                    *response.body_mut() = still.bytes.clone().into();
                }
            }
            Err(PictureFault::NoVideo) => {
                return text(StatusCode::UNSUPPORTED_MEDIA_TYPE, "this stream has no pictures");
            }
            Err(PictureFault::NotYet) => return unavailable("no picture came in time"),
            Err(PictureFault::Failed(reason)) => {
                tracing::warn!(stream = %stream.config.name, reason, "no picture");
                return unavailable("the picture could not be made");
            }
        }
    }
    response.headers_mut().insert(header::CONTENT_TYPE, still::mimetype(asked.rendition.format));
    response
}

/// Pictures as messages of a WebSocket.
fn socket(stills: &Arc<StreamStills>, method: &Method, query: &str, headers: &HeaderMap) -> Response {
    let asked = query::still(query, None, "").and_then(|asked| {
        let interval = query::interval(query)?.unwrap_or_default();
        Ok((asked.rendition, interval, query::as_text(query)?))
    });
    let (rendition, interval, base64) = match asked {
        Ok(asked) => asked,
        Err(error) => return bad(&error),
    };
    if let Some(refusal) = without_pictures(stills.stream()) {
        return refusal;
    }
    let Some(key) = pictures::accept_key(headers).and_then(|key| HeaderValue::from_str(&key).ok()) else {
        let sentence = "here are pictures as messages of a WebSocket: ask for an upgrade (RFC 6455)";
        let mut response = text(StatusCode::UPGRADE_REQUIRED, sentence);
        response.headers_mut().insert(header::UPGRADE, WEBSOCKET);
        return response;
    };
    if method == Method::HEAD {
        return text(StatusCode::METHOD_NOT_ALLOWED, "a WebSocket is asked for with GET");
    }
    let mut response = Response::new(String::new().into());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    response.headers_mut().insert(header::UPGRADE, WEBSOCKET);
    response.headers_mut().insert(header::SEC_WEBSOCKET_ACCEPT, key);
    show(&mut response, stills.stream(), Sequence::new(stills, rendition, interval), Form::Messages { base64 });
    response
}

/// Raw pictures, one behind the other.
fn frames(stills: &Arc<StreamStills>, method: &Method, query: &str) -> Response {
    let asked = query::raw(query).and_then(|rendition| Ok((rendition, query::interval(query)?.unwrap_or_default())));
    let (rendition, interval) = match asked {
        Ok(asked) => asked,
        Err(error) => return bad(&error),
    };
    if let Some(refusal) = without_pictures(stills.stream()) {
        return refusal;
    }
    let mut response = text(StatusCode::OK, "");
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-voyandz-frames"));
    if method == Method::GET {
        show(&mut response, stills.stream(), Sequence::new(stills, rendition, interval), Form::Frames);
    }
    response
}

/// Has the answer go on with pictures.
fn show(response: &mut Response, stream: &StreamHandle, sequence: Sequence, form: Form) {
    let showing = Showing { sequence, audience: stream.audience.clone(), form };
    response.extensions_mut().insert(Handed::new(showing));
}

/// What is said of a stream that has none, or gives none any more.
fn without_pictures(stream: &StreamHandle) -> Option<Response> {
    if stream.config.mimetype.starts_with("audio/") {
        return Some(text(StatusCode::UNSUPPORTED_MEDIA_TYPE, "this stream has no pictures"));
    }
    let dead = "this stream's feed is dead and not to be resurrected";
    stream.fanout.is_closed().then(|| unavailable(dead))
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
