//! The streams of a server, for all who offer them: each protocol, the pages, the API.

use super::{demand::Demand, group::Group, picture::Stills};
use crate::{config, stream::FanOut};
use std::sync::Arc;

/// One stream: what it is, where its packets are, and how to make it run.
#[derive(Debug)]
pub struct StreamHandle {
    /// What the configuration says of it.
    pub config: config::Stream,
    /// Its packets.
    pub fanout: FanOut,
    /// To be leased while it is used.
    pub demand: Demand,
    /// Makes its pictures.
    pub group: Group,
    /// Its number in the group's plan, or `None` when pictures are decoded from its packets.
    pub in_plan: Option<u32>,
    /// Pictures being made.
    pub stills: Stills,
}

/// All streams, in the order of the configuration. Clones are the same.
#[derive(Debug, Clone)]
pub struct Registry(Arc<[Arc<StreamHandle>]>);

impl Registry {
    /// A registry of these streams.
    pub fn new(streams: Vec<Arc<StreamHandle>>) -> Self {
        Self(streams.into())
    }

    /// The streams.
    pub fn streams(&self) -> &[Arc<StreamHandle>] {
        &self.0
    }
}
