//! Listens for clients of RTSP, and follows the configuration.

use super::{
    connection::Connection,
    context::{Context, Encryption},
    multicast::Groups,
    sessions::Sessions,
    shard::DatagramShards,
    table::RtspTable,
    tunnel::Tunnels,
    udp::UdpPair,
};
use crate::{
    access::Gate,
    config::{Multicast, Rtsp},
    net::{self, ConnectionLimiter, Incoming, LimitReached, Listener},
    output::{
        http::session::{behind_proxy, secure},
        shard::pool::Shards,
    },
    sys::{Shutdown, overload::CurrentLoad, service::Pulses},
    telemetry::{HttpStats, Refusal},
};
use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Serves RTSP, while it is configured.
#[derive(Debug)]
pub struct RtspServer {
    context: Arc<Context>,
    table: watch::Sender<Arc<RtspTable>>,
    limiter: ConnectionLimiter,
    running: Option<Running>,
}

/// Sockets that are bound and not used yet.
#[derive(Debug)]
pub struct Bound {
    config: Rtsp,
    /// `None` where the previous one continues.
    listener: Option<Listener>,
    udp: BoundUdp,
    /// `None` where the previous ones continue.
    groups: Option<Option<Groups>>,
}

#[derive(Debug)]
enum BoundUdp {
    Same,
    Other(Option<UdpPair>),
}

