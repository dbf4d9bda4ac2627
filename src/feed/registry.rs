//! The streams of a server, for all who offer them: each protocol, the pages, the API.

use super::{demand::Demand, group::Group, picture::Stills, private::PrivateStream};
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
pub struct Registry {
    streams: Arc<[Arc<StreamHandle>]>,
    private: Arc<[Arc<PrivateStream>]>,
}

impl Registry {
    /// A registry of these streams.
    pub fn new(streams: Vec<Arc<StreamHandle>>, private: Vec<Arc<PrivateStream>>) -> Self {
        Self { streams: streams.into(), private: private.into() }
    }

    /// The streams that are made once, for all.
    pub fn streams(&self) -> &[Arc<StreamHandle>] {
        &self.streams
    }

    /// The streams that are made for each request.
    pub fn private(&self) -> &[Arc<PrivateStream>] {
        &self.private
    }
}
