//! What WHEP and WHIP have in common (RFC 9725): offers in requests, sessions with URLs.

use super::{
    directory::{Entry, Full, Place},
    fragment::{Fragment, answer_of},
    listener::{NotDone, WebRtc},
    mux::SessionId,
    session::{AcceptError, Identity, Session},
    shard::Command,
};
use crate::{
    access::Peer,
    output::{
        http::response::{Response, text},
        publish::permit,
    },
};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use bytes::Bytes;
use data_encoding::HEXLOWER;
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use str0m::Candidate;
use tokio::sync::oneshot;

/// What may be asked of an endpoint or a session.
pub const ALLOWED: HeaderValue = HeaderValue::from_static("OPTIONS, GET, HEAD, POST, PATCH, DELETE");
const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");
const SDP: HeaderValue = HeaderValue::from_static("application/sdp");
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
/// Longest body.
const MAX_BODY: usize = 64 << 10;
/// How long a body may take.
const BODY_WITHIN: Duration = Duration::from_secs(10);
/// How long a shard may take to answer.
const SHARD_WITHIN: Duration = Duration::from_secs(2);

/// Sets the headers that name servers of STUN and TURN (RFC 9725, section 4.6).
pub fn set_ice_servers(webrtc: &WebRtc, headers: &mut HeaderMap) {
    for server in webrtc.ice_servers() {
        if let Ok(link) = HeaderValue::from_str(&format!("<{server}>; rel=\"ice-server\"")) {
            headers.append(header::LINK, link);
        }
    }
}

/// Whether a request with the method OPTIONS may be followed by an offer.
pub fn precedes_offer(headers: &HeaderMap) -> bool {
    headers.get(header::ACCESS_CONTROL_REQUEST_METHOD).is_none_or(|wanted| wanted.as_bytes() == b"POST")
}

/// A request for an endpoint or a session.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The method.
    pub method: &'a Method,
    /// The beginning of all addresses of the server, as the client reaches it.
    pub site: &'a str,
    /// The path as the client wrote it.
    pub path: &'a str,
    /// The query string, without the `?`.
    pub query: &'a str,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The client.
    pub peer: &'a Peer,
}

/// Sets the header with the media types that an endpoint takes.
pub fn set_accepted(headers: &mut HeaderMap) {
    headers.insert(ACCEPT_POST, SDP);
}

/// Why a request is not granted.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    sentence: String,
    retry_after: Option<&'static str>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, sentence: &str) -> Self {
        Self { status, sentence: sentence.to_owned(), retry_after: None }
    }

    pub(super) fn unavailable(sentence: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, sentence).retry("2")
    }

    pub(super) fn retry(self, seconds: &'static str) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// As RFC 9457 has it.
    pub(super) fn response(self) -> Response {
        let body = serde_json::json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or_default(),
            "status": self.status.as_u16(),
            "detail": self.sentence,
        });
        let mut response = text(self.status, "");
        *response.body_mut() = body.to_string().into();
        response.headers_mut().insert(header::CONTENT_TYPE, PROBLEM);
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(seconds));
        }
        if self.status == StatusCode::UNSUPPORTED_MEDIA_TYPE {
            set_accepted(response.headers_mut());
        }
        response
    }
}

pub(super) fn endpoint(method: &Method) -> Response {
    let status = if method == Method::HEAD { StatusCode::OK } else { StatusCode::NO_CONTENT };
    let mut response = text(status, "");
    response.headers_mut().insert(header::CONTENT_TYPE, SDP);
    set_accepted(response.headers_mut());
    response
}

pub(super) fn not_allowed(is_session: bool) -> Response {
    let sentence = match is_session {
        true => "method not allowed: a session takes PATCH and DELETE",
        false => "method not allowed: POST an offer here",
    };
    let mut response = Problem::new(StatusCode::METHOD_NOT_ALLOWED, sentence).response();
    response.headers_mut().insert(header::ALLOW, ALLOWED);
    response
}

