//! The state of the server, its feeds and its streams: as JSON, metrics, health checks and events. Handles and numbers, never
//! a packet.

pub mod diff;
pub mod events;
pub mod health;
pub mod history;
pub mod human;
mod link;
pub mod metrics;
pub mod outputs;
pub mod player_commands;
pub mod publish;
mod push;
pub mod recording;
pub mod server_info;
pub mod snapshot;
pub mod state;
pub mod stream_stats;
pub mod tracks;

use http::{HeaderValue, StatusCode, header};
use warp::reply::Response;

/// A complete response with this body and media type.
pub fn response(status: StatusCode, body: String, mimetype: &'static str) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(mimetype));
    response
}
