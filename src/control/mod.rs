//! What people and programs see of the server itself. Never touches a packet.

pub mod about;
mod changes;
mod commands;
pub mod configuration;
pub mod events;
pub mod facts;
pub mod health;
pub mod home;
mod measures;
pub mod metrics;
mod page;
pub mod player;
pub mod stat;
mod tracks;
mod units;

use http::{HeaderValue, StatusCode, header};
use warp::reply::Response;

/// A whole answer of this type.
fn answer(status: StatusCode, text: String, mimetype: &'static str) -> Response {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(mimetype));
    response
}
