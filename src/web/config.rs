//! `/config`: the effective configuration, as JSON; and the certificate of the authority of this server.

use crate::status::response;
use http::StatusCode;

/// Where the certificate of the authority of this server is.
pub const AUTHORITY_PATH: &str = "/api/ca.pem";

/// The certificate of the authority, as PEM, in the type that devices offer to install.
pub fn authority(pem: &str) -> warp::reply::Response {
    response(StatusCode::OK, pem.to_owned(), "application/x-x509-ca-cert")
}

/// The page. `json` must be free of secrets.
pub fn page(json: &str) -> warp::reply::Response {
    response(StatusCode::OK, json.to_owned(), "application/json")
}
