//! The URL of a session at which a viewer subscribes to events of its stream (draft-murillo-whep, server-sent events): whether media
//! comes, how many viewers there are, and which layer is sent.
//!
//! Nothing is queued: a subscriber compares the state of the session with what it has told before. A session without subscribers has
//! no state to keep.

use super::{
    exchange::{self, Asked, Problem, answered, credentials, find, gone, has_type, not_allowed, read},
    listener::WebRtc,
    shard::Command,
    state::SessionState,
};
use crate::output::http::response::{Response, streamed, text};
use bytes::Bytes;
use futures_util::{Stream, stream};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};
use std::{fmt::Write, time::Duration};
use tokio::sync::{oneshot, watch};

/// The relation of the URL to its session.
const RELATION: &str = "urn:ietf:params:whep:ext:core:server-sent-events";
/// Proxies close connections that are silent for half a minute or more.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// An event that may be subscribed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Active,
    Inactive,
    Layers,
    ViewerCount,
}

impl Event {
    const ALL: [Self; 4] = [Self::Active, Self::Inactive, Self::Layers, Self::ViewerCount];

    const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
            Self::Layers => "layers",
            Self::ViewerCount => "viewercount",
        }
    }

    fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.name() == name)
    }

    /// What it says of a state; `None` when it does not say anything of it.
    fn data(self, state: &SessionState) -> Option<Value> {
        match self {
            Self::Active => state.is_active.then(|| json!({})),
            Self::Inactive => (!state.is_active).then(|| json!({})),
            Self::ViewerCount => Some(json!({"viewercount": state.viewers})),
            Self::Layers => state.layers.as_ref().map(|(names, active)| {
                let layers: Vec<_> = names.iter().map(|name| json!({"encodingId": name})).collect();
                json!({"layers": layers, "active": names.get(*active)})
            }),
        }
    }
}

/// Sets the header with which the response to an offer names the URL.
pub(super) fn announce(asked: Asked<'_>, session: &str, headers: &mut HeaderMap) {
    let relation = format!("rel=\"{RELATION}\"; events=\"{}\"", names(&Event::ALL));
    exchange::announce(asked, session, ("events", &relation), headers);
}

/// Responds to a request for the events of a session: POST of a list of names makes a URL of these, GET is the events.
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
    match *asked.method {
        Method::POST => {
            has_type(asked.headers, "application/json")?;
            let wanted = subscribed(&read(body).await?)?;
            let kept = credentials(asked.query);
            let kept = kept.strip_prefix('?').map(|kept| format!("&{kept}")).unwrap_or_default();
            let url = format!("{}{}?events={}{kept}", asked.site, asked.path, names(&wanted));
            let mut response = text(StatusCode::CREATED, "");
            if let Ok(url) = HeaderValue::from_str(&url) {
                response.headers_mut().insert(header::LOCATION, url);
            }
            Ok(response)
        }
        Method::GET => {
            let wanted = named(asked.query)?;
            let (reply, state) = oneshot::channel();
            webrtc.shard(entry.shard).ok_or_else(gone)?.command(id, Command::Watch(reply));
            let state = answered(state).await?;
            let state = state.ok_or_else(|| Problem::unavailable("the session has subscribers enough"))?;
            let mut response = streamed(stream::unfold((state, None, wanted), next));
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            Ok(response)
        }
        _ => Ok(not_allowed(true)),
    }
}

fn names(events: &[Event]) -> String {
    events.iter().map(|event| event.name()).collect::<Vec<_>>().join(",")
}

/// The events that a body asks for.
fn subscribed(body: &str) -> Result<Vec<Event>, Problem> {
    let wanted: Vec<String> = serde_json::from_str(body).unwrap_or_default();
    let found: Option<Vec<_>> = wanted.iter().map(|name| Event::find(name)).collect();
    found.filter(|found| !found.is_empty() && found.len() <= Event::ALL.len()).ok_or_else(|| {
        let sentence = format!("expected a list of names like [\"active\"], of {}", names(&Event::ALL));
        Problem::new(StatusCode::BAD_REQUEST, &sentence)
    })
}

