//! The changes of the state, numbered and in order. Pure.
//!
//! A changed entry is sent as a whole, so that only its newest version matters. A subscriber keeps its own position in the
//! history; one that lagged too far gets the complete state again, like a new one.

use super::snapshot::{Configuration, Life, StatusSnapshot};
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
    state: &'static str,
    since: String,
    starts: u64,
    restarts: u64,
    last_error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    readers: Option<usize>,
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
        let feeds = snapshot.feeds.iter().map(|feed| UnitState::of(&feed.name, &feed.life, None));
        let streams = snapshot.streams.iter();
        let streams = streams.map(|stream| UnitState::of(&stream.name, &stream.life, Some(stream.viewers.readers)));
        Self {
            configuration: ConfigState { loaded: loaded.clone(), error: error.clone() },
            feeds: feeds.collect(),
            streams: streams.collect(),
        }
    }
}

impl UnitState {
    fn of(name: &str, life: &Life, readers: Option<usize>) -> Self {
        let Life { state, since, starts, restarts, last_error, .. } = life;
        Self {
            name: name.to_owned(),
            state,
            since: since.clone(),
            starts: *starts,
            restarts: *restarts,
            last_error: last_error.clone(),
            readers,
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
                self.push("configuration", &state.configuration);
            }
            self.compare("feed", "feed-gone", &before.feeds, &state.feeds);
            self.compare("stream", "stream-gone", &before.streams, &state.streams);
        }
        self.state = Some(state);
    }

    fn compare(&mut self, kind: &'static str, gone: &'static str, before: &[UnitState], now: &[UnitState]) {
        for unit in before.iter().filter(|unit| now.iter().all(|other| other.name != unit.name)) {
            self.push(gone, &Removed { name: &unit.name });
        }
        for unit in now.iter().filter(|unit| !before.contains(unit)) {
            self.push(kind, unit);
        }
    }

    fn push(&mut self, kind: &'static str, value: &impl Serialize) {
        self.newest += 1;
        self.changes.push_back(Change { kind, data: json(value) });
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

    /// The next event at this position, which advances.
    pub fn next(&self, position: &mut Position) -> Option<StateEvent> {
        let oldest = self.newest.saturating_sub(self.changes.len() as u64);
        match *position {
            Position::After(number) if number >= self.newest => None,
            Position::After(number) if number >= oldest => {
                let Change { kind, data } = self.changes.get(usize::try_from(number - oldest).ok()?)?.clone();
                *position = Position::After(number + 1);
                Some(StateEvent { id: self.id(number + 1), kind, data })
            }
            Position::Start | Position::After(_) => {
                let data = json(self.state.as_ref()?);
                *position = Position::After(self.newest);
                Some(StateEvent { id: self.id(self.newest), kind: "snapshot", data })
            }
        }
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
            state: "idle",
            since: String::new(),
            starts: 0,
            restarts: 0,
            last_error: None,
            readers: Some(*readers),
        };
        let configuration = ConfigState { loaded: String::new(), error: None };
        ObservedState { configuration, feeds: Vec::new(), streams: streams.iter().map(unit).collect() }
    }

    fn all(history: &History, position: &mut Position) -> Vec<StateEvent> {
        std::iter::from_fn(|| history.next(position)).collect()
    }

    fn kinds(events: &[StateEvent]) -> Vec<&str> {
        events.iter().map(|event| event.kind).collect()
    }

    #[test]
    fn the_snapshot_comes_first_and_then_the_changes() {
        let mut history = History::new(0xab);
        let mut position = Position::Start;
        assert_eq!(history.next(&mut position), None, "nothing is recorded yet");
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
