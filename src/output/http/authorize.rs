//! Who makes a request, and whether that may have what it asks for. Every path is asked here, after it was looked up.

use super::{
    cors::{is_cross_origin, is_known_host, is_permitted_page},
    response::{Response, complete},
};
use crate::access::{
    Access, Action, Gate, Identity, NotAdmitted, Peer, Presented, Refused, Rejection, Subject, session_of,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use std::sync::Arc;

/// The challenges of a 401 (RFC 9110, section 11.6.1).
const BASIC: HeaderValue = HeaderValue::from_static("Basic realm=\"voyandz\", charset=\"UTF-8\"");
const BEARER: HeaderValue = HeaderValue::from_static("Bearer realm=\"voyandz\"");

/// What a path needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// Nothing: it reveals nothing of the server.
    Nothing,
    /// An action on the server.
    Server(Action),
    /// An action on a stream.
    Stream(Action, Arc<str>),
}

/// What was decided of a request: an extension of its response.
#[derive(Debug, Clone)]
pub struct Granted {
    /// Who asked.
    pub access: Access,
    /// For what.
    pub need: Need,
}

impl Need {
    fn parts(&self) -> Option<(Action, Subject<'_>)> {
        match self {
            Self::Nothing => None,
            Self::Server(action) => Some((*action, Subject::Server)),
            Self::Stream(action, stream) => Some((*action, Subject::Stream(stream))),
        }
    }
}

/// Finds out who makes the request and decides. `opens_socket` is whether it may become a WebSocket, which a page of another
/// origin could read.
///
/// # Errors
/// The response that refuses.
pub async fn authorize(
    gate: &Gate,
    need: &Need,
    method: &Method,
    query: &str,
    headers: &HeaderMap,
    peer: &Peer,
    opens_socket: bool,
) -> Result<Access, Response> {
    // A preflight comes without credentials, and its response reveals nothing.
    if *method == Method::OPTIONS {
        return Ok(Access::new(gate.clone(), Identity::Anyone, peer.address.ip()));
    }
    if let Need::Server(_) = need
        && let policy = gate.policy()
        && let names = &policy.policy().names
        && !is_known_host(headers.get(header::HOST).and_then(|host| host.to_str().ok()), names, machine().as_str())
    {
        let sentence = "this page is not served by that name: add it to auth.names, or use the address";
        return Err(complete(StatusCode::MISDIRECTED_REQUEST, sentence));
    }
    let values = headers.get_all(header::AUTHORIZATION).iter().map(HeaderValue::as_bytes);
    let presented = match Presented::read(gate.accepted(), query, values) {
        Ok(Presented::Nothing) => {
            let session = session_of(headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes));
            Ok(session.map_or(Presented::Nothing, Presented::Session))
        }
        presented => presented,
    };
    let admitted = gate.admit(presented, need.parts(), peer.asking("http", query, agent(headers))).await;
    let access = admitted.map_err(|denied| match denied {
        NotAdmitted::Rejected(rejection) => rejected(gate, rejection),
        NotAdmitted::Refused(why) => refused(gate, why),
    })?;
    if let Need::Stream(Action::View | Action::Still | Action::Playback, _) = need
        && !is_permitted_page(headers, &gate.policy().policy().referers)
    {
        if let Some((action, _)) = need.parts() {
            gate.stats().refused(action);
        }
        return Err(complete(StatusCode::FORBIDDEN, "pages of that server may not show this: see auth.referers"));
    }
    // Browsers add the credentials of the user to the request of any page.
    if opens_socket && access.identity.is_ambient() && is_cross_origin(headers) {
        if let Some((action, _)) = need.parts() {
            gate.stats().refused(action);
        }
        return Err(complete(StatusCode::FORBIDDEN, "pages of other origins cannot open a WebSocket with your login"));
    }
    Ok(access)
}

/// The name of the program of a client.
pub fn agent(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::USER_AGENT)?.to_str().ok()
}

/// The name of the machine.
fn machine() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The response to a credential that is not accepted.
pub fn rejected(gate: &Gate, rejection: Rejection) -> Response {
    match rejection {
        Rejection::TooMany { retry_after } => {
            let mut response = complete(StatusCode::TOO_MANY_REQUESTS, &rejection.to_string());
            let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            response
        }
        Rejection::Malformed(_) | Rejection::Wrong | Rejection::Stale | Rejection::Jwt(_) | Rejection::Link(_) => {
            challenge(gate, &rejection.to_string())
        }
    }
}

/// The response to who may not do this.
pub fn refused(gate: &Gate, why: Refused) -> Response {
    match why {
        Refused::Unauthenticated | Refused::Expired | Refused::Withdrawn | Refused::Stranger => {
            challenge(gate, &why.to_string())
        }
        Refused::Undecided => {
            let mut response = complete(StatusCode::SERVICE_UNAVAILABLE, &why.to_string());
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            response
        }
        Refused::Forbidden | Refused::Network => complete(StatusCode::FORBIDDEN, &why.to_string()),
    }
}

/// 401 with the ways to prove who one is; 403 where there is none that a header could name.
fn challenge(gate: &Gate, sentence: &str) -> Response {
    let accepted = gate.accepted();
    let challenges = [(accepted.basic, BASIC), (accepted.bearer, BEARER)];
    let challenges: Vec<_> = challenges.into_iter().filter(|(is_known, _)| *is_known).collect();
    let status = if challenges.is_empty() { StatusCode::FORBIDDEN } else { StatusCode::UNAUTHORIZED };
    let mut response = complete(status, sentence);
    for (_, challenge) in challenges {
        response.headers_mut().append(header::WWW_AUTHENTICATE, challenge);
    }
    response
}