/// The events that a query names; all of them where it names none.
fn named(query: &str) -> Result<Vec<Event>, Problem> {
    let Some(list) = query.split('&').find_map(|part| part.strip_prefix("events=")) else {
        return Ok(Event::ALL.into());
    };
    let found: Option<Vec<_>> = list.split(',').map(Event::find).collect();
    found.ok_or_else(|| {
        let sentence = format!("events: expected names of {}, separated by commas", names(&Event::ALL));
        Problem::new(StatusCode::BAD_REQUEST, &sentence)
    })
}

type Subscriber = (watch::Receiver<SessionState>, Option<SessionState>, Vec<Event>);

/// What is sent next, as soon as there is something; `None` once the session has ended.
async fn next((mut state, told, wanted): Subscriber) -> Option<(std::io::Result<Bytes>, Subscriber)> {
    loop {
        let now = state.borrow_and_update().clone();
        let text = changes(told.as_ref(), &now, &wanted);
        if !text.is_empty() {
            return Some((Ok(text.into()), (state, Some(now), wanted)));
        }
        match tokio::time::timeout(KEEPALIVE, state.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return None,
            Err(_) => return Some((Ok(Bytes::from_static(b":\n\n")), (state, told, wanted))),
        }
    }
}

/// The wanted events of a state that was not told before, in their form on the wire.
fn changes(told: Option<&SessionState>, now: &SessionState, wanted: &[Event]) -> String {
    let mut out = String::new();
    for event in wanted {
        let Some(data) = event.data(now) else { continue };
        if told.and_then(|told| event.data(told)).as_ref() != Some(&data) {
            // Writing to a text does not fail.
            let _ = write!(out, "event: {}\ndata: {data}\n\n", event.name());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn what_has_changed_is_told() {
        let state = |is_active, viewers, layer: Option<usize>| {
            let names: Arc<[String]> = ["main", "720"].map(str::to_owned).into();
            SessionState { is_active, viewers, layers: layer.map(|layer| (names, layer)) }
        };
        let check = |told: Option<&SessionState>, now: &SessionState, wanted: &[Event], expect: &str| {
            assert_eq!(changes(told, now, wanted), expect);
        };
        let (first, alone) = (state(true, 2, Some(0)), state(false, 1, None));
        let layers = |active: &str| {
            format!(
                "event: layers\ndata: {{\"layers\":[{{\"encodingId\":\"main\"}},{{\"encodingId\":\"720\"}}],\"active\":\"{active}\"}}\n\n"
            )
        };
        let count = |viewers: usize| format!("event: viewercount\ndata: {{\"viewercount\":{viewers}}}\n\n");
        check(None, &first, &Event::ALL, &format!("event: active\ndata: {{}}\n\n{}{}", layers("main"), count(2)));
        check(Some(&first), &first, &Event::ALL, "");
        check(Some(&first), &state(true, 2, Some(1)), &Event::ALL, &layers("720"));
        check(Some(&first), &state(false, 3, Some(0)), &[Event::Inactive], "event: inactive\ndata: {}\n\n");
        check(Some(&state(false, 3, None)), &state(true, 3, None), &Event::ALL, "event: active\ndata: {}\n\n");
        check(None, &alone, &[Event::Layers, Event::Active], "");
        check(None, &alone, &[Event::ViewerCount], &count(1));
    }

    #[test]
    fn events_are_named() {
        let of_body = |body: &str| subscribed(body).ok().map(|found| names(&found));
        assert_eq!(of_body(r#"["active", "viewercount"]"#).as_deref(), Some("active,viewercount"));
        for bad in
            ["[]", "active", r#"["left"]"#, r#"{"active": true}"#, r#"["active","active","active","active","active"]"#]
        {
            assert_eq!(of_body(bad), None, "{bad}");
        }
        let of_query = |query: &str| named(query).ok().map(|found| names(&found));
        assert_eq!(of_query("token=x&events=layers").as_deref(), Some("layers"));
        assert_eq!(of_query("token=x").as_deref(), Some("active,inactive,layers,viewercount"));
        assert_eq!(of_query("events=left"), None);
    }
}
