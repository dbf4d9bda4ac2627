//! What all connections of RTMP have in common.

use crate::{
    access::Gate,
    config::Plain,
    engine::registry::Registry,
    net::tls::Tls,
    output::shard::pool::Shards,
    sys::overload::{CurrentLoad, LoadLevel},
    telemetry::{HttpStats, Refusal},
};
use std::sync::Arc;
use tokio::sync::watch;

/// Encryption, where it is configured, and who may do without.
pub(super) type Encryption = Option<(Tls, Plain)>;

/// What all connections have in common.
#[derive(Debug)]
pub(super) struct Context {
    /// Decides who may do what.
    pub(super) gate: Gate,
    /// The feeds and streams.
    pub(super) registry: watch::Receiver<Registry>,
    /// Encrypts.
    pub(super) encryption: watch::Receiver<Encryption>,
    /// The statistics of all connections.
    pub(super) stats: Arc<HttpStats>,
    /// Write to players.
    pub(super) shards: Arc<Shards>,
    /// Of the machine.
    pub(super) load: CurrentLoad,
}

impl Context {
    /// Whether new viewers are refused, which is counted.
    pub(super) fn is_overloaded(&self) -> bool {
        let is_overloaded = self.load.level() >= LoadLevel::Overloaded;
        if is_overloaded {
            self.stats.refused(Refusal::Viewer);
        }
        is_overloaded
    }
}
