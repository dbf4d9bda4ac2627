//! Reloads the configuration when its file changes or on SIGHUP, makes the changes that the API orders, and passes either to the
//! running server. One task does all of it, so that nothing is changed at the same time.

use crate::{
    api::{
        configurator::{Order, Orders, Outcome, Proposal, Refusal},
        texts::masked_text,
    },
    app::Change,
    config::{
        self, Config, Diagnostic, LoadError, Loaded, Origin, Position, Replaced, change::ChangedFile,
        edit::changed_paths, text_without_secrets,
    },
    engine::{deployment::ApplyReport, layout::Layout},
    load::{check_texts, load},
    status::server_info::ServerInfo,
    store::{History, Prepared, Version, VersionFile, can_write},
    sys::{kill_point, service},
    telemetry::{Fact, Facts, Reopen, chain},
};
use similar::TextDiff;
use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    signal::unix::Signal,
    sync::{mpsc, oneshot},
    time::{MissedTickBehavior, interval},
};

/// Interval of the checks of watched files. A check is a `stat`, which also notices replaced files, network file systems and
/// symbolic links, unlike notifications of the kernel.
const LOOK: Duration = Duration::from_millis(500);

/// Diagnostics, paths and names that are reported of one change.
const REPORTED: usize = 20;

/// Where configurations come from.
#[derive(Debug)]
pub struct Sources {
    /// The first file.
    pub origin: Origin,
    /// The files to watch, if they are watched.
    pub watched: Option<Vec<PathBuf>>,
    /// SIGHUP, which reopens the `log` file, too.
    pub hangup: Signal,
    /// The file of the log.
    pub log: Reopen,
    /// What the API orders.
    pub orders: Orders,
    /// Where changes are reported.
    pub facts: Facts,
}

/// Passes configurations to a server: that of the origin on each SIGHUP, and whenever one of the watched files changed, and those that the
/// API orders. A configuration with errors changes nothing; `info` records why. Returns when the server takes no more.
pub async fn follow(sources: Sources, changes: mpsc::Sender<Change>, info: ServerInfo) {
    let Sources { origin, watched, mut hangup, log, orders, facts } = sources;
    let Orders { current, mut orders, reload, history } = orders;
    let watches = watched.is_some();
    let mut watch = Watch::default();
    watch.set(watched.unwrap_or_default()).await;
    loop {
        let order = tokio::select! {
            _ = hangup.recv() => {
                log.reopen();
                tracing::info!("SIGHUP: reloading the configuration");
                None
            }
            () = watch.changed(), if watches => {
                tracing::info!("configuration file changed: reloading");
                None
            }
            () = reload.notified() => {
                tracing::info!("requested by the API: reloading the configuration");
                None
            }
            Some(order) = orders.recv() => Some(order),
            () = changes.closed() => return,
        };
        if let Some(order) = order {
            let Order { plan, action, may_exec, dry_run, by, from, done } = order;
            let before = current.borrow().clone();
            let editor = Editor { origin: &origin, before: &before, changes: &changes, info: &info, history: &history };
            let mut paths = Vec::new();
            let made = match plan(&before).and_then(|proposal| editor.files(proposal)) {
                Ok((files, changed)) => {
                    paths.clone_from(&changed);
                    let version = Version {
                        by: Some(by.clone()),
                        address: Some(from.to_string()),
                        action: action.to_owned(),
                        paths: changed,
                        ..Version::default()
                    };
                    editor.make(files, may_exec, dry_run, version).await
                }
                Err(refusal) => Err(refusal),
            };
            if !dry_run {
                facts.report(audited(&made, paths, &by).at(from));
            }
            let made = made.map(|(outcome, loaded)| {
                if let Some(loaded) = loaded {
                    current.send_replace(Arc::new(loaded));
                }
                outcome
            });
            if watches {
                // What was written here is no change of somebody else.
                let files = current.borrow().files.clone();
                watch.set(files).await;
                watch.look().await;
            }
            let _ = done.send(made);
            continue;
        }
        // A write from here on is a new change.
        watch.look().await;
        service::reloading();
        match read(&origin).await {
            Ok(loaded) => {
                if watches {
                    watch.set(loaded.files.clone()).await;
                }
                match apply(loaded.config.clone(), &changes, &info).await {
                    Ok(()) => {
                        facts.report(Fact::server("config.reloaded"));
                        let before = current.borrow().clone();
                        remember(&history, &before, &loaded).await;
                        current.send_replace(Arc::new(loaded));
                    }
                    Err(reason) => {
                        let reason = text_without_secrets(&reason);
                        facts.report(Fact::server("config.rejected").who("reason", reason));
                    }
                }
            }
            Err(faults) => {
                let first: Vec<_> = faults.iter().take(REPORTED).map(|fault| text_without_secrets(fault)).collect();
                facts.report(Fact::server("config.rejected").with("faults", faults.len()).who("reason", first));
                faults.iter().for_each(|fault| tracing::error!("{fault}"));
                info.config_rejected(&faults.join("\n"));
                tracing::error!("configuration rejected: the running configuration is unchanged");
            }
        }
        service::ready();
    }
}

