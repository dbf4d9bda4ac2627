//! The response whose body is the complete output of a command.

use super::{
    disconnect::DisconnectWatch,
    response::{Response, set_type, text, unavailable},
};
use crate::source::per_request::{PerRequestStream, ShotError};
use http::{HeaderValue, Method, StatusCode, header};
use std::sync::Arc;

/// Runs the command once and responds with its output.
pub async fn respond(stream: &Arc<PerRequestStream>, method: &Method, client: &DisconnectWatch) -> Response {
    let mut response = if method == Method::HEAD {
        text(StatusCode::OK, "")
    } else {
        let shot = tokio::select! {
            shot = stream.shot() => shot,
            // The command ends; no client reads this response.
            () = client.wait() => return unavailable("the client has disconnected"),
        };
        match shot {
            Ok(bytes) => Response::new(bytes.into()),
            Err(error @ (ShotError::Failed(_) | ShotError::TooLong)) => {
                return text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string().trim_end());
            }
            Err(error) => return unavailable(&error.to_string()),
        }
    };
    set_type(&mut response, &stream.config, None, None);
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}
