//! The life of the server: load binds and starts nothing, run serves until it is stopped, then drains. A new configuration is
//! applied while it runs.

use crate::{
    config::{self, Config, Encoding, Source as FeedKind},
    engine::{
        deployment::{ApplyReport, Deployment},
        registry::Registry,
    },
    ipc::{FromWorker, TextFault, TextKind, ToWorker},
    net::{ConnectionLimiter, Incoming, LimitReached, Listener},
    output::{
        hls::stream::SegmentedStreams,
        http::{
            access_log::LowPriorityLog,
            router::{self, Page, PageRequest, RouteTable},
            session,
            shard::Shards,
        },
    },
    source::{pool::Pool, worker::Worker},
    status::{events::EventHub, health, metrics, server_info::ServerInfo, snapshot::StatusReader, state},
    sys::{
        Shutdown, orphans, overload,
        service::{self, Pulse, Pulses, Watch},
    },
    telemetry::Refusal,
    web,
};
use anyhow::Context;
use futures_util::FutureExt;
use indexmap::IndexSet;
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use warp::reply::Response;

/// Time for all that runs to end.
const DRAIN: Duration = Duration::from_secs(10);
/// Time for a worker to parse all texts of a configuration.
const CHECK: Duration = Duration::from_secs(20);

/// A server that is bound and not running yet.
#[derive(Debug)]
pub struct App {
    config: Config,
    listener: Listener,
    shards: Arc<Shards>,
    shutdown: Shutdown,
    pulses: Pulses,
    info: ServerInfo,
}

/// A new configuration for a running server.
#[derive(Debug)]
pub struct Change {
    /// Checked, including its pipelines.
    pub config: Config,
    /// Receives the result.
    pub done: oneshot::Sender<anyhow::Result<ApplyReport>>,
}

/// An error in a pipeline of the configuration.
#[derive(Debug)]
pub struct LaunchFault {
    /// The path of the pipeline, `feeds.cam0.pipeline`, as its parts.
    pub path: [String; 3],
    /// The error.
    pub fault: TextFault,
}

/// Lets a worker parse the gst-launch texts of a configuration. Of several for one stream one
/// that parses is enough where the others only lack what other machines have.
///
/// # Errors
/// When no worker can be had.
pub async fn check_texts(config: &Config) -> anyhow::Result<Vec<LaunchFault>> {
    let feeds = config.feeds.iter().filter_map(|feed| match &feed.source {
        FeedKind::Pipeline(text) => Some(("feeds", feed.name.as_str(), TextKind::Feed, std::slice::from_ref(text))),
        _ => None,
    });
    let streams = config.streams.iter().filter_map(|stream| match &stream.encoding {
        Encoding::Pipeline(texts) => {
            let kind = if stream.outputs.is_some() { TextKind::Tracks } else { TextKind::Stream };
            Some(("streams", stream.name.as_str(), kind, texts.as_slice()))
        }
        _ => None,
    });
    let alternatives = config.streams.iter().flat_map(|stream| {
        let all = stream.outputs.iter().flat_map(|outputs| &outputs.alternatives);
        all.map(|one| ("streams", stream.name.as_str(), TextKind::Tracks, one.pipelines.as_slice()))
    });
    let pipelines: Vec<_> = feeds.chain(streams).chain(alternatives).collect();
    if pipelines.is_empty() {
        return Ok(Vec::new());
    }
    // Typed keys make the same text for many streams.
    let texts = pipelines.iter().flat_map(|(_, _, kind, texts)| texts.iter().map(|text| (*kind, text.clone())));
    let texts: IndexSet<_> = texts.collect();
    let mut worker = Worker::spawn().await.context("cannot start a worker to check the pipelines")?;
    worker.send(ToWorker::Check(texts.iter().cloned().collect()));
    let answer = tokio::time::timeout(CHECK, async {
        loop {
            match worker.event().await {
                Some(FromWorker::Checked(faults)) => return Some(faults),
                Some(_) => {}
                None => return None,
            }
        }
    });
    let faults = answer.await.ok().flatten().context("the worker that checks the pipelines died")?;
    tokio::spawn(worker.end());
    let fault_of = |kind, text: &String| faults.get(texts.get_index_of(&(kind, text.clone()))?)?.clone();
    let located = pipelines.iter().flat_map(|(section, name, kind, texts)| {
        let path = [*section, *name, "pipeline"].map(str::to_owned);
        let faults = told(texts.iter().map(|text| fault_of(*kind, text)).collect());
        faults.into_iter().map(move |fault| LaunchFault { path: path.clone(), fault })
    });
    Ok(located.collect())
}

