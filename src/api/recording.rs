//! Recorders that are started and stopped by request.

use super::{
    call::{Answer, Call},
    problem::{Kind, Problem},
};
use crate::{config::Recording, engine::registry::StreamHandle, telemetry::Fact};
use http::StatusCode;
use serde_json::json;
use std::time::Instant;

/// `GET /streams/{name}/recording`.
pub(super) async fn show(call: Call) -> Result<Answer, Problem> {
    let (stream, recording) = recorder(&call)?;
    Ok(shown(stream, recording, StatusCode::OK))
}

/// `POST`: 201 where it did not record by request before.
pub(super) async fn start(call: Call) -> Result<Answer, Problem> {
    let (stream, recording) = by_request(&call)?;
    call.report(Fact::stream("stream.ordered", stream.config.name.as_str()).with("order", "start recording"));
    let until = call.length()?.map(|length| Instant::now() + length);
    let status = if stream.recorder.request_until(true, until) { StatusCode::CREATED } else { StatusCode::OK };
    Ok(shown(stream, recording, status))
}

/// `DELETE`.
pub(super) async fn stop(call: Call) -> Result<Answer, Problem> {
    let (stream, recording) = by_request(&call)?;
    stream.recorder.request(false);
    call.report(Fact::stream("stream.ordered", stream.config.name.as_str()).with("order", "stop recording"));
    Ok(shown(stream, recording, StatusCode::OK))
}

fn recorder(call: &Call) -> Result<(&StreamHandle, &Recording), Problem> {
    let name = call.parameter(0);
    let stream = call.state.registry.streams().iter().find(|stream| stream.config.name.as_str() == name);
    let found = stream.and_then(|stream| Some((&**stream, stream.config.recording.as_ref()?)));
    found.ok_or_else(|| Problem::not_found("recorded stream", name))
}

fn by_request(call: &Call) -> Result<(&StreamHandle, &Recording), Problem> {
    let (stream, recording) = recorder(call)?;
    if recording.plan.is_by_request() {
        return Ok((stream, recording));
    }
    let plan = recording.plan.name();
    let detail =
        format!("this stream is recorded by the plan `{plan}`: requests are for `plan: manual` and `plan: clips`");
    Err(Problem::new(Kind::NotManual, detail))
}

fn shown(stream: &StreamHandle, recording: &Recording, status: StatusCode) -> Answer {
    let facts = stream.recorder.read();
    let body = json!({
        "stream": stream.config.name.as_str(),
        "plan": recording.plan.name(),
        "requested": facts.is_requested,
        "state": facts.state,
        "error": facts.error,
        "file": facts.file,
    });
    Answer { status, ..Answer::json(body) }
}
