//! Reloads the configuration when its file changes or on SIGHUP, and passes it to the running server.

use crate::{
    app::Change,
    config::{Config, Loaded, Origin},
    engine::deployment::ApplyReport,
    load::{check_texts, load},
    status::server_info::ServerInfo,
    sys::service,
    telemetry::Reopen,
};
use std::{
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
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

/// Passes configurations to a server: that of `origin` on each `hangup` (SIGHUP), and whenever one of the `watched` files
/// changed. A configuration with errors changes nothing; `info` records why. `hangup` also reopens the `log` file. Returns when
/// the server takes no more.
pub async fn follow(
    origin: Origin,
    watched: Option<Vec<PathBuf>>,
    changes: mpsc::Sender<Change>,
    info: ServerInfo,
    mut hangup: Signal,
    log: Reopen,
) {
    let watches = watched.is_some();
    let mut watch = Watch::default();
    watch.set(watched.unwrap_or_default()).await;
    loop {
        tokio::select! {
            _ = hangup.recv() => {
                log.reopen();
                tracing::info!("SIGHUP: reloading the configuration");
            }
            () = watch.changed(), if watches => tracing::info!("configuration file changed: reloading"),
            () = changes.closed() => return,
        }
        // A write from here on is a new change.
        watch.look().await;
        service::reloading();
        match read(&origin).await {
            Ok(Loaded { config, files, .. }) => {
                if watches {
                    watch.set(files).await;
                }
                apply(config, &changes, &info).await;
            }
            Err(faults) => {
                faults.iter().for_each(|fault| tracing::error!("{fault}"));
                info.config_rejected(&faults.join("\n"));
                tracing::error!("configuration rejected: the running configuration is unchanged");
            }
        }
        service::ready();
    }
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

async fn apply(config: Config, changes: &mpsc::Sender<Change>, info: &ServerInfo) {
    let (done, outcome) = oneshot::channel();
    if changes.send(Change { config, done }).await.is_err() {
        return;
    }
    let outcome = outcome.await;
    match &outcome {
        Ok(Ok(_)) => info.config_applied(),
        Ok(Err(error)) => info.config_rejected(&format!("{error:#}")),
        Err(_) => {}
    }
    match outcome {
        Ok(Ok(ApplyReport { ended, begun })) => tracing::info!(ended, begun, "configuration reloaded"),
        Ok(Err(error)) => {
            tracing::error!(
                error = format!("{error:#}"),
                "configuration not applied: the running configuration is unchanged"
            );
        }
        // The server is ending.
        Err(_) => {}
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
