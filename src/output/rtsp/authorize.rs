//! Who asks, and whether that may do what it asks for: the same decision as for HTTP.

use super::message::{Reply, Request, Status};
use crate::access::{Access, Action, Asking, Gate, NotAdmitted, Presented, Refused, Rejection, Subject};

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
    let values = request.fields("authorization").map(str::as_bytes);
    let presented = Presented::read(gate.accepted(), asking.query, values);
    gate.admit(presented, Some((action, Subject::Stream(stream))), asking).await.map_err(|denied| match denied {
        NotAdmitted::Rejected(rejection) => rejected(gate, rejection),
        NotAdmitted::Refused(why) => refused(gate, why),
    })
}

/// The response to a credential that is not accepted.
pub fn rejected(gate: &Gate, rejection: Rejection) -> Reply {
    match rejection {
        Rejection::TooMany { retry_after } => {
            let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
            Reply::refusal(Status::TooMany, &rejection.to_string()).with("Retry-After", &seconds.to_string())
        }
        Rejection::Malformed(_) | Rejection::Wrong | Rejection::Jwt(_) | Rejection::Link(_) => {
            challenge(gate, &rejection.to_string())
        }
    }
}

fn refused(gate: &Gate, why: Refused) -> Reply {
    match why {
        Refused::Unauthenticated | Refused::Expired | Refused::Withdrawn | Refused::Stranger => {
            challenge(gate, &why.to_string())
        }
        Refused::Undecided => Reply::refusal(Status::Unavailable, &why.to_string()),
        Refused::Forbidden | Refused::Network => Reply::refusal(Status::Forbidden, &why.to_string()),
    }
}

/// 401 with the ways to prove who one is; 403 where there is none that a header could name.
fn challenge(gate: &Gate, sentence: &str) -> Reply {
    let accepted = gate.accepted();
    let ways = [(accepted.basic, BASIC), (accepted.bearer, BEARER)];
    let mut ways = ways.into_iter().filter(|(is_known, _)| *is_known).map(|(_, way)| way).peekable();
    let status = if ways.peek().is_some() { Status::Unauthorized } else { Status::Forbidden };
    ways.fold(Reply::refusal(status, sentence), |reply, way| reply.with("WWW-Authenticate", way))
}
