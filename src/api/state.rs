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
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::HashSet;

/// `GET /server`.
pub(super) async fn server(call: Call) -> Result<Answer, Problem> {
    let snapshot = call.snapshot()?;
    Ok(Answer::json(json!({"server": snapshot.get("server"), "totals": snapshot.get("totals")})))
}

/// `GET /feeds`.
pub(super) async fn feeds(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::json(call.query.page(feeds_of(&call)?, "name")?))
}

/// `GET /streams`.
pub(super) async fn streams(call: Call) -> Result<Answer, Problem> {
    if !call.query.is_by_name() {
        return Ok(Answer::json(call.query.page(streams_of(&call, |_| true)?, "name")?));
    }
    // Of a long list no more is read than the page has.
    let names = call.state.reader.stream_names().filter(|name| sees(&call, name)).map(str::to_owned);
    let window = call.query.window(names.collect())?;
    let mut found = streams_of(&call, |name| window.has(name))?;
    found.sort_by(|one, other| one["name"].as_str().cmp(&other["name"].as_str()));
    Ok(Answer::json(window.page(found)))
}

/// `GET /feeds/{name}`.
pub(super) async fn feed(call: Call) -> Result<Answer, Problem> {
    one_feed(&call).map(Answer::json)
}

/// `GET /streams/{name}`.
pub(super) async fn stream(call: Call) -> Result<Answer, Problem> {
    one_stream(&call).map(Answer::json)
}

/// `GET /feeds/{name}/history`.
pub(super) async fn feed_history(call: Call) -> Result<Answer, Problem> {
    one_feed(&call)?;
    past(call.state.reader.info().history().of_feed(call.parameter(0)))
}

/// `GET /streams/{name}/history`.
pub(super) async fn stream_history(call: Call) -> Result<Answer, Problem> {
    one_stream(&call)?;
    past(call.state.reader.info().history().of(call.parameter(0)))
}

/// Samples, the oldest first.
fn past<T: Serialize>(samples: Vec<T>) -> Result<Answer, Problem> {
    let samples = serde_json::to_value(samples).map_err(|error| Problem::new(Kind::Internal, error.to_string()))?;
    Ok(Answer::json(json!({"seconds": PERIOD.as_secs(), "samples": samples})))
}

fn one_feed(call: &Call) -> Result<Value, Problem> {
    let name = call.parameter(0);
    let found = feeds_of(call)?.into_iter().find(|entry| entry["name"] == name);
    found.ok_or_else(|| Problem::not_found("feed", name))
}

fn one_stream(call: &Call) -> Result<Value, Problem> {
    let name = call.parameter(0);
    let found = streams_of(call, |other| other == name)?.into_iter().next();
    found.ok_or_else(|| Problem::not_found("stream", name))
}

fn sees(call: &Call, stream: &str) -> bool {
    call.access.sees_all() || call.access.sees(stream)
}

/// The streams whose name `is_wanted`, of those that the client sees.
fn streams_of(call: &Call, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<Value>, Problem> {
    let found = call.state.reader.streams(|name| is_wanted(name) && sees(call, name));
    let streams = call.state.registry.streams();
    let held: HashSet<_> =
        streams.iter().filter(|stream| stream.control.is_held()).map(|stream| stream.config.name.as_str()).collect();
    found.iter().map(|stream| entry(stream, held.contains(&*stream.name))).collect()
}

/// The feeds that the client sees.
fn feeds_of(call: &Call) -> Result<Vec<Value>, Problem> {
    let snapshot = call.state.reader.snapshot().seen_by(&call.access);
    let feeds = call.state.registry.feeds();
    let held: HashSet<_> =
        feeds.iter().filter(|feed| feed.control.is_held()).map(|feed| feed.config.name.as_str()).collect();
    snapshot.feeds.iter().map(|feed| entry(feed, held.contains(&*feed.name))).collect()
}

/// An entry of `/stat.json`, and whether it was stopped by an order.
fn entry(state: &impl Serialize, is_stopped: bool) -> Result<Value, Problem> {
    let mut entry = serde_json::to_value(state).map_err(|error| Problem::new(Kind::Internal, error.to_string()))?;
    if let Value::Object(entry) = &mut entry {
        entry.insert("stopped".to_owned(), is_stopped.into());
    }
    Ok(entry)
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
            "rtp": member.rtp,
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
