//! Files of a folder that is shared, as they are.

use super::{
    films::FileName,
    library::{Film, LibraryError},
    reading::{Playback, PlaybackError},
};
use crate::media::Container;
use std::{fs, path::Path, sync::Arc, time::SystemTime};

/// What is shown by its name, besides media. Whatever a browser would run as a page of this server is not among it.
const SHOWN: [(&str, &str); 10] = [
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("png", "image/png"),
    ("webp", "image/webp"),
    ("gif", "image/gif"),
    ("txt", "text/plain; charset=utf-8"),
    ("log", "text/plain; charset=utf-8"),
    ("srt", "text/plain; charset=utf-8"),
    ("vtt", "text/vtt; charset=utf-8"),
    ("json", "application/json"),
];

impl Playback {
    /// A file below a folder, and how it is sent. `name` is one that [`is_name`] permits.
    ///
    /// # Errors
    /// When there is no such file, or the disk does not respond.
    pub(super) async fn file_of(&self, folder: &Path, name: &str) -> Result<(Arc<Film>, FileName), PlaybackError> {
        let (folder, path) = (folder.to_owned(), name.to_owned());
        let film = self.read(move |_, _| found(&folder, &path)).await?;
        let last = name.rsplit('/').next().unwrap_or(name).to_owned();
        let (mimetype, is_shown) = match mimetype(name) {
            Some(mimetype) => (mimetype, true),
            None => ("application/octet-stream", false),
        };
        Ok((Arc::new(film), FileName { mimetype, name: last, is_shown }))
    }
}

/// Whether a file may have this name below a folder: no part of it is hidden, or leads elsewhere.
pub fn is_name(name: &str) -> bool {
    let is_part = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains(['\\', '\0']);
    name.len() <= 1024 && name.split('/').all(is_part)
}

fn found(folder: &Path, name: &str) -> Result<Film, LibraryError> {
    let root = fs::canonicalize(folder)?;
    let path = fs::canonicalize(root.join(name))?;
    let about = fs::metadata(&path)?;
    // A symbolic link may lead elsewhere.
    if !path.starts_with(&root) || !about.is_file() {
        return Err(LibraryError::Nothing);
    }
    let modified = about.modified()?.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let modified = i64::try_from(modified.as_micros()).unwrap_or(0);
    Ok(Film::whole(path, about.len(), (modified, modified)))
}

fn mimetype(name: &str) -> Option<&'static str> {
    if let Some(container) = Container::from_extension(name) {
        return Some(container.mimetype()).filter(|_| container != Container::Mjpeg);
    }
    let (_, extension) = name.rsplit_once('.')?;
    SHOWN.into_iter().find(|(known, _)| extension.eq_ignore_ascii_case(known)).map(|(_, mimetype)| mimetype)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_their_folder() {
        for name in ["a.mp4", "sub/b c.txt", "ä/ö.ts", "a..b"] {
            assert!(is_name(name), "{name}");
        }
        for name in
            ["", "/", "a/", "/a", "a//b", "..", "../a", "a/../b", ".", "a/./b", ".hidden", "a/.git/x", "a\\b", "a\0b"]
        {
            assert!(!is_name(name), "{name}");
        }
        assert!(!is_name(&"a".repeat(1025)));
    }

    #[test]
    fn what_a_browser_would_run_is_sent_as_bytes() {
        let check = |name, expect| assert_eq!(mimetype(name), expect, "{name}");
        check("a.mp4", Some("video/mp4"));
        check("a.TS", Some("video/mp2t"));
        check("a.b.JPG", Some("image/jpeg"));
        check("notes.txt", Some("text/plain; charset=utf-8"));
        for name in ["a.html", "a.svg", "a.js", "a.xml", "a.pdf", "a", "a.mjpeg", "html"] {
            check(name, None);
        }
    }
}
