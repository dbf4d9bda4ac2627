//! The life of the server: load binds and starts nothing, run serves until it is stopped, then drains. A new configuration is
//! applied while it runs.

mod devices;
mod entrances;
mod manage;
mod pages;
mod paths;
mod pipelines;

pub use pipelines::{LaunchFault, check_texts};

use self::{
    entrances::{FollowedTls, SrtPort, bind_control, bind_srt, load_tls, start_webrtc, with_plain},
    pages::pages,
};
use crate::{
    access::{Fetch, Gate, Secret, read_keys},
    api::{self, Api, Doctor, Events, configurator::Configurator},
    config::{Config, FeedName, Plain, PublishPattern},
    doctor,
    engine::{
        deployment::{ApplyReport, Deployment},
        patterns::{Instances, PatternError, PatternRequest, Patterns},
        registry::Registry,
    },
    hooks::{Hooks, Observed},
    journal::{self, Journal},
    net::{ConnectionLimiter, ControlSocket, HttpClient, Incoming, LimitReached, Listener, tls::Tls},
    otlp::{Exporter, Otlp},
    output::{
        hls::stream::SegmentedStreams,
        http::{
            access_log::Instruments,
            authorize::Need,
            control,
            players::PlayersFirst,
            router::{self, Page, RouteTable, Router},
            session::{self, Security},
        },
        port::{Beyond, Bound, Port, ServeConnection},
        push::pushers::Pushers,
        record::{playback::Playback, recorders::Recorders},
        rtmp::listener::RtmpServer,
        rtsp::{self, server::RtspServer, table::RtspTable},
        shard::pool::Shards,
        srt,
        webrtc::WebRtc,
    },
    source::{
        pool::Pool,
        publisher::{Phase, PublishSlot},
    },
    status::{events::EventHub, server_info::ServerInfo, snapshot::StatusReader},
    sys::{
        Shutdown, orphans, overload,
        service::{self, Pulse, Pulses, Watch},
    },
    telemetry::{Fact, Facts, Refusal, chain},
    web::{self},
};
use anyhow::Context;
use futures_util::FutureExt;
use http_body_util::{BodyExt as _, Full, Limited};
use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use warp::Filter;

/// Time for all that runs to end.
const DRAIN: Duration = Duration::from_secs(10);
/// Publishers that may wait for their feed to be made.
const PATTERN_REQUESTS: usize = 64;
/// Most connections of the control socket.
const CONTROLLERS: usize = 64;
/// How often it is looked which feeds of patterns are unused.
const PATTERN_LOOK: Duration = Duration::from_secs(1);

/// A server that is bound and not running yet.
#[derive(Debug)]
pub struct App {
    config: Config,
    configurator: Configurator,
    listener: Listener,
    control: Option<ControlSocket>,
    rtmp: Option<Bound>,
    rtsp: Option<rtsp::server::Bound>,
    srs: Option<Bound>,
    shards: Arc<Shards>,
    gate: Gate,
    tls: Option<Tls>,
    webrtc: Option<WebRtc>,
    srt: Option<srt::Bound>,
    limiter: ConnectionLimiter,
    shutdown: Shutdown,
    pulses: Pulses,
    info: ServerInfo,
    writer: journal::Writer,
    journal: Journal,
    facts: Facts,
    hooks: Hooks,
    otlp: Otlp,
    exporter: Exporter,
}

/// A new configuration for a running server.
#[derive(Debug)]
pub struct Change {
    /// Checked, including its pipelines.
    pub config: Config,
    /// Receives the result.
    pub done: oneshot::Sender<anyhow::Result<ApplyReport>>,
}

