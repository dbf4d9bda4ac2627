//! The life of the server: load binds everything and starts nothing, run runs until told, then drains.

use crate::{
    config::{Config, Source as FeedKind},
    control::home,
    feed::{
        command::CommandSource,
        demand::Demand,
        group::{Group, ItemSource, Setup},
        machine::State,
        pipe::PipeSource,
        plan::{self, Layout, Run, Unit},
        pool::Pool,
        registry::{Registry, StreamHandle},
        source::Source,
        stderr::Voice,
        supervisor::Supervisor,
        worker::Worker,
    },
    ipc::{FromWorker, TextFault, TextKind, ToWorker},
    net::Listener,
    output::http::{
        routes, session,
        shard::Shards,
        site::{Page, Site},
    },
    stream::{FanOut, SharedWriter, Writer},
    sys::{Shutdown, monotonic},
};
use anyhow::Context;
use std::{collections::HashMap, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Time for all that runs to end.
const DRAIN: Duration = Duration::from_secs(10);
/// Time for a worker to parse all texts of a configuration.
const CHECK: Duration = Duration::from_secs(20);

/// A server that is bound and not running yet.
#[derive(Debug)]
pub struct App {
    listener: Listener,
    site: Arc<Site>,
    supervisors: Vec<Supervisor>,
    groups: Vec<GroupParts>,
    shards: Arc<Shards>,
    shutdown: Shutdown,
    pool: Pool,
}

/// A fault in a gst-launch text of the configuration.
#[derive(Debug)]
pub struct LaunchFault {
    /// Where the text is: `feeds.cam0.pipeline`, as the parts of the path.
    pub path: [String; 3],
    /// What is wrong with it.
    pub fault: TextFault,
}

/// The task of a group, not yet running.
struct GroupParts {
    name: String,
    task: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl std::fmt::Debug for GroupParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

/// Lets a worker parse the gst-launch texts of a configuration.
///
/// # Errors
/// When no worker can be had.
pub async fn check_texts(config: &Config) -> anyhow::Result<Vec<LaunchFault>> {
    let feeds = config.feeds.iter().filter_map(|feed| match &feed.source {
        FeedKind::Pipeline(text) => Some(("feeds", feed.name.as_str(), TextKind::Feed, text)),
        _ => None,
    });
    let streams = config.streams.iter().filter_map(|stream| match &stream.encoding {
        crate::config::Encoding::Pipeline(text) => Some(("streams", stream.name.as_str(), TextKind::Stream, text)),
        _ => None,
    });
    let texts: Vec<_> = feeds.chain(streams).collect();
    if texts.is_empty() {
        return Ok(Vec::new());
    }
    let mut worker = Worker::spawn().await.context("cannot start a worker to check the pipelines")?;
    worker.send(ToWorker::Check(texts.iter().map(|(_, _, kind, text)| (*kind, (*text).clone())).collect()));
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
    let located = texts.iter().zip(faults).filter_map(|((section, name, _, _), fault)| {
        let path = [(*section).to_owned(), (*name).to_owned(), "pipeline".to_owned()];
        Some(LaunchFault { path, fault: fault? })
    });
    Ok(located.collect())
}

impl App {
    /// Binds the port and prepares all that a configuration asks for; starts nothing.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub fn load(config: &Config) -> anyhow::Result<Self> {
        let address = SocketAddr::new(config.listen_addr, config.listen_port);
        let listener = Listener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
        if let Some(folder) = &config.logdir {
            std::fs::create_dir_all(folder).with_context(|| format!("cannot create logdir {}", folder.display()))?;
        }
        let shutdown = Shutdown::default();
        let pool = Pool::new(shutdown.token().clone());
        let layout = plan::layout(config);
        let parts = Parts::new(&layout);
        let (groups, tasks) = parts.groups(&layout, &pool, shutdown.token());
        let supervisors = parts.supervisors(&layout, &groups, config.logdir.as_ref());
        let registry = Registry::new(parts.streams(&layout, &groups, config));
        let site = Arc::new(Site::new(&registry, pages(config, &registry)));
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let shards = Arc::new(Shards::start(cores).context("cannot start the threads that write to viewers")?);
        Ok(Self { listener, site, supervisors, groups: tasks, shards, shutdown, pool })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.address()
    }

    /// Serves until `stop` is cancelled, then ends everything, in 10 s at most.
    pub async fn run(self, stop: CancellationToken) {
        let Self { listener, site, supervisors, groups, shards, shutdown, pool } = self;
        shutdown.spawn("worker reserve", async move {
            pool.refill().await;
            pool.drain().await;
        });
        for GroupParts { name, task } in groups {
            shutdown.spawn(format!("group {name}"), task);
        }
        for supervisor in supervisors {
            let token = shutdown.token().clone();
            shutdown.spawn(supervisor.name.to_string(), supervisor.run(token));
        }
        let routes = hyper_util::service::TowerToHyperService::new(warp::service(routes::routes(site)));
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                accepted = listener.accept() => {
                    let name = format!("connection from {}", accepted.peer);
                    shutdown.spawn(name, session::serve(accepted, routes.clone(), shards.clone(), shutdown.token().clone()));
                }
            }
        }
        tracing::info!("ending: no new connections");
        drop(listener);
        let closing = tokio::task::spawn_blocking(move || shards.close());
        shutdown.drain(DRAIN).await;
        let _ = closing.await;
    }
}

