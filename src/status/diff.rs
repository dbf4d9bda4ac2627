//! The changes of the state, numbered and in order. Pure.
//!
//! A changed entry is sent as a whole, so that only its newest version matters. A subscriber keeps its own position in the
//! history; one that lagged too far gets the complete state again, like a new one.

use super::snapshot::{Configuration, Feed, Life, StatusSnapshot, Stream};
use serde::Serialize;
use std::{collections::VecDeque, sync::Arc};

/// Changes that are kept for reconnecting subscribers: minutes of a server whose feeds all fail and recover.
const KEPT: usize = 1024;

/// The observed part of the state at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ObservedState {
    configuration: ConfigState,
    feeds: Vec<UnitState>,
    streams: Vec<UnitState>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct ConfigState {
    loaded: String,
    error: Option<String>,
}

/// A feed or stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct UnitState {
    name: String,
    /// The feeds that it reads.
    #[serde(skip)]
    reads: Vec<String>,
    state: &'static str,
    since: String,
    starts: u64,
    restarts: u64,
    last_error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    readers: Option<usize>,
    /// The state of its recorder, and the file that it writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    recording: Option<RecordingState>,
    /// The states of its pushes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pushes: Vec<PushedState>,
}

/// A push.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct PushedState {
    to: String,
    state: &'static str,
    error: Option<String>,
    failures: u64,
}

/// A recorder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct RecordingState {
    state: &'static str,
    error: Option<String>,
    file: Option<String>,
    failures: u64,
    deleted_files: u64,
}

/// A removed feed or stream.
#[derive(Debug, Serialize)]
struct Removed<'a> {
    name: &'a str,
}

/// The recent changes.
#[derive(Debug)]
pub struct History {
    /// Distinguishes the ids of this run of the server from those of earlier runs.
    run: u128,
    state: Option<ObservedState>,
    /// The number of the newest change.
    newest: u64,
    changes: VecDeque<Change>,
}

#[derive(Debug, Clone)]
struct Change {
    kind: &'static str,
    data: Arc<str>,
    /// Who sees one of these streams sees it; `None` for all.
    streams: Option<Arc<[String]>>,
}

/// What a subscriber may see.
pub struct Seen<'a> {
    /// All streams that there may be, and what names any of them.
    pub all: bool,
    /// Whether it is this stream.
    pub stream: &'a dyn Fn(&str) -> bool,
}

impl Seen<'_> {
    fn any(&self, streams: &[String]) -> bool {
        self.all || streams.iter().any(|name| (self.stream)(name))
    }
}

/// The position of a subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// Has received nothing.
    Start,
    /// Has received all changes up to this one.
    After(u64),
}

/// The next event of a subscriber.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateEvent {
    /// Identifies the position after it.
    pub id: String,
    /// The type of the event: `snapshot`, `feed`, and so on.
    pub kind: &'static str,
    /// JSON, on one line.
    pub data: Arc<str>,
}

impl ObservedState {
    /// The observed part of a snapshot.
    pub fn of(snapshot: &StatusSnapshot) -> Self {
        let Configuration { loaded, error, .. } = &snapshot.server.configuration;
        let feed = |feed: &Feed| UnitState::of(&feed.name, feed.feed.as_slice(), &feed.life, None);
        let stream = |stream: &Stream| UnitState {
            recording: stream.recording.as_ref().map(|recording| RecordingState {
                state: recording.state,
                error: recording.error.clone(),
                file: recording.file.clone(),
                failures: recording.failures,
                deleted_files: recording.deleted_files,
            }),
            pushes: stream
                .pushes
                .iter()
                .map(|push| PushedState {
                    to: push.to.clone(),
                    state: push.state,
                    error: push.error.clone(),
                    failures: push.failures,
                })
                .collect(),
            ..UnitState::of(&stream.name, &stream.feeds, &stream.life, Some(stream.viewers.readers))
        };
        let (feeds, streams) = (snapshot.feeds.iter().map(feed), snapshot.streams.iter().map(stream));
        Self {
            configuration: ConfigState { loaded: loaded.clone(), error: error.clone() },
            feeds: feeds.collect(),
            streams: streams.collect(),
        }
    }
}

