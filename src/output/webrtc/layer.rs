//! The URL of a session at which a viewer learns and chooses its layer (draft-murillo-whep, layer selection).

use super::{
    exchange::{self, Asked, Problem, answered, find, gone, has_type, not_allowed, read},
    listener::WebRtc,
    shard::{Command, LayerState},
};
use crate::{
    engine::registry::StreamHandle,
    output::http::response::{Response, text},
};
use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::oneshot;

/// What the stream itself is called among its layers.
const MAIN: &str = "main";
/// The relation of the URL to its session.
const RELATION: &str = "urn:ietf:params:whep:ext:core:layer";

/// What clients call these layers: a stream, and its renditions by their names.
pub(super) fn names(layers: &[Arc<StreamHandle>]) -> Arc<[String]> {
    let name = |layer: &Arc<StreamHandle>| {
        let name = layer.config.name.as_str();
        name.split_once('@').map_or(MAIN, |(_, rendition)| rendition).to_owned()
    };
    layers.iter().map(name).collect()
}

/// Sets the header with which the response to an offer names the URL.
pub(super) fn announce(asked: Asked<'_>, session: &str, headers: &mut HeaderMap) {
    exchange::announce(asked, session, ("layer", &format!("rel=\"{RELATION}\"")), headers);
}

/// Responds to a request for the layers of a session.
pub(super) async fn respond<B, E>(
    webrtc: &WebRtc,
    owner: &str,
    session: &str,
    asked: Asked<'_>,
    body: B,
) -> Result<Response, Problem>
where
    B: Stream<Item = Result<Bytes, E>> + Send,
{
    let (id, entry) = find(webrtc, owner, session)?;
    let (reply, state) = oneshot::channel();
    let shard = webrtc.shard(entry.shard).ok_or_else(gone)?;
    shard.command(id, Command::Layers(reply));
    let state = answered(state).await?.ok_or_else(|| {
        Problem::new(StatusCode::NOT_FOUND, "this stream has one layer: `renditions` of the stream make more")
    })?;
    let wanted = match *asked.method {
        Method::GET | Method::HEAD => return Ok(described(&state)),
        Method::DELETE => None,
        Method::POST => {
            has_type(asked.headers, "application/json")?;
            Some(chosen(&read(body).await?, &state)?)
        }
        _ => return Ok(not_allowed(true)),
    };
    let (reply, is_there) = oneshot::channel();
    shard.command(id, Command::Choose(wanted, reply));
    match answered(is_there).await? {
        true => Ok(text(StatusCode::OK, "")),
        false => Err(gone()),
    }
}

/// The number of the layer that a request names.
fn chosen(body: &str, state: &LayerState) -> Result<usize, Problem> {
    let wanted = serde_json::from_str::<Value>(body).ok();
    let name = wanted.as_ref().and_then(|wanted| wanted.get("encodingId")?.as_str());
    let expected = || format!("expected {{\"encodingId\": …}} with one of {}", state.names.join(", "));
    let name = name.ok_or_else(|| Problem::new(StatusCode::BAD_REQUEST, &expected()))?;
    let found = state.names.iter().position(|known| known == name);
    found.ok_or_else(|| Problem::new(StatusCode::BAD_REQUEST, &format!("there is no layer `{name}`: {}", expected())))
}

fn described(state: &LayerState) -> Response {
    let name = |number: usize| state.names.get(number).map(String::as_str);
    let layers: Vec<_> = state.names.iter().map(|name| json!({"encodingId": name})).collect();
    let body = json!({"layers": layers, "active": name(state.active), "chosen": state.chosen.and_then(name)});
    let mut response = text(StatusCode::OK, "");
    *response.body_mut() = body.to_string().into();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_a_layer() {
        let names = ["main", "720"].map(str::to_owned);
        let state = LayerState { names: names.into(), active: 0, chosen: None };
        let check = |body: &str, expect: Option<usize>| assert_eq!(chosen(body, &state).ok(), expect, "{body}");
        check(r#"{"mediaId": "0", "encodingId": "720"}"#, Some(1));
        check(r#"{"encodingId": "main"}"#, Some(0));
        check(r#"{"encodingId": "480"}"#, None);
        check(r#"{"encodingId": 720}"#, None);
        check("720", None);
        check("", None);
    }
}
