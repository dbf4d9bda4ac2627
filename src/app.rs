//! The life of the server: load binds and starts nothing, run runs until told, then drains. A changed configuration is
//! exchanged while it runs.

use crate::{
    config::{self, Config, Encoding, Source as FeedKind},
    control::{about::About, configuration, events::Journal, facts::View, health, home, metrics, player, stat},
    engine::{
        deployment::{ApplyReport, Deployment},
        registry::Registry,
    },
    ipc::{FromWorker, TextFault, TextKind, ToWorker},
    net::{Arrival, Connections, Crowded, Listener},
    output::http::{
        routes, session,
        shard::Shards,
        site::{Asked, Page, Site},
        visit::Polled,
    },
    source::{pool::Pool, worker::Worker},
    sys::{
        Shutdown, leftovers, load,
        service::{self, Pulse, Pulses, Watch},
    },
    telemetry::Refusal,
};
use anyhow::Context;
use futures_util::FutureExt;
use indexmap::IndexSet;
use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};
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
    about: About,
}

/// A configuration that a running server is to go over to.
#[derive(Debug)]
pub struct Change {
    /// Checked, its texts too.
    pub config: Config,
    /// Told how it went.
    pub done: oneshot::Sender<anyhow::Result<ApplyReport>>,
}

/// A fault in a gst-launch text of the configuration.
#[derive(Debug)]
pub struct LaunchFault {
    /// Where the text is: `feeds.cam0.pipeline`, as the parts of the path.
    pub path: [String; 3],
    /// What is wrong with it.
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
        Encoding::Pipeline(texts) => Some(("streams", stream.name.as_str(), TextKind::Stream, texts.as_slice())),
        _ => None,
    });
    let pipelines: Vec<_> = feeds.chain(streams).collect();
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
        let listener = match service::inherited_listener().context("cannot take the socket of the service manager")? {
            Some(socket) => Listener::inherited(socket, Connections::new())?,
            None => {
                let address = address(&config);
                Listener::bind(address, Connections::new()).with_context(|| format!("cannot listen on {address}"))?
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
            about: About::new(pulses.clone()),
            pulses,
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.address()
    }

    /// What it says of itself, and is told.
    pub fn about(&self) -> About {
        self.about.clone()
    }

    /// Serves until `stop` is cancelled, then ends everything, in 10 s at most. Goes over to the configurations that come,
    /// one after the other.
    pub async fn run(self, stop: CancellationToken, changes: mpsc::Receiver<Change>) {
        let Self { config, listener, shards, shutdown, pulses, about } = self;
        // Nothing of this server runs yet.
        for pid in leftovers::sweep() {
            tracing::warn!(pid, "killed what a server had left that is gone");
        }
        let pool = Pool::new(shutdown.token().clone());
        let reserve = pool.clone();
        shutdown.spawn("worker reserve", async move {
            reserve.refill().await;
            reserve.drain().await;
        });
        let mut deployment = Deployment::new(pool, shutdown.clone(), pulses.clone());
        let (registry, _) = deployment.apply(&config).await;
        let journal = Journal::new(shutdown.token().clone());
        let (site, sites) = watch::channel(Arc::new(site(&config, &registry, &about, &journal)));
        let listener = Arc::new(listener);
        let (listeners, mut listening) = watch::channel(listener.clone());
        let serving = Serving { config, deployment, site, listeners, about: about.clone(), journal };
        shutdown.spawn("changes of the configuration", serving.follow(changes, shutdown.token().clone()));

        let routes = hyper_util::service::TowerToHyperService::new(warp::service(routes::routes(
            sites,
            about.pressure().clone(),
            about.traffic().clone(),
        )));
        let (pressure, written) = (about.pressure().clone(), shards.clone());
        let (ended, watching) = (shutdown.token().clone(), load::watch(pressure, move || written.lateness()));
        shutdown.spawn("watch over the load", async move {
            ended.run_until_cancelled(watching).await;
        });
        let welcome = |arrival: Arrival| match arrival {
            Arrival::Guest(accepted) => {
                let name = format!("connection from {}", accepted.peer);
                let (routes, shards, traffic) = (routes.clone(), shards.clone(), about.traffic().clone());
                shutdown.spawn(name, session::serve(accepted, routes, shards, traffic, shutdown.token().clone()));
            }
            Arrival::Excess(excess) => {
                about.traffic().refused(match excess.why {
                    Crowded::All => Refusal::Connections,
                    Crowded::Address => Refusal::Address,
                });
                shutdown.spawn("farewell to a connection", excess.turn_away());
            }
        };
        let pulse = pulses.add("accept loop");
        let viewed = shards.clone();
        let watch = Watch::start(pulses, move || format!("{} viewers", viewed.viewers()));
        // Without one the service manager ends us, which is what it is for.
        let watch = watch.inspect_err(|error| tracing::error!(%error, "cannot start the thread of the watchdog"));
        service::ready();
        let mut listener = listener;
        let mut round = tokio::time::interval(Pulse::PERIOD);
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                _ = round.tick() => {
                    pulse.beat();
                    continue;
                }
                accepted = listener.accept() => accepted,
                Ok(()) = listening.changed() => {
                    let old = std::mem::replace(&mut listener, listening.borrow_and_update().clone());
                    // Who is through the kernel's handshake already is still answered.
                    while let Some(accepted) = old.accept().now_or_never() {
                        welcome(accepted);
                    }
                    continue;
                }
            };
            welcome(accepted);
        }
        tracing::info!("ending: no new connections");
        service::stopping();
        about.ending();
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
    site: watch::Sender<Arc<Site>>,
    listeners: watch::Sender<Arc<Listener>>,
    about: About,
    journal: Journal,
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

    /// Goes over to another configuration. What can fail comes first, and changes nothing when it does.
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
        self.site.send_replace(Arc::new(site(&config, &registry, &self.about, &self.journal)));
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

