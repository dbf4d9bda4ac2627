//! The response to a request for a still of a stream.

use super::{
    admission::Admission,
    query::{self, StillFormat},
    response::{NO_VIDEO, Response, bad_request, text, unavailable},
    still_headers,
};
use crate::{ipc::PictureFault, still::take::StreamStills};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use std::sync::Arc;

/// Responds with a cached still, or takes one.
pub async fn respond(
    stills: &Arc<StreamStills>,
    admission: &Admission,
    method: &Method,
    query: &str,
    format: Option<StillFormat>,
    headers: &HeaderMap,
) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let asked = match query::still(query, format, accept) {
        Ok(asked) => asked,
        Err(error) => return bad_request(&error),
    };
    let stream = stills.stream();
    if stream.config.mimetype.starts_with("audio/") {
        return text(StatusCode::UNSUPPORTED_MEDIA_TYPE, NO_VIDEO);
    }
    let kept = stills.cached(asked.spec, asked.age);
    if !asked.may_start && kept.is_none() && !stream.status.read().state.has_media() {
        return unavailable("this stream is not running");
    }
    let mut response = text(StatusCode::OK, "");
    // A client that accepts a cached still asks often; others have what they need and leave.
    if kept.is_none() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if method == Method::GET {
        let taken = if let Some(still) = kept {
            Ok(still)
        } else if let Some(refusal) = admission.refuse_still() {
            return refusal;
        } else {
            stills.take(asked.spec, asked.age).await
        };
        match taken {
            Ok(still) => {
                still_headers::describe(&still, response.headers_mut());
                if still_headers::is_known(headers, &still) {
                    *response.status_mut() = StatusCode::NOT_MODIFIED;
                } else {
                    *response.body_mut() = still.bytes.clone().into();
                }
            }
            Err(PictureFault::NoVideo) => return text(StatusCode::UNSUPPORTED_MEDIA_TYPE, NO_VIDEO),
            Err(PictureFault::NotYet) => return unavailable("no frame arrived in time"),
            Err(PictureFault::Failed(reason)) => {
                tracing::warn!(stream = %stream.config.name, reason, "cannot take a still");
                return unavailable("the still could not be encoded");
            }
        }
    }
    response.headers_mut().insert(header::CONTENT_TYPE, still_headers::mimetype(asked.spec.format));
    response
}
