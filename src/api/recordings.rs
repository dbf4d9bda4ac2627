//! Files of recordings: listed, protected and deleted by request.

use super::{
    call::{Answer, Call},
    problem::{Kind, Problem},
};
use crate::{
    output::record::{
        disk::Edit,
        folder::{Change, Edited, Which},
        playback::{
            LibraryError, PlaybackError,
            ask::{FileId, Span, span},
        },
    },
    telemetry::Fact,
};
use http::StatusCode;
use serde_json::{Value, json};
use std::time::SystemTime;

/// Parameters of a span of time.
pub(super) const SPAN: &[&str] = &["from", "to", "for"];
/// The same for a list in pages.
pub(super) const LIST: &[&str] = &["from", "to", "for", "limit", "after"];
/// Most names of files in an answer.
const MOST_NAMED: usize = 1000;

/// `GET /recordings/{stream}`.
pub(super) async fn list(call: Call) -> Result<Answer, Problem> {
    let span = span_of(&call)?;
    let found = call.api.recordings.list(call.parameter(0), span).await.map_err(refused)?;
    let items = found.iter().filter_map(|file| serde_json::to_value(file).ok()).collect();
    Ok(Answer::json(call.query.page(items, "id")?))
}

/// `GET /recordings/{stream}/{file}`.
pub(super) async fn show(call: Call) -> Result<Answer, Problem> {
    let id = file_of(&call)?;
    let span = Span { from: id.from, to: id.from.saturating_add(1), is_open: false };
    let found = call.api.recordings.list(call.parameter(0), span).await.map_err(refused)?;
    let found = found.iter().filter_map(|file| serde_json::to_value(file).ok());
    let found = found.into_iter().find(|file| file.get("id").and_then(Value::as_str) == Some(call.parameter(1)));
    found.map(Answer::json).ok_or_else(|| unknown(&call))
}

/// `PATCH /recordings/{stream}`.
pub(super) async fn protect(call: Call) -> Result<Answer, Problem> {
    let (which, on) = (limited(&call)?, wanted(&call)?);
    let edited = edit(&call, which, Change::Protect(on)).await?;
    Ok(Answer::json(outcome(&edited)))
}

/// `PATCH /recordings/{stream}/{file}`.
pub(super) async fn protect_file(call: Call) -> Result<Answer, Problem> {
    let (FileId { from, sequence }, on) = (file_of(&call)?, wanted(&call)?);
    let edited = edit(&call, Which::File { from, sequence }, Change::Protect(on)).await?;
    if edited.is_nothing() {
        return Err(unknown(&call));
    }
    show(call).await
}

/// `DELETE /recordings/{stream}`.
pub(super) async fn delete(call: Call) -> Result<Answer, Problem> {
    let edited = edit(&call, limited(&call)?, Change::Delete).await?;
    Ok(Answer::json(outcome(&edited)))
}

/// `DELETE /recordings/{stream}/{file}`.
pub(super) async fn delete_file(call: Call) -> Result<Answer, Problem> {
    let FileId { from, sequence } = file_of(&call)?;
    let edited = edit(&call, Which::File { from, sequence }, Change::Delete).await?;
    match edited {
        Edited { open: 1.., .. } => Err(Problem::new(Kind::NotDeletable, "it is written at this moment")),
        Edited { protected: 1.., .. } => {
            Err(Problem::new(Kind::NotDeletable, "it is protected: PATCH it with {\"protected\": false} before"))
        }
        edited if edited.is_nothing() => Err(unknown(&call)),
        _ => Ok(Answer::status(StatusCode::NO_CONTENT)),
    }
}

async fn edit(call: &Call, which: Which, change: Change) -> Result<Edited, Problem> {
    let (stream, by) = (call.parameter(0).to_owned(), call.access.identity.name());
    let edit = Edit { stream, which, change, by };
    let edited = call.api.recordings.edit(edit).await.map_err(refused)?;
    for file in &edited.files {
        let (kind, key, value) = match change {
            Change::Delete => ("recording.deleted", "reason", json!("request")),
            Change::Protect(on) => ("recording.protected", "protected", json!(on)),
        };
        let fact = Fact::stream(kind, call.parameter(0)).with("file", file.path.as_str());
        call.report(fact.with("bytes", file.bytes).with(key, value));
    }
    Ok(edited)
}

fn outcome(edited: &Edited) -> Value {
    let names: Vec<_> = edited.files.iter().take(MOST_NAMED).map(|file| &file.path).collect();
    json!({
        "changed": edited.files.len(),
        "bytes": edited.files.iter().map(|file| file.bytes).sum::<u64>(),
        "files": names,
        "unchanged": edited.unchanged,
        "kept": {"open": edited.open, "protected": edited.protected, "partly": edited.partly},
    })
}

/// What the body of a `PATCH` wants.
fn wanted(call: &Call) -> Result<bool, Problem> {
    let body = call.body()?;
    let is_alone = body.as_object().is_some_and(|body| body.len() == 1);
    let on = body.get("protected").and_then(Value::as_bool).filter(|_| is_alone);
    on.ok_or_else(|| Problem::new(Kind::BadRequest, "expected {\"protected\": true} or {\"protected\": false}"))
}

fn span_of(call: &Call) -> Result<Span, Problem> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(now.as_micros()).unwrap_or(i64::MAX);
    let found = span(|name| call.query.get(name), ["from", "to", "for"], now);
    found.map_err(|error| Problem::new(Kind::BadRequest, error.to_string()))
}

/// A span that is changed has both ends: nobody changes a month by leaving something out.
pub(super) fn limited(call: &Call) -> Result<Which, Problem> {
    let is_limited =
        call.query.get("from").is_some() && (call.query.get("to").is_some() || call.query.get("for").is_some());
    if !is_limited {
        return Err(Problem::new(Kind::BadRequest, "give the span: from= and to=, or from= and for="));
    }
    let Span { from, to, .. } = span_of(call)?;
    Ok(Which::Span { from, to })
}

fn file_of(call: &Call) -> Result<FileId, Problem> {
    FileId::read(call.parameter(1)).ok_or_else(|| unknown(call))
}

fn unknown(call: &Call) -> Problem {
    Problem::not_found("recording", &format!("{}/{}", call.parameter(0), call.parameter(1)))
}

pub(super) fn refused(error: PlaybackError) -> Problem {
    let kind = match &error {
        PlaybackError::Read(LibraryError::Nothing) => Kind::NotFound,
        PlaybackError::Read(
            LibraryError::Format(_) | LibraryError::TooMuch | LibraryError::NoVideo | LibraryError::Remux(_),
        ) => Kind::BadRequest,
        PlaybackError::Read(LibraryError::Read(_)) | PlaybackError::Disk(_) | PlaybackError::Busy => Kind::NoDisk,
    };
    Problem::new(kind, error.to_string())
}