/// What is told of the texts of one pipeline, of which one is enough: nothing of those that lack what other machines have where
/// another one is good.
fn told(found: Vec<Option<TextFault>>) -> Vec<TextFault> {
    let (texts, one_is_good) = (found.len(), found.iter().any(Option::is_none));
    let numbered = |(number, fault): (usize, Option<TextFault>)| {
        let mut fault = fault.filter(|fault| !(one_is_good && fault.is_of_machine))?;
        if texts > 1 {
            fault.message = format!("text {number} of {texts}: {}", fault.message);
        }
        Some(fault)
    };
    (1..).zip(found).filter_map(numbered).collect()
}

impl App {
    /// Binds the port, or takes the one that the service manager has bound; starts nothing.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub fn load(config: Config) -> anyhow::Result<Self> {
        let limiter = ConnectionLimiter::new();
        let connections = limiter.open();
        let listener = match service::inherited_listener().context("cannot take the socket of the service manager")? {
            Some(socket) => Listener::inherited(socket, limiter)?,
            None => {
                let address = address(&config);
                Listener::bind(address, limiter).with_context(|| format!("cannot listen on {address}"))?
            }
        };
        create_logdir(&config)?;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let pulses = Pulses::default();
        let shards = Shards::start(cores, &pulses).context("cannot start the threads that write to viewers")?;
        Ok(Self {
            config,
            listener,
            shards: Arc::new(shards),
            shutdown: Shutdown::default(),
            info: ServerInfo::new(pulses.clone(), connections),
            pulses,
        })
    }

    /// The bound address.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.address()
    }

    /// The state of the server itself.
    pub fn info(&self) -> ServerInfo {
        self.info.clone()
    }

    /// Serves until `stop` is cancelled, then stops everything, in at most 10 s. Applies new configurations, one after the
    /// other.
    pub async fn run(self, stop: CancellationToken, changes: mpsc::Receiver<Change>) {
        let Self { config, listener, shards, shutdown, pulses, info } = self;
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
        let mut deployment = Deployment::new(pool, shutdown.clone(), pulses.clone());
        let (registry, _) = deployment.apply(&config).await;
        let events = EventHub::new(shutdown.token().clone());
        let segments = SegmentedStreams::new(shutdown.clone());
        let (table, tables) = watch::channel(Arc::new(route_table(&config, &registry, &segments, &info, &events)));
        let listener = Arc::new(listener);
        let (listeners, mut listening) = watch::channel(listener.clone());
        let viewed = segments.clone();
        let serving = Serving { config, deployment, segments, table, listeners, info: info.clone(), events };
        shutdown.spawn("changes of the configuration", serving.follow(changes, shutdown.token().clone()));

        let routes = hyper_util::service::TowerToHyperService::new(warp::service(router::routes(
            tables,
            info.load().clone(),
            info.http_stats().clone(),
        )));
        let (load, written) = (info.load().clone(), shards.clone());
        let (ended, watching) = (shutdown.token().clone(), overload::watch(load, move || written.lateness()));
        shutdown.spawn("overload detector", async move {
            ended.run_until_cancelled(watching).await;
        });
        let dispatch = |incoming: Incoming| match incoming {
            Incoming::Accepted(connection) => {
                let name = format!("connection from {}", connection.peer);
                let (routes, shards, stats) = (routes.clone(), shards.clone(), info.http_stats().clone());
                shutdown.spawn(name, session::serve(connection, routes, shards, stats, shutdown.token().clone()));
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
        drop(watch);
        drop((listener, listening));
        let closing = tokio::task::spawn_blocking(move || shards.close());
        shutdown.drain(DRAIN).await;
        let _ = closing.await;
    }
}

/// What a running server is made of that a configuration decides.
struct Serving {
    config: Config,
    deployment: Deployment,
    segments: SegmentedStreams,
    table: watch::Sender<Arc<RouteTable>>,
    listeners: watch::Sender<Arc<Listener>>,
    info: ServerInfo,
    events: EventHub,
}

impl Serving {
    async fn follow(mut self, mut changes: mpsc::Receiver<Change>, stop: CancellationToken) {
        loop {
            let change = tokio::select! {
                () = stop.cancelled() => return,
                change = changes.recv() => change,
            };
            let Some(Change { config, done }) = change else { return };
            let _ = done.send(self.exchange(config).await);
        }
    }

    /// Applies a new configuration. What can fail happens first, and then changes nothing.
    async fn exchange(&mut self, config: Config) -> anyhow::Result<ApplyReport> {
        create_logdir(&config)?;
        let wanted = address(&config);
        let fresh = if wanted == address(&self.config) {
            None
        } else {
            let bound = self.listeners.borrow().bind_beside(wanted);
            Some(bound.with_context(|| format!("cannot listen on {wanted}"))?)
        };
        let (registry, exchange) = self.deployment.apply(&config).await;
        let table = route_table(&config, &registry, &self.segments, &self.info, &self.events);
        self.table.send_replace(Arc::new(table));
        if let Some(listener) = fresh {
            tracing::info!(address = %listener.address()?, "listening");
            self.listeners.send_replace(Arc::new(listener));
        }
        self.config = config;
        Ok(exchange)
    }
}

fn address(config: &Config) -> SocketAddr {
    SocketAddr::new(config.listen_addr, config.listen_port)
}

fn create_logdir(config: &Config) -> anyhow::Result<()> {
    let Some(folder) = &config.logdir else { return Ok(()) };
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create logdir {}", folder.display()))
}

fn route_table(
    config: &Config,
    registry: &Registry,
    segments: &SegmentedStreams,
    info: &ServerInfo,
    events: &EventHub,
) -> RouteTable {
    RouteTable::new(registry, segments, pages(config, registry, info, events))
}

/// A page that programs request every few seconds: its successful requests are logged at debug level.
fn low_priority(page: impl Fn(PageRequest<'_>) -> Response + Send + Sync + 'static) -> Page {
    Box::new(move |request| as_low_priority(page(request)))
}

fn as_low_priority(mut response: Response) -> Response {
    response.extensions_mut().insert(LowPriorityLog);
    response
}

/// The pages that the configuration enables.
fn pages(config: &Config, registry: &Registry, info: &ServerInfo, events: &EventHub) -> HashMap<String, Page> {
    let mut pages: HashMap<String, Page> = HashMap::new();
    if config.pages.home {
        for stream in registry.streams() {
            for path in [format!("/stream/{}/play", stream.config.name), format!("{}/play", stream.config.path)] {
                let (stream, registry) = (stream.clone(), registry.clone());
                pages.insert(
                    path,
                    Box::new(move |request| web::player::page(&stream, &registry, &request.site.to_string())),
                );
            }
        }
        pages.insert(web::player::SCRIPT_PATH.to_owned(), Box::new(|_| web::player::script()));
        let (registry, all) = (registry.clone(), config.pages.clone());
        pages.insert(
            "/".to_owned(),
            Box::new(move |request| web::home::page(&registry, &all, &request.site.to_string())),
        );
    }
    let reader = Arc::new(StatusReader::new(registry, config, info));
    if let (Some(path), Some(script)) = (&config.pages.stat, config.pages.stat_script()) {
        let reader = reader.clone();
        let page = move |request: PageRequest<'_>| {
            let page = web::state::page(&reader);
            if web::state::is_refresh(request.query) { as_low_priority(page) } else { page }
        };
        pages.insert(path.to_string(), Box::new(page));
        pages.insert(script, Box::new(|_| web::state::script()));
    }
    for path in ["/livez", "/healthz"] {
        let reader = reader.clone();
        pages.insert(path.to_owned(), low_priority(move |_| health::live(&reader)));
    }
    let judged = reader.clone();
    pages.insert("/readyz".to_owned(), low_priority(move |request| health::ready(&judged, request.query)));
    if config.pages.metrics {
        let reader = reader.clone();
        pages.insert("/metrics".to_owned(), low_priority(move |_| metrics::page(&reader)));
    }
    events.set_source(config.pages.events.then(|| reader.clone()));
    if config.pages.events {
        let events = events.clone();
        let page = move |request: PageRequest<'_>| {
            let client = request.client.clone();
            events.page(request.last_event, Box::pin(async move { client.wait().await }))
        };
        pages.insert("/events".to_owned(), Box::new(page));
    }
    if let Some(path) = &config.pages.stat_json {
        pages.insert(path.to_string(), low_priority(move |_| state::json(&reader)));
    }
    if config.pages.config {
        let json = config::to_json(&config::masked(config));
        pages.insert("/config".to_owned(), Box::new(move |_| web::config::page(&json)));
    }
    pages
}
