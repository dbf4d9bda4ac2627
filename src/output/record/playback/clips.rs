//! Clips that are files of their own: copies of a span, beside the recordings, which no limit deletes.

use super::{
    ask::{FileId, Gaps, Span},
    library::{Film, LibraryError, files, rfc3339},
    reading::{Playback, PlaybackError},
};
use crate::{config::StreamName, output::record::folder::DiskError};
use serde::Serialize;
use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Where they are in the folder of recordings. No pattern of names makes what begins with a dot.
const FOLDER: &str = ".clips";
/// What is copied at a time.
const PIECE: u64 = 1 << 20;
/// Room that stays on the disk.
const LEAST_ROOM: u64 = 64 << 20;

/// A clip.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SavedClip {
    /// Names it: the same span is the same clip.
    id: String,
    start: String,
    end: String,
    /// Seconds.
    duration: f64,
    bytes: u64,
    /// Where it is, below the folder of recordings.
    file: String,
    /// Where it can be played and downloaded.
    path: String,
}

impl SavedClip {
    fn new(stream: &str, id: FileId, bytes: u64) -> Self {
        let to = i64::try_from(id.sequence).unwrap_or(i64::MAX);
        Self {
            start: rfc3339(id.from),
            end: rfc3339(to),
            duration: to.saturating_sub(id.from) as f64 / 1e6,
            bytes,
            file: format!("{FOLDER}/{stream}/{id}.mp4"),
            path: format!("/rec/{stream}/clips/{id}.mp4"),
            id: id.to_string(),
        }
    }

    /// Its name.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl Playback {
    /// Copies a span into a file of its own.
    ///
    /// # Errors
    /// When nothing was recorded, or the disk is full or fails.
    pub async fn save_clip(&self, stream: &str, span: Span) -> Result<SavedClip, PlaybackError> {
        let name = stream.to_owned();
        let found = self.read(move |library, folders| {
            let film = library.film(folders, &name, (span.from, span.to), Gaps::Skip)?;
            let folder =
                files(folders, &name, span.from, span.to)?.into_iter().next().ok_or(LibraryError::Nothing)?.folder;
            Ok((film, folder))
        });
        let (film, folder) = found.await?;
        // One after the other: two would take twice as long.
        let turn = self.images().saving.clone().acquire_owned().await.map_err(|_| PlaybackError::Busy)?;
        let name = stream.to_owned();
        let work = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            save(&film, &folder, &name)
        });
        let saved = work.await.map_err(|_| PlaybackError::Busy)??;
        tracing::info!(stream, file = saved.file, bytes = saved.bytes, "clip saved");
        Ok(saved)
    }

    /// The clips of a stream, oldest first.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub async fn clips(&self, stream: &str) -> Result<Vec<SavedClip>, PlaybackError> {
        let stream = stream.to_owned();
        self.read(move |_, folders| Ok(list(folders, &stream)?)).await
    }

    /// Deletes a clip; returns whether there was one.
    ///
    /// # Errors
    /// When it cannot be deleted.
    pub async fn delete_clip(&self, stream: &str, id: FileId) -> Result<bool, PlaybackError> {
        let stream = stream.to_owned();
        self.read(move |_, folders| {
            let Some(path) = find(folders, &stream, id) else { return Ok(false) };
            fs::remove_file(path)?;
            Ok(true)
        })
        .await
    }

    /// A clip as a film.
    pub(super) async fn clip(&self, stream: &str, id: FileId) -> Result<Arc<Film>, PlaybackError> {
        let stream = stream.to_owned();
        self.read(move |_, folders| {
            let path = find(folders, &stream, id).ok_or(LibraryError::Nothing)?;
            let length = fs::metadata(&path)?.len();
            let to = i64::try_from(id.sequence).unwrap_or(i64::MAX);
            Ok(Arc::new(Film::whole(path, length, (id.from, to))))
        })
        .await
    }
}

fn save(film: &Film, folder: &Path, stream: &str) -> Result<SavedClip, PlaybackError> {
    let failed = |error: io::Error| PlaybackError::Disk(DiskError::from(error));
    let end = film.begins.saturating_add(i64::try_from(film.clip.duration() / 1000).unwrap_or(0));
    let id = FileId { from: film.begins, sequence: u64::try_from(end).unwrap_or(0) };
    let own = folder.join(FOLDER).join(stream);
    fs::create_dir_all(&own).map_err(failed)?;
    let (path, part) = (own.join(format!("{id}.mp4")), own.join(format!("{id}.part")));
    let length = film.clip.length();
    if fs::metadata(&path).is_ok_and(|found| found.len() == length) {
        return Ok(SavedClip::new(stream, id, length));
    }
    let room = rustix::fs::statvfs(&own).map(|found| found.f_bavail.saturating_mul(found.f_frsize));
    if room.is_ok_and(|room| room < length.saturating_add(LEAST_ROOM)) {
        return Err(PlaybackError::Disk(DiskError::Full));
    }
    let copied = copy(film, &part).and_then(|()| fs::rename(&part, &path)).and_then(|()| File::open(&own)?.sync_all());
    if let Err(error) = copied {
        let _ = fs::remove_file(&part);
        return Err(failed(error));
    }
    Ok(SavedClip::new(stream, id, length))
}

fn copy(film: &Film, path: &Path) -> io::Result<()> {
    let mut file = File::create(path)?;
    let mut at = 0;
    while at < film.clip.length() {
        let bytes = film.read(at, PIECE)?;
        if bytes.is_empty() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        file.write_all(&bytes)?;
        at += bytes.len() as u64;
    }
    file.sync_all()
}

fn list(folders: &[PathBuf], stream: &str) -> io::Result<Vec<SavedClip>> {
    if StreamName::new(stream).is_err() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for folder in folders {
        let names = match fs::read_dir(folder.join(FOLDER).join(stream)) {
            Ok(names) => names,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for name in names {
            let name = name?;
            let text = name.file_name();
            let id = text.to_str().and_then(|text| FileId::read(text.strip_suffix(".mp4")?));
            if let Some(id) = id {
                found.push(SavedClip::new(stream, id, name.metadata()?.len()));
            }
        }
    }
    found.sort_by(|one, other| one.start.cmp(&other.start));
    Ok(found)
}

fn find(folders: &[PathBuf], stream: &str, id: FileId) -> Option<PathBuf> {
    StreamName::new(stream).ok()?;
    let paths = folders.iter().map(|folder| folder.join(FOLDER).join(stream).join(format!("{id}.mp4")));
    paths.into_iter().find(|path| path.is_file())
}
