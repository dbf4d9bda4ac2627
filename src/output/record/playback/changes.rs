//! Recordings that are listed, protected or deleted by programs.

use super::{
    ask::Span,
    library::files,
    list::{Listed, list},
    reading::{PATIENCE, Playback, PlaybackError},
};
use crate::{
    config::StreamName,
    output::record::{disk::Edit, folder::Edited},
};

impl Playback {
    /// The files of a stream that have something of a span.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub async fn list(&self, stream: &str, span: Span) -> Result<Vec<Listed>, PlaybackError> {
        let stream = stream.to_owned();
        let found = self.read(move |_, folders| Ok(files(folders, &stream, span.from, span.to)?)).await?;
        Ok(list(&found, span))
    }

    /// Changes files of a stream: all that are meant, some at a time.
    ///
    /// # Errors
    /// When a disk cannot: some files may have been changed.
    pub async fn edit(&self, edit: Edit) -> Result<Edited, PlaybackError> {
        let mut all = Edited::default();
        // A name that is no name of a stream would lead elsewhere.
        if StreamName::new(&edit.stream).is_err() {
            return Ok(all);
        }
        for disk in self.disks() {
            loop {
                let answer = disk.edit(edit.clone())?;
                let answered = tokio::time::timeout(PATIENCE, answer).await;
                let mut edited = answered.map_err(|_| PlaybackError::Busy)?.map_err(|_| PlaybackError::Busy)??;
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