/// What is reported of a change by the API: who made it, and of what. Never values, which may be secret.
fn audited(made: &Result<(Outcome, Option<Loaded>), Refusal>, mut paths: Vec<String>, by: &str) -> Fact {
    let count = paths.len();
    paths.truncate(REPORTED);
    let fact = match made {
        Ok((outcome, _)) => Fact::server("config.changed")
            .with("ended", outcome.ended.iter().take(REPORTED).cloned().collect::<Vec<_>>())
            .with("begun", outcome.begun.iter().take(REPORTED).cloned().collect::<Vec<_>>()),
        Err(refusal) => Fact::audit("config.refused").with("reason", refusal.word()),
    };
    fact.who("by", by).who("paths", paths).who("changes", count)
}

/// Makes one change of the files and of what runs.
struct Editor<'a> {
    origin: &'a Origin,
    before: &'a Loaded,
    changes: &'a mpsc::Sender<Change>,
    info: &'a ServerInfo,
    history: &'a History,
}

impl Editor<'_> {
    /// The files that are to be changed, and the paths of what changes in them.
    fn files(&self, proposal: Proposal) -> Result<(Vec<ChangedFile>, Vec<String>), Refusal> {
        match proposal {
            Proposal::Edits(edits) => {
                let paths = edits.iter().map(|edit| edit.path.join(".")).collect();
                Ok((self.before.plan(self.origin, &edits, can_write).map_err(Refusal::Change)?, paths))
            }
            Proposal::Texts(_) if *self.origin == Origin::Demo => {
                Err(Refusal::Change(config::change::ChangeError::BuiltIn))
            }
            Proposal::Texts(files) => {
                let paths = files.iter().flat_map(|file| changed_paths(&file.before, &file.after)).collect();
                Ok((files, paths))
            }
        }
    }

    /// Everything that can fail comes before the files are replaced: a crash leaves the old configuration or the new one.
    async fn make(
        &self,
        files: Vec<ChangedFile>,
        may_exec: bool,
        dry_run: bool,
        version: Version,
    ) -> Result<(Outcome, Option<Loaded>), Refusal> {
        self.unchanged_on_disk().await?;
        if files.is_empty() {
            return Ok((Outcome::default(), None));
        }
        // Before another file is read, of which errors would tell.
        if let Some(key) = files.iter().find_map(ChangedFile::reads_more).filter(|_| !may_exec) {
            return Err(Refusal::NeedsExec(key.to_owned()));
        }
        let loaded = self.load(&files).await?;
        if let Some(path) = loaded.needs_exec(self.before).filter(|_| !may_exec) {
            return Err(Refusal::NeedsExec(path));
        }
        let faults = check_texts(&loaded).await.map_err(|error| Refusal::Failed(format!("{error:#}")))?;
        if !faults.is_empty() {
            return Err(Refusal::Diagnostics(faults.faults));
        }
        let outcome = outcome(&files, &self.before.config, &loaded.config);
        if dry_run {
            return Ok((outcome, None));
        }
        let by = version.by.clone().unwrap_or_default();
        let version = Version { files: files.iter().map(kept).collect(), ..version };
        let prepared = prepare(files).await?;
        kill_point("edit prepared");
        apply(loaded.config.clone(), self.changes, self.info).await.map_err(Refusal::NotApplied)?;
        kill_point("edit applied");
        let number = keep(self.history, version).await;
        kill_point("edit kept");
        if let Err(reason) = commit(prepared).await {
            tracing::error!(reason, "configuration not written: the previous one applies again");
            if let Some(number) = number {
                self.history.take_back(number);
            }
            let _ = apply(self.before.config.clone(), self.changes, self.info).await;
            return Err(Refusal::NotWritten(reason));
        }
        kill_point("edit written");
        let outcome = Outcome { version: number, ..outcome };
        let Outcome { ended, begun, .. } = &outcome;
        tracing::info!(by, ended = ended.len(), begun = begun.len(), "configuration changed by the API");
        Ok((outcome, Some(loaded)))
    }

    /// Whoever edits a file must not lose it to an order.
    async fn unchanged_on_disk(&self) -> Result<(), Refusal> {
        for (name, text) in self.before.texts() {
            let found = tokio::fs::read(name).await.unwrap_or_default();
            let found = found.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&found);
            // A file that is no UTF-8 is refused when it is written.
            if found != text.as_bytes() && !found.starts_with(&[0xff]) && !found.starts_with(&[0xfe]) {
                return Err(Refusal::ChangedOnDisk(name.to_owned()));
            }
        }
        Ok(())
    }

    async fn load(&self, files: &[ChangedFile]) -> Result<Loaded, Refusal> {
        let replaced: Replaced = files.iter().map(|file| (file.path.clone(), file.after.clone())).collect();
        let origin = self.origin.clone();
        let loaded = tokio::task::spawn_blocking(move || config::load_with(&origin, &replaced)).await;
        match loaded.map_err(|error| Refusal::Failed(error.to_string()))? {
            Ok(loaded) => Ok(loaded),
            Err(LoadError::Invalid(faults)) => Err(Refusal::Diagnostics(faults.faults)),
            Err(error) => Err(Refusal::Diagnostics(vec![Diagnostic {
                position: Position::Line { order: 0, line: 1, column: 1, file: "".into() },
                path: String::new(),
                message: chain(&error),
            }])),
        }
    }
}