impl ObservedState {
    /// What of it is seen, as JSON.
    pub fn shown(&self, seen: &Seen<'_>) -> serde_json::Value {
        let shown = if seen.all { serde_json::to_value(self) } else { serde_json::to_value(self.seen(seen)) };
        // Serialising fails only for types that are not used here.
        shown.unwrap_or_default()
    }

    /// What of it is seen.
    fn seen(&self, seen: &Seen<'_>) -> Self {
        let streams = self.streams.iter().filter(|stream| (seen.stream)(&stream.name));
        let feeds = self.feeds.iter().filter(|feed| seen.any(&self.users_of(&feed.name)));
        Self {
            configuration: self.configuration.without_error(),
            feeds: feeds.cloned().collect(),
            streams: streams.cloned().collect(),
        }
    }

    /// The streams that a feed is for, also by way of other feeds.
    fn users_of(&self, feed: &str) -> Vec<String> {
        let mut names = vec![feed];
        // No feed comes back to itself; a longer chain than there are feeds is none.
        for _ in &self.feeds {
            let reads = |unit: &&UnitState| unit.reads.iter().any(|read| names.contains(&read.as_str()));
            let new = self.feeds.iter().filter(reads).map(|unit| unit.name.as_str());
            let new: Vec<_> = new.filter(|name| !names.contains(name)).collect();
            if new.is_empty() {
                break;
            }
            names.extend(new);
        }
        let reads = |unit: &&UnitState| unit.reads.iter().any(|read| names.contains(&read.as_str()));
        self.streams.iter().filter(reads).map(|stream| stream.name.clone()).collect()
    }
}

impl ConfigState {
    /// Tells that there is an error, and not which.
    fn without_error(&self) -> Self {
        let error = self.error.as_ref().map(|_| "the newest configuration has errors".to_owned());
        Self { loaded: self.loaded.clone(), error }
    }
}

impl UnitState {
    fn of(name: &str, reads: &[String], life: &Life, readers: Option<usize>) -> Self {
        let Life { state, since, starts, restarts, last_error, .. } = life;
        Self {
            name: name.to_owned(),
            reads: reads.to_vec(),
            state,
            since: since.clone(),
            starts: *starts,
            restarts: *restarts,
            last_error: last_error.clone(),
            readers,
            recording: None,
            pushes: Vec::new(),
        }
    }
}

impl History {
    /// An empty history; `run` distinguishes this run of the server.
    pub fn new(run: u128) -> Self {
        Self { run, state: None, newest: 0, changes: VecDeque::new() }
    }

    /// Records the current state. What is unchanged makes no event.
    pub fn record(&mut self, state: ObservedState) {
        if let Some(before) = self.state.take() {
            if before.configuration != state.configuration {
                self.push("configuration", &state.configuration, None);
            }
            let users = |name: &str| [before.users_of(name), state.users_of(name)].concat();
            self.compare(["feed", "feed-gone"], &before.feeds, &state.feeds, &users);
            self.compare(["stream", "stream-gone"], &before.streams, &state.streams, &|name| vec![name.to_owned()]);
        }
        self.state = Some(state);
    }

