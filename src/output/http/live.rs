//! The response to a request for a live stream.

use super::{
    query,
    response::{FEED_FAILED, FPS_OF_MJPEG_ONLY, Response, bad_request, container_of, set_type, text, unavailable},
    takeover::{LiveResponse, LiveStream},
};
use crate::{
    config::{self, Codec},
    engine::registry::StreamHandle,
    media::{Container, MediaKind, Muxer, NotCarried},
    source::demand::Lease,
    stream::{Entry, Join},
};
use http::{HeaderMap, Method, StatusCode, header};
use std::{sync::Arc, time::Duration};

/// What `throughput: true` collects for one write: ten frames of a common camera. More would save little more, a player's
/// own buffer hides no more, and a viewer's cursor must not come near the end of the ring.
const BATCH: Duration = Duration::from_millis(350);

/// How a viewer enters that does not say how: as every player needs it. Of bytes of unknown kind it gets all that follows.
fn default_entry(container: Container) -> Entry {
    match container.is_joinable() {
        true => Entry { join: Join::Keyframe, header: true },
        false => Entry { join: Join::Live, header: false },
    }
}

/// Joins a shared stream.
pub async fn respond(stream: &Arc<StreamHandle>, method: &Method, query: &str, headers: &HeaderMap) -> Response {
    let (entry, interval) = match query::entry(query).and_then(|entry| Ok((entry, query::interval(query)?))) {
        Ok(asked) => asked,
        Err(error) => return bad_request(&error),
    };
    let mut response = text(StatusCode::OK, "");
    if method == Method::HEAD {
        let stream = stream.current();
        set_type(&mut response, &stream.config, stream.fanout.container(), stream.fanout.codecs());
        return response;
    }
    if stream.fanout.is_closed() {
        return unavailable(FEED_FAILED);
    }
    let (stream, mut lease) = match opened(stream).await {
        Ok(opened) => opened,
        Err(fault) => return not_carried(stream, &fault),
    };
    let subscribed = |stream: &StreamHandle| {
        let known = stream.fanout.container().unwrap_or(stream.config.container);
        stream.fanout.subscribe(suited(entry.unwrap_or(default_entry(known)), known))
    };
    // Before anything comes: what comes first is for this viewer.
    let mut reader = subscribed(stream);
    let bytes: &StreamHandle = stream;
    let stream = bytes.settled().await;
    if !std::ptr::eq(stream, bytes) {
        let made = match stream.open().await {
            Ok(made) => made,
            Err(fault) => return not_carried(stream, &fault),
        };
        (lease, reader) = (made, subscribed(stream));
    }
    let container = container_of(&stream.config, &stream.fanout, entry.is_some() && stream.output.is_none()).await;
    let container = stream.fanout.container().or(container);
    if container == Some(Container::Mjpeg) {
        reader.thin(interval.unwrap_or_default());
    } else if interval.is_some() {
        return text(StatusCode::BAD_REQUEST, FPS_OF_MJPEG_ONLY);
    }
    let joinable = container.is_some_and(Container::is_joinable);
    if !joinable && entry.is_some_and(|entry| entry.header || entry.join != Join::Live) {
        return text(
            StatusCode::NOT_IMPLEMENTED,
            "the container of this stream is unknown: request it without header= and keyframe=",
        );
    }
    set_type(&mut response, &stream.config, stream.fanout.container(), stream.fanout.codecs());
    let early_heads = container == Some(Container::Mjpeg) && is_chromium(headers);
    let viewers = stream.viewers.clone();
    let batch = batch_of(&stream.config, container);
    start(&mut response, &stream.config, LiveStream { reader, lease, viewers, batch, early_heads });
    response
}

/// Leases a stream in its container. At the path of a stream that names no container it is the first that can carry the tracks.
async fn opened(stream: &Arc<StreamHandle>) -> Result<(&Arc<StreamHandle>, Lease), NotCarried> {
    let fault = match stream.open().await {
        Ok(lease) => return Ok((stream, lease)),
        Err(fault) => fault,
    };
    for container in stream.carried() {
        let other = stream.outputs.iter().find(|output| output.config.container == container);
        if let Some(other) = other
            && let Ok(lease) = other.open().await
        {
            return Ok((other, lease));
        }
    }
    Err(fault)
}

/// Says which codecs there are, where they can be had, and what would help.
fn not_carried(stream: &StreamHandle, fault: &NotCarried) -> Response {
    let carried = stream.carried();
    let paths = carried
        .iter()
        .filter(|container| **container != fault.container)
        .filter_map(|container| stream.config.output_path(*container));
    let paths: Vec<_> = paths.map(|path| path.to_string()).collect();
    let elsewhere = match paths.is_empty() {
        true => String::new(),
        false => format!("; {} can", paths.join(", ")),
    };
    let container = fault.container;
    let needs_video = Muxer::kinds(container).contains(&MediaKind::Video);
    let key = if needs_video { "video" } else { "audio" };
    let fitting = Codec::all().filter(|codec| codec.is_video() == needs_video && codec.fits(container));
    let fitting: Vec<_> = fitting.map(Codec::name).collect();
    let help = match fitting.is_empty() {
        true => String::new(),
        false => format!(
            "; it would carry {}: add one to `{key}` of the stream, or allow it with `repair: [audio, video]`",
            fitting.join(", ")
        ),
    };
    text(StatusCode::NOT_ACCEPTABLE, &format!("{fault}{elsewhere}{help}"))
}

/// How long packets are collected for a write. A viewer of motion JPEG gets only the newest frame, so collecting would lose
/// frames.
pub fn batch_of(stream: &config::Stream, container: Option<Container>) -> Duration {
    if stream.throughput && container != Some(Container::Mjpeg) { BATCH } else { Duration::ZERO }
}

/// Makes the stream the body of the response. The log line leads from the request to the lines of the stream and its feeds.
pub fn start(response: &mut Response, stream: &config::Stream, live: LiveStream) {
    let feeds: Vec<_> = stream.feeds.iter().map(ToString::to_string).collect();
    tracing::debug!(stream = %stream.name, feeds = feeds.join(","), "viewer joined");
    response.extensions_mut().insert(LiveResponse::new(live));
}

/// Blocks of Matroska count their time from their cluster, so players fail on a block without one. A viewer that asked for
/// the header, and so means to play, starts with a cluster.
fn suited(entry: Entry, container: Container) -> Entry {
    match (entry.join, container) {
        (Join::Live, Container::Webm | Container::Mkv) if entry.header => Entry { join: Join::NextKeyframe, ..entry },
        _ => entry,
    }
}

/// Whether the client shows a part of a multipart only when it has read the head of the next one. Its scripts, which do not
/// request an image, read the heads themselves.
pub fn is_chromium(headers: &HeaderMap) -> bool {
    let value = |name| headers.get(name).and_then(|value| value.to_str().ok());
    value(header::USER_AGENT).is_some_and(|agent| agent.contains("Chrome/") || agent.contains("Chromium/"))
        && value(header::ACCEPT).is_none_or(|accepted| accepted.contains("image/"))
}
