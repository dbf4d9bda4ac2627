//! `/stat.json`: the state of the server and of all its feeds and streams, for programs.

use super::{response, snapshot::StatusReader};
use crate::access::Access;
use http::StatusCode;

/// The state as JSON, as far as `access` may see it.
pub fn json(reader: &StatusReader, access: &Access) -> warp::reply::Response {
    // Serialising to a string fails only for types that the snapshot does not contain.
    let text = serde_json::to_string_pretty(&reader.snapshot().seen_by(access)).unwrap_or_default() + "\n";
    response(StatusCode::OK, text, "application/json")
}
