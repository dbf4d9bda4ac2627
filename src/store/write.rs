//! Files that are replaced as a whole: a reader, and the next start after a crash, find the old text or the new one.

use crate::sys::{kill_point, unfinished::overwrite};
use rustix::{
    fs::{Access, Mode, access, chmod, chown},
    io::Errno,
};
use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// A new text of a file that is on the disk beside it already: what is left can hardly fail. Dropped, it is taken away.
#[derive(Debug)]
pub struct Prepared {
    /// The file itself, where the path is a symbolic link.
    target: PathBuf,
    /// The new one beside it; none where its folder takes no files.
    beside: Option<PathBuf>,
    text: String,
}

/// Why a file was not written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}", path.display())]
pub struct WriteError {
    /// Which file.
    path: PathBuf,
    /// What the system says.
    source: io::Error,
}

impl Prepared {
    /// Writes the text beside the file, with its mode and owner. A byte order mark of the file stays. A file that is not there yet is for
    /// its owner only.
    ///
    /// # Errors
    /// When the disk is full, or the file cannot be written in any way.
    pub fn new(path: &Path, text: &str) -> Result<Self, WriteError> {
        let failed = |source| WriteError { path: path.to_owned(), source };
        let target = match fs::canonicalize(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let beside = beside(path, text.as_bytes(), None).map_err(failed)?;
                return Ok(Self { target: path.to_owned(), beside: Some(beside), text: text.to_owned() });
            }
            found => found.map_err(failed)?,
        };
        let mark = match fs::read(&target).map_err(failed)?.as_slice() {
            [0xef, 0xbb, 0xbf, ..] => "\u{feff}",
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
                return Err(failed(io::Error::other("it is UTF-16: save it as UTF-8 first")));
            }
            _ => "",
        };
        let text = [mark, text].concat();
        let known = fs::metadata(&target).map_err(failed)?;
        match beside(&target, text.as_bytes(), Some(&known)) {
            Ok(beside) => Ok(Self { target, beside: Some(beside), text }),
            // A read-only folder, a file that a container mounts: what is left is the file itself.
            Err(error) if is_of_folder(&error) => {
                OpenOptions::new().write(true).open(&target).map_err(failed)?;
                Ok(Self { target, beside: None, text })
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// Puts it in place, and returns when it is on the disk.
    ///
    /// # Errors
    /// What the system says.
    pub fn commit(mut self) -> Result<(), WriteError> {
        let failed = |source| WriteError { path: self.target.clone(), source };
        let Some(beside) = self.beside.take() else { return overwrite(&self.target, &self.text).map_err(failed) };
        match fs::rename(&beside, &self.target) {
            Ok(()) => {
                kill_point("edit renamed");
                // The name has to be on the disk, too.
                let folder = self.target.parent().map(File::open);
                folder.transpose().and_then(|folder| folder.map_or(Ok(()), |folder| folder.sync_all())).map_err(failed)
            }
            Err(error) if is_of_folder(&error) => {
                let _ = fs::remove_file(&beside);
                overwrite(&self.target, &self.text).map_err(failed)
            }
            Err(error) => {
                let _ = fs::remove_file(&beside);
                Err(failed(error))
            }
        }
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        if let Some(beside) = &self.beside {
            let _ = fs::remove_file(beside);
        }
    }
}

fn beside(target: &Path, bytes: &[u8], known: Option<&Metadata>) -> io::Result<PathBuf> {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let path = target.with_file_name(format!(".{name}.new"));
    let written = write_new(known, &path, bytes);
    if written.is_err() {
        let _ = fs::remove_file(&path);
    }
    written.map(|()| path)
}

fn write_new(known: Option<&Metadata>, path: &Path, bytes: &[u8]) -> io::Result<()> {
    // A crash may have left one.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    if let Some(known) = known {
        let own = file.metadata()?;
        if (own.uid(), own.gid()) != (known.uid(), known.gid()) {
            let (user, group) = (rustix::fs::Uid::from_raw(known.uid()), rustix::fs::Gid::from_raw(known.gid()));
            chown(path, Some(user), Some(group))?;
        }
        chmod(path, Mode::from_raw_mode(known.mode()))?;
    }
    file.write_all(bytes)?;
    file.sync_all()
}

/// Whether a file can be replaced or overwritten, as far as its mode and its mount say. Nothing in the store of Nix can.
pub fn can_write(path: &Path) -> bool {
    let Ok(target) = fs::canonicalize(path) else {
        return path.parent().is_some_and(|folder| access(folder, Access::WRITE_OK).is_ok());
    };
    let folder = target.parent().is_some_and(|folder| access(folder, Access::WRITE_OK).is_ok());
    (folder || access(&target, Access::WRITE_OK).is_ok()) && !target.starts_with("/nix/store")
}

/// Whether the folder, not the file or the disk, does not allow it.
fn is_of_folder(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(code, Some(Errno::BUSY | Errno::XDEV | Errno::ACCESS | Errno::PERM | Errno::ROFS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_file_is_replaced_with_its_mode_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("a.yaml"), folder.path().join("link.yaml"));
        fs::write(&file, b"\xef\xbb\xbfold").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        symlink(&file, &link).unwrap();
        let prepared = Prepared::new(&link, "new text").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"\xef\xbb\xbfold");
        prepared.commit().unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"\xef\xbb\xbfnew text");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_is_not_committed_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        fs::write(&file, "old").unwrap();
        drop(Prepared::new(&file, "new").unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        // A file that is not there yet.
        let new = folder.path().join("none");
        drop(Prepared::new(&new, "x").unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        Prepared::new(&new, "x").unwrap().commit().unwrap();
        assert_eq!(
            (fs::read(&new).unwrap(), fs::metadata(&new).unwrap().permissions().mode() & 0o777),
            (b"x".to_vec(), 0o600)
        );
        assert!(Prepared::new(&folder.path().join("none/none"), "x").is_err());
        fs::write(&file, b"\xff\xfea\0").unwrap();
        let error = crate::telemetry::chain(&Prepared::new(&file, "x").unwrap_err());
        assert!(error.contains("UTF-16"), "{error}");
    }

    #[test]
    fn a_file_in_a_folder_that_takes_none_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        fs::write(&file, "a long old text").unwrap();
        let prepared = Prepared { target: file.clone(), beside: None, text: "new".to_owned() };
        prepared.commit().unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"new");
    }
}
