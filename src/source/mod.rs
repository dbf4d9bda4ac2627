//! Sources of media: everything that starts on demand, is watched, and restarts when it fails.
//!
//! [`lifecycle`] decides (pure), [`supervisor`] is the task that does so for one feed or stream, and a
//! [`Source`] is what runs: a [`program`] ([`command`]), a named pipe ([`pipe`]), or an item of a worker process
//! ([`worker_group`], [`worker`], [`pool`]; `worker_media`, `byte_feeds` and `encoder_probes` are parts of a group), or whoever
//! publishes ([`publisher`], [`published`]), or what comes over a link ([`linked`]).
//! A stream that is made for each request ([`per_request`]) has no supervisor.

mod byte_feeds;
pub mod command;
pub mod control;
pub mod demand;
pub mod device_caps;
mod encoder_probes;
pub mod flow;
pub mod lifecycle;
pub mod link_status;
pub mod linked;
pub mod per_request;
pub mod pipe;
pub mod pool;
pub mod probe;
pub mod program;
pub mod published;
pub mod publisher;
pub mod status;
pub mod stderr_log;
pub mod supervisor;
pub mod unit_id;
pub mod worker;
pub mod worker_group;
pub mod worker_media;

use crate::ipc::Ended;
use command::CommandSource;
use flow::Flow;
use linked::LinkSource;
use pipe::PipeSource;
use published::{PublishSource, PublishedSource};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use worker_group::ItemSource;

/// What a supervisor can start. A closed set: what its members share is [`Source::run`].
#[derive(Debug, Clone)]
pub enum Source {
    /// A program.
    Command(CommandSource),
    /// A named pipe.
    Pipe(PipeSource),
    /// A feed or stream in a worker process.
    Item(ItemSource),
    /// A feed that is published to.
    Publish(PublishSource),
    /// A feed that comes over a link.
    Link(LinkSource),
    /// A stream of what is published.
    Published(PublishedSource),
}

impl Source {
    /// Runs the source until it ends by itself or `stop` is cancelled, after which it ends within seconds. It reports
    /// its media to `flow`. Not cancel-safe: a dropped future may leave the source running for a moment.
    pub async fn run(self, stop: CancellationToken, flow: watch::Sender<Flow>) -> Ended {
        match self {
            Self::Command(source) => source.run(stop, flow).await,
            Self::Pipe(source) => source.run(stop, flow).await,
            Self::Item(source) => source.run(stop, flow).await,
            Self::Publish(source) => source.run(stop, flow).await,
            Self::Link(source) => source.run(stop, flow).await,
            Self::Published(source) => source.run(stop, flow).await,
        }
    }

    /// Drops what was delivered, and what still arrives until the next run: there are no users.
    pub fn clear(&self) {
        match self {
            Self::Command(CommandSource { writer, .. }) | Self::Pipe(PipeSource { writer, .. }) => {
                writer.lock().clear()
            }
            Self::Item(item) => item.clear(),
            Self::Publish(_) | Self::Link(_) => {}
            Self::Published(stream) => stream.entrances.clear(),
        }
    }

    /// How often the timestamps of passthrough media were corrected; a worker corrects those of others.
    pub fn clock_jumps(&self) -> u64 {
        match self {
            Self::Command(CommandSource { writer, .. }) | Self::Pipe(PipeSource { writer, .. }) => {
                writer.lock().clock_jumps()
            }
            Self::Item(_) | Self::Publish(_) | Self::Link(_) | Self::Published(_) => 0,
        }
    }
}