/// The pages that the configuration wants.
fn pages(config: &Config, registry: &Registry) -> HashMap<String, Page> {
    let mut pages: HashMap<String, Page> = HashMap::new();
    if config.pages.home {
        let registry = registry.clone();
        pages.insert("/".to_owned(), Box::new(move |host| home::page(&registry, host)));
    }
    pages
}

/// For each unit of a layout: its packets and the wish for them.
struct Parts {
    fanouts: Vec<FanOut>,
    writers: Vec<SharedWriter>,
    demands: Vec<Demand>,
}

impl Parts {
    fn new(layout: &Layout) -> Self {
        let fanouts: Vec<_> = layout.units.iter().map(|unit| FanOut::new(unit.is_ours())).collect();
        let writers = layout.units.iter().zip(&fanouts);
        let writers =
            writers.map(|(unit, fanout)| SharedWriter::new(Writer::new(fanout.clone(), unit.is_ours()))).collect();
        let demands = layout.units.iter().map(|_| Demand::default()).collect();
        Self { fanouts, writers, demands }
    }

    fn groups(&self, layout: &Layout, pool: &Pool, stop: &CancellationToken) -> (Vec<Group>, Vec<GroupParts>) {
        let epoch = u64::try_from(monotonic().as_nanos()).unwrap_or_default();
        let made = layout.groups.iter().map(|group| {
            let mut plan = group.plan.clone();
            plan.epoch = epoch;
            let setup = Setup {
                name: group.name.clone(),
                plan,
                feeds: group.fed_by.iter().map(|unit| self.fanouts.get((*unit)?).cloned()).collect(),
                streams: group.stream_units.iter().filter_map(|unit| self.writers.get(*unit).cloned()).collect(),
            };
            let (handle, task) = Group::new(setup, pool.clone(), stop.clone());
            (handle, GroupParts { name: group.name.clone(), task: Box::pin(task) })
        });
        made.unzip()
    }

    fn supervisors(&self, layout: &Layout, groups: &[Group], logdir: Option<&PathBuf>) -> Vec<Supervisor> {
        let units = layout.units.iter().enumerate();
        units
            .filter_map(|(at, unit)| {
                let name: Arc<str> = unit.name.as_str().into();
                let source = self.source(at, unit, &name, groups, logdir)?;
                Some(Supervisor {
                    name,
                    policy: unit.policy,
                    source,
                    demand: self.demands.get(at)?.clone(),
                    needs: unit.needs.iter().filter_map(|need| self.demands.get(*need).cloned()).collect(),
                    ends_with_it: self.dependents(layout, at),
                    state: watch::Sender::new(State::Idle),
                })
            })
            .collect()
    }

    fn source(
        &self,
        at: usize,
        unit: &Unit,
        name: &Arc<str>,
        groups: &[Group],
        logdir: Option<&PathBuf>,
    ) -> Option<Source> {
        let writer = self.writers.get(at)?.clone();
        Some(match &unit.run {
            Run::Command { argv, input } => Source::Command(CommandSource {
                name: name.clone(),
                argv: argv.as_slice().into(),
                input: input.and_then(|input| self.fanouts.get(input).cloned()),
                writer,
                voice: Voice::default(),
                stderr_file: logdir.map(|folder| folder.join(format!("{}.log", name.replace(' ', "-")))),
            }),
            Run::Pipe(path) => Source::Pipe(PipeSource { path: path.clone(), writer }),
            Run::Item { group, item } => Source::Item(ItemSource { group: groups.get(*group)?.clone(), item: *item }),
        })
    }

    /// The packets that end when this unit is dead for good: its own and those of all that need it.
    fn dependents(&self, layout: &Layout, dead: usize) -> Vec<FanOut> {
        let mut ending = vec![dead];
        let mut next = 0;
        while let Some(&unit) = ending.get(next) {
            let needing =
                layout.units.iter().enumerate().filter(|(_, other)| other.needs.contains(&unit)).map(|(at, _)| at);
            ending.extend(needing);
            next += 1;
        }
        ending.into_iter().filter_map(|unit| self.fanouts.get(unit).cloned()).collect()
    }

    fn streams(&self, layout: &Layout, groups: &[Group], config: &Config) -> Vec<Arc<StreamHandle>> {
        let pairs = config.streams.iter().zip(&layout.streams);
        pairs
            .filter_map(|(stream, placed)| {
                Some(Arc::new(StreamHandle {
                    config: stream.clone(),
                    fanout: self.fanouts.get(placed.unit)?.clone(),
                    demand: self.demands.get(placed.unit)?.clone(),
                    group: groups.get(placed.group)?.clone(),
                    in_plan: placed.in_plan,
                    stills: Default::default(),
                }))
            })
            .collect()
    }
}