/// The response to an offer that is answered. `own` is the name of the ICE session of the server.
pub(super) fn made(webrtc: &WebRtc, asked: Asked<'_>, name: &str, own: &str, answer: String) -> Response {
    let mut response = text(StatusCode::CREATED, "");
    *response.body_mut() = answer.into();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, SDP);
    set_ice_servers(webrtc, headers);
    let location = format!("{}{}/{name}{}", asked.site, asked.path, credentials(asked.query));
    for (key, value) in [(header::LOCATION, location), (header::ETAG, format!("\"{own}\""))] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(key, value);
        }
    }
    response
}

/// Whether a client may make an offer now: each costs a core for milliseconds.
pub(super) fn permit_offer(webrtc: &WebRtc, asked: Asked<'_>) -> Result<(), Problem> {
    let is_permitted = webrtc.directory().permit_offer(asked.peer.address.ip(), Instant::now());
    let too_many = || Problem::new(StatusCode::TOO_MANY_REQUESTS, "too many offers of this address").retry("1");
    is_permitted.then_some(()).ok_or_else(too_many)
}

/// A place for one more session of a client.
pub(super) fn place(webrtc: &WebRtc, asked: Asked<'_>) -> Result<Place, Problem> {
    webrtc.place(asked.peer.address.ip()).map_err(|full| match full {
        Full::Server => Problem::unavailable(&full.to_string()),
        Full::Address => Problem::new(StatusCode::TOO_MANY_REQUESTS, &full.to_string()).retry("10"),
    })
}

/// Answers an offer. A panic of str0m, which crafted offers may cause, costs this request alone.
pub(super) async fn accepted(
    webrtc: &WebRtc,
    work: impl FnOnce(&Identity, &[Candidate]) -> Result<(Session, String), AcceptError> + Send + 'static,
) -> Result<(Session, String), Problem> {
    let (identity, candidates) = (webrtc.identity().clone(), webrtc.candidates());
    let work = move || {
        fail::fail_point!("webrtc-offer");
        work(&identity, &candidates)
    };
    match webrtc.work(work).await {
        Ok(Ok(accepted)) => Ok(accepted),
        Ok(Err(error)) => Err(Problem::new(StatusCode::BAD_REQUEST, &error.to_string())),
        Err(NotDone::Busy) => Err(Problem::unavailable("too many offers at a time")),
        Err(NotDone::Panicked) => Err(Problem::new(StatusCode::BAD_REQUEST, "the offer cannot be answered")),
    }
}

pub(super) async fn patch<B, E>(
    webrtc: &WebRtc,
    owner: &str,
    session: &str,
    asked: Asked<'_>,
    body: B,
) -> Result<Response, Problem>
where
    B: Stream<Item = Result<Bytes, E>> + Send,
{
    has_type(asked.headers, FRAGMENT)?;
    let (id, entry) = find(webrtc, owner, session)?;
    let fragment = Fragment::parse(&read(body).await?);
    let Some(fragment) = fragment else {
        let sentence = "the fragment has no a=ice-ufrag and a=ice-pwd of an ICE session";
        return Err(Problem::new(StatusCode::BAD_REQUEST, sentence));
    };
    let tag = asked.headers.get(header::IF_MATCH).and_then(|tag| tag.to_str().ok());
    let Some(tag) = tag else {
        return Err(Problem::new(
            StatusCode::PRECONDITION_REQUIRED,
            "a PATCH needs If-Match with the ETag of the session",
        ));
    };
    let is_any = matches!(tag, "*" | "\"*\"");
    if !is_any && tag != entry.tag() {
        return Err(Problem::new(StatusCode::PRECONDITION_FAILED, "the session has another ICE session by now"));
    }
    if fragment.ufrag == entry.ice[0] {
        // Candidates of the client: it sends first, so nothing is needed of them.
        return Ok(text(StatusCode::NO_CONTENT, ""));
    }
    if !is_any {
        return Err(Problem::new(StatusCode::PRECONDITION_FAILED, "another ICE session needs If-Match: *"));
    }
    let (reply, answer) = oneshot::channel();
    if let Some(shard) = webrtc.shard(entry.shard) {
        shard.command(id, Command::Restart(fragment.renewed(&entry.offer), reply));
    }
    let answer = answered(answer).await?;
    let answer = answer.map_err(|error| Problem::new(StatusCode::BAD_REQUEST, &error.to_string()))?;
    let answer = answer_of(&answer);
    let own = Fragment::parse(&answer).map(|fragment| fragment.ufrag).unwrap_or_default();
    webrtc.directory().renew(id, [fragment.ufrag, own.clone()]);
    let mut response = text(StatusCode::OK, "");
    *response.body_mut() = answer.into();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(FRAGMENT));
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{own}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}

