//! `/stat.json` and `/stat`: how the server and all its feeds and streams are.

use super::facts::View;
use http::{HeaderValue, header};

/// The state for programs.
pub fn json(view: &View) -> warp::reply::Response {
    // Serialising to a string fails for types that are not in here.
    let text = serde_json::to_string_pretty(&view.facts()).unwrap_or_default() + "\n";
    let mut response = warp::reply::Response::new(text.into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
