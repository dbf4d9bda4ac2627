//! `/config`: the effective configuration, as JSON.

use crate::status::response;
use http::StatusCode;

/// The page. `json` must be free of secrets.
pub fn page(json: &str) -> warp::reply::Response {
    response(StatusCode::OK, json.to_owned(), "application/json")
}
