//! All pushes of a server. They stay when a configuration is applied that does not change them.

use super::{asking::AskTask, task::PushTask};
use crate::{
    config::{PushService, PushTarget},
    engine::{
        push_status::PushStatus,
        registry::{Registry, StreamHandle},
    },
    source::publisher::PublishSlot,
    sys::Shutdown,
    telemetry::Facts,
};
use std::{collections::BTreeMap, sync::Arc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What the state calls the protocol of a service that names targets.
const ASK: &str = "ask";

/// The pushes of a server.
#[derive(Debug)]
pub struct Pushers {
    shutdown: Shutdown,
    facts: Facts,
    /// The name of this server.
    server: Arc<str>,
    /// By the name of the stream and the address.
    running: BTreeMap<(String, String), Running>,
}

#[derive(Debug)]
struct Running {
    stream: Arc<StreamHandle>,
    wanted: Wanted,
    status: PushStatus,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// What a stream is sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    Target(PushTarget),
    Service(PushService),
}

impl Wanted {
    /// All of a stream, in their order.
    fn of(stream: &StreamHandle) -> impl Iterator<Item = Self> {
        let targets = stream.config.pushes.iter().cloned().map(Self::Target);
        targets.chain(stream.config.push_service.clone().map(Self::Service))
    }

    /// The address, with its secrets.
    fn address(&self) -> String {
        match self {
            Self::Target(target) => target.to.text(),
            Self::Service(service) => service.url.expose().to_owned(),
        }
    }
}

impl Pushers {
    /// None yet. Their tasks are spawned on `shutdown`, and what happens to them is reported. `server` names the server to services.
    pub fn new(shutdown: Shutdown, facts: Facts, server: Arc<str>) -> Self {
        Self { shutdown, facts, server, running: BTreeMap::new() }
    }

    /// Pushes the streams of a configuration that are to be. What is changed is stopped first, which takes seconds at most.
    pub async fn apply(&mut self, registry: &Registry) {
        let mut wanted: BTreeMap<(String, String), (&Arc<StreamHandle>, Wanted)> = BTreeMap::new();
        for stream in registry.streams() {
            for one in Wanted::of(stream) {
                wanted.insert((stream.config.name.to_string(), one.address()), (stream, one));
            }
        }
        let is_same = |key: &(String, String), running: &Running| {
            let new = wanted.get(key);
            new.is_some_and(|(stream, wanted)| running.wanted == *wanted && is_same(&running.stream, stream))
        };
        let ending: Vec<_> = self.running.extract_if(.., |key, running| !is_same(key, running)).collect();
        ending.iter().for_each(|(_, running)| running.stop.cancel());
        for (_, running) in ending {
            let _ = running.task.await;
        }
        for (key, (stream, wanted)) in wanted {
            if !self.running.contains_key(&key) {
                let running = self.start(registry, stream, wanted);
                self.running.insert(key, running);
            }
        }
        for stream in registry.streams() {
            let running = |wanted: Wanted| self.running.get(&(stream.config.name.to_string(), wanted.address()));
            let statuses = Wanted::of(stream).filter_map(running).map(|running| running.status.clone());
            stream.pushes.set(statuses.collect());
        }
    }

    fn start(&self, registry: &Registry, stream: &Arc<StreamHandle>, wanted: Wanted) -> Running {
        let name = stream.config.name.as_str();
        let origins = super::hops::origins(registry, &stream.config.feeds);
        let slots = origins.iter().filter_map(|feed| registry.publish_slot(feed.as_str()).cloned());
        let slots: Vec<PublishSlot> = slots.collect();
        let stop = self.shutdown.token().child_token();
        let (stream, until) = (stream.clone(), stop.clone());
        let (status, task) = match wanted.clone() {
            Wanted::Target(target) => {
                let to = target.to.to_string();
                let status = PushStatus::new(name, to.clone(), target.to.protocol().name(), self.facts.clone());
                let task = PushTask { stream: stream.clone(), target, status: status.clone(), slots };
                (status, self.shutdown.spawn(format!("push of {name} to {to}"), task.run(until)))
            }
            Wanted::Service(service) => {
                let status = PushStatus::new(name, service.to_string(), ASK, self.facts.clone());
                let of = format!("push targets of {name}");
                let task = AskTask {
                    stream: stream.clone(),
                    service,
                    status: status.clone(),
                    slots,
                    server: self.server.clone(),
                    shutdown: self.shutdown.clone(),
                    facts: self.facts.clone(),
                };
                (status, self.shutdown.spawn(of, task.run(until)))
            }
        };
        Running { stream, wanted, status, stop, task }
    }
}

/// Whether a push of one is a push of the other.
fn is_same(old: &StreamHandle, new: &StreamHandle) -> bool {
    // Other targets, and whatever else does not matter to this one, may be different.
    (&old.config.feeds, &old.config.encoding, &old.config.outputs)
        == (&new.config.feeds, &new.config.encoding, &new.config.outputs)
        && old.has_samples_of(new)
}
