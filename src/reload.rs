//! The file changed, or SIGHUP came: reads the configuration again and hands it to the running server.

use crate::{
    app::Change,
    config::{Config, Loaded, Origin},
    control::about::About,
    engine::deployment::ApplyReport,
    run,
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

/// How often watched files are looked at. A look is a `stat`, which sees also what replaces a file, comes over a network
/// or through a symbolic link, as notifications of the kernel do not.
const LOOK: Duration = Duration::from_millis(500);

/// Hands configurations to a server: the one of `origin` whenever `hangup` (SIGHUP) comes and whenever one of the files that are to be
/// `watched` changed. One that has faults changes nothing; `about` is told. `hangup` has the `log` begin a new file, too. Returns when the server takes no more.
pub async fn follow(
    origin: Origin,
    watched: Option<Vec<PathBuf>>,
    changes: mpsc::Sender<Change>,
    about: About,
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
                tracing::info!("told to read the configuration again");
            }
            () = watch.changed(), if watches => tracing::info!("the configuration's file changed"),
            () = changes.closed() => return,
        }
        // What is written from here on is a new change.
        watch.look().await;
        service::reloading();
        match read(&origin).await {
            Ok(Loaded { config, files, .. }) => {
                if watches {
                    watch.set(files).await;
                }
                apply(config, &changes, &about).await;
            }
            Err(faults) => {
                faults.iter().for_each(|fault| tracing::error!("{fault}"));
                about.refused(&faults.join("\n"));
                tracing::error!("the configuration has faults: everything stays as it was");
            }
        }
        service::ready();
    }
}

async fn read(origin: &Origin) -> Result<Loaded, Vec<String>> {
    let from = origin.clone();
    let loaded = tokio::task::spawn_blocking(move || run::load(&from)).await;
    let loaded = loaded.unwrap_or_else(|error| Err(vec![error.to_string()]))?;
    match run::check_texts(&loaded).await {
        Ok(faults) if faults.is_empty() => Ok(loaded),
        Ok(faults) => Err(faults.faults.iter().map(ToString::to_string).collect()),
        Err(error) => Err(vec![format!("{error:#}")]),
    }
}

async fn apply(config: Config, changes: &mpsc::Sender<Change>, about: &About) {
    let (done, outcome) = oneshot::channel();
    if changes.send(Change { config, done }).await.is_err() {
        return;
    }
    let outcome = outcome.await;
    match &outcome {
        Ok(Ok(_)) => about.applied(),
        Ok(Err(error)) => about.refused(&format!("{error:#}")),
        Err(_) => {}
    }
    match outcome {
        Ok(Ok(ApplyReport { ended: 0, begun: 0 })) => {
            tracing::info!("configuration applied: all feeds and streams go on")
        }
        Ok(Ok(ApplyReport { ended, begun })) => {
            tracing::info!(ended, begun, "configuration applied: all other feeds and streams go on");
        }
        Ok(Err(error)) => tracing::error!("{error:#}: everything stays as it was"),
        // The server is ending.
        Err(_) => {}
    }
}

/// The files of a configuration, as they were when last looked at.
#[derive(Default)]
struct Watch {
    files: Vec<(PathBuf, Option<Stamp>)>,
}

/// What is another after a file was written or replaced: device and inode, length, time of change.
type Stamp = (u64, u64, u64, i64, i64);

impl Watch {
    /// Watches these from now on; those that were watched before, since they were last looked at.
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

    /// Returns whether a file is not as it was.
    async fn look(&mut self) -> bool {
        let mut changed = false;
        for (path, known) in &mut self.files {
            let found = stamp(path).await;
            changed |= *known != found;
            *known = found;
        }
        changed
    }

    /// Waits until a file is not as it was, and then until it stays as it is: editors write in steps.
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