/// What a change does, by name.
fn outcome(files: &[ChangedFile], before: &Config, after: &Config) -> Outcome {
    let old = crate::engine::layout::layout(before, &Layout::default());
    let new = crate::engine::layout::layout(after, &old);
    let ended = new.ended_of(&old);
    let begun = new.units.keys().filter(|unit| ended.contains(unit) || !old.units.contains_key(unit));
    let diff = |file: &ChangedFile| {
        let name = file.path.display().to_string();
        let [before, after] = [&file.before, &file.after].map(|text| masked_text(text));
        TextDiff::from_lines(&before, &after).unified_diff().header(&name, &name).to_string()
    };
    Outcome {
        diff: files.iter().map(diff).collect(),
        ended: ended.iter().map(ToString::to_string).collect(),
        begun: begun.map(ToString::to_string).collect(),
        version: None,
    }
}

/// What of the history is of a file.
fn kept(file: &ChangedFile) -> VersionFile {
    let ChangedFile { path, before, after } = file;
    VersionFile { name: path.display().to_string(), before: before.clone(), after: after.clone() }
}

/// Adds a version to the history. Without room for it the change is made all the same.
async fn keep(history: &History, version: Version) -> Option<u64> {
    let version = Version { time: jiff::Timestamp::now().to_string(), ..version };
    let history = history.clone();
    let added = tokio::task::spawn_blocking(move || history.add(version)).await;
    let added = added.map_err(|error| error.to_string()).and_then(|added| added.map_err(|error| error.to_string()));
    added.inspect_err(|error| tracing::warn!(error, "the history of the configuration lacks a change")).ok()
}

