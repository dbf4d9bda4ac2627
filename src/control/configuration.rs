//! `/config`: the configuration as it is understood, for programs and for those who look for a fault.

use super::answer;
use http::StatusCode;

/// The page. `json` must be free of secrets.
pub fn page(json: &str) -> warp::reply::Response {
    answer(StatusCode::OK, json.to_owned(), "application/json")
}
