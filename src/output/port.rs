//! A port of its own of a protocol over TCP, which follows the configuration.

use crate::{
    net::{Connection, ConnectionLimiter, Incoming, LimitReached, Listener},
    sys::Shutdown,
    telemetry::{HttpStats, Refusal},
};
use futures_util::future::BoxFuture;
use std::{fmt, io, net::SocketAddr, sync::Arc};
use tokio_util::sync::CancellationToken;

/// Serves a connection to its end.
pub type ServeConnection = Arc<dyn Fn(Connection) -> BoxFuture<'static, ()> + Send + Sync>;

/// What becomes of a connection beyond the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beyond {
    /// A response of HTTP says so.
    Respond,
    /// It is closed: the client understands no words before a request.
    Close,
}

/// Listens on a port of its own, while that is configured.
pub struct Port {
    /// What is served, for the log.
    protocol: &'static str,
    serve: ServeConnection,
    beyond: Beyond,
    stats: Arc<HttpStats>,
    shutdown: Shutdown,
    limiter: ConnectionLimiter,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    /// As configured: the port may be 0.
    address: SocketAddr,
    /// As bound.
    bound: Option<SocketAddr>,
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
#[error("listen on {0}")]
pub struct BindError(SocketAddr, #[source] io::Error);

impl Bound {
    /// Binds what a configuration asks for; `None` if it asks for nothing.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn bind(address: Option<SocketAddr>, limiter: &ConnectionLimiter) -> Result<Option<Self>, BindError> {
        let Some(address) = address else { return Ok(None) };
        let listener = Listener::bind(address, limiter.clone()).map_err(|error| BindError(address, error))?;
        Ok(Some(Self { address, listener: Some(listener) }))
    }
}

impl Port {
    /// A port that does not listen yet, whose connections are served so.
    pub fn new(
        protocol: &'static str,
        (serve, beyond): (ServeConnection, Beyond),
        stats: Arc<HttpStats>,
        shutdown: Shutdown,
        limiter: ConnectionLimiter,
    ) -> Self {
        Self { protocol, serve, beyond, stats, shutdown, limiter, running: None }
    }

    /// Binds what another configuration needs besides what is there.
    ///
    /// # Errors
    /// When the address cannot be bound; nothing is changed then.
    pub fn prepare(&self, address: Option<SocketAddr>) -> Result<Option<Bound>, BindError> {
        match (address, &self.running) {
            (Some(address), Some(running)) if running.address == address => Ok(Some(Bound { address, listener: None })),
            _ => Bound::bind(address, &self.limiter),
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
        let bound = listener.address().ok();
        if let Some(address) = bound {
            tracing::info!(%address, protocol = self.protocol, "listening");
        }
        let accepting = self.shutdown.token().child_token();
        let accept = accept(
            listener,
            (self.protocol, self.serve.clone(), self.beyond),
            self.stats.clone(),
            self.shutdown.clone(),
            accepting.clone(),
        );
        self.shutdown.spawn(format!("accept loop of {}", self.protocol), accept);
        self.running = Some(Running { address, bound, accepting });
    }

    /// Where it listens; `None` while it does not.
    pub fn address(&self) -> Option<SocketAddr> {
        self.running.as_ref()?.bound
    }

    fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            running.accepting.cancel();
        }
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Port").field("protocol", &self.protocol).field("running", &self.running).finish()
    }
}

async fn accept(
    listener: Listener,
    (protocol, serve, beyond): (&'static str, ServeConnection, Beyond),
    stats: Arc<HttpStats>,
    shutdown: Shutdown,
    stop: CancellationToken,
) {
    loop {
        let incoming = tokio::select! {
            () = stop.cancelled() => return,
            incoming = listener.accept() => incoming,
        };
        match incoming {
            Incoming::Accepted(connection) => {
                let name = format!("{protocol} connection from {}", connection.peer);
                shutdown.spawn(name, serve(connection));
            }
            Incoming::Rejected(rejected) => {
                stats.refused(match rejected.reason {
                    LimitReached::Server => Refusal::Connections,
                    LimitReached::Address => Refusal::Address,
                });
                if beyond == Beyond::Respond {
                    shutdown.spawn("rejected connection", rejected.reject());
                }
            }
        }
    }
}
