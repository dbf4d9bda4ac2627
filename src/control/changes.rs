//! What changes in the state, numbered and in order, for whoever follows it. Pure.
//!
//! An entry that changed is told as a whole, so that the newest one is all that counts. Who follows keeps a place in the
//! history and nothing is kept for it: one that fell too far behind begins with all that there is, as a newcomer does.

use super::facts::{Configuration, Facts, Life};
use serde::Serialize;
use std::{collections::VecDeque, sync::Arc};

/// Changes that are kept for those who come back: minutes of a server whose feeds all die and return.
const KEPT: usize = 1024;

/// All that is followed, at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Scene {
    configuration: Config,
    feeds: Vec<Unit>,
    streams: Vec<Unit>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Config {
    loaded: String,
    error: Option<String>,
}

/// A feed or stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Unit {
    name: String,
    state: &'static str,
    since: String,
    starts: u64,
    restarts: u64,
    last_error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    readers: Option<usize>,
}

/// One that is there no more.
#[derive(Debug, Serialize)]
struct Gone<'a> {
    name: &'a str,
}

/// The changes of late.
#[derive(Debug)]
pub struct History {
    /// Tells the ids of this server from those of one that ran before.
    run: u128,
    scene: Option<Scene>,
    /// The number of the newest change.
    newest: u64,
    changes: VecDeque<Change>,
}

#[derive(Debug, Clone)]
struct Change {
    kind: &'static str,
    data: Arc<str>,
}

/// How far somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Knows nothing.
    Begin,
    /// Knows all up to this change.
    After(u64),
}

/// What somebody is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Names the place after it.
    pub id: String,
    /// What it is about: `snapshot`, `feed`, and so on.
    pub kind: &'static str,
    /// JSON, on one line.
    pub data: Arc<str>,
}

impl Scene {
    /// What is followed of all that is known.
    pub fn of(facts: &Facts) -> Self {
        let Configuration { loaded, error, .. } = &facts.server.configuration;
        let feeds = facts.feeds.iter().map(|feed| Unit::of(&feed.name, &feed.life, None));
        let streams = facts.streams.iter();
        let streams = streams.map(|stream| Unit::of(&stream.name, &stream.life, Some(stream.watched.readers)));
        Self {
            configuration: Config { loaded: loaded.clone(), error: error.clone() },
            feeds: feeds.collect(),
            streams: streams.collect(),
        }
    }
}

impl Unit {
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
    /// Of a server that is named by `run` among those before and after it.
    pub fn new(run: u128) -> Self {
        Self { run, scene: None, newest: 0, changes: VecDeque::new() }
    }

    /// This is how it is now. What is as before is no change.
    pub fn take(&mut self, scene: Scene) {
        if let Some(before) = self.scene.take() {
            if before.configuration != scene.configuration {
                self.note("configuration", &scene.configuration);
            }
            self.compare("feed", "feed-gone", &before.feeds, &scene.feeds);
            self.compare("stream", "stream-gone", &before.streams, &scene.streams);
        }
        self.scene = Some(scene);
    }

    fn compare(&mut self, kind: &'static str, gone: &'static str, before: &[Unit], now: &[Unit]) {
        for unit in before.iter().filter(|unit| now.iter().all(|other| other.name != unit.name)) {
            self.note(gone, &Gone { name: &unit.name });
        }
        for unit in now.iter().filter(|unit| !before.contains(unit)) {
            self.note(kind, unit);
        }
    }

    fn note(&mut self, kind: &'static str, value: &impl Serialize) {
        self.newest += 1;
        self.changes.push_back(Change { kind, data: json(value) });
        if self.changes.len() > KEPT {
            self.changes.pop_front();
        }
    }

    /// The place of one who was told the message with this id last.
    pub fn place(&self, id: &str) -> Place {
        let number = id.split_once('-').filter(|(run, _)| *run == format!("{:x}", self.run));
        let number = number.and_then(|(_, number)| number.parse().ok()).filter(|number| *number <= self.newest);
        number.map_or(Place::Begin, Place::After)
    }

    /// What comes next at this place, which moves on.
    pub fn next(&self, place: &mut Place) -> Option<Message> {
        let oldest = self.newest.saturating_sub(self.changes.len() as u64);
        match *place {
            Place::After(number) if number >= self.newest => None,
            Place::After(number) if number >= oldest => {
                let Change { kind, data } = self.changes.get(usize::try_from(number - oldest).ok()?)?.clone();
                *place = Place::After(number + 1);
                Some(Message { id: self.id(number + 1), kind, data })
            }
            Place::Begin | Place::After(_) => {
                let data = json(self.scene.as_ref()?);
                *place = Place::After(self.newest);
                Some(Message { id: self.id(self.newest), kind: "snapshot", data })
            }
        }
    }

