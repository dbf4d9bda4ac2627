//! Orders to what runs.

use super::{
    call::{Answer, Api, Call, State},
    problem::{Kind, Problem},
    state::viewer,
};
use crate::{
    access::{Access, Action, Decision, Subject},
    engine::registry::StreamHandle,
    source::{control::Control, publisher::PublishSlot},
    stream::Pause,
    telemetry::Fact,
};
use http::StatusCode;
use std::sync::Arc;

/// Why a publisher ends.
const KICKED: &str = "ended by an operator";

/// `POST /feeds/{name}/{order}`.
pub(super) async fn feed(call: Call) -> Result<Answer, Problem> {
    let name = call.parameter(0);
    let feed = call.state.registry.feeds().iter().find(|feed| feed.config.name.as_str() == name);
    let feed = feed.ok_or_else(|| Problem::not_found("feed", name))?;
    permit_feed(&call.state, &call.access, name)?;
    let ordered = Ordered { control: &feed.control, pause: feed.pauses.own() };
    carry_out(&call, &ordered, call.parameter(1), Fact::feed("feed.ordered", name))
}

/// `POST /streams/{name}/{order}`.
pub(super) async fn stream(call: Call) -> Result<Answer, Problem> {
    let (stream, order) = (of(&call)?, call.parameter(1));
    let ordered = Ordered { control: &stream.control, pause: stream.pauses.own() };
    carry_out(&call, &ordered, order, Fact::stream("stream.ordered", call.parameter(0)))
}

/// `POST /streams/{name}/pushes/{number}/{order}`.
pub(super) async fn push(call: Call) -> Result<Answer, Problem> {
    let (stream, number, order) = (of(&call)?, call.parameter(1), call.parameter(2));
    let control = number.parse().ok().and_then(|number| stream.pushes.control(number));
    let control = control.ok_or_else(|| Problem::not_found("push of the stream", number))?;
    let fact = Fact::stream("stream.ordered", call.parameter(0)).with("push", number.to_owned());
    carry_out(&call, &Ordered { control: &control, pause: None }, order, fact)
}

/// `POST /streams/{name}/keyframe`.
pub(super) async fn keyframe(call: Call) -> Result<Answer, Problem> {
    of(&call)?.fanout.want_keyframe();
    Ok(Answer::status(StatusCode::NO_CONTENT))
}

/// `DELETE /viewers/{id}`.
pub(super) async fn kick(call: Call) -> Result<Answer, Problem> {
    let id = call.parameter(0);
    let (stream, number) = viewer(&call, id)?;
    match end_viewer(&call.api, &call.access, &stream, number) {
        Some(true) => Ok(Answer::status(StatusCode::NO_CONTENT)),
        Some(false) => {
            let detail = "it plays by single requests: withdraw its permission, or add its address to auth.deny";
            Err(Problem::new(Kind::CannotBeEnded, detail))
        }
        None => Err(Problem::not_found("viewer", id)),
    }
}

/// `DELETE /publishers/{feed}`.
pub(super) async fn kick_publisher(call: Call) -> Result<Answer, Problem> {
    let name = call.parameter(0);
    let feed = call.state.registry.feeds().iter().find(|feed| feed.config.name.as_str() == name);
    let slot = feed.and_then(|feed| feed.publish.as_ref());
    let slot = slot.filter(|slot| slot.read().current.is_some());
    let slot = slot.ok_or_else(|| Problem::not_found("publisher of the feed", name))?;
    permit_feed(&call.state, &call.access, name)?;
    end_publisher(&call.api, &call.access, slot);
    Ok(Answer::status(StatusCode::NO_CONTENT))
}

/// Ends a viewer for one who may. Returns whether there is one with this number; `Some(false)` where it has no connection that could end.
pub(super) fn end_viewer(api: &Api, access: &Access, stream: &StreamHandle, number: u64) -> Option<bool> {
    let found = stream.viewers.kick(number);
    if found == Some(true) {
        let (name, by) = (&stream.config.name, access.identity.name());
        tracing::info!(stream = %name, viewer = number, by, "viewer disconnected by the API");
        let fact = Fact::stream("stream.ordered", name.as_str()).with("order", "end viewer");
        api.report(access, fact.with("viewer", number));
    }
    found
}

/// Ends the publisher of a feed for one who may.
pub(super) fn end_publisher(api: &Api, access: &Access, slot: &PublishSlot) {
    slot.kick(KICKED);
    let feed = slot.feed();
    tracing::info!(%feed, by = access.identity.name(), "publisher disconnected by the API");
    api.report(access, Fact::feed("feed.ordered", feed.as_str()).with("order", "end publisher"));
}

/// What takes an order.
struct Ordered<'a> {
    control: &'a Control,
    /// Of a feed or stream.
    pause: Option<&'a Pause>,
}

fn carry_out(call: &Call, ordered: &Ordered<'_>, order: &str, fact: Fact) -> Result<Answer, Problem> {
    let length = call.length()?;
    let Ordered { control, pause } = *ordered;
    match (order, length, pause) {
        ("restart", None, _) => control.restart(),
        ("stop", None, _) => control.hold(),
        ("stop", Some(length), _) => control.hold_for(length),
        ("start", None, _) => control.release(),
        ("pause", None, Some(pause)) => pause.pause(),
        ("pause", Some(length), Some(pause)) => pause.pause_for(length),
        ("resume", None, Some(pause)) => pause.resume(),
        ("restart" | "start", Some(_), _) | ("resume", Some(_), Some(_)) => {
            let detail = if pause.is_some() { "for= is for `stop` and `pause`" } else { "for= is for `stop`" };
            return Err(Problem::new(Kind::BadRequest, detail));
        }
        _ => {
            let more = if pause.is_some() { ", pause, resume" } else { "" };
            return Err(Problem::new(Kind::NotFound, format!("`{order}` is no order: restart, stop, start{more}")));
        }
    }
    let (kind, name) = (fact.kind, fact.name.clone());
    tracing::info!(order, name, by = call.access.identity.name(), "{kind}");
    let fact = fact.with("order", order);
    call.report(match length {
        Some(length) => fact.with("seconds", length.as_secs()),
        None => fact,
    });
    Ok(Answer::status(StatusCode::ACCEPTED))
}

fn of(call: &Call) -> Result<Arc<StreamHandle>, Problem> {
    let name = call.parameter(0);
    let stream = call.state.registry.streams().iter().find(|stream| stream.config.name.as_str() == name);
    stream.cloned().ok_or_else(|| Problem::not_found("stream", name))
}

/// Whoever ends a feed ends all streams of it.
pub(super) fn permit_feed(state: &State, access: &Access, feed: &str) -> Result<(), Problem> {
    let streams = state.registry.streams().iter();
    let of_feed = streams.filter(|stream| stream.config.feeds.iter().any(|name| name.as_str() == feed));
    let mut subjects: Vec<_> = of_feed.map(|stream| Subject::Stream(stream.config.name.as_str())).collect();
    if subjects.is_empty() {
        subjects.push(Subject::EveryStream);
    }
    subjects.into_iter().try_for_each(|subject| permit(access, subject))
}

fn permit(access: &Access, subject: Subject<'_>) -> Result<(), Problem> {
    match access.decide(Action::Kick, subject) {
        Decision::Allowed { .. } => Ok(()),
        Decision::Refused(_) => {
            let detail = "this needs the permission kick for every stream of the feed";
            Err(Problem::new(Kind::Forbidden, detail))
        }
    }
}
