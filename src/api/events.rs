//! `GET /events`: the journal, as server-sent events or by long polls. A client keeps its own position, the number of the last event that
//! it has: nothing waits for it, and a slow one costs nothing.

use super::{
    call::{Answer, Call, State},
    event_hub::{Events, MOST_CLIENTS},
    problem::{Kind, Problem},
};
use crate::{
    access::{Access, Action, Decision, Pattern, Subject},
    engine::registry::Registry,
    journal::{Lost, Record},
    output::http::disconnect::DisconnectWatch,
    status::diff::{ObservedState, Seen},
    telemetry::Scope,
};
use futures_util::{Stream, stream};
use http::header;
use serde_json::{Value, json};
use std::{
    collections::{HashSet, VecDeque},
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::{Instant, sleep_until},
};
use warp::{Reply as _, sse};

/// Records that are looked at together.
const TOGETHER: usize = 256;
/// Interval of the keep-alive: proxies close connections that are silent for half a minute or more.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// When a client that lost its connection may reconnect.
const RETRY: Duration = Duration::from_secs(1);
/// How often permissions are looked at while nothing happens.
const CHECK: Duration = Duration::from_secs(2);
/// Longest wait of a poll in seconds.
const LONGEST_WAIT: u64 = 60;
/// Events of a poll.
const USUAL: usize = 100;
const MOST: usize = 1000;

/// The parameters of `GET /events`.
pub(super) const PARAMETERS: &[&str] = &["after", "wait", "limit", "type", "name", "snapshot"];

/// The events that a client asks for.
#[derive(Debug, Clone, Default)]
struct Filter {
    types: Vec<Pattern>,
    names: Vec<Pattern>,
}

/// A client at its position.
struct Follower {
    events: Events,
    access: Access,
    state: watch::Receiver<Arc<State>>,
    filter: Filter,
    /// The number of the last record that was looked at.
    position: u64,
    newest: watch::Receiver<u64>,
    disconnected: Pin<Box<dyn Future<Output = ()> + Send + Sync>>,
    _permit: OwnedSemaphorePermit,
}

/// What comes next for a client.
enum Next {
    /// Numbers that there are no more, and events, each with its number and type.
    Some(Option<Lost>, Vec<Event>),
    /// Time is up.
    Nothing,
    /// There will be no more.
    End,
}

/// One event.
struct Event {
    number: u64,
    kind: String,
    data: Value,
}

/// `GET /events`.
pub(super) async fn events(call: Call) -> Result<Answer, Problem> {
    let filter = Filter { types: patterns(&call, "type")?, names: patterns(&call, "name")? };
    let limit = match call.query.get("limit").map(str::parse::<usize>) {
        None => USUAL,
        Some(Ok(limit @ 1..=MOST)) => limit,
        Some(_) => return Err(bad(&format!("limit: expected a number, 1 to {MOST}"))),
    };
    let wait = number(&call, "wait", LONGEST_WAIT)?.unwrap_or(0);
    let after = number(&call, "after", u64::MAX)?;
    let is_stream = call.header(header::ACCEPT).is_some_and(|kinds| kinds.contains("text/event-stream"));
    let has_snapshot = call.query.flag("snapshot")?;
    if has_snapshot && !is_stream {
        return Err(bad("snapshot: only with `Accept: text/event-stream`; GET /feeds and /streams have the state"));
    }
    let events = call.api.events.clone();
    let busy =
        || Problem::new(Kind::TooMany, format!("{MOST_CLIENTS} clients follow the events already: try again later"));
    let permit = events.permits.clone().try_acquire_owned().map_err(|_| busy())?;
    // A browser that reconnects repeats the URL, and says what it has by the header.
    let last = call.header(header::HeaderName::from_static("last-event-id")).filter(|_| is_stream);
    let last = last.map(|last| last.parse::<u64>().map_err(|_| bad("Last-Event-ID: expected a number"))).transpose()?;
    let newest = events.journal.newest();
    let position = match last.or(after) {
        Some(position) => position.min(newest),
        None if is_stream => newest,
        None if wait > 0 => newest,
        None => events.journal.before_last(limit),
    };
    let snapshot = (has_snapshot && last.is_none()).then(|| snapshot(&call));
    let client: DisconnectWatch = call.client.clone();
    let mut follower = Follower {
        newest: events.journal.subscribe(),
        events,
        access: call.access,
        state: call.api.state.clone(),
        filter,
        position,
        disconnected: Box::pin(async move { client.wait().await }),
        _permit: permit,
    };
    if is_stream {
        let first = snapshot.map(|data| Event { number: position, kind: "snapshot".to_owned(), data });
        let reply = sse::keep_alive().interval(KEEPALIVE).text("").stream(follower.stream(first));
        return Ok(Answer::reply(sse::reply(reply).into_response()));
    }
    let until = Instant::now() + Duration::from_secs(wait);
    let (lost, items) = match follower.next(limit, Some(until)).await {
        Next::Some(lost, events) => (lost, events),
        Next::Nothing | Next::End => (None, Vec::new()),
    };
    let items: Vec<_> = items.into_iter().map(|event| event.data).collect();
    Ok(Answer::json(json!({"items": items, "next": follower.position, "lost": lost.map(gap)})))
}

