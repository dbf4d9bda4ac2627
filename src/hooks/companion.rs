//! The task of a hook whose program runs beside an activity: as long as a feed is published, or a stream is played.

use super::{
    observed::Observed,
    program::{Ended, Program},
};
use crate::{
    access::Pattern,
    config::Activity,
    journal::Journal,
    telemetry::{FailureLog, HookStats, Report},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::watch,
    task::{AbortHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

/// Programs of a hook at a time.
const MOST: usize = 32;
/// Shortest time between two looks at what is active.
const PAUSE: Duration = Duration::from_millis(100);
/// Longest time between two looks: what nobody reports is seen then.
const LOOK: Duration = Duration::from_secs(5);
/// Pause before a program that failed starts again; it doubles with each further failure.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// Longest such pause. A program that ran for longer is well: its next failure counts as a first one.
const LAST_RETRY: Duration = Duration::from_secs(60);

/// Runs the programs of one hook.
#[derive(Debug)]
pub(super) struct CompanionTask {
    /// The name of the hook.
    pub(super) hook: Arc<str>,
    pub(super) words: Arc<[String]>,
    pub(super) activity: Activity,
    /// Of which feeds or streams; empty for all.
    pub(super) names: Vec<Pattern>,
    pub(super) journal: Journal,
    pub(super) observed: watch::Receiver<Option<Arc<Observed>>>,
    pub(super) stats: Arc<HookStats>,
}

/// A program beside one feed or stream.
#[derive(Debug)]
struct Companion {
    stop: CancellationToken,
    task: AbortHandle,
}

/// What to do after a look. Pure.
#[derive(Debug, Default, PartialEq, Eq)]
struct Changes {
    /// Those whose activity is over.
    end: Vec<String>,
    /// Those that have none yet.
    begin: Vec<String>,
    /// How many get none because there are too many.
    surplus: usize,
}

impl Changes {
    /// `running` are those that have a program, also one that is being ended; `active` those that should.
    fn of(running: &BTreeSet<String>, active: &BTreeSet<String>, most: usize) -> Self {
        let end = running.difference(active).cloned().collect();
        let mut begin: Vec<_> = active.difference(running).cloned().collect();
        let surplus = begin.split_off(begin.len().min(most.saturating_sub(running.len()))).len();
        Self { end, begin, surplus }
    }
}

impl CompanionTask {
    /// Runs programs until `stop`, and ends them then.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        self.stats.change(&self.hook, |figures| (figures.error, figures.is_disabled) = (None, false));
        let mut newest = self.journal.subscribe();
        let mut companions: BTreeMap<String, Companion> = BTreeMap::new();
        let mut tasks = JoinSet::new();
        let mut has_surplus = false;
        while !stop.is_cancelled() {
            newest.borrow_and_update();
            let active = self.active();
            let changes = Changes::of(&companions.keys().cloned().collect(), &active.keys().cloned().collect(), MOST);
            changes.end.iter().filter_map(|name| companions.get(name)).for_each(|companion| companion.stop.cancel());
            for name in changes.begin {
                let stop = CancellationToken::new();
                let address = active.get(&name).cloned().unwrap_or_default();
                let task = tasks.spawn(self.accompany(name.clone(), address, stop.clone()));
                companions.insert(name, Companion { stop, task });
            }
            if std::mem::replace(&mut has_surplus, changes.surplus > 0) != (changes.surplus > 0) && has_surplus {
                tracing::warn!(hook = %self.hook, without = changes.surplus, "hook runs {MOST} programs: no more start until one ends");
            }
            tokio::select! {
                () = stop.cancelled() => break,
                Some(ended) = tasks.join_next_with_id() => {
                    let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
                    companions.retain(|_, companion| companion.task.id() != id);
                }
                changed = newest.changed() => if changed.is_err() { break },
                changed = self.observed.changed() => if changed.is_err() { break },
                () = tokio::time::sleep(LOOK) => {}
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
        companions.values().for_each(|companion| companion.stop.cancel());
        while tasks.join_next().await.is_some() {}
    }

    /// Those of the names that this hook is for.
    fn active(&self) -> BTreeMap<String, String> {
        let observed = self.observed.borrow().clone();
        let mut active = observed.map(|observed| observed.active(self.activity)).unwrap_or_default();
        active.retain(|name, _| self.names.is_empty() || self.names.iter().any(|pattern| pattern.matches(name)));
        active
    }

    /// Has a program run beside `name` until `stop`: one that fails starts again, one that ends with code 0 is done.
    fn accompany(&self, name: String, address: String, stop: CancellationToken) -> impl Future<Output = ()> + use<> {
        let (hook, words, stats) = (self.hook.clone(), self.words.clone(), self.stats.clone());
        let kind = self.activity.name();
        async move {
            let program = Program {
                hook: &hook,
                words: &words,
                variables: vec![
                    ("VOYANDZ_EVENT_TYPE", kind.to_owned()),
                    ("VOYANDZ_EVENT_SUBJECT", name.clone()),
                    ("VOYANDZ_URL", address),
                ],
                input: String::new(),
            };
            let (mut failures, mut pause) = (FailureLog::default(), FIRST_RETRY);
            loop {
                let began = Instant::now();
                stats.change(&hook, |figures| {
                    (figures.delivered, figures.running) = (figures.delivered + 1, figures.running + 1)
                });
                tracing::info!(%hook, %name, during = kind, "program of a hook started");
                let ended = program.run(stop.cancelled()).await;
                stats.change(&hook, |figures| figures.running -= 1);
                let reason = match ended {
                    Ok(ended) => {
                        tracing::info!(%hook, %name, during = kind, by_itself = ended == Ended::Done, "program of a hook ended");
                        stats.change(&hook, |figures| figures.error = None);
                        stop.cancelled().await;
                        return;
                    }
                    Err(reason) => reason,
                };
                if began.elapsed() > LAST_RETRY {
                    pause = FIRST_RETRY;
                    failures.recovered();
                }
                match failures.failed(Instant::now()) {
                    Some(Report::First) => {
                        tracing::warn!(%hook, %name, reason, "program of a hook failed: it starts again")
                    }
                    Some(Report::Again(times)) => {
                        tracing::warn!(%hook, %name, reason, times, "program of a hook still fails");
                    }
                    None => {}
                }
                stats.change(&hook, |figures| {
                    figures.failed += 1;
                    figures.error = Some(reason);
                });
                tokio::select! {
                    () = stop.cancelled() => {
                        // Nothing is tried any more.
                        stats.change(&hook, |figures| figures.error = None);
                        return;
                    }
                    () = tokio::time::sleep(pause) => {}
                }
                pause = LAST_RETRY.min(pause * 2);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_that_is_active_has_one_program_up_to_a_number() {
        let names = |names: &str| names.split_whitespace().map(str::to_owned).collect::<BTreeSet<_>>();
        let check = |running: &str, active: &str, end: &str, begin: &str, surplus| {
            let found = Changes::of(&names(running), &names(active), 3);
            let list = |names: &[String]| names.join(" ");
            assert_eq!(
                (list(&found.end).as_str(), list(&found.begin).as_str(), found.surplus),
                (end, begin, surplus),
                "{running}: {active}"
            );
        };
        check("", "", "", "", 0);
        check("", "a b", "", "a b", 0);
        check("a b", "b c", "a", "c", 0);
        check("a b", "", "a b", "", 0);
        // Those that are being ended have their places until they are gone.
        check("a b c", "c d", "a b", "", 1);
        check("c", "c d", "", "d", 0);
        check("", "a b c d e", "", "a b c", 2);
    }
}
