//! Facts: what happens and is kept, as data. Those who know report it; one thread writes it down, see `src/journal/`.
//!
//! No caller waits: a fact that finds the queue full is counted.

use serde_json::{Map, Value};
use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::SystemTime,
};

/// Facts that may wait for the thread that writes them: a second of the most that a server has.
const WAITING: usize = 8192;

/// Where facts are reported. Clones are the same; the default one keeps nothing.
#[derive(Debug, Clone, Default)]
pub struct Facts(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    queue: SyncSender<Message>,
    /// Since the last [`Facts::take_lost`].
    lost: AtomicU64,
    /// Whether facts of viewers and publishers may have addresses.
    has_addresses: AtomicBool,
}

/// What the thread that writes receives.
#[derive(Debug)]
pub enum Message {
    /// Something happened.
    Fact(Box<Fact>),
    /// Nothing more will come.
    End,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    /// When.
    pub time: SystemTime,
    /// What: `feed.running`.
    pub kind: &'static str,
    /// What kind of thing it happened to, which decides who may know.
    pub scope: Scope,
    /// The name of the feed or stream.
    pub name: Option<String>,
    /// Details for all who may know of it.
    pub data: Map<String, Value>,
    /// Details of persons: names, addresses.
    pub who: Map<String, Value>,
}

/// What a fact is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The server as a whole.
    Server,
    /// A feed.
    Feed,
    /// A stream.
    Stream,
    /// Attempts that were refused: for those who manage users.
    Audit,
}

impl Facts {
    /// A queue of facts, and its end for the thread that writes them.
    pub fn queue() -> (Self, Receiver<Message>) {
        let (queue, coming) = sync_channel(WAITING);
        let inner = Inner { queue, lost: AtomicU64::new(0), has_addresses: AtomicBool::new(false) };
        (Self(Some(Arc::new(inner))), coming)
    }

    /// Whether facts of viewers and publishers keep their addresses from now on.
    pub fn keep_addresses(&self, keep: bool) {
        if let Some(inner) = &self.0 {
            inner.has_addresses.store(keep, Ordering::Relaxed);
        }
    }

    /// Something happened. Never blocks.
    pub fn report(&self, mut fact: Fact) {
        let Some(inner) = &self.0 else { return };
        if matches!(fact.scope, Scope::Feed | Scope::Stream) && !inner.has_addresses.load(Ordering::Relaxed) {
            fact.who.shift_remove(ADDRESS);
        }
        if inner.queue.try_send(Message::Fact(Box::new(fact))).is_err() {
            inner.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many were lost since the last call.
    pub fn take_lost(&self) -> u64 {
        self.0.as_ref().map_or(0, |inner| inner.lost.swap(0, Ordering::Relaxed))
    }

    /// Nothing more will be reported. Blocks until the queue takes that.
    pub fn end(&self) {
        if let Some(inner) = &self.0 {
            let _ = inner.queue.send(Message::End);
        }
    }
}

/// The detail that has an address.
const ADDRESS: &str = "address";

impl Fact {
    /// A fact of now.
    pub fn new(kind: &'static str, scope: Scope, name: Option<&str>) -> Self {
        let name = name.map(str::to_owned);
        Self { time: SystemTime::now(), kind, scope, name, data: Map::new(), who: Map::new() }
    }

    /// A fact about the server.
    pub fn server(kind: &'static str) -> Self {
        Self::new(kind, Scope::Server, None)
    }

    /// A fact about a feed.
    pub fn feed(kind: &'static str, name: &str) -> Self {
        Self::new(kind, Scope::Feed, Some(name))
    }

    /// A fact about a stream.
    pub fn stream(kind: &'static str, name: &str) -> Self {
        Self::new(kind, Scope::Stream, Some(name))
    }

    /// An attempt that was refused.
    pub fn audit(kind: &'static str) -> Self {
        Self::new(kind, Scope::Audit, None)
    }

    /// With this detail; `null` is omitted.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        insert(&mut self.data, key, value.into());
        self
    }

    /// With this detail of a person; `null` is omitted.
    #[must_use]
    pub fn who(mut self, key: &str, value: impl Into<Value>) -> Self {
        insert(&mut self.who, key, value.into());
        self
    }

    /// With the address of the person.
    #[must_use]
    pub fn at(self, address: IpAddr) -> Self {
        self.who(ADDRESS, address.to_string())
    }
}

fn insert(map: &mut Map<String, Value>, key: &str, value: Value) {
    if !value.is_null() {
        map.insert(key.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(coming: &Receiver<Message>) -> Vec<Fact> {
        let fact = |message| match message {
            Message::Fact(fact) => Some(*fact),
            Message::End => None,
        };
        coming.try_iter().filter_map(fact).collect()
    }

    #[test]
    fn a_full_queue_costs_facts_and_no_time() {
        let (facts, coming) = Facts::queue();
        for _ in 0..WAITING + 7 {
            facts.report(Fact::server("server.started"));
        }
        assert_eq!((facts.take_lost(), facts.take_lost()), (7, 0));
        assert_eq!(coming.try_iter().count(), WAITING);
        drop(coming);
        facts.report(Fact::server("server.started"));
        Facts::default().report(Fact::server("server.started"));
    }

    #[test]
    fn addresses_of_viewers_are_kept_where_that_is_wanted() {
        let (reporter, coming) = Facts::queue();
        let viewer = || Fact::stream("viewer.joined", "cam").who("user", "anna").at([192, 0, 2, 1].into());
        reporter.report(viewer());
        reporter.report(Fact::audit("auth.refused").at([192, 0, 2, 1].into()));
        reporter.keep_addresses(true);
        reporter.report(viewer());
        let address = |fact: &Fact| fact.who.get(ADDRESS).is_some();
        assert_eq!(facts(&coming).iter().map(address).collect::<Vec<_>>(), [false, true, true]);
        assert_eq!(Fact::server("x").with("reason", Value::Null).data.len(), 0);
    }
}
