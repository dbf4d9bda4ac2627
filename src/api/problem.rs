//! Refusals (RFC 9457).

use crate::config::{Diagnostic, Position};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use warp::reply::Response;

/// Kinds of refusals: their words are a part of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    BadRequest,
    Unauthorized,
    Forbidden,
    CrossOrigin,
    NotFound,
    MethodNotAllowed,
    CannotBeEnded,
    ChangedOnDisk,
    Conflict,
    NotWritable,
    OwnedByVariable,
    MadeBySet,
    CannotEditInPlace,
    NotApplied,
    NoKey,
    Exists,
    NotManual,
    NotDeletable,
    PreconditionFailed,
    PreconditionRequired,
    TooLarge,
    MisdirectedRequest,
    UnsupportedMediaType,
    Diagnostics,
    SecretMoved,
    TooMany,
    Internal,
    NotWritten,
    NoDisk,
    Undecided,
    Stopping,
}

impl Kind {
    /// All of them.
    pub(super) const ALL: [Self; 31] = [
        Self::BadRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::CrossOrigin,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::CannotBeEnded,
        Self::ChangedOnDisk,
        Self::Conflict,
        Self::NotWritable,
        Self::OwnedByVariable,
        Self::MadeBySet,
        Self::CannotEditInPlace,
        Self::NotApplied,
        Self::NoKey,
        Self::Exists,
        Self::NotManual,
        Self::NotDeletable,
        Self::PreconditionFailed,
        Self::PreconditionRequired,
        Self::TooLarge,
        Self::MisdirectedRequest,
        Self::UnsupportedMediaType,
        Self::Diagnostics,
        Self::SecretMoved,
        Self::TooMany,
        Self::Internal,
        Self::NotWritten,
        Self::NoDisk,
        Self::Undecided,
        Self::Stopping,
    ];

    /// Its word, status and title.
    pub(super) const fn parts(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::BadRequest => ("bad-request", StatusCode::BAD_REQUEST, "The request cannot be read"),
            Self::Unauthorized => ("unauthorized", StatusCode::UNAUTHORIZED, "This needs a login or a token"),
            Self::Forbidden => ("forbidden", StatusCode::FORBIDDEN, "This is not permitted"),
            Self::CrossOrigin => ("cross-origin", StatusCode::FORBIDDEN, "Pages of other origins may not do this"),
            Self::NotFound => ("not-found", StatusCode::NOT_FOUND, "There is no such thing"),
            Self::MethodNotAllowed => {
                ("method-not-allowed", StatusCode::METHOD_NOT_ALLOWED, "This cannot be done with this method")
            }
            Self::CannotBeEnded => ("cannot-be-ended", StatusCode::CONFLICT, "This viewer has no connection to end"),
            Self::ChangedOnDisk => {
                ("changed-on-disk", StatusCode::CONFLICT, "A file has been edited since it was loaded")
            }
            Self::Conflict => ("conflict", StatusCode::CONFLICT, "This was changed again since"),
            Self::NotWritable => ("not-writable", StatusCode::CONFLICT, "The file of this is read-only"),
            Self::OwnedByVariable => {
                ("owned-by-variable", StatusCode::CONFLICT, "A variable of the environment sets this")
            }
            Self::MadeBySet => ("made-by-set", StatusCode::CONFLICT, "A set makes this"),
            Self::CannotEditInPlace => {
                ("cannot-edit-in-place", StatusCode::CONFLICT, "The text of the file does not allow this edit")
            }
            Self::NotApplied => ("not-applied", StatusCode::CONFLICT, "The configuration could not be applied"),
            Self::NoKey => ("no-key", StatusCode::CONFLICT, "There is no key that signs"),
            Self::Exists => ("exists", StatusCode::PRECONDITION_FAILED, "This exists already"),
            Self::NotManual => ("not-manual", StatusCode::CONFLICT, "The plan of the recorder decides"),
            Self::NotDeletable => ("not-deletable", StatusCode::CONFLICT, "This recording cannot be deleted now"),
            Self::PreconditionFailed => {
                ("precondition-failed", StatusCode::PRECONDITION_FAILED, "This is another version than you know")
            }
            Self::PreconditionRequired => {
                ("precondition-required", StatusCode::PRECONDITION_REQUIRED, "This needs the version that you know")
            }
            Self::TooLarge => ("too-large", StatusCode::PAYLOAD_TOO_LARGE, "The body is too large"),
            Self::MisdirectedRequest => {
                ("misdirected-request", StatusCode::MISDIRECTED_REQUEST, "This name is not that of the server")
            }
            Self::UnsupportedMediaType => {
                ("unsupported-media-type", StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body is of another type")
            }
            Self::Diagnostics => ("faults", StatusCode::UNPROCESSABLE_ENTITY, "The configuration would have faults"),
            Self::SecretMoved => {
                ("secret-moved", StatusCode::UNPROCESSABLE_ENTITY, "A masked secret stands where it was not before")
            }
            Self::TooMany => ("too-many", StatusCode::TOO_MANY_REQUESTS, "Too many requests"),
            Self::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR, "The server has failed"),
            Self::NotWritten => ("not-written", StatusCode::INTERNAL_SERVER_ERROR, "The file could not be written"),
            Self::NoDisk => ("no-disk", StatusCode::SERVICE_UNAVAILABLE, "The disk of recordings does not respond"),
            Self::Undecided => (
                "undecided",
                StatusCode::SERVICE_UNAVAILABLE,
                "The service that decides who may do this does not answer",
            ),
            Self::Stopping => ("stopping", StatusCode::SERVICE_UNAVAILABLE, "The server is stopping"),
        }
    }
}

/// A refusal.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    pub(super) kind: Kind,
    /// What, where, and what to do.
    pub(super) detail: String,
    /// As `voyandz check` has them.
    pub(super) faults: Vec<Diagnostic>,
    /// Of what there is now.
    pub(super) etag: Option<String>,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    pub(super) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), faults: Vec::new(), etag: None, headers: Vec::new() }
    }

    pub(super) fn not_found(what: &str, name: &str) -> Self {
        Self::new(Kind::NotFound, format!("there is no {what} `{name}`"))
    }

    pub(super) fn response(self) -> Response {
        let (word, status, title) = self.kind.parts();
        let mut body = json!({
            "type": format!("/api/problems/{word}"), "title": title, "status": status.as_u16(), "detail": self.detail,
        });
        if let Value::Object(body) = &mut body {
            if !self.faults.is_empty() {
                body.insert("faults".to_owned(), self.faults.iter().map(fault).collect());
            }
            if let Some(etag) = &self.etag {
                body.insert("etag".to_owned(), json!(etag));
            }
        }
        let mut response = Response::new(body.to_string().into());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        for (name, value) in self.headers {
            headers.append(name, value);
        }
        response
    }
}

/// An error as JSON.
pub(super) fn fault(fault: &Diagnostic) -> Value {
    match &fault.position {
        Position::Line { line, column, file, .. } => {
            json!({"file": &**file, "line": line, "column": column, "path": fault.path, "message": fault.message})
        }
        Position::Variable(name) => json!({"variable": &**name, "path": fault.path, "message": fault.message}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_a_word_of_its_own() {
        let words: std::collections::BTreeSet<_> = Kind::ALL.map(|kind| kind.parts().0).into();
        assert_eq!(words.len(), Kind::ALL.len());
    }
}