    /// `streams` are those that show a unit to whoever sees them.
    fn compare(
        &mut self,
        [kind, gone]: [&'static str; 2],
        before: &[UnitState],
        now: &[UnitState],
        streams: &dyn Fn(&str) -> Vec<String>,
    ) {
        for unit in before.iter().filter(|unit| now.iter().all(|other| other.name != unit.name)) {
            self.push(gone, &Removed { name: &unit.name }, Some(streams(&unit.name).into()));
        }
        for unit in now.iter().filter(|unit| !before.contains(unit)) {
            self.push(kind, unit, Some(streams(&unit.name).into()));
        }
    }

    fn push(&mut self, kind: &'static str, value: &impl Serialize, streams: Option<Arc<[String]>>) {
        self.newest += 1;
        self.changes.push_back(Change { kind, data: json(value), streams });
        if self.changes.len() > KEPT {
            self.changes.pop_front();
        }
    }

    /// The position after the event with this id.
    pub fn position(&self, id: &str) -> Position {
        let number = id.split_once('-').filter(|(run, _)| *run == format!("{:x}", self.run));
        let number = number.and_then(|(_, number)| number.parse().ok()).filter(|number| *number <= self.newest);
        number.map_or(Position::Start, Position::After)
    }

    /// The next event at this position that is seen; the position advances.
    pub fn next(&self, position: &mut Position, seen: &Seen<'_>) -> Option<StateEvent> {
        let oldest = self.newest.saturating_sub(self.changes.len() as u64);
        let Position::After(mut number) = *position else { return self.snapshot(position, seen) };
        if number < oldest {
            return self.snapshot(position, seen);
        }
        while number < self.newest {
            let Change { kind, data, streams } = self.changes.get(usize::try_from(number - oldest).ok()?)?;
            number += 1;
            *position = Position::After(number);
            let (id, kind) = (self.id(number), *kind);
            match streams {
                // Its error may name what is not seen.
                None if !seen.all => {
                    let data = json(&self.state.as_ref()?.configuration.without_error());
                    return Some(StateEvent { id, kind, data });
                }
                Some(streams) if !seen.any(streams) => {}
                _ => return Some(StateEvent { id, kind, data: data.clone() }),
            }
        }
        None
    }

    /// The whole state, as far as it is seen.
    fn snapshot(&self, position: &mut Position, seen: &Seen<'_>) -> Option<StateEvent> {
        let state = self.state.as_ref()?;
        let data = if seen.all { json(state) } else { json(&state.seen(seen)) };
        *position = Position::After(self.newest);
        Some(StateEvent { id: self.id(self.newest), kind: "snapshot", data })
    }

    fn id(&self, number: u64) -> String {
        format!("{:x}-{number}", self.run)
    }
}

fn json(value: &impl Serialize) -> Arc<str> {
    // Serialising to a string fails only for types that are not used here.
    serde_json::to_string(value).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn state(streams: &[(u8, usize)]) -> ObservedState {
        let unit = |(name, readers): &(u8, usize)| UnitState {
            name: name.to_string(),
            reads: Vec::new(),
            state: "idle",
            since: String::new(),
            starts: 0,
            restarts: 0,
            last_error: None,
            readers: Some(*readers),
            recording: None,
            pushes: Vec::new(),
        };
        let configuration = ConfigState { loaded: String::new(), error: None };
        ObservedState { configuration, feeds: Vec::new(), streams: streams.iter().map(unit).collect() }
    }

    fn all(history: &History, position: &mut Position) -> Vec<StateEvent> {
        std::iter::from_fn(|| history.next(position, &Seen { all: true, stream: &|_| true })).collect()
    }

    fn kinds(events: &[StateEvent]) -> Vec<&str> {
        events.iter().map(|event| event.kind).collect()
    }

    #[test]
    fn the_snapshot_comes_first_and_then_the_changes() {
        let mut history = History::new(0xab);
        let mut position = Position::Start;
        assert_eq!(all(&history, &mut position), [], "nothing is recorded yet");
        history.record(state(&[(1, 0), (2, 0)]));
        let first = all(&history, &mut position);
        assert_eq!((kinds(&first), first[0].id.as_str()), (vec!["snapshot"], "ab-0"));
        history.record(state(&[(1, 0), (2, 0)]));
        assert!(all(&history, &mut position).is_empty(), "nothing changed");
        history.record(state(&[(2, 5), (3, 0)]));
        let next = all(&history, &mut position);
        assert_eq!(kinds(&next), ["stream-gone", "stream", "stream"]);
        assert_eq!((&*next[0].data, next[2].id.as_str()), (r#"{"name":"1"}"#, "ab-3"));
        assert!(next[1].data.contains(r#""name":"2""#) && next[1].data.contains(r#""readers":5"#));
    }

    #[test]
    fn a_reconnecting_subscriber_continues_unless_too_much_happened() {
        let mut history = History::new(0xab);
        (0..10).for_each(|readers| history.record(state(&[(1, readers)])));
        assert_eq!(kinds(&all(&history, &mut history.position("ab-7"))), ["stream", "stream"]);
        assert!(all(&history, &mut history.position("ab-9")).is_empty());
        for unknown in ["ab-10", "ac-7", "ab", "", "ab--1", "é-é"] {
            assert_eq!(history.position(unknown), Position::Start, "{unknown}");
        }
        (0..2 * KEPT).for_each(|readers| history.record(state(&[(1, readers)])));
        assert_eq!(history.changes.len(), KEPT);
        let mut late = history.position("ab-7");
        let events = all(&history, &mut late);
        assert_eq!((kinds(&events), late), (vec!["snapshot"], Position::After(history.newest)));
    }

    #[test]
    fn a_subscriber_learns_only_of_what_it_sees() {
        let with_feeds = |streams: &[(u8, usize)], starts: u64| {
            let mut state = state(streams);
            let feed = |name: &str, reads: &[&str]| UnitState {
                name: name.to_owned(),
                reads: reads.iter().map(ToString::to_string).collect(),
                starts,
                readers: None,
                ..state.streams[0].clone()
            };
            state.feeds = vec![feed("f", &[]), feed("f2", &["f"]), feed("g", &[])];
            state.streams.iter_mut().for_each(|stream| {
                stream.reads = vec![if stream.name == "1" { "f2" } else { "g" }.to_owned()];
            });
            state.configuration.error = Some("streams.2: wrong".to_owned());
            state
        };
        let seen = Seen { all: false, stream: &|name| name == "1" };
        let mut history = History::new(1);
        history.record(with_feeds(&[(1, 0), (2, 0)], 1));
        let mut position = Position::Start;
        let first = history.next(&mut position, &seen).unwrap();
        let data: serde_json::Value = serde_json::from_str(&first.data).unwrap();
        let names = |list: &str| {
            data[list].as_array().unwrap().iter().map(|unit| unit["name"].as_str().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!((names("streams"), names("feeds")), (vec!["1"], vec!["f", "f2"]));
        assert!(!first.data.contains("wrong"));
        history.record(with_feeds(&[(1, 1)], 2));
        let mut next = || history.next(&mut position, &seen).map(|event| (event.kind, event.data.to_string()));
        let events: Vec<_> = std::iter::from_fn(&mut next).collect();
        let kinds: Vec<_> = events.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, ["feed", "feed", "stream"], "{events:?}");
        assert!(events.iter().all(|(_, data)| !data.contains("\"name\":\"g\"") && !data.contains("\"name\":\"2\"")));
        assert_eq!(position, Position::After(history.newest));
    }

    /// Applies an event to what a subscriber knows.
    fn apply(known: &mut BTreeMap<String, serde_json::Value>, event: &StateEvent) {
        let mut data: serde_json::Value = serde_json::from_str(&event.data).unwrap();
        let name = |data: &serde_json::Value| data["name"].as_str().unwrap().to_owned();
        match event.kind {
            "snapshot" => {
                let streams = data["streams"].take();
                *known = streams.as_array().unwrap().iter().map(|unit| (name(unit), unit.clone())).collect();
            }
            "stream" => drop(known.insert(name(&data), data)),
            "stream-gone" => drop(known.remove(&name(&data))),
            other => panic!("{other}"),
        }
    }

    proptest! {
        #[test]
        fn every_subscriber_knows_the_state_in_the_end(
            steps in prop::collection::vec((prop::collection::btree_map(0..4u8, 0..3usize, 0..4), any::<bool>()), 1..40)
        ) {
            let mut history = History::new(1);
            let (mut position, mut known) = (Position::Start, BTreeMap::new());
            let last = steps.last().map(|(streams, _)| streams.clone()).unwrap();
            for (streams, listens) in steps {
                history.record(state(&streams.into_iter().collect::<Vec<_>>()));
                if listens {
                    all(&history, &mut position).iter().for_each(|event| apply(&mut known, event));
                }
            }
            all(&history, &mut position).iter().for_each(|event| apply(&mut known, event));
            let expected: BTreeMap<_, _> = last.iter().map(|(name, readers)| (name.to_string(), *readers)).collect();
            let known: BTreeMap<_, _> = known.into_iter().map(|(name, unit)| (name, unit["readers"].as_u64().unwrap() as usize)).collect();
            prop_assert_eq!(known, expected);
        }
    }
}
