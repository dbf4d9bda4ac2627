//! All recorders of a server. They stay when a configuration is applied that does not change them.

use super::{disk::Disk, task::RecorderTask};
use crate::{
    engine::registry::{Registry, StreamHandle},
    sys::Shutdown,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The recorders of a server.
#[derive(Debug)]
pub struct Recorders {
    shutdown: Shutdown,
    disks: BTreeMap<PathBuf, Disk>,
    running: BTreeMap<String, Running>,
    folders: Folders,
}

#[derive(Debug)]
struct Running {
    stream: Arc<StreamHandle>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// The folders that have recordings, with their threads. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Folders(Arc<Mutex<Vec<Disk>>>);

impl Folders {
    /// All of them.
    pub fn all(&self) -> Vec<PathBuf> {
        self.disks().iter().map(|disk| disk.path().to_owned()).collect()
    }

    /// Who writes to them.
    pub fn disks(&self) -> Vec<Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, disks: Vec<Disk>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = disks;
    }
}

impl Recorders {
    /// None yet. Their tasks are spawned on `shutdown`.
    pub fn new(shutdown: Shutdown) -> Self {
        Self { shutdown, disks: BTreeMap::new(), running: BTreeMap::new(), folders: Folders::default() }
    }

    /// The folders of all recorders.
    pub fn folders(&self) -> Folders {
        self.folders.clone()
    }

    /// Records the streams of a configuration that are to be. What is changed is stopped first, which takes seconds at most.
    pub async fn apply(&mut self, registry: &Registry) {
        let wanted: BTreeMap<&str, &Arc<StreamHandle>> = registry
            .streams()
            .iter()
            .filter(|stream| stream.config.recording.is_some())
            .map(|stream| (stream.config.name.as_str(), stream))
            .collect();
        let is_other =
            |name: &str, running: &Running| wanted.get(name).is_none_or(|new| !is_same(&running.stream, new));
        let ending: Vec<_> = self.running.extract_if(.., |name, running| is_other(name, running)).collect();
        ending.iter().for_each(|(_, running)| running.stop.cancel());
        for (_, running) in ending {
            let _ = running.task.await;
        }
        let folders: BTreeSet<PathBuf> =
            wanted.values().filter_map(|stream| Some(stream.config.recording.as_ref()?.folder.clone())).collect();
        self.disks.retain(|folder, _| folders.contains(folder));
        // The thread of a folder that is not recorded into any more ends.
        self.folders.set(self.disks.values().cloned().collect());
        for (name, stream) in wanted {
            let Some(recording) = stream.config.recording.clone() else { continue };
            if self.running.contains_key(name) {
                continue;
            }
            let disk = match self.disks.get(&recording.folder) {
                Some(disk) => disk.clone(),
                None => match Disk::start(&recording.folder) {
                    Ok(disk) => {
                        self.disks.insert(recording.folder.clone(), disk.clone());
                        disk
                    }
                    Err(error) => {
                        tracing::error!(stream = name, %error, "cannot start a thread for recordings");
                        continue;
                    }
                },
            };
            let feeds = registry.feeds().iter().filter(|feed| stream.config.feeds.contains(&feed.config.name));
            let feeds = feeds.map(|feed| feed.status.clone()).collect();
            let task = RecorderTask { stream: stream.clone(), feeds, recording, disk };
            let stop = self.shutdown.token().child_token();
            let task = self.shutdown.spawn(format!("recorder of {name}"), task.run(stop.clone()));
            self.running.insert(name.to_owned(), Running { stream: stream.clone(), stop, task });
        }
        self.folders.set(self.disks.values().cloned().collect());
    }
}

/// Whether a recorder of one is a recorder of the other.
fn is_same(old: &StreamHandle, new: &StreamHandle) -> bool {
    old.config.is_same_media(&new.config) && old.has_samples_of(new)
}
