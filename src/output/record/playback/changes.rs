//! Recordings that are listed, protected or deleted by programs.

use super::{
    answer::{Listed, PATIENCE, Playback, TOO_BUSY, list},
    ask::Span,
    library::{LibraryError, files},
};
use crate::{
    config::StreamName,
    output::record::{
        disk::Edit,
        folder::{DiskError, Edited},
    },
};

/// Why nothing is changed or listed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The disk says why.
    #[error("{0}")]
    Disk(#[from] DiskError),
    /// It cannot be read.
    #[error("{0}")]
    Read(#[from] LibraryError),
    /// There are too many requests, or a disk does not respond.
    #[error("{TOO_BUSY}")]
    Busy,
}

impl Playback {
    /// The files of a stream that have something of a span.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub async fn list(&self, stream: &str, span: Span) -> Result<Vec<Listed>, ChangeError> {
        let stream = stream.to_owned();
        let found = self.read(move |_, folders| Ok(files(folders, &stream, span.from, span.to)?)).await?;
        Ok(list(&found, span))
    }

    /// Changes files of a stream: all that are meant, some at a time.
    ///
    /// # Errors
    /// When a disk cannot: some files may have been changed.
    pub async fn edit(&self, edit: Edit) -> Result<Edited, ChangeError> {
        let mut all = Edited::default();
        // A name that is no name of a stream would lead elsewhere.
        if StreamName::new(&edit.stream).is_err() {
            return Ok(all);
        }
        for disk in self.disks() {
            loop {
                let answer = disk.edit(edit.clone())?;
                let answered = tokio::time::timeout(PATIENCE, answer).await;
                let mut edited = answered.map_err(|_| ChangeError::Busy)?.map_err(|_| ChangeError::Busy)??;
                let has_more = std::mem::take(&mut edited.has_more);
                if has_more {
                    // These are counted again by the next one.
                    (edited.open, edited.protected, edited.partly, edited.unchanged) = (0, 0, 0, 0);
                }
                all.add(edited);
                if !has_more {
                    break;
                }
            }
        }
        Ok(all)
    }
}
