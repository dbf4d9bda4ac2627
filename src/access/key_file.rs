//! The file with the keys of JSON Web Tokens, which whoever issues them may renew at any time.

use super::{
    jwt::{KeySet, KeySetError, MAX_KEYS_FILE},
    policy::{KeySource, Policy},
};
use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It has no keys.
    #[error("cannot use {}: {error}", path.display())]
    Keys {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: KeySetError,
    },
}

/// Reads the keys whose file a policy names; none where it names none. Blocks.
///
/// # Errors
/// See [`KeyFileError`].
pub fn read_keys(policy: &Policy) -> Result<KeySet, KeyFileError> {
    match policy.jwt.as_ref().map(|jwt| &jwt.keys) {
        Some(KeySource::File(path)) => read(path),
        Some(KeySource::Address(_)) | None => Ok(KeySet::default()),
    }
}

/// A file that is looked at repeatedly.
#[derive(Debug, Default)]
pub struct WatchedKeys {
    seen: Option<(PathBuf, Stamp)>,
}

/// Differs after a file was written or replaced: device and inode, length, time of change.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

impl WatchedKeys {
    /// The keys, if the file changed since the last look. The first look at a file is none: it was read with the policy. Blocks.
    pub fn look(&mut self, path: &Path) -> Option<Result<KeySet, KeyFileError>> {
        let stamp =
            fs::metadata(path).ok().map(|file| (file.dev(), file.ino(), file.len(), file.ctime(), file.ctime_nsec()));
        let before = self.seen.replace((path.to_owned(), stamp));
        let changed = before.is_some_and(|(known, before)| known == path && before != stamp);
        changed.then(|| read(path))
    }
}

fn read(path: &Path) -> Result<KeySet, KeyFileError> {
    let of = |error| KeyFileError::Read { path: path.to_owned(), error };
    if fs::metadata(path).map_err(of)?.len() > MAX_KEYS_FILE as u64 {
        return Err(of(io::Error::other("the file is larger than 256 KiB")));
    }
    let bytes = fs::read(path).map_err(of)?;
    KeySet::parse(&bytes).map_err(|error| KeyFileError::Keys { path: path.to_owned(), error })
}