/// What somebody has edited on the disk is a change, too.
async fn remember(history: &History, before: &Loaded, after: &Loaded) {
    let known = |loaded: &Loaded, wanted: &str| {
        loaded.texts().find(|(name, _)| *name == wanted).map(|(_, text)| text.to_owned()).unwrap_or_default()
    };
    let mut names: Vec<&str> = before.texts().chain(after.texts()).map(|(name, _)| name).collect();
    names.sort_unstable();
    names.dedup();
    let file =
        |name: &str| VersionFile { name: name.to_owned(), before: known(before, name), after: known(after, name) };
    let files: Vec<_> = names.into_iter().map(file).filter(|file| file.before != file.after).collect();
    if !files.is_empty() {
        let paths = files.iter().flat_map(|file| changed_paths(&file.before, &file.after)).collect();
        keep(history, Version { action: "disk".to_owned(), paths, files, ..Version::default() }).await;
    }
}

async fn prepare(files: Vec<ChangedFile>) -> Result<Vec<Prepared>, Refusal> {
    let prepared = tokio::task::spawn_blocking(move || {
        let prepare = |file: &ChangedFile| Prepared::new(&file.path, &file.after);
        files.iter().map(prepare).collect::<Result<_, _>>()
    });
    let prepared = prepared.await.map_err(|error| Refusal::Failed(error.to_string()))?;
    prepared.map_err(|error| Refusal::NotWritten(chain(&error)))
}

async fn commit(prepared: Vec<Prepared>) -> Result<(), String> {
    let committed = tokio::task::spawn_blocking(move || prepared.into_iter().try_for_each(Prepared::commit));
    committed.await.map_err(|error| error.to_string())?.map_err(|error| chain(&error))
}

async fn read(origin: &Origin) -> Result<Loaded, Vec<String>> {
    let from = origin.clone();
    let loaded = tokio::task::spawn_blocking(move || load(&from)).await;
    let loaded = loaded.unwrap_or_else(|error| Err(vec![error.to_string()]))?;
    match check_texts(&loaded).await {
        Ok(faults) if faults.is_empty() => Ok(loaded),
        Ok(faults) => Err(faults.faults.iter().map(ToString::to_string).collect()),
        Err(error) => Err(vec![format!("{error:#}")]),
    }
}

/// Lets the server go over to a configuration.
///
/// # Errors
/// Why it does not.
async fn apply(config: Config, changes: &mpsc::Sender<Change>, info: &ServerInfo) -> Result<(), String> {
    const ENDING: &str = "the server is ending";
    let (done, outcome) = oneshot::channel();
    changes.send(Change { config, done }).await.map_err(|_| ENDING.to_owned())?;
    match outcome.await {
        Ok(Ok(ApplyReport { ended, begun })) => {
            info.config_applied();
            tracing::info!(ended, begun, "configuration reloaded");
            Ok(())
        }
        Ok(Err(error)) => {
            let error = format!("{error:#}");
            info.config_rejected(&error);
            tracing::error!(error, "configuration not applied: the running configuration is unchanged");
            Err(error)
        }
        Err(_) => Err(ENDING.to_owned()),
    }
}

/// The watched files, with their stamps at the last check.
#[derive(Default)]
struct Watch {
    files: Vec<(PathBuf, Option<Stamp>)>,
}

/// Differs after a file was written or replaced: device and inode, length, time of change.
type Stamp = (u64, u64, u64, i64, i64);

impl Watch {
    /// Watches these files from now on; those that were watched before keep their stamps.
    async fn set(&mut self, files: Vec<PathBuf>) {
        let known = std::mem::take(&mut self.files);
        for file in files {
            let stamp = match known.iter().find(|(path, _)| *path == file) {
                Some((_, stamp)) => *stamp,
                None => stamp(&file).await,
            };
            self.files.push((file, stamp));
        }
    }

    /// Whether a file changed since the last check.
    async fn look(&mut self) -> bool {
        let mut changed = false;
        for (path, known) in &mut self.files {
            let found = stamp(path).await;
            changed |= *known != found;
            *known = found;
        }
        changed
    }

    /// Waits until a file changes, and then until it no longer changes: editors write in steps.
    async fn changed(&mut self) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut changing = false;
        loop {
            looks.tick().await;
            let changed = self.look().await;
            if changing && !changed {
                return;
            }
            changing |= changed;
        }
    }
}

async fn stamp(path: &Path) -> Option<Stamp> {
    let file = tokio::fs::metadata(path).await.ok()?;
    Some((file.dev(), file.ino(), file.len(), file.ctime(), file.ctime_nsec()))
}
