//! Clips: spans of recordings that are copied into files of their own.

use super::{
    call::{Answer, Call},
    problem::{Kind, Problem},
    recordings::{limited, refused},
};
use crate::{
    output::record::{
        folder::Which,
        playback::ask::{FileId, Span},
    },
    telemetry::Fact,
};
use http::StatusCode;
use serde_json::json;

/// `GET /recordings/{stream}/clips`.
pub(super) async fn list(call: Call) -> Result<Answer, Problem> {
    let found = call.api.recordings.clips(call.parameter(0)).await.map_err(refused)?;
    let items = found.iter().filter_map(|clip| serde_json::to_value(clip).ok()).collect();
    Ok(Answer::json(call.query.page(items, "id")?))
}

/// `POST /recordings/{stream}/clips`.
pub(super) async fn save(call: Call) -> Result<Answer, Problem> {
    let Which::Span { from, to } = limited(&call)? else {
        return Err(Problem::new(Kind::BadRequest, "give the span: from= and to=, or from= and for="));
    };
    let span = Span { from, to, is_open: false };
    let saved = call.api.recordings.save_clip(call.parameter(0), span).await.map_err(refused)?;
    call.report(Fact::stream("recording.saved", call.parameter(0)).with("clip", saved.id()));
    Ok(Answer { status: StatusCode::CREATED, ..Answer::json(json!(saved)) })
}

/// `DELETE /recordings/{stream}/clips/{clip}`.
pub(super) async fn delete(call: Call) -> Result<Answer, Problem> {
    let unknown = || Problem::not_found("clip", &format!("{}/{}", call.parameter(0), call.parameter(1)));
    let id = FileId::read(call.parameter(1)).ok_or_else(unknown)?;
    if !call.api.recordings.delete_clip(call.parameter(0), id).await.map_err(refused)? {
        return Err(unknown());
    }
    call.report(
        Fact::stream("recording.deleted", call.parameter(0)).with("clip", call.parameter(1)).with("reason", "request"),
    );
    Ok(Answer::status(StatusCode::NO_CONTENT))
}