fn site(config: &Config, registry: &Registry, about: &About, journal: &Journal) -> Site {
    Site::new(registry, pages(config, registry, about, journal))
}

/// A page that programs ask for again and again: an answer that is no fault is no line of the log.
fn polled(page: impl Fn(Asked<'_>) -> Response + Send + Sync + 'static) -> Page {
    Box::new(move |asked| as_polled(page(asked)))
}

fn as_polled(mut response: Response) -> Response {
    response.extensions_mut().insert(Polled);
    response
}

/// The pages that the configuration wants.
fn pages(config: &Config, registry: &Registry, about: &About, journal: &Journal) -> HashMap<String, Page> {
    let mut pages: HashMap<String, Page> = HashMap::new();
    if config.pages.home {
        for stream in registry.streams() {
            for path in [format!("/stream/{}/play", stream.config.name), format!("{}/play", stream.config.path)] {
                let (stream, registry) = (stream.clone(), registry.clone());
                pages.insert(path, Box::new(move |asked| player::page(&stream, &registry, asked.host)));
            }
        }
        pages.insert(player::SCRIPT_PATH.to_owned(), Box::new(|_| player::script()));
        let (registry, all) = (registry.clone(), config.pages.clone());
        pages.insert("/".to_owned(), Box::new(move |asked| home::page(&registry, &all, asked.host)));
    }
    let view = Arc::new(View::new(registry, config, about));
    if let (Some(path), Some(script)) = (&config.pages.stat, config.pages.stat_script()) {
        let view = view.clone();
        let page = move |asked: Asked<'_>| {
            let page = stat::page(&view);
            if stat::is_refresh(asked.query) { as_polled(page) } else { page }
        };
        pages.insert(path.to_string(), Box::new(page));
        pages.insert(script, Box::new(|_| stat::script()));
    }
    for path in ["/livez", "/healthz"] {
        let view = view.clone();
        pages.insert(path.to_owned(), polled(move |_| health::live(&view)));
    }
    let judged = view.clone();
    pages.insert("/readyz".to_owned(), polled(move |asked| health::ready(&judged, asked.query)));
    if config.pages.metrics {
        let view = view.clone();
        pages.insert("/metrics".to_owned(), polled(move |_| metrics::page(&view)));
    }
    journal.show(config.pages.events.then(|| view.clone()));
    if config.pages.events {
        let journal = journal.clone();
        let page = move |asked: Asked<'_>| {
            let client = asked.client.clone();
            journal.page(asked.last_event, Box::pin(async move { client.wait().await }))
        };
        pages.insert("/events".to_owned(), Box::new(page));
    }
    if let Some(path) = &config.pages.stat_json {
        pages.insert(path.to_string(), polled(move |_| stat::json(&view)));
    }
    if config.pages.config {
        let json = config::to_json(&config::masked(config));
        pages.insert("/config".to_owned(), Box::new(move |_| configuration::page(&json)));
    }
    pages
}
