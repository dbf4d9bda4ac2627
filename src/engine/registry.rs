//! The feeds and streams of a server, for all outputs: each protocol, the pages, the API.

use super::rendition::Rendition;
use crate::{
    config,
    media::{Container, NotCarried},
    source::{
        demand::{Demand, Lease},
        per_request::PerRequestStream,
        status::Status,
        worker_group::WorkerGroup,
    },
    stream::{Audience, FanOut, StreamOutput},
};
use std::sync::Arc;

/// One feed: its configuration and state.
#[derive(Debug)]
pub struct FeedHandle {
    /// Its configuration.
    pub config: config::Feed,
    /// Its state.
    pub status: Status,
    /// Its bytes as they arrive; `None` when they stay in a worker.
    pub fanout: Option<FanOut>,
}

/// One stream in one container: its configuration and state, its packets, and how to start it.
#[derive(Debug, Clone)]
pub struct StreamHandle {
    /// Its configuration.
    pub config: config::Stream,
    /// The state of what makes it: its own encoder, or the feed that it passes through.
    pub status: Status,
    /// Its viewers.
    pub audience: Audience,
    /// Its packets.
    pub fanout: FanOut,
    /// Has it muxed; `None` where the packets arrive as bytes.
    pub output: Option<StreamOutput>,
    /// Leased while its source is in use; [`StreamHandle::lease`] for those who read packets.
    pub demand: Demand,
    /// Makes its stills.
    pub group: WorkerGroup,
    /// Its number in the group's plan, or `None` when stills are decoded from its packets.
    pub in_plan: Option<u32>,
    /// What it is made of, if it may need other encodings than the main one.
    pub rendition: Option<Arc<Rendition>>,
    /// The stream in each of its containers, its own among them; empty for a stream of one container.
    pub outputs: Vec<Arc<StreamHandle>>,
}

impl StreamHandle {
    /// Leases the stream and its packets. To be taken before a reader subscribes.
    pub fn lease(&self) -> Lease {
        let lease = self.demand.lease();
        match &self.output {
            Some(output) => lease.with(output.lease()),
            None => lease,
        }
    }

    /// Leases the stream and its packets as [`StreamHandle::lease`] does, with the encodings that its container needs. Cancel-safe.
    ///
    /// # Errors
    /// When its container can carry neither the tracks of the stream nor what they could be encoded as.
    pub async fn open(&self) -> Result<Lease, NotCarried> {
        match &self.rendition {
            Some(rendition) => rendition.open(self.config.container).await,
            None => Ok(self.lease()),
        }
    }

    /// The containers that can carry the tracks of the stream, of those that it is offered in.
    pub fn carried(&self) -> Vec<Container> {
        let containers = self.config.containers();
        match &self.rendition {
            Some(rendition) => rendition.carried(&containers),
            None => containers,
        }
    }
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

    /// The streams that all viewers share.
    pub fn streams(&self) -> &[Arc<StreamHandle>] {
        &self.streams
    }

    /// The streams that are made for each request.
    pub fn per_request(&self) -> &[Arc<PerRequestStream>] {
        &self.per_request
    }
}