impl App {
    /// Binds the port, or takes the one that the service manager has bound; starts nothing.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub fn load(config: Config, configurator: Configurator) -> anyhow::Result<Self> {
        let limiter = ConnectionLimiter::new();
        let connections = limiter.open();
        let rtmp = Bound::bind(config.rtmp.map(|rtmp| rtmp.listen), &limiter).context("cannot serve RTMP")?;
        let rtsp = rtsp::server::Bound::bind(config.rtsp.as_ref(), &limiter).context("cannot serve RTSP")?;
        let srs = Bound::bind(config.srs.map(|srs| srs.listen), &limiter).context("cannot serve the API of SRS")?;
        let listener = match service::inherited_listener().context("cannot take the socket of the service manager")? {
            Some(socket) => Listener::inherited(socket, limiter.clone())?,
            None => {
                let address = address(&config);
                Listener::bind(address, limiter.clone()).with_context(|| format!("cannot listen on {address}"))?
            }
        };
        let control = bind_control(&config.api.socket, listener.address()?.port())?;
        let srt = config.srt.as_ref().map(bind_srt).transpose()?;
        create_logdir(&config)?;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let pulses = Pulses::default();
        let shards = Shards::start(cores, &pulses).context("cannot start the threads that write to viewers")?;
        let keys = read_keys(&config.auth).context("cannot use the keys of `auth.jwt`")?;
        let gate = Gate::new(config.auth.clone(), keys).context("cannot set up the access control")?;
        let tls = load_tls(&config, statedir(&config).as_deref(), None)?;
        let info = ServerInfo::new(pulses.clone(), connections);
        let webrtc = start_webrtc(&config, listener.address()?, (&pulses, info.webrtc_stats()), None)?;
        let folder = statedir(&config).map(|folder| folder.join("journal"));
        let (writer, journal, facts) = journal::Writer::start(folder.as_deref(), info.journal_stats().clone())
            .context("cannot start the thread of the journal")?;
        facts.keep_addresses(config.pages.clients);
        gate.report_to(facts.clone());
        let client = HttpClient::of_system();
        gate.fetch_by(fetch_by(client.clone()));
        let (otlp, exporter) = Otlp::new(client.clone(), info.otlp_stats().clone());
        let shutdown = Shutdown::default();
        let hooks = Hooks::new(
            journal.clone(),
            statedir(&config).map(|folder| folder.join("hooks")),
            source_name(),
            client,
            info.hook_stats().clone(),
            shutdown.clone(),
        );
        Ok(Self {
            config,
            configurator,
            listener,
            control,
            rtmp,
            rtsp,
            srs,
            tls,
            webrtc,
            gate,
            srt,
            limiter,
            shards: Arc::new(shards),
            shutdown,
            info,
            pulses,
            writer,
            journal,
            facts,
            hooks,
            otlp,
            exporter,
        })
    }

    /// The bound address.
    ///
    /// # Errors
    /// When the system does not report it.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.address()
    }

    /// The address of the page where this code logs in, for a browser on this machine; `None` where there is no such page.
    pub fn login_address(&self) -> Option<Secret> {
        let path = self.config.pages.home.then_some(web::login::PATH)?;
        let site = self.config.local_address(self.address().ok()?.port());
        let code = self.gate.issue_code()?;
        Some(Secret::new(format!("{site}{path}#{}", code.expose())))
    }

    /// The state of the server itself.
    pub fn info(&self) -> ServerInfo {
        self.info.clone()
    }

    /// Where it reports what happens.
    pub fn facts(&self) -> Facts {
        self.facts.clone()
    }

    /// Serves until `stop` is cancelled, then stops everything, in at most 10 s. Applies new configurations, one after the
    /// other.
    pub async fn run(self, stop: CancellationToken, changes: mpsc::Receiver<Change>) {
        let Self {
            config,
            configurator,
            listener,
            control,
            rtmp: bound_rtmp,
            rtsp: bound,
            srs: bound_srs,
            shards,
            gate,
            tls,
            webrtc,
            srt,
            limiter,
            shutdown,
            pulses,
            info,
            writer,
            journal,
            facts,
            hooks,
            otlp,
            exporter,
        } = self;
        otlp.apply(config.telemetry.as_ref());
        // It ends last: what ends before may have traces.
        let traced = CancellationToken::new();
        let exporting = tokio::spawn(exporter.run(traced.clone()));
        let instruments = Instruments { stats: info.http_stats().clone(), tracer: otlp.tracer().clone() };
        facts.report(Fact::server("server.started").with("version", env!("CARGO_PKG_VERSION")));
        // Nothing of this server runs yet.
        for pid in orphans::kill_orphans() {
            tracing::warn!(pid, "killed orphaned process");
        }
        let pool = Pool::new(shutdown.token().clone());
        let reserve = pool.clone();
        shutdown.spawn("worker reserve", async move {
            reserve.refill().await;
            reserve.drain().await;
        });
        let mut deployment =
            Deployment::new(pool, shutdown.clone(), pulses.clone(), facts.clone(), otlp.tracer().clone());
        let (registry, _) = deployment.apply(&config).await;
        let (wanted, wishes) = mpsc::channel(PATTERN_REQUESTS);
        let registry = registry.with_patterns(Patterns::new(&config.patterns, wanted.clone()));
        let events = EventHub::new(shutdown.token().clone());
        let mut recorders = Recorders::new(shutdown.clone());
        recorders.apply(&registry).await;
        let mut pushers = Pushers::new(shutdown.clone(), facts.clone(), source_name());
        pushers.apply(&registry).await;
        let playback = Playback::new(recorders.folders());
        let segments = SegmentedStreams::new(shutdown.clone(), info.hls_stats().clone(), playback.clone());
        let entrances = Entrances { segments: segments.clone(), webrtc, playback: playback.clone(), tls: tls.clone() };
        if let Some(webrtc) = entrances.webrtc.clone() {
            shutdown.spawn("webrtc candidates", webrtc.resolve());
        }
        let table = route_table(&config, &registry, &entrances, &info, (&events, &configurator));
        let (table, tables) = watch::channel(Arc::new(table));
        let (shown, state) = watch::channel(api_state(&config, &registry, &info));
        let states = state.clone();
        let followed = Events::new(journal, source_name(), shutdown.token().clone());
        let api = Api::new(
            gate.clone(),
            configurator.clone(),
            followed,
            facts.clone(),
            playback,
            state,
            Doctor::new(|| doctor::findings().boxed()),
        );
        let listener = Arc::new(listener);
        let (listeners, mut listening) = watch::channel(listener.clone());
        warn_if_open(&config);
        let (encryption, encrypting) = watch::channel(with_plain(&config, tls.clone()));
        let tls = FollowedTls::start(tls, &info, shutdown.token());
        let counted = (info.http_stats().clone(), info.load().clone());
        let mut rtmp = RtmpServer::new(
            gate.clone(),
            registry.clone(),
            encrypting.clone(),
            shutdown.clone(),
            counted.clone(),
            (shards.clone(), limiter.clone()),
        );
        rtmp.listen(bound_rtmp);
        let mut rtsp = RtspServer::new(
            gate.clone(),
            encrypting.clone(),
            shutdown.clone(),
            counted,
            (shards.clone(), limiter.clone()),
            pulses.clone(),
        );
        rtsp.set_table(RtspTable::new(&registry));
        rtsp.listen(bound);
        let viewed = segments;
        let last_table = tables.clone();
        let services = srt::Services {
            gate: gate.clone(),
            limiter: limiter.clone(),
            load: info.load().clone(),
            stats: info.srt_stats().clone(),
            shutdown: shutdown.clone(),
        };
        let srt = SrtPort::start(srt, &config, &registry, services, pulses.clone());
        let served = srs_connections(&api, &shards, &gate, &encrypting, (&instruments, &shutdown));
        let mut srs = Port::new("srs", (served, Beyond::Respond), info.http_stats().clone(), shutdown.clone(), limiter);
        srs.listen(bound_srs);
        let mut serving = Serving {
            statedir: statedir(&config),
            instances: Instances::new(config.clone()),
            wanted,
            registry: registry.clone(),
            config,
            deployment,
            recorders,
            pushers,
            entrances,
            rtsp,
            srs,
            pulses: pulses.clone(),
            gate: gate.clone(),
            tls,
            srt,
            encryption,
            table,
            shown,
            listeners,
            rtmp,
            info: info.clone(),
            events,
            configurator,
            facts: facts.clone(),
            hooks,
            otlp,
        };
        serving.apply_hooks().await;
        shutdown.spawn("permissions", gate.clone().sweep(shutdown.token().clone()));
        shutdown.spawn("keys of JSON Web Tokens", gate.clone().follow_keys(shutdown.token().clone()));
        shutdown.spawn("changes of the configuration", serving.follow(changes, wishes, shutdown.token().clone()));

        let router = Router::new(tables, gate.clone(), info.load().clone(), info.http_stats().clone());
        let others = warp::service(api::routes(api).or(router::routes(router.clone())).unify());
        let others = hyper_util::service::TowerToHyperService::new(others);
        let routes = PlayersFirst { router, others };
        let (history, ended) = (info.history().clone(), shutdown.token().clone());
        shutdown.spawn("history of streams and feeds", async move {
            ended.run_until_cancelled(history.keep(move || states.borrow().reader.snapshot().readings())).await;
        });
        let (ended, reported) = (shutdown.token().clone(), facts.clone());
        shutdown.spawn("devices", async move {
            ended.run_until_cancelled(devices::follow(reported)).await;
        });
        let (load, written) = (info.load().clone(), shards.clone());
        let (ended, watching) = (shutdown.token().clone(), overload::watch(load, move || written.lateness()));
        shutdown.spawn("overload detector", async move {
            ended.run_until_cancelled(watching).await;
        });
        if let Some(control) = control {
            let (routes, instruments, tasks) = (routes.clone(), instruments.clone(), shutdown.clone());
            shutdown.spawn("control socket", async move {
                let places = Arc::new(Semaphore::new(CONTROLLERS));
                let stop = tasks.token().clone();
                let accept = async {
                    loop {
                        let Ok(place) = places.clone().acquire_owned().await else { return };
                        let (socket, uid) = control.accept().await;
                        let served = control::serve(socket, uid, routes.clone(), instruments.clone(), stop.clone());
                        tasks.spawn("connection of the control socket", async move {
                            served.await;
                            drop(place);
                        });
                    }
                };
                stop.run_until_cancelled(accept).await;
            });
        }
        let dispatch = |incoming: Incoming| match incoming {
            Incoming::Accepted(connection) => {
                let name = format!("connection from {}", connection.peer);
                let (routes, shards, instruments) = (routes.clone(), shards.clone(), instruments.clone());
                let stop = shutdown.token().clone();
                let webrtc = last_table.borrow().webrtc().cloned();
                let security = Security { gate: gate.clone(), tls: encrypting.borrow().clone(), webrtc };
                shutdown.spawn(name, session::serve(connection, routes, shards, security, instruments, stop));
            }
            Incoming::Rejected(rejected) => {
                info.http_stats().refused(match rejected.reason {
                    LimitReached::Server => Refusal::Connections,
                    LimitReached::Address => Refusal::Address,
                });
                shutdown.spawn("rejected connection", rejected.reject());
            }
        };
        let pulse = pulses.add("accept loop");
        let written = shards.clone();
        let watch = Watch::start(pulses, move || format!("{} viewers", written.viewers()));
        // Without one the service manager ends us, which is what it is for.
        let watch = watch.inspect_err(|error| tracing::error!(%error, "cannot start the thread of the watchdog"));
        service::ready();
        let mut listener = listener;
        let mut round = tokio::time::interval(Pulse::PERIOD);
        loop {
            let incoming = tokio::select! {
                () = stop.cancelled() => break,
                _ = round.tick() => {
                    pulse.beat();
                    viewed.expire(Instant::now());
                    continue;
                }
                incoming = listener.accept() => incoming,
                Ok(()) = listening.changed() => {
                    let old = std::mem::replace(&mut listener, listening.borrow_and_update().clone());
                    // Connections that the kernel has accepted already are still served.
                    while let Some(incoming) = old.accept().now_or_never() {
                        dispatch(incoming);
                    }
                    continue;
                }
            };
            dispatch(incoming);
        }
        tracing::info!("shutting down: no new connections");
        service::stopping();
        info.stopping();
        facts.report(Fact::server("server.stopping"));
        drop(watch);
        drop((listener, listening));
        let webrtc = last_table.borrow().webrtc().cloned();
        let closing = tokio::task::spawn_blocking(move || {
            shards.close();
            webrtc.inspect(WebRtc::stop);
        });
        shutdown.drain(DRAIN).await;
        let _ = closing.await;
        traced.cancel();
        let _ = exporting.await;
        let _ = tokio::task::spawn_blocking(|| writer.end()).await;
    }
}

