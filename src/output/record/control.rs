//! Starts and stops recorders by request.

use crate::{
    config::{Plan, Recording},
    engine::registry::StreamHandle,
    output::http::response::{Response, pieces, text},
};
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use serde::Serialize;

/// The methods of a recorder.
pub const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, DELETE, OPTIONS");

/// A recorder, as its requests are answered.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    stream: &'a str,
    plan: &'static str,
    requested: bool,
    state: &'static str,
    error: Option<String>,
    file: Option<String>,
}

/// The stream that a percent-decoded path has the recorder of: `cam` of `/api/v1/streams/cam/recording`.
pub fn stream_of(path: &str) -> Option<&str> {
    path.strip_prefix("/api/v1/streams/")?.strip_suffix("/recording").filter(|name| !name.contains('/'))
}

/// Responds to `GET` with the state of a recorder; `POST` starts it and `DELETE` stops it.
pub fn respond(stream: &StreamHandle, recording: &Recording, method: &Method) -> Response {
    let recorder = &stream.recorder;
    let status = match *method {
        Method::GET | Method::HEAD => StatusCode::OK,
        Method::POST | Method::DELETE if recording.plan != Plan::Manual => {
            let plan = recording.plan.name();
            let sentence = format!("this stream is recorded by the plan `{plan}`: requests are for `plan: manual`");
            return text(StatusCode::CONFLICT, &sentence);
        }
        Method::POST if recorder.request(true) => StatusCode::CREATED,
        Method::POST => StatusCode::OK,
        Method::DELETE => {
            recorder.request(false);
            StatusCode::OK
        }
        _ => {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed: use GET, POST or DELETE");
            response.headers_mut().insert(header::ALLOW, METHODS);
            return response;
        }
    };
    let facts = recorder.read();
    let shown = Shown {
        stream: stream.config.name.as_str(),
        plan: recording.plan.name(),
        requested: facts.is_requested,
        state: facts.state,
        error: facts.error,
        file: facts.file,
    };
    let mut response = pieces(vec![Bytes::from(serde_json::to_string(&shown).unwrap_or_default())]);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorder_has_one_path() {
        let check = |path, expect| assert_eq!(stream_of(path), expect, "{path}");
        check("/api/v1/streams/cam 0.ts/recording", Some("cam 0.ts"));
        check("/api/v1/streams/recording", None);
        check("/api/v1/streams/a/b/recording", None);
        check("/api/v1/streams/cam", None);
    }
}
