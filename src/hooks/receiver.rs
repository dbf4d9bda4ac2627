//! The receiver of one hook: an address, or a program that is run for each event.

use super::{delivery::Delivery, post, program::Ended, program::Program, retry::Failure};
use crate::{
    config::HookTarget,
    net::HttpClient,
    telemetry::{FailureLog, HookStats, Report},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Semaphore;

/// Time for a program. It is then ended with all that it has started.
const WITHIN: Duration = Duration::from_secs(60);

/// Where the events of a hook go.
#[derive(Debug)]
pub(super) struct Receiver {
    /// The name of the hook.
    pub(super) hook: String,
    pub(super) target: HookTarget,
    pub(super) client: HttpClient,
    /// Those that may run at a time, of all hooks.
    pub(super) programs: Arc<Semaphore>,
    pub(super) stats: Arc<HookStats>,
    pub(super) failures: FailureLog,
}

impl Receiver {
    /// Tries to deliver the event, once; counts and reports what comes of it. Cancel-safe: a program is ended.
    ///
    /// # Errors
    /// What the failure means for further events.
    pub(super) async fn attempt(&mut self, event: &Delivery) -> Result<(), Failure> {
        let tried = match &self.target {
            HookTarget::Url { url, secrets, .. } => post::post(&self.client, url, secrets, event).await,
            HookTarget::Run(words) => self.run(words, event).await.map_err(|reason| (Failure::OfProgram, reason)),
        };
        let name = self.hook.as_str();
        let (failure, reason) = match tried {
            Ok(()) => {
                self.stats.change(name, |figures| {
                    figures.delivered += 1;
                    figures.error = None;
                });
                if self.failures.is_failing() {
                    let failures = self.failures.recovered().unwrap_or(1);
                    tracing::info!(hook = name, failures, "hook delivers again");
                }
                return Ok(());
            }
            Err(failed) => failed,
        };
        match self.failures.failed(Instant::now()) {
            Some(Report::First) => {
                tracing::warn!(hook = name, event = event.id, reason, "hook delivery failed: retrying")
            }
            Some(Report::Again(times)) => {
                tracing::warn!(hook = name, event = event.id, reason, times, "hook delivery still fails")
            }
            None => {}
        }
        self.stats.change(name, |figures| {
            figures.failed += 1;
            figures.error = Some(reason);
        });
        Err(failure)
    }

    async fn run(&self, words: &[String], event: &Delivery) -> Result<(), String> {
        let _permit = self.programs.acquire().await.map_err(|error| error.to_string())?;
        let program = Program {
            hook: &self.hook,
            words,
            variables: vec![
                ("VOYANDZ_EVENT_ID", event.id.to_string()),
                ("VOYANDZ_EVENT_TYPE", event.kind.clone()),
                ("VOYANDZ_EVENT_SUBJECT", event.name.clone().unwrap_or_default()),
            ],
            input: format!("{}\n", event.body),
        };
        match program.run(tokio::time::sleep(WITHIN)).await? {
            Ended::Done => Ok(()),
            Ended::ByOrder => Err(format!("it did not end within {} s", WITHIN.as_secs())),
        }
    }
}
