//! Hooks: receivers of events by HTTP, and programs that are run for them.
//!
//! A hook is a reader of the journal with a cursor on the disk: it gets each event at least once, in order, and nothing waits for it. One task
//! a hook ([`task`]) brings a [`delivery`] to its receiver by [`post`] or [`program`]; [`retry`] decides what follows from a failure, [`signature`] signs, and
//! [`srs`] has the words of receivers that were made for SRS.

mod cursor;
mod delivery;
mod post;
mod program;
mod retry;
mod signature;
mod srs;
mod task;

use crate::{config::Hook, journal::Journal, net::HttpClient, sys::Shutdown, telemetry::HookStats};
use std::{path::PathBuf, sync::Arc};
use task::HookTask;
use tokio::{sync::Semaphore, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// Programs of all hooks that run at a time.
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
        Self { journal, folder, first, source, client, programs, stats, shutdown, running: Vec::new() }
    }

    /// There are these hooks from now on. What is changed ends first, which takes the time of a write at most.
    pub async fn apply(&mut self, hooks: &[Hook]) {
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
            let task = HookTask {
                hook: hook.clone(),
                journal: self.journal.clone(),
                folder: self.folder.clone(),
                source: self.source.clone(),
                client: self.client.clone(),
                programs: self.programs.clone(),
                stats: self.stats.clone(),
            };
            let stop = self.shutdown.token().child_token();
            let task = self.shutdown.spawn(format!("hook {}", hook.name), task.run(begin, stop.clone()));
            self.running.push(Running { hook: hook.clone(), stop, task });
        }
    }
}
