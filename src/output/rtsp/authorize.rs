//! Who asks, and whether that may do what it asks for: the same decision as for HTTP.

use super::message::{Reply, Request, Status};
use crate::access::{
    Access, Action, Asking, CredentialError, Gate, NotAdmitted, Presented, Refused, Rejection, Subject,
    digest::DigestAnswer,
};

/// The challenge to those with a password.
pub const BASIC: &str = "Basic realm=\"voyandz\"";
const BEARER: &str = "Bearer realm=\"voyandz\"";

/// Finds out who makes the request, and decides about a stream.
///
/// # Errors
/// The response that refuses.
pub async fn authorize(
    gate: &Gate,
    request: &Request,
    (action, stream): (Action, &str),
    asking: Asking<'_>,
) -> Result<Access, Reply> {
    let presented = match digest(gate, request) {
        Some(presented) => presented,
        None => {
            let values = request.fields("authorization").map(str::as_bytes);
            Presented::read(gate.accepted(), asking.query, values)
        }
    };
    gate.admit(presented, Some((action, Subject::Stream(stream))), asking).await.map_err(|denied| match denied {
        NotAdmitted::Rejected(rejection) => rejected(gate, rejection),
        NotAdmitted::Refused(why) => refused(gate, why),
    })
}

/// The answer to a challenge of Digest, where a request has one and users may have it.
pub fn digest(gate: &Gate, request: &Request) -> Option<Result<Presented, CredentialError>> {
    let mut values = request.fields("authorization");
    let value = values.next()?.trim();
    let (scheme, rest) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("digest") || !gate.has_digests() {
        return None;
    }
    let answer = DigestAnswer::parse(rest).filter(|answer| {
        // Clients name the whole address, or its path.
        values.next().is_none() && path(&answer.uri) == path(&request.target)
    });
    let presented = answer.map(|answer| Presented::Digest { answer: Box::new(answer), method: request.method.clone() });
    Some(presented.ok_or(CredentialError::Digest))
}

/// An address without scheme and host, and without a slash at its end.
fn path(address: &str) -> &str {
    let path = match address.split_once("://") {
        Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or(""),
        None => address,
    };
    path.trim_end_matches('/')
}

/// The response to a credential that is not accepted.
pub fn rejected(gate: &Gate, rejection: Rejection) -> Reply {
    match rejection {
        Rejection::TooMany { retry_after } => {
            let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
            Reply::refusal(Status::TooMany, &rejection.to_string()).with("Retry-After", &seconds.to_string())
        }
        Rejection::Stale => challenge(gate, &rejection.to_string(), true),
        Rejection::Malformed(_) | Rejection::Wrong | Rejection::Jwt(_) | Rejection::Link(_) => {
            challenge(gate, &rejection.to_string(), false)
        }
    }
}

fn refused(gate: &Gate, why: Refused) -> Reply {
    match why {
        Refused::Unauthenticated | Refused::Expired | Refused::Withdrawn | Refused::Stranger => {
            challenge(gate, &why.to_string(), false)
        }
        Refused::Undecided => Reply::refusal(Status::Unavailable, &why.to_string()),
        Refused::Forbidden | Refused::Network => Reply::refusal(Status::Forbidden, &why.to_string()),
    }
}

/// 401 with the ways to prove who one is; 403 where there is none that a header could name.
fn challenge(gate: &Gate, sentence: &str, is_stale: bool) -> Reply {
    let accepted = gate.accepted();
    let mut ways = digests(gate, is_stale);
    ways.extend(accepted.basic.then(|| BASIC.to_owned()));
    ways.extend(accepted.bearer.then(|| BEARER.to_owned()));
    let status = if ways.is_empty() { Status::Forbidden } else { Status::Unauthorized };
    ways.iter().fold(Reply::refusal(status, sentence), |reply, way| reply.with("WWW-Authenticate", way))
}

/// The challenges of Digest, where users may answer them.
pub fn digests(gate: &Gate, is_stale: bool) -> Vec<String> {
    if gate.has_digests() { gate.challenges(is_stale).into() } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::path;

    #[test]
    fn an_address_and_its_path_are_the_same() {
        for address in ["rtsp://cam:8554/cam0/?v=x", "RTSPS://cam/cam0/?v=x", "/cam0/?v=x"] {
            assert_eq!(path(address), "/cam0/?v=x");
        }
        assert_eq!((path("rtsp://cam"), path("rtsp://cam/"), path("*")), ("", "", "*"));
    }
}
