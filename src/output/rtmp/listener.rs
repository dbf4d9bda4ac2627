//! Listens for clients of RTMP, and follows the configuration.

use super::{
    context::{Context, Encryption},
    session,
};
use crate::{
    access::Gate,
    config::Rtmp,
    engine::registry::Registry,
    net::{ConnectionLimiter, Incoming, LimitReached, Listener},
    sys::{Shutdown, overload::CurrentLoad},
    telemetry::{HttpStats, Refusal},
};
use std::{io, net::SocketAddr, sync::Arc};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Serves RTMP, while it is configured.
#[derive(Debug)]
pub struct RtmpServer {
    context: Arc<Context>,
    registry: watch::Sender<Registry>,
    shutdown: Shutdown,
    limiter: ConnectionLimiter,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    address: SocketAddr,
    accepting: CancellationToken,
}

/// A socket that is bound and not used yet.
#[derive(Debug)]
pub struct Bound {
    address: SocketAddr,
    /// `None` where the one of before continues.
    listener: Option<Listener>,
}

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("listen for RTMP on {0}")]
pub struct BindError(SocketAddr, #[source] io::Error);

impl Bound {
    /// Binds what a configuration asks for; `None` if it asks for nothing.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn bind(config: Option<&Rtmp>, limiter: &ConnectionLimiter) -> Result<Option<Self>, BindError> {
        let Some(Rtmp { listen: address }) = config.copied() else { return Ok(None) };
        let listener = Listener::bind(address, limiter.clone()).map_err(|error| BindError(address, error))?;
        Ok(Some(Self { address, listener: Some(listener) }))
    }
}

impl RtmpServer {
    /// A server that does not listen yet, of the feeds and streams of this registry.
    pub fn new(
        gate: Gate,
        registry: Registry,
        encryption: watch::Receiver<Encryption>,
        shutdown: Shutdown,
        (stats, load): (Arc<HttpStats>, CurrentLoad),
        limiter: ConnectionLimiter,
    ) -> Self {
        let (registry, registries) = watch::channel(registry);
        let context = Context { gate, registry: registries, encryption, stats, load };
        Self { context: Arc::new(context), registry, shutdown, limiter, running: None }
    }

    /// The feeds and streams from now on.
    pub fn set_registry(&self, registry: Registry) {
        self.registry.send_replace(registry);
    }

    /// Binds what another configuration needs besides what is there.
    ///
    /// # Errors
    /// When the address cannot be bound; nothing is changed then.
    pub fn prepare(&self, config: Option<&Rtmp>) -> Result<Option<Bound>, BindError> {
        match (config, &self.running) {
            (Some(Rtmp { listen }), Some(running)) if running.address == *listen => {
                Ok(Some(Bound { address: *listen, listener: None }))
            }
            _ => Bound::bind(config, &self.limiter),
        }
    }

    /// Listens there from now on, and nowhere else. Connections that are there stay.
    pub fn listen(&mut self, bound: Option<Bound>) {
        let Some(Bound { address, listener }) = bound else {
            self.stop();
            return;
        };
        let Some(listener) = listener else { return };
        self.stop();
        if let Ok(address) = listener.address() {
            tracing::info!(%address, protocol = "rtmp", "listening");
        }
        let accepting = self.shutdown.token().child_token();
        let accept = accept(listener, self.context.clone(), self.shutdown.clone(), accepting.clone());
        self.shutdown.spawn("RTMP accept loop", accept);
        self.running = Some(Running { address, accepting });
    }

    fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.accepting.cancel();
        }
    }
}

async fn accept(listener: Listener, context: Arc<Context>, shutdown: Shutdown, stop: CancellationToken) {
    loop {
        let incoming = tokio::select! {
            () = stop.cancelled() => return,
            incoming = listener.accept() => incoming,
        };
        match incoming {
            Incoming::Accepted(connection) => {
                let name = format!("RTMP connection from {}", connection.peer);
                let serve = session::serve(connection, context.clone(), shutdown.token().clone());
                shutdown.spawn(name, serve);
            }
            // A client of RTMP understands no response of HTTP: the connection is closed.
            Incoming::Rejected(rejected) => context.stats.refused(match rejected.reason {
                LimitReached::Server => Refusal::Connections,
                LimitReached::Address => Refusal::Address,
            }),
        }
    }
}