/// What a running server is made of that a configuration decides.
struct Serving {
    /// With all that patterns made.
    config: Config,
    instances: Instances,
    /// Where sessions ask for what patterns make.
    wanted: mpsc::Sender<PatternRequest>,
    registry: Registry,
    deployment: Deployment,
    recorders: Recorders,
    pushers: Pushers,
    entrances: Entrances,
    rtsp: RtspServer,
    srs: Port,
    pulses: Pulses,
    gate: Gate,
    tls: FollowedTls,
    /// Where state was kept at the start: another folder applies after a restart.
    statedir: Option<PathBuf>,
    srt: SrtPort,
    encryption: watch::Sender<Option<(Tls, Plain)>>,
    table: watch::Sender<Arc<RouteTable>>,
    /// What the API shows.
    shown: watch::Sender<Arc<api::State>>,
    listeners: watch::Sender<Arc<Listener>>,
    rtmp: RtmpServer,
    info: ServerInfo,
    events: EventHub,
    configurator: Configurator,
    facts: Facts,
    hooks: Hooks,
    otlp: Otlp,
}

impl Serving {
    async fn follow(
        mut self,
        mut changes: mpsc::Receiver<Change>,
        mut wishes: mpsc::Receiver<PatternRequest>,
        stop: CancellationToken,
    ) {
        let mut look = tokio::time::interval(PATTERN_LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                change = changes.recv() => {
                    let Some(Change { config, done }) = change else { break };
                    let before = self.instances.set_base(config);
                    let exchanged = self.exchange(self.instances.config()).await;
                    if exchanged.is_err() {
                        self.instances = before;
                    }
                    let _ = done.send(exchanged);
                }
                // It never closes: this has a sender.
                Some(PatternRequest { pattern, name, done }) = wishes.recv() => {
                    let _ = done.send(self.make(&pattern, &name).await);
                }
                _ = look.tick(), if !self.instances.is_empty() => self.expire().await,
            }
        }
        // Its peers are notified, however the changes end.
        stop.cancelled().await;
        tokio::task::block_in_place(|| self.srt.close());
    }

    /// Makes the feed and the streams of a name that somebody wants to publish to.
    async fn make(&mut self, pattern: &PublishPattern, name: &str) -> Result<PublishSlot, PatternError> {
        let (feed, is_new) = self.instances.add(pattern, name, Instant::now())?;
        if is_new {
            tracing::info!(%feed, "feed created for a publisher");
            if let Err(error) = self.exchange(self.instances.config()).await {
                tracing::error!(%feed, %error, "feed for a publisher not created");
                self.instances.remove(&feed);
                return Err(PatternError::Unavailable);
            }
        }
        self.registry.publish_slot(feed.as_str()).cloned().ok_or(PatternError::Unavailable)
    }

    /// Removes what has no publisher any more.
    async fn expire(&mut self) {
        let registry = &self.registry;
        let is_published = |feed: &FeedName| {
            registry.publish_slot(feed.as_str()).is_some_and(|slot| *slot.phase().borrow() != Phase::Vacant)
        };
        let gone = self.instances.expire(Instant::now(), is_published);
        if gone.is_empty() {
            return;
        }
        for feed in gone {
            tracing::info!(%feed, "feed created for a publisher removed: unused");
        }
        if let Err(error) = self.exchange(self.instances.config()).await {
            tracing::error!(%error, "feeds created for publishers not removed");
        }
    }

    /// From now on there are these sessions of WebRTC.
    async fn exchange_webrtc(&mut self, config: &Config, webrtc: Option<WebRtc>) {
        if let (Some(webrtc), Some(wanted)) = (&webrtc, &config.webrtc) {
            match &self.entrances.webrtc {
                Some(known) if known.is_same(webrtc) => webrtc.reconfigure(wanted).await,
                _ => _ = tokio::spawn(webrtc.clone().resolve()),
            }
        }
        self.entrances.webrtc = webrtc;
    }

    /// Applies a new configuration. What can fail happens first, and then changes nothing.
    async fn exchange(&mut self, config: Config) -> anyhow::Result<ApplyReport> {
        create_logdir(&config)?;
        let state = self.statedir.clone().or_else(|| statedir(&config));
        let tls = tokio::task::block_in_place(|| load_tls(&config, state.as_deref(), self.tls.tls.as_ref()))?;
        let keys =
            tokio::task::block_in_place(|| read_keys(&config.auth)).context("cannot use the keys of `auth.jwt`")?;
        let wanted = address(&config);
        let fresh = if wanted == address(&self.config) {
            None
        } else {
            let bound = self.listeners.borrow().bind_beside(wanted);
            Some(bound.with_context(|| format!("cannot listen on {wanted}"))?)
        };
        let rtmp = self.rtmp.prepare(config.rtmp.map(|rtmp| rtmp.listen)).context("cannot serve RTMP")?;
        let rtsp = self.rtsp.prepare(config.rtsp.as_ref()).context("cannot serve RTSP")?;
        let srs = self.srs.prepare(config.srs.map(|srs| srs.listen)).context("cannot serve the API of SRS")?;
        let at = fresh.as_ref().unwrap_or(&self.listeners.borrow().clone()).address()?;
        let known = self.entrances.webrtc.clone();
        let webrtc = tokio::task::block_in_place(|| {
            start_webrtc(&config, at, (&self.pulses, self.info.webrtc_stats()), known.as_ref())
        })?;
        let srt = self.srt.bind_other(config.srt.as_ref())?;
        // Before new streams can be found.
        if self.gate.set_policy(config.auth.clone(), keys) {
            tracing::info!("access rules changed: sessions that are no longer permitted end");
        }
        warn_if_open(&config);
        self.encryption.send_replace(with_plain(&config, tls.clone()));
        self.tls.exchange(tls, &self.info);
        let (registry, exchange) = self.deployment.apply(&config).await;
        let registry = registry.with_patterns(Patterns::new(&config.patterns, self.wanted.clone()));
        self.registry = registry.clone();
        self.recorders.apply(&registry).await;
        self.pushers.apply(&registry).await;
        self.entrances.tls = self.tls.tls.clone();
        self.exchange_webrtc(&config, webrtc).await;
        let table = route_table(&config, &registry, &self.entrances, &self.info, (&self.events, &self.configurator));
        self.table.send_replace(Arc::new(table));
        self.rtmp.set_registry(registry.clone());
        self.rtmp.listen(rtmp);
        self.rtsp.set_table(RtspTable::new(&registry));
        self.rtsp.listen(rtsp);
        self.shown.send_replace(api_state(&config, &registry, &self.info));
        self.srs.listen(srs);
        if let Some(gone) = known.filter(|known| !self.entrances.webrtc.as_ref().is_some_and(|new| new.is_same(known)))
        {
            tokio::task::block_in_place(|| gone.stop());
        }
        tokio::task::block_in_place(|| self.srt.exchange(srt, &config, &registry));
        if let Some(listener) = fresh {
            tracing::info!(address = %listener.address()?, "listening");
            self.listeners.send_replace(Arc::new(listener));
        }
        self.otlp.apply(config.telemetry.as_ref());
        self.facts.keep_addresses(config.pages.clients);
        if config.api.socket != self.config.api.socket {
            tracing::warn!("another api.socket applies after a restart");
        }
        if statedir(&config) != statedir(&self.config) {
            tracing::warn!("another statedir applies after a restart");
        }
        self.config = config;
        self.apply_hooks().await;
        Ok(exchange)
    }

    /// Has the hooks of the configuration run, with what they see now.
    async fn apply_hooks(&mut self) {
        let http = self.listeners.borrow().address().ok();
        let listening = [
            ("http", http),
            ("rtmp", self.rtmp.address()),
            ("rtsp", self.rtsp.address()),
            ("srs", self.srs.address()),
            ("srt", self.srt.address()),
        ];
        let listening = listening.into_iter().filter_map(|(protocol, address)| Some((protocol, address?)));
        self.info.listens(listening.collect());
        let observed = Observed {
            registry: self.registry.clone(),
            reader: self.shown.borrow().reader.clone(),
            site: self.config.local_address(http.map_or(self.config.listen_port, |address| address.port())),
        };
        self.hooks.apply(&self.config.hooks, observed).await;
    }
}

