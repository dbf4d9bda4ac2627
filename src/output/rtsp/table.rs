//! Which stream a path stands for, and where it is published to.

use crate::{
    config::FeedName,
    engine::registry::{Registry, StreamHandle, stem},
    output::{publish::find::Target, push::hops},
};
use std::{collections::HashMap, sync::Arc};

/// The streams by their paths: those of HTTP, with and without the extension of a container.
#[derive(Debug, Default)]
pub struct RtspTable {
    streams: HashMap<String, Arc<StreamHandle>>,
    registry: Registry,
}

impl RtspTable {
    /// A table of these streams. A path of its own precedes one that another stream implies.
    pub fn new(registry: &Registry) -> Self {
        let mut table = HashMap::new();
        for stream in registry.streams() {
            for path in [stream.config.path.to_string(), format!("/stream/{}", stream.config.name)] {
                table.insert(path, stream.clone());
            }
        }
        for stream in registry.streams() {
            let own = stem(stream.config.path.as_str()).to_owned();
            let outputs = stream.outputs.iter().map(|output| output.config.path.to_string());
            for path in outputs.chain([own]) {
                table.entry(path).or_insert_with(|| stream.clone());
            }
        }
        Self { streams: table, registry: registry.clone() }
    }

    /// The stream that a percent-decoded path stands for.
    pub fn find(&self, path: &str) -> Option<&Arc<StreamHandle>> {
        self.streams.get(path)
    }

    /// Whether what a program with this name publishes is made of the feed that it is to be published to.
    pub fn is_loop(&self, agent: Option<&str>, feed: &FeedName) -> bool {
        hops::is_loop(agent, &self.registry, feed)
    }

    /// What is published to under a percent-decoded path, if anything is.
    pub fn target(&self, path: &str) -> Option<Target> {
        Target::find(&self.registry, path)
    }
}
