//! All pushes of a server. They stay when a configuration is applied that does not change them.

use super::task::PushTask;
use crate::{
    config::PushTarget,
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

/// The pushes of a server.
#[derive(Debug)]
pub struct Pushers {
    shutdown: Shutdown,
    facts: Facts,
    /// By the name of the stream and the address.
    running: BTreeMap<(String, String), Running>,
}

#[derive(Debug)]
struct Running {
    stream: Arc<StreamHandle>,
    target: PushTarget,
    status: PushStatus,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Pushers {
    /// None yet. Their tasks are spawned on `shutdown`, and what happens to them is reported.
    pub fn new(shutdown: Shutdown, facts: Facts) -> Self {
        Self { shutdown, facts, running: BTreeMap::new() }
    }

    /// Pushes the streams of a configuration that are to be. What is changed is stopped first, which takes seconds at most.
    pub async fn apply(&mut self, registry: &Registry) {
        let mut wanted: BTreeMap<(String, String), (&Arc<StreamHandle>, &PushTarget)> = BTreeMap::new();
        for stream in registry.streams() {
            for target in &stream.config.pushes {
                wanted.insert((stream.config.name.to_string(), target.to.text()), (stream, target));
            }
        }
        let is_same = |key: &(String, String), running: &Running| {
            let new = wanted.get(key);
            new.is_some_and(|(stream, target)| running.target == **target && is_same(&running.stream, stream))
        };
        let ending: Vec<_> = self.running.extract_if(.., |key, running| !is_same(key, running)).collect();
        ending.iter().for_each(|(_, running)| running.stop.cancel());
        for (_, running) in ending {
            let _ = running.task.await;
        }
        for (key, (stream, target)) in wanted {
            if !self.running.contains_key(&key) {
                let running = self.start(registry, stream, target);
                self.running.insert(key, running);
            }
        }
        for stream in registry.streams() {
            let running = |target: &PushTarget| self.running.get(&(stream.config.name.to_string(), target.to.text()));
            let statuses = stream.config.pushes.iter().filter_map(running).map(|running| running.status.clone());
            stream.pushes.set(statuses.collect());
        }
    }

    fn start(&self, registry: &Registry, stream: &Arc<StreamHandle>, target: &PushTarget) -> Running {
        let (name, to) = (stream.config.name.as_str(), target.to.to_string());
        let status = PushStatus::new(name, to.clone(), target.to.protocol().name(), self.facts.clone());
        let origins = super::hops::origins(registry, &stream.config.feeds);
        let slots = origins.iter().filter_map(|feed| registry.publish_slot(feed.as_str()).cloned());
        let slots: Vec<PublishSlot> = slots.collect();
        let task = PushTask { stream: stream.clone(), target: target.clone(), status: status.clone(), slots };
        let stop = self.shutdown.token().child_token();
        let task = self.shutdown.spawn(format!("push of {name} to {to}"), task.run(stop.clone()));
        Running { stream: stream.clone(), target: target.clone(), status, stop, task }
    }
}

/// Whether a push of one is a push of the other.
fn is_same(old: &StreamHandle, new: &StreamHandle) -> bool {
    // Other targets, and whatever else does not matter to this one, may be different.
    (&old.config.feeds, &old.config.encoding, &old.config.outputs)
        == (&new.config.feeds, &new.config.encoding, &new.config.outputs)
        && old.has_samples_of(new)
}