/// Serves connections with the state in the words of SRS.
fn srs_connections(
    api: &Api,
    shards: &Arc<Shards>,
    gate: &Gate,
    encryption: &watch::Receiver<Option<(Tls, Plain)>>,
    (instruments, shutdown): (&Instruments, &Shutdown),
) -> ServeConnection {
    let routes = hyper_util::service::TowerToHyperService::new(warp::service(api::srs::routes(api.clone())));
    let (shards, gate, encryption) = (shards.clone(), gate.clone(), encryption.clone());
    let (instruments, stop) = (instruments.clone(), shutdown.token().clone());
    Arc::new(move |connection| {
        let security = Security { gate: gate.clone(), tls: encryption.borrow().clone(), webrtc: None };
        session::serve(connection, routes.clone(), shards.clone(), security, instruments.clone(), stop.clone()).boxed()
    })
}

/// What streams and pages are reached by, beside HTTP itself.
struct Entrances {
    segments: SegmentedStreams,
    webrtc: Option<WebRtc>,
    playback: Playback,
    tls: Option<Tls>,
}

/// Requests of the access control, by the client of hooks.
fn fetch_by(client: HttpClient) -> Fetch {
    Fetch::new(move |request, limit| {
        let client = client.clone();
        async move {
            let mut exchange = client.send(request.map(Full::new)).await.map_err(|error| chain(&error))?;
            let status = exchange.response.status().as_u16();
            let body = Limited::new(exchange.response.body_mut(), limit).collect().await;
            Ok((status, body.map_err(|error| error.to_string())?.to_bytes()))
        }
    })
}

