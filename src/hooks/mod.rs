//! Hooks: receivers of events by HTTP, and programs that are run for them.
//!
//! There are three kinds, a task each, and nothing waits for any of them:
//!
//! - A hook of events is a reader of the journal with a cursor on the disk: it gets each event at least once, in order ([`task`]).
//! - A [`companion`] is a program that runs as long as something is published or played.
//! - A [`heartbeat`] says again and again how the server is.
//!
//! A [`delivery`] goes to its [`receiver`] by [`post`] or [`program`]; [`retry`] decides what follows from a failure, [`signature`] signs, [`srs`] has
//! the words of receivers that were made for SRS, and [`observed`] is what hooks see beside events.

mod companion;
mod cursor;
mod delivery;
mod heartbeat;
mod observed;
mod post;
mod program;
mod receiver;
mod retry;
mod signature;
mod srs;
mod task;

pub use observed::Observed;

use crate::{
    config::{Hook, HookTarget, Occasion},
    journal::Journal,
    net::HttpClient,
    sys::Shutdown,
    telemetry::{FailureLog, HookStats},
};
use companion::CompanionTask;
use futures_util::{FutureExt as _, future::BoxFuture};
use heartbeat::HeartbeatTask;
use receiver::Receiver;
use std::{path::PathBuf, sync::Arc};
use task::HookTask;
use tokio::{
    sync::{Semaphore, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// Programs of all hooks that run for an event at a time.
const PROGRAMS: usize = 4;

/// The hooks of a server. They stay when a configuration is applied that does not change them.
#[derive(Debug)]
pub struct Hooks {
    journal: Journal,
    /// Where cursors are kept.
    folder: Option<PathBuf>,
    /// Where those hooks begin that the server finds at its start and has not known before.
    first: Option<u64>,
    source: Arc<str>,
    client: HttpClient,
    programs: Arc<Semaphore>,
    stats: Arc<HookStats>,
    shutdown: Shutdown,
    /// `None` until the first configuration is applied.
    observed: watch::Sender<Option<Arc<Observed>>>,
    running: Vec<Running>,
}

#[derive(Debug)]
struct Running {
    hook: Hook,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Hooks {
    /// None yet. `folder` is where their cursors are, `source` names the server in events.
    pub fn new(
        journal: Journal,
        folder: Option<PathBuf>,
        source: Arc<str>,
        client: HttpClient,
        stats: Arc<HookStats>,
        shutdown: Shutdown,
    ) -> Self {
        let first = Some(journal.newest());
        let programs = Arc::new(Semaphore::new(PROGRAMS));
        let (observed, _) = watch::channel(None);
        Self { journal, folder, first, source, client, programs, stats, shutdown, observed, running: Vec::new() }
    }

    /// There are these hooks from now on, and this is what they see. What is changed ends first, which takes the time of a write at most, or
    /// that for a program to end.
    pub async fn apply(&mut self, hooks: &[Hook], observed: Observed) {
        self.observed.send_replace(Some(Arc::new(observed)));
        let (stays, ends): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.running).into_iter().partition(|running| hooks.contains(&running.hook));
        self.running = stays;
        ends.iter().for_each(|running| running.stop.cancel());
        for running in ends {
            let _ = running.task.await;
        }
        self.stats.retain(|name| hooks.iter().any(|hook| hook.name == name));
        let begin = self.first.take().unwrap_or_else(|| self.journal.newest());
        for hook in hooks {
            if self.running.iter().any(|running| running.hook.name == hook.name) {
                continue;
            }
            let stop = self.shutdown.token().child_token();
            let task = self.task(hook, begin, stop.clone());
            let task = self.shutdown.spawn(format!("hook {}", hook.name), task);
            self.running.push(Running { hook: hook.clone(), stop, task });
        }
    }

    /// What a hook does until `stop`; one of events that was not known begins after `begin`.
    fn task(&self, hook: &Hook, begin: u64, stop: CancellationToken) -> BoxFuture<'static, ()> {
        let Hook { name, occasion, names, target } = hook.clone();
        let receiver = Receiver {
            hook: name,
            target,
            client: self.client.clone(),
            programs: self.programs.clone(),
            stats: self.stats.clone(),
            failures: FailureLog::default(),
        };
        let observed = self.observed.subscribe();
        match (occasion, &receiver.target) {
            (Occasion::During(activity), HookTarget::Run(words)) => CompanionTask {
                hook: receiver.hook.as_str().into(),
                words: words.as_slice().into(),
                activity,
                names,
                journal: self.journal.clone(),
                observed,
                stats: self.stats.clone(),
            }
            .run(stop)
            .boxed(),
            // The configuration has none such.
            (Occasion::During(_), HookTarget::Url { .. }) => std::future::ready(()).boxed(),
            (Occasion::Every(interval), _) => {
                HeartbeatTask { receiver, interval, observed, source: self.source.clone() }.run(stop).boxed()
            }
            (Occasion::Events(events), _) => HookTask {
                receiver,
                events,
                names,
                journal: self.journal.clone(),
                folder: self.folder.clone(),
                source: self.source.clone(),
            }
            .run(begin, stop)
            .boxed(),
        }
    }
}
