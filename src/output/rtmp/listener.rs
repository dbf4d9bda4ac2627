//! Serves clients of RTMP on their port, with the newest configuration.

use super::{
    context::{Context, Encryption},
    session,
};
use crate::{
    access::Gate,
    engine::registry::Registry,
    net::ConnectionLimiter,
    output::{
        port::{Beyond, BindError, Bound, Port, ServeConnection},
        shard::pool::Shards,
    },
    sys::{Shutdown, overload::CurrentLoad},
    telemetry::HttpStats,
};
use futures_util::FutureExt;
use std::{net::SocketAddr, sync::Arc};
use tokio::sync::watch;

/// Serves RTMP, while it is configured.
#[derive(Debug)]
pub struct RtmpServer {
    registry: watch::Sender<Registry>,
    port: Port,
}

impl RtmpServer {
    /// A server that does not listen yet, of the feeds and streams of this registry.
    pub fn new(
        gate: Gate,
        registry: Registry,
        encryption: watch::Receiver<Encryption>,
        shutdown: Shutdown,
        (stats, load): (Arc<HttpStats>, CurrentLoad),
        (shards, limiter): (Arc<Shards>, ConnectionLimiter),
    ) -> Self {
        let (registry, registries) = watch::channel(registry);
        let context = Arc::new(Context { gate, registry: registries, encryption, stats: stats.clone(), shards, load });
        let stop = shutdown.token().clone();
        let serve: ServeConnection =
            Arc::new(move |connection| session::serve(connection, context.clone(), stop.clone()).boxed());
        Self { registry, port: Port::new("rtmp", (serve, Beyond::Close), stats, shutdown, limiter) }
    }

    /// The feeds and streams from now on.
    pub fn set_registry(&self, registry: Registry) {
        self.registry.send_replace(registry);
    }

    /// See [`Port::prepare`].
    ///
    /// # Errors
    /// When the address cannot be bound; nothing is changed then.
    pub fn prepare(&self, address: Option<SocketAddr>) -> Result<Option<Bound>, BindError> {
        self.port.prepare(address)
    }

    /// See [`Port::address`].
    pub fn address(&self) -> Option<SocketAddr> {
        self.port.address()
    }

    /// See [`Port::listen`].
    pub fn listen(&mut self, bound: Option<Bound>) {
        self.port.listen(bound);
    }
}