fn address(config: &Config) -> SocketAddr {
    SocketAddr::new(config.listen_addr, config.listen_port)
}

/// Whoever reaches the server may watch: that is logged where other machines can reach it.
fn warn_if_open(config: &Config) {
    if !(config.listen_addr.is_loopback() || config.auth.knows_anyone()) {
        tracing::warn!(
            address = %address(config),
            "anyone who reaches this address may watch and read the state: see auth in the configuration"
        );
    }
}

/// Names this server in events.
fn source_name() -> Arc<str> {
    format!("/voyandz/{}", rustix::system::uname().nodename().to_string_lossy()).into()
}

/// Where state is kept: where the configuration says, or where the service manager says.
pub fn statedir(config: &Config) -> Option<PathBuf> {
    let of_manager = || {
        let folders = std::env::var_os("STATE_DIRECTORY")?;
        // Several are separated by colons.
        std::env::split_paths(&folders).next().filter(|folder| folder.is_absolute())
    };
    config.statedir.clone().or_else(of_manager)
}

fn create_logdir(config: &Config) -> anyhow::Result<()> {
    let Some(folder) = &config.logdir else { return Ok(()) };
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create logdir {}", folder.display()))
}

fn api_state(config: &Config, registry: &Registry, info: &ServerInfo) -> Arc<api::State> {
    let reader = Arc::new(StatusReader::new(registry, config, info));
    Arc::new(api::State { reader, registry: registry.clone(), api: config.api.clone(), has_players: config.pages.home })
}

fn route_table(
    config: &Config,
    registry: &Registry,
    Entrances { segments, webrtc, playback, tls }: &Entrances,
    info: &ServerInfo,
    (events, configurator): (&EventHub, &Configurator),
) -> RouteTable {
    let mut pages = pages(config, registry, info, events, configurator);
    if let Some(authority) = tls.as_ref().and_then(Tls::authority).map(str::to_owned) {
        pages.insert(
            web::config::AUTHORITY_PATH.to_owned(),
            Page::new(Need::Nothing, move |_| web::config::authority(&authority)),
        );
    }
    let login = pages::leads_to_login(config, registry).then_some(web::login::PATH);
    RouteTable::new(registry, segments, playback.clone(), webrtc.as_ref(), pages, login)
        .with_files(config.files.clone())
}