#[derive(Debug)]
struct Running {
    config: Rtsp,
    listener: Arc<Listener>,
    accepting: CancellationToken,
    receiving: CancellationToken,
}

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// That of RTSP.
    #[error("listen for RTSP on {0}")]
    Listen(std::net::SocketAddr, #[source] io::Error),
    /// Those of its datagrams.
    #[error("bind the UDP ports {0} and {next} of RTSP", next = .0.saturating_add(1))]
    Udp(u16, #[source] io::Error),
    /// Those of its groups.
    #[error("open sockets for multicast of RTSP")]
    Multicast(#[source] io::Error),
}

impl Bound {
    /// Binds what a configuration asks for; `None` if it asks for nothing.
    ///
    /// # Errors
    /// When an address cannot be bound.
    pub fn bind(config: Option<&Rtsp>, limiter: &ConnectionLimiter) -> Result<Option<Self>, BindError> {
        let Some(config) = config else { return Ok(None) };
        let listener = Listener::bind(config.listen, limiter.clone());
        let listener = listener.map_err(|error| BindError::Listen(config.listen, error))?;
        let (udp, groups) = (BoundUdp::Other(bind_udp(config)?), Some(bind_groups(config.multicast.as_ref())?));
        Ok(Some(Self { config: config.clone(), listener: Some(listener), udp, groups }))
    }
}

fn bind_udp(config: &Rtsp) -> Result<Option<UdpPair>, BindError> {
    let pair =
        config.udp.map(|port| UdpPair::bind(config.listen.ip(), port).map_err(|error| BindError::Udp(port, error)));
    pair.transpose()
}

fn bind_groups(config: Option<&Multicast>) -> Result<Option<Groups>, BindError> {
    config.map(Groups::bind).transpose().map_err(BindError::Multicast)
}

impl RtspServer {
    /// A server that does not listen yet.
    pub fn new(
        gate: Gate,
        encryption: watch::Receiver<Encryption>,
        shutdown: Shutdown,
        (http_stats, load): (Arc<HttpStats>, CurrentLoad),
        (shards, limiter): (Arc<Shards>, ConnectionLimiter),
        pulses: Pulses,
    ) -> Self {
        let (table, tables) = watch::channel(Arc::default());
        let context = Context {
            gate,
            table: tables,
            encryption,
            datagram_shards: DatagramShards::new(pulses, shutdown.clone()),
            shutdown,
            shards,
            sessions: Sessions::default(),
            tunnels: Tunnels::default(),
            http_stats,
            load,
            udp: Mutex::default(),
            groups: Mutex::default(),
        };
        Self { context: Arc::new(context), table, limiter, running: None }
    }

    /// The streams from now on.
    pub fn set_table(&self, table: RtspTable) {
        self.table.send_replace(Arc::new(table));
    }

    /// Binds what another configuration needs besides what is there.
    ///
    /// # Errors
    /// When an address cannot be bound; nothing is changed then.
    pub fn prepare(&self, config: Option<&Rtsp>) -> Result<Option<Bound>, BindError> {
        let (Some(config), Some(running)) = (config, &self.running) else { return Bound::bind(config, &self.limiter) };
        let listener = match config.listen == running.config.listen {
            true => None,
            false => {
                let bound = running.listener.bind_beside(config.listen);
                Some(bound.map_err(|error| BindError::Listen(config.listen, error))?)
            }
        };
        let is_same = (config.listen.ip(), config.udp) == (running.config.listen.ip(), running.config.udp);
        let udp = if is_same { BoundUdp::Same } else { BoundUdp::Other(bind_udp(config)?) };
        let is_same = config.multicast == running.config.multicast;
        let groups = if is_same { None } else { Some(bind_groups(config.multicast.as_ref())?) };
        Ok(Some(Bound { config: config.clone(), listener, udp, groups }))
    }

    /// Where it listens; `None` while it does not.
    pub fn address(&self) -> Option<std::net::SocketAddr> {
        self.running.as_ref()?.listener.address().ok()
    }

    /// Listens where it is bound now, and nowhere else. Sessions that run continue.
    pub fn listen(&mut self, bound: Option<Bound>) {
        let before = self.running.take();
        let Some(Bound { config, listener, udp, groups }) = bound else {
            if let Some(before) = before {
                before.accepting.cancel();
                before.receiving.cancel();
                *self.context.udp.lock().unwrap_or_else(PoisonError::into_inner) = None;
                *self.context.groups.lock().unwrap_or_else(PoisonError::into_inner) = None;
                tracing::info!(protocol = "rtsp", "no longer served");
            }
            return;
        };
        if let Some(groups) = groups {
            *self.context.groups.lock().unwrap_or_else(PoisonError::into_inner) = groups.map(Arc::new);
        }
        let shutdown = &self.context.shutdown;
        // The datagrams first: whoever connects is served at that moment.
        let receiving = match (udp, &before) {
            (BoundUdp::Same, Some(before)) => before.receiving.clone(),
            (BoundUdp::Same, None) => shutdown.token().child_token(),
            (BoundUdp::Other(pair), before) => {
                before.iter().for_each(|before| before.receiving.cancel());
                let (token, pair) = (shutdown.token().child_token(), pair.map(Arc::new));
                if let Some(pair) = &pair {
                    tracing::debug!(ports = ?pair.ports, protocol = "rtsp", "datagrams");
                    let receive = pair.clone().receive(self.context.sessions.clone(), token.clone());
                    shutdown.spawn("datagrams of RTSP", receive);
                }
                *self.context.udp.lock().unwrap_or_else(PoisonError::into_inner) = pair;
                token
            }
        };
        let (listener, accepting) = match (listener, before) {
            (None, Some(before)) => (before.listener, before.accepting),
            (Some(listener), before) => {
                let (listener, token) = (Arc::new(listener), shutdown.token().child_token());
                let address = listener.address().unwrap_or(config.listen);
                tracing::info!(%address, protocol = "rtsp", "listening");
                before.iter().for_each(|before| before.accepting.cancel());
                shutdown.spawn("accept loop of RTSP", accept(self.context.clone(), listener.clone(), token.clone()));
                (listener, token)
            }
            (None, None) => return,
        };
        self.running = Some(Running { config, listener, accepting, receiving });
    }
}

async fn accept(context: Arc<Context>, listener: Arc<Listener>, stop: CancellationToken) {
    loop {
        let incoming = tokio::select! {
            () = stop.cancelled() => return,
            incoming = listener.accept() => incoming,
        };
        match incoming {
            Incoming::Accepted(connection) => {
                let name = format!("RTSP connection from {}", connection.peer);
                context.shutdown.spawn(name, serve(context.clone(), connection));
            }
            // The connection is closed: there are no words for it before a request.
            Incoming::Rejected(rejected) => context.http_stats.refused(match rejected.reason {
                LimitReached::Server => Refusal::Connections,
                LimitReached::Address => Refusal::Address,
            }),
        }
    }
}

async fn serve(context: Arc<Context>, connection: net::Connection) {
    let net::Connection { mut socket, peer, permit } = connection;
    let Some(peer) = behind_proxy(&mut socket, peer, &context.gate).await else { return };
    let tls = context.encryption.borrow().as_ref().map(|(tls, _)| tls.clone());
    let Some(transport) = secure(socket, tls, &context.http_stats).await else { return };
    Connection::new(context, transport, peer, permit).serve().await;
}