impl Follower {
    /// The events from its position on, as server-sent events.
    fn stream(self, first: Option<Event>) -> impl Stream<Item = Result<sse::Event, Infallible>> {
        let waiting: VecDeque<_> =
            [sse::Event::default().retry(RETRY)].into_iter().chain(first.map(Event::sent)).collect();
        stream::unfold((self, waiting), |(mut follower, mut waiting)| async move {
            while waiting.is_empty() {
                match follower.next(TOGETHER, None).await {
                    Next::Some(lost, events) => {
                        let lost = lost.map(|lost| Event { number: lost.to, kind: "lost".to_owned(), data: gap(lost) });
                        waiting.extend(lost.into_iter().chain(events).map(Event::sent));
                    }
                    Next::Nothing => {}
                    Next::End => return None,
                }
            }
            waiting.pop_front().map(|event| (Ok(event), (follower, waiting)))
        })
    }

    /// The next events that it may see and asks for, at most `most`; waits for them, at most until `until`.
    async fn next(&mut self, most: usize, until: Option<Instant>) -> Next {
        let mut lost = None;
        loop {
            if !matches!(self.access.decide(Action::Status, Subject::Server), Decision::Allowed { .. }) {
                return Next::End;
            }
            self.newest.borrow_and_update();
            let batch = self.events.journal.after(self.position, TOGETHER).await;
            lost = lost.or(batch.lost);
            let has_more = batch.records.len() == TOGETHER;
            let mut events = Vec::new();
            if !batch.records.is_empty() {
                let state = self.state.borrow().clone();
                let view = View::of(&self.access, &state.registry);
                for record in &batch.records {
                    if events.len() == most {
                        break;
                    }
                    self.position = record.number;
                    if self.filter.wants(record)
                        && let Some(persons) = view.sees(record)
                    {
                        let data = record.event(&self.events.source, persons);
                        events.push(Event { number: record.number, kind: record.kind.clone(), data });
                    }
                }
            }
            if !events.is_empty() || lost.is_some() {
                return Next::Some(lost, events);
            }
            if has_more {
                continue;
            }
            if until.is_some_and(|until| until <= Instant::now()) {
                return Next::Nothing;
            }
            let look = Instant::now() + CHECK;
            let stop = self.events.stop.clone();
            tokio::select! {
                changed = self.newest.changed() => if changed.is_err() { return Next::End },
                () = stop.cancelled() => return Next::End,
                () = &mut self.disconnected => return Next::End,
                () = sleep_until(until.map_or(look, |until| until.min(look))) => {}
            }
        }
    }
}

impl Event {
    fn sent(self) -> sse::Event {
        sse::Event::default().id(self.number.to_string()).event(self.kind).data(self.data.to_string())
    }
}

impl Filter {
    fn wants(&self, record: &Record) -> bool {
        let fits = |patterns: &[Pattern], text: &str| {
            patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches(text))
        };
        fits(&self.types, &record.kind) && fits(&self.names, record.name.as_deref().unwrap_or_default())
    }
}

/// What a client may see at this moment.
struct View<'a> {
    access: &'a Access,
    registry: &'a Registry,
    /// The feeds of the streams that it sees; `None` where it sees all.
    feeds: Option<HashSet<String>>,
}

impl<'a> View<'a> {
    fn of(access: &'a Access, registry: &'a Registry) -> Self {
        let feeds = (!access.sees_all()).then(|| registry.feeds_of(&|stream| access.sees(stream)));
        Self { access, registry, feeds }
    }

    /// Whether it sees the record; `Some(true)` with who it was.
    fn sees(&self, record: &Record) -> Option<bool> {
        let may =
            |action, subject: Subject<'_>| matches!(self.access.decide(action, subject), Decision::Allowed { .. });
        let name = record.name.as_deref().unwrap_or_default();
        match record.scope {
            Scope::Server => Some(may(Action::Users, Subject::Server)),
            Scope::Audit => may(Action::Users, Subject::Server).then_some(true),
            Scope::Stream => self.access.sees(name).then(|| may(Action::Kick, Subject::Stream(name))),
            Scope::Feed => {
                let is_seen = self.feeds.as_ref().is_none_or(|feeds| feeds.contains(name));
                is_seen.then(|| {
                    let streams = self.registry.streams_of(name);
                    match streams.is_empty() {
                        true => may(Action::Kick, Subject::EveryStream),
                        false => streams.iter().all(|stream| may(Action::Kick, Subject::Stream(stream))),
                    }
                })
            }
        }
    }
}

fn snapshot(call: &Call) -> Value {
    let access = &call.access;
    let state = ObservedState::of(&call.state.reader.snapshot());
    state.shown(&Seen { all: access.sees_all(), stream: &|name| access.sees(name) })
}

fn gap(lost: Lost) -> Value {
    json!({"from": lost.from, "to": lost.to})
}

fn patterns(call: &Call, name: &str) -> Result<Vec<Pattern>, Problem> {
    let given = call.query.get(name).into_iter().flat_map(|given| given.split(','));
    let expected =
        || bad(&format!("{name}: expected one or several, separated by commas, in which * stands for any characters"));
    given.map(|pattern| Pattern::new(pattern.trim()).ok_or_else(expected)).collect()
}

fn number(call: &Call, name: &str, most: u64) -> Result<Option<u64>, Problem> {
    let Some(given) = call.query.get(name) else { return Ok(None) };
    let number = given.parse().ok().filter(|number| *number <= most);
    let expected =
        if most == u64::MAX { "expected a number".to_owned() } else { format!("expected a number, 0 to {most}") };
    number.map(Some).ok_or_else(|| bad(&format!("{name}: {expected}")))
}

fn bad(detail: &str) -> Problem {
    Problem::new(Kind::BadRequest, detail)
}