    fn id(&self, number: u64) -> String {
        format!("{:x}-{number}", self.run)
    }
}

fn json(value: &impl Serialize) -> Arc<str> {
    // Serialising to a string fails for types that are not in here.
    serde_json::to_string(value).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn scene(streams: &[(u8, usize)]) -> Scene {
        let unit = |(name, readers): &(u8, usize)| Unit {
            name: name.to_string(),
            state: "idle",
            since: String::new(),
            starts: 0,
            restarts: 0,
            last_error: None,
            readers: Some(*readers),
        };
        let configuration = Config { loaded: String::new(), error: None };
        Scene { configuration, feeds: Vec::new(), streams: streams.iter().map(unit).collect() }
    }

    fn all(history: &History, place: &mut Place) -> Vec<Message> {
        std::iter::from_fn(|| history.next(place)).collect()
    }

    fn kinds(messages: &[Message]) -> Vec<&str> {
        messages.iter().map(|message| message.kind).collect()
    }

    #[test]
    fn all_that_is_there_comes_first_and_then_what_changes() {
        let mut history = History::new(0xab);
        let mut place = Place::Begin;
        assert_eq!(history.next(&mut place), None, "nothing is known yet");
        history.take(scene(&[(1, 0), (2, 0)]));
        let first = all(&history, &mut place);
        assert_eq!((kinds(&first), first[0].id.as_str()), (vec!["snapshot"], "ab-0"));
        history.take(scene(&[(1, 0), (2, 0)]));
        assert!(all(&history, &mut place).is_empty(), "nothing changed");
        history.take(scene(&[(2, 5), (3, 0)]));
        let next = all(&history, &mut place);
        assert_eq!(kinds(&next), ["stream-gone", "stream", "stream"]);
        assert_eq!((&*next[0].data, next[2].id.as_str()), (r#"{"name":"1"}"#, "ab-3"));
        assert!(next[1].data.contains(r#""name":"2""#) && next[1].data.contains(r#""readers":5"#));
    }

    #[test]
    fn who_comes_back_goes_on_unless_too_much_happened() {
        let mut history = History::new(0xab);
        (0..10).for_each(|readers| history.take(scene(&[(1, readers)])));
        assert_eq!(kinds(&all(&history, &mut history.place("ab-7"))), ["stream", "stream"]);
        assert!(all(&history, &mut history.place("ab-9")).is_empty());
        for unknown in ["ab-10", "ac-7", "ab", "", "ab--1", "é-é"] {
            assert_eq!(history.place(unknown), Place::Begin, "{unknown}");
        }
        (0..2 * KEPT).for_each(|readers| history.take(scene(&[(1, readers)])));
        assert_eq!(history.changes.len(), KEPT);
        let mut late = history.place("ab-7");
        let told = all(&history, &mut late);
        assert_eq!((kinds(&told), late), (vec!["snapshot"], Place::After(history.newest)));
    }

    /// What somebody knows who heard these messages.
    fn hear(known: &mut BTreeMap<String, serde_json::Value>, message: &Message) {
        let mut data: serde_json::Value = serde_json::from_str(&message.data).unwrap();
        let name = |data: &serde_json::Value| data["name"].as_str().unwrap().to_owned();
        match message.kind {
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
        fn whoever_listens_whenever_knows_all_in_the_end(
            steps in prop::collection::vec((prop::collection::btree_map(0..4u8, 0..3usize, 0..4), any::<bool>()), 1..40)
        ) {
            let mut history = History::new(1);
            let (mut place, mut known) = (Place::Begin, BTreeMap::new());
            let last = steps.last().map(|(streams, _)| streams.clone()).unwrap();
            for (streams, listens) in steps {
                history.take(scene(&streams.into_iter().collect::<Vec<_>>()));
                if listens {
                    all(&history, &mut place).iter().for_each(|message| hear(&mut known, message));
                }
            }
            all(&history, &mut place).iter().for_each(|message| hear(&mut known, message));
            let expected: BTreeMap<_, _> = last.iter().map(|(name, readers)| (name.to_string(), *readers)).collect();
            let known: BTreeMap<_, _> = known.into_iter().map(|(name, unit)| (name, unit["readers"].as_u64().unwrap() as usize)).collect();
            prop_assert_eq!(known, expected);
        }
    }
}