/// What the shard of a session answers to a command.
pub(super) async fn answered<T>(reply: oneshot::Receiver<T>) -> Result<T, Problem> {
    match tokio::time::timeout(SHARD_WITHIN, reply).await {
        Ok(answer) => answer.map_err(|_| gone()),
        Err(_) => Err(Problem::unavailable("the session does not answer")),
    }
}

pub(super) fn delete(webrtc: &WebRtc, owner: &str, session: &str) -> Result<Response, Problem> {
    let (id, entry) = find(webrtc, owner, session)?;
    // It is gone for the client now.
    webrtc.directory().remove(id);
    if let Some(shard) = webrtc.shard(entry.shard) {
        shard.command(id, Command::Close("deleted"));
    }
    Ok(text(StatusCode::OK, ""))
}

pub(super) fn find(webrtc: &WebRtc, owner: &str, session: &str) -> Result<(SessionId, Entry), Problem> {
    let found = webrtc.directory().find(session);
    found.filter(|(_, entry)| *entry.owner == *owner).ok_or_else(gone)
}

pub(super) fn gone() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no such session: it has ended, or never was")
}

pub(super) fn has_type(headers: &HeaderMap, wanted: &str) -> Result<(), Problem> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let given = given.split(';').next().unwrap_or_default().trim();
    if given.eq_ignore_ascii_case(wanted) {
        return Ok(());
    }
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, &format!("expected a body of type {wanted}")))
}

pub(super) async fn read<B, E>(body: B) -> Result<String, Problem>
where
    B: Stream<Item = Result<Bytes, E>> + Send,
{
    let mut body = std::pin::pin!(body);
    let mut bytes = Vec::new();
    let reading = async {
        while let Some(piece) = body.next().await {
            let Ok(piece) = piece else {
                return Err(Problem::new(StatusCode::BAD_REQUEST, "the body ended too early"));
            };
            if bytes.len() + piece.len() > MAX_BODY {
                return Err(Problem::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "a session description may have at most 64 KiB",
                ));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(())
    };
    match tokio::time::timeout(BODY_WITHIN, reading).await {
        Ok(read) => read?,
        Err(_) => return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time")),
    }
    String::from_utf8(bytes).map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "the body is no text"))
}

/// The name of a session in its URL, and name and password of its ICE session.
pub(super) fn secrets() -> Option<[String; 3]> {
    let random = SystemRandom::new();
    let secret = |length: usize| {
        let mut bytes = vec![0; length];
        random.fill(&mut bytes).ok()?;
        Some(HEXLOWER.encode(&bytes))
    };
    Some([secret(16)?, secret(8)?, secret(16)?])
}

/// What a session is, as programs behind its data channels find it in their environment.
pub(super) fn described(name: &str, peer: SocketAddr, user: Option<String>) -> Vec<(&'static str, String)> {
    let user = user.map(|user| ("VOYANDZ_USER", user));
    [("VOYANDZ_STREAM", name.to_owned()), ("VOYANDZ_PEER", peer.to_string())].into_iter().chain(user).collect()
}

/// Names the URL of a part of a session in the response to an offer: its last word, and its relation to the session with the parameters of
/// the link.
pub(super) fn announce(asked: Asked<'_>, session: &str, (part, relation): (&str, &str), headers: &mut HeaderMap) {
    let url = format!("{}{}/{session}/{part}{}", asked.site, asked.path, credentials(asked.query));
    if let Ok(link) = HeaderValue::from_str(&format!("<{url}>; {relation}")) {
        headers.append(header::LINK, link);
    }
}

/// What of a query permits the request, so that the URL of the session has it too: clients know of nothing else that they should add.
pub(super) fn credentials(query: &str) -> String {
    let is_credential = |part: &&str| part.split_once('=').is_some_and(|(name, _)| permit::is_credential(name));
    let kept: Vec<_> = query.split('&').filter(is_credential).collect();
    if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) }
}
