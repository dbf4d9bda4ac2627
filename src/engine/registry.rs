//! The feeds and streams of a server, for all who offer them: each protocol, the pages, the API.

use crate::{
    config,
    source::{demand::Demand, per_request::PerRequestStream, status::Status, worker_group::WorkerGroup},
    stream::{Audience, FanOut},
};
use std::sync::Arc;

/// One feed: what it is and how it is.
#[derive(Debug)]
pub struct FeedHandle {
    /// What the configuration says of it.
    pub config: config::Feed,
    /// How it is.
    pub status: Status,
    /// Its bytes as they come in; `None` when they stay in a worker.
    pub fanout: Option<FanOut>,
}

/// One stream: what it is, where its packets are, and how to make it run.
#[derive(Debug)]
pub struct StreamHandle {
    /// What the configuration says of it.
    pub config: config::Stream,
    /// How what makes it is: its own encoder, or the feed that it hands on.
    pub status: Status,
    /// Who watches it.
    pub audience: Audience,
    /// Its packets.
    pub fanout: FanOut,
    /// To be leased while it is used.
    pub demand: Demand,
    /// Makes its pictures.
    pub group: WorkerGroup,
    /// Its number in the group's plan, or `None` when pictures are decoded from its packets.
    pub in_plan: Option<u32>,
}

/// All feeds and streams, in the order of the configuration. Clones are the same.
#[derive(Debug, Clone)]
pub struct Registry {
    feeds: Arc<[FeedHandle]>,
    streams: Arc<[Arc<StreamHandle>]>,
    per_request: Arc<[Arc<PerRequestStream>]>,
}

impl Registry {
    /// A registry of these feeds and streams.
    pub fn new(
        feeds: Vec<FeedHandle>,
        streams: Vec<Arc<StreamHandle>>,
        per_request: Vec<Arc<PerRequestStream>>,
    ) -> Self {
        Self { feeds: feeds.into(), streams: streams.into(), per_request: per_request.into() }
    }

    /// The feeds.
    pub fn feeds(&self) -> &[FeedHandle] {
        &self.feeds
    }

    /// The streams that are made once, for all.
    pub fn streams(&self) -> &[Arc<StreamHandle>] {
        &self.streams
    }

    /// The streams that are made for each request.
    pub fn per_request(&self) -> &[Arc<PerRequestStream>] {
        &self.per_request
    }
}
