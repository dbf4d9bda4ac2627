//! Signed links, for those who have no password.

use super::{
    call::{Answer, Call},
    problem::{Kind, Problem},
};
use crate::{
    access::{LINK_PARAMETER, LinkTerms},
    config::link_paths,
    output::record::playback::ask::duration,
    telemetry::Fact,
};
use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::{
    ops::RangeInclusive,
    time::{Duration, SystemTime},
};

/// How long a link can be good.
const LENGTHS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400 * 3660);

/// `POST /links`.
pub(super) async fn make(call: Call) -> Result<Answer, Problem> {
    let body = call.body()?;
    let terms = terms(&body)?;
    let policy = call.access.gate().policy();
    let Some((name, key)) = policy.policy().link_keys.last() else {
        let detail = "there is no key: `voyandz sign --new-key` prints one for `auth.link_keys`";
        return Err(Problem::new(Kind::NoKey, detail));
    };
    let link = terms.link(name, SystemTime::now()).map_err(|error| bad(&error.to_string()))?;
    let streams = call.state.registry.streams().iter();
    let of_pattern = streams.filter(|stream| link.streams.matches(stream.config.name.as_str()));
    let paths: Vec<_> =
        of_pattern.flat_map(|stream| link_paths(&stream.config, &link.actions, call.state.has_players)).collect();
    if paths.is_empty() {
        return Err(Problem::not_found("stream", terms.streams));
    }
    let signed = link.sign(key);
    let until = time(link.until)?;
    tracing::info!(streams = terms.streams, until, by = call.access.identity.name(), "link made by the API");
    call.report(Fact::audit("link.made").with("streams", terms.streams).with("until", until.as_str()));
    let paths: Vec<_> = paths.iter().map(|path| format!("{path}?{LINK_PARAMETER}={signed}")).collect();
    let answer = json!({
        "link": format!("{LINK_PARAMETER}={signed}"), "paths": paths, "until": until, "open_until": time(link.open_until)?,
    });
    Ok(Answer { status: StatusCode::CREATED, ..Answer::json(answer) })
}

fn time(time: SystemTime) -> Result<String, Problem> {
    let time = Timestamp::try_from(time).map_err(|_| bad("for: the link would end after the end of time"))?;
    Ok(time.to_string())
}

fn bad(detail: &str) -> Problem {
    Problem::new(Kind::BadRequest, detail)
}

/// The terms in a body: its keys are the options of `voyandz sign`.
fn terms(body: &Value) -> Result<LinkTerms<'_>, Problem> {
    let Some(keys) = body.as_object() else { return Err(bad("expected an object with `streams` and `for`")) };
    let mut terms = LinkTerms::default();
    let text = |key: &str, value| Value::as_str(value).ok_or_else(|| bad(&format!("{key}: expected a text")));
    let time = |key: &str, value: &Value| {
        let micros = value.as_str().and_then(duration).and_then(|micros| u64::try_from(micros).ok());
        let length = micros.map(Duration::from_micros).filter(|length| LENGTHS.contains(length));
        length.ok_or_else(|| bad(&format!("{key}: expected a time like 90s, 15m, 12h or 7d, up to ten years")))
    };
    let mut lasts = None;
    for (key, value) in keys {
        match key.as_str() {
            "streams" => terms.streams = text(key, value)?,
            "for" => lasts = Some(time(key, value)?),
            "open" => terms.open = Some(time(key, value)?),
            "from" => terms.from = Some(text(key, value)?),
            "name" => terms.name = text(key, value)?,
            "may" => {
                let names = value.as_array().and_then(|names| names.iter().map(Value::as_str).collect());
                terms.may = names.ok_or_else(|| bad("may: expected a list of names"))?;
            }
            _ => return Err(bad(&format!("unknown key `{key}`: there are streams, for, open, from, name, may"))),
        }
    }
    terms.lasts = lasts.ok_or_else(|| bad("expected `for`: how long the link is good"))?;
    Ok(terms)
}
