//! `/config`: the configuration as it is understood, for programs and for those who look for a fault.

use http::{HeaderValue, header};

/// The page. `json` must be free of secrets.
pub fn page(json: &str) -> warp::reply::Response {
    let mut response = warp::reply::Response::new(json.to_owned().into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
