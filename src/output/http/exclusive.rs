//! The response to a request for a stream that starts with its viewer.

use super::{
    live::{batch_of, is_chromium, start},
    query,
    response::{FPS_OF_MJPEG_ONLY, Response, bad_request, container_of, set_type, text, unavailable},
    takeover::LiveStream,
};
use crate::{media::Container, source::per_request::PerRequestStream};
use http::{HeaderMap, Method, StatusCode};
use std::sync::Arc;

/// Starts a stream for this viewer.
pub async fn respond(stream: &Arc<PerRequestStream>, method: &Method, query: &str, headers: &HeaderMap) -> Response {
    // Every viewer joins at the start, where the header and the first keyframe are.
    let interval = match query::entry(query).and_then(|_| query::interval(query)) {
        Ok(interval) => interval,
        Err(error) => return bad_request(&error),
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
    let container = container_of(&stream.config, reader.fanout(), false).await;
    let container = reader.fanout().container().or(container);
    let is_mjpeg = container == Some(Container::Mjpeg);
    match interval {
        Some(interval) if is_mjpeg => reader.thin(interval),
        Some(_) => return text(StatusCode::BAD_REQUEST, FPS_OF_MJPEG_ONLY),
        None => {}
    }
    set_type(&mut response, &stream.config, reader.fanout().container(), reader.fanout().codecs());
    let (viewers, early_heads) = (stream.viewers.clone(), is_mjpeg && is_chromium(headers));
    let batch = batch_of(&stream.config, container);
    start(&mut response, &stream.config, LiveStream { reader, lease, viewers, batch, early_heads });
    response
}
