//! The state: as `/stat.json` has it, entry by entry, and the viewers.

use super::{
    call::{Answer, Call},
    problem::{Kind, Problem},
};
use crate::{
    access::{Action, Decision, Subject},
    engine::registry::StreamHandle,
    status::history::PERIOD,
};
use jiff::Timestamp;
use serde_json::{Value, json};

/// `GET /server`.
pub(super) async fn server(call: Call) -> Result<Answer, Problem> {
    let snapshot = call.snapshot()?;
    Ok(Answer::json(json!({"server": snapshot.get("server"), "totals": snapshot.get("totals")})))
}

/// `GET /feeds`.
pub(super) async fn feeds(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::json(call.query.page(entries(&call, "feeds")?, "name")?))
}

/// `GET /streams`.
pub(super) async fn streams(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::json(call.query.page(entries(&call, "streams")?, "name")?))
}

/// `GET /feeds/{name}`.
pub(super) async fn feed(call: Call) -> Result<Answer, Problem> {
    one(&call, "feeds", "feed")
}

/// `GET /streams/{name}`.
pub(super) async fn stream(call: Call) -> Result<Answer, Problem> {
    one(&call, "streams", "stream")
}

/// `GET /streams/{name}/history`.
pub(super) async fn history(call: Call) -> Result<Answer, Problem> {
    one(&call, "streams", "stream")?;
    let samples = call.state.reader.info().history().of(call.parameter(0));
    let samples = serde_json::to_value(samples).map_err(|error| Problem::new(Kind::Internal, error.to_string()))?;
    Ok(Answer::json(json!({"seconds": PERIOD.as_secs(), "samples": samples})))
}

fn one(call: &Call, list: &str, what: &str) -> Result<Answer, Problem> {
    let name = call.parameter(0);
    let found = entries(call, list)?.into_iter().find(|entry| entry["name"] == name);
    found.map(Answer::json).ok_or_else(|| Problem::not_found(what, name))
}

fn entries(call: &Call, list: &str) -> Result<Vec<Value>, Problem> {
    let mut snapshot = call.snapshot()?;
    let mut entries = match snapshot.get_mut(list).map(Value::take) {
        Some(Value::Array(entries)) => entries,
        _ => Vec::new(),
    };
    let registry = &call.state.registry;
    for entry in &mut entries {
        let name = entry["name"].as_str().unwrap_or_default();
        let held = match list {
            "feeds" => registry.feeds().iter().find(|feed| feed.config.name.as_str() == name).map(|feed| &feed.control),
            _ => registry
                .streams()
                .iter()
                .find(|stream| stream.config.name.as_str() == name)
                .map(|stream| &stream.control),
        };
        let held = held.is_some_and(crate::source::control::Control::is_held);
        if let Value::Object(entry) = entry {
            entry.insert("stopped".to_owned(), held.into());
        }
    }
    Ok(entries)
}

/// `GET /viewers`: of the streams whose viewers one may end.
pub(super) async fn viewers(call: Call) -> Result<Answer, Problem> {
    let may = |name: &str| matches!(call.access.decide(Action::Kick, Subject::Stream(name)), Decision::Allowed { .. });
    let mut found = Vec::new();
    for stream in call.state.registry.streams().iter().filter(|stream| may(stream.config.name.as_str())) {
        found.extend(viewers_of(stream));
    }
    Ok(Answer::json(call.query.page(found, "id")?))
}

/// `GET /publishers`: who publishes now.
pub(super) async fn publishers(call: Call) -> Result<Answer, Problem> {
    let streams = call.state.registry.streams();
    let is_seen = |feed: &str| {
        call.access.sees_all()
            || streams.iter().any(|stream| {
                stream.config.feeds.iter().any(|name| name.as_str() == feed)
                    && call.access.sees(stream.config.name.as_str())
            })
    };
    let found =
        call.state.registry.feeds().iter().filter(|feed| is_seen(feed.config.name.as_str())).filter_map(|feed| {
            let current = feed.publish.as_ref()?.read().current?;
            Some(json!({
                "feed": feed.config.name.as_str(),
                "protocol": current.info.protocol.name(),
                "user": current.info.user,
                "agent": current.info.agent,
                "address": current.info.peer.to_string(),
                "since": Timestamp::try_from(current.since).map(|time| time.to_string()).unwrap_or_default(),
                "bytes": current.bytes,
                "samples": current.samples,
            }))
        });
    Ok(Answer::json(call.query.page(found.collect(), "feed")?))
}

fn viewers_of(stream: &StreamHandle) -> Vec<Value> {
    let name = stream.config.name.as_str();
    let members = stream.viewers.list().into_iter();
    let shown = members.map(|member| {
        json!({
            // By age where they are sorted by name.
            "id": format!("{name}:{:010}", member.number),
            "stream": name,
            "protocol": member.protocol,
            "user": member.user.as_deref(),
            "address": member.peer.to_string(),
            "since": Timestamp::try_from(member.since).map(|time| time.to_string()).unwrap_or_default(),
            "bytes_out": member.progress.bytes,
            "gaps": member.progress.gaps,
            "reduced": member.progress.is_reduced,
        })
    });
    shown.collect()
}

/// The stream and number of a viewer's id.
pub(super) fn viewer(call: &Call, id: &str) -> Result<(std::sync::Arc<StreamHandle>, u64), Problem> {
    let missing = || Problem::not_found("viewer", id);
    let (name, number) = id.rsplit_once(':').ok_or_else(missing)?;
    let number = number.parse().map_err(|_| missing())?;
    let stream = call.state.registry.streams().iter().find(|stream| stream.config.name.as_str() == name);
    let stream = stream.ok_or_else(missing)?;
    match call.access.decide(Action::Kick, Subject::Stream(name)) {
        Decision::Allowed { .. } => Ok((stream.clone(), number)),
        Decision::Refused(_) => {
            Err(Problem::new(Kind::Forbidden, format!("this needs the permission kick for `{name}`")))
        }
    }
}
