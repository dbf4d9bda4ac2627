//! Logins of browsers: who one is, and the cookie that stands for a user and a password, or for a one-time code.

use super::{
    call::{Answer, Call},
    problem::{Kind, Problem},
    query::Query,
};
use crate::{
    access::{
        Action, CODE_LASTS, Decision, Identity, Presented, Rejection, Secret, Subject, session_cookie, session_of,
    },
    telemetry::Fact,
};
use http::{HeaderValue, StatusCode, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use warp::reply::Response;

/// The page with the form.
const PAGE: &str = "/login";
/// What the form sends.
const FIELDS: &[&str] = &["user", "password", "code", "next", "logout"];

/// `GET /session`.
pub(super) async fn show(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::json(description(&call, &call.access.identity)))
}

/// `POST /session`: JSON, or what a form sends, which is answered with a redirect.
pub(super) async fn begin(call: Call) -> Result<Answer, Problem> {
    if call.is_form() {
        return form(&call).await;
    }
    let body = call.body()?;
    let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    let by = match (text("code"), text("user"), text("password")) {
        (Some(code), None, None) => By::Code(code),
        (None, Some(user), Some(password)) => By::Password(user, password),
        _ => {
            let detail = "expected {\"user\": …, \"password\": …} or {\"code\": …}";
            return Err(Problem::new(Kind::BadRequest, detail));
        }
    };
    let (identity, secret) = log_in(&call, by).await.map_err(problem)?;
    let mut answer = Answer::json(description(&call, &identity));
    answer.status = StatusCode::CREATED;
    let mut response = answer.response();
    set_cookie(&mut response, Some(&secret), call.is_encrypted);
    Ok(Answer::reply(response))
}

/// `POST /session/code`: for who came over the control socket, as the code permits all.
pub(super) async fn code(call: Call) -> Result<Answer, Problem> {
    let Identity::Socket { .. } = call.access.identity else {
        let detail =
            "codes are made over the control socket only: use `voyandz ctl login` on the machine of the server";
        return Err(Problem::new(Kind::Forbidden, detail));
    };
    let code = call.api.gate.issue_code();
    let code = code.ok_or_else(|| Problem::new(Kind::Internal, "the system has no random numbers"))?;
    call.report(Fact::audit("auth.code"));
    let path = format!("{PAGE}#{}", code.expose());
    let seconds = CODE_LASTS.as_secs();
    Ok(Answer::json(json!({"code": code.expose(), "path": path, "seconds": seconds})))
}

/// `DELETE /session`.
pub(super) async fn end(call: Call) -> Result<Answer, Problem> {
    log_out(&call);
    let mut response = Answer::status(StatusCode::NO_CONTENT).response();
    set_cookie(&mut response, None, call.is_encrypted);
    Ok(Answer::reply(response))
}

async fn form(call: &Call) -> Result<Answer, Problem> {
    let text = std::str::from_utf8(&call.body).map_err(|_| Problem::new(Kind::BadRequest, "the form is no UTF-8"))?;
    let fields = Query::parse(text, FIELDS)?;
    let field = |name: &str| fields.get(name).unwrap_or_default();
    if fields.get("logout").is_some() {
        log_out(call);
        return Ok(Answer::reply(redirect("/", Some(None), call.is_encrypted)));
    }
    let next = field("next");
    let code = fields.get("code");
    let by = match code {
        Some(code) => By::Code(code.to_owned()),
        None => By::Password(field("user").to_owned(), field("password").to_owned()),
    };
    match log_in(call, by).await {
        Ok((_, secret)) => {
            let next = if is_local(next) { next } else { "/" };
            Ok(Answer::reply(redirect(next, Some(Some(&secret)), call.is_encrypted)))
        }
        Err(rejection) => {
            let why = match rejection {
                Rejection::TooMany { .. } => "too-many",
                _ if code.is_some() => "code",
                _ => "wrong",
            };
            let next = utf8_percent_encode(next, NON_ALPHANUMERIC);
            Ok(Answer::reply(redirect(&format!("{PAGE}?failed={why}&next={next}"), None, call.is_encrypted)))
        }
    }
}

/// What logs in.
enum By {
    Password(String, String),
    Code(String),
}

async fn log_in(call: &Call, by: By) -> Result<(Identity, Secret), Rejection> {
    let (gate, peer) = (&call.api.gate, call.access.peer);
    let identity = match by {
        By::Password(user, password) => {
            let presented = Presented::of_user(&user, &password).ok_or(Rejection::Wrong)?;
            gate.identify(presented, peer).await?
        }
        By::Code(code) => gate.redeem(&code, peer)?,
    };
    let secret = call.api.gate.open_session(&identity).ok_or(Rejection::Wrong)?;
    let name = identity.name();
    tracing::info!(user = name, address = %call.access.peer, "logged in");
    call.api.facts().report(Fact::audit("auth.login").who("user", name).at(call.access.peer));
    Ok((identity, secret))
}

fn log_out(call: &Call) {
    let cookies = call.headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes);
    if let Some(secret) = session_of(cookies) {
        call.api.gate.close_session(&secret);
    }
}

/// A path of this server, which no browser takes for one of another.
fn is_local(next: &str) -> bool {
    next.starts_with('/') && !next.starts_with("//") && !next.contains(|c: char| c == '\\' || c.is_control())
}

/// Leads a browser on, also with a login that begins or ends.
fn redirect(to: &str, login: Option<Option<&Secret>>, is_encrypted: bool) -> Response {
    let mut response = Answer::status(StatusCode::SEE_OTHER).response();
    if let Ok(to) = HeaderValue::from_str(to) {
        response.headers_mut().insert(header::LOCATION, to);
    }
    if let Some(secret) = login {
        set_cookie(&mut response, secret, is_encrypted);
    }
    response
}

fn set_cookie(response: &mut Response, secret: Option<&Secret>, is_encrypted: bool) {
    if let Ok(cookie) = HeaderValue::from_str(&session_cookie(secret, is_encrypted)) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
}

/// Who one is, and what that may do on the server and on every stream.
fn description(call: &Call, identity: &Identity) -> Value {
    let may = |subject: Subject<'_>| -> Vec<_> {
        let gate = &call.api.gate;
        let is_allowed = |action: &Action| {
            matches!(gate.decide(identity, *action, subject, call.access.peer), Decision::Allowed { .. })
        };
        Action::ALL.into_iter().filter(is_allowed).map(Action::name).collect()
    };
    json!({"user": identity.name(), "server": may(Subject::Server), "streams": may(Subject::EveryStream)})
}

/// A refusal without a challenge: a browser would ask for a password itself.
fn problem(rejection: Rejection) -> Problem {
    match rejection {
        Rejection::TooMany { retry_after } => {
            let headers = vec![(header::RETRY_AFTER, HeaderValue::from(retry_after.as_secs() + 1))];
            Problem { headers, ..Problem::new(Kind::TooMany, rejection.to_string()) }
        }
        _ => Problem::new(Kind::Unauthorized, "the user, the password or the code is wrong"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_to_paths_of_this_server_only() {
        for path in ["/", "/cam0/play?a=b", "/stream/%C3%A9"] {
            assert!(is_local(path), "{path}");
        }
        for path in ["", "cam", "//evil.example/", "/\\evil.example", "https://evil.example", "/a\r\nSet-Cookie: b=c"] {
            assert!(!is_local(path), "{path}");
        }
    }
}
