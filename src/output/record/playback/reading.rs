//! The recordings of a server, which are read on threads for that.

use super::{
    images::Images,
    library::{Library, LibraryError},
};
use crate::output::record::{disk::Disk, folder::DiskError, recorders::Folders};
use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::sync::Semaphore;

/// Requests that read recordings at a time: more would only wait for the same disks.
const READERS: usize = 8;
/// A disk that does not answer for so long is out of order.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);
pub(super) const TOO_BUSY: &str = "too many requests for recordings, or their disk does not answer: try again";

/// The recordings of a server. Clones are the same.
#[derive(Debug, Clone)]
pub struct Playback {
    folders: Folders,
    library: Arc<Library>,
    images: Arc<Images>,
    readers: Arc<Semaphore>,
}

/// Why recordings are not read or changed.
#[derive(Debug, thiserror::Error)]
pub enum PlaybackError {
    /// The disk says why.
    #[error("{0}")]
    Disk(#[from] DiskError),
    /// They cannot be read.
    #[error("{0}")]
    Read(#[from] LibraryError),
    /// There are too many requests, or a disk does not respond.
    #[error("{TOO_BUSY}")]
    Busy,
}

impl Playback {
    /// The recordings in these folders.
    pub fn new(folders: Folders) -> Self {
        Self { folders, library: Arc::default(), images: Arc::default(), readers: Arc::new(Semaphore::new(READERS)) }
    }

    pub(super) fn images(&self) -> &Images {
        &self.images
    }

    /// Permits to read.
    pub(super) fn readers(&self) -> Arc<Semaphore> {
        self.readers.clone()
    }

    pub(super) fn disks(&self) -> Vec<Disk> {
        self.folders.disks()
    }

    /// Reads on a thread for that.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Library, &[PathBuf]) -> Result<T, LibraryError> + Send + 'static,
    ) -> Result<T, PlaybackError> {
        let permit = tokio::time::timeout(PATIENCE, self.readers.clone().acquire_owned()).await;
        let Ok(Ok(permit)) = permit else { return Err(PlaybackError::Busy) };
        let (library, folders) = (self.library.clone(), self.folders.all());
        let work = tokio::task::spawn_blocking(move || {
            // It goes with the work, which does not end when the caller no longer waits.
            let _permit = permit;
            work(&library, &folders)
        });
        match tokio::time::timeout(PATIENCE, work).await {
            Ok(Ok(Ok(found))) => Ok(found),
            Ok(Ok(Err(error))) => Err(error.into()),
            Ok(Err(_)) | Err(_) => Err(PlaybackError::Busy),
        }
    }
}

/// The time in microseconds since 1970.
pub(super) fn now() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_micros()).unwrap_or(i64::MAX)
}
