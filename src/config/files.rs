//! Reads a file of a configuration as text, whatever editor saved it.

use super::diagnostics::Diagnostics;
use crate::sys::unfinished;
use std::{
    collections::HashMap,
    fs::File,
    io::{self, ErrorKind, Read as _},
    path::{self, Path, PathBuf},
};

/// Longest file in bytes. A thousand cameras fit.
const MAX_FILE: u64 = 1 << 20;
/// The byte order mark.
const MARK: char = '\u{feff}';

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file that was asked for does not exist.
    #[error(
        "configuration file {} does not exist: name another one with -f FILE, or none for the built-in demonstration",
        .0.display()
    )]
    Missing(PathBuf),
    /// The system does not let us.
    #[error("read configuration file {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// More than anyone writes.
    #[error("configuration file {} has more than {MAX_FILE} bytes: is it the right one?", .0.display())]
    Huge(PathBuf),
    /// Not UTF-8.
    #[error("{}:{line}: the configuration file is no UTF-8 text: is it the right one, and saved as UTF-8?", path.display())]
    NoText {
        /// Which file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// Its text is wrong; the message has a line for every error.
    #[error(transparent)]
    Invalid(#[from] Diagnostics),
}

/// Texts to read in place of those of files, by the paths that name them.
pub type Replaced = HashMap<PathBuf, String>;

/// The path made absolute, so that it does not depend on where the process goes.
pub(super) fn resolve(folder: &Path, path: &Path) -> Result<PathBuf, LoadError> {
    let joined = folder.join(path);
    path::absolute(&joined).map_err(|source| LoadError::Read { path: joined, source })
}

/// The text of a file.
///
/// # Errors
/// When it cannot be read, is too long, or is no text.
pub(super) fn read(path: &Path) -> Result<String, LoadError> {
    let failed = |source: io::Error| match source.kind() {
        ErrorKind::NotFound => LoadError::Missing(path.to_owned()),
        _ => LoadError::Read { path: path.to_owned(), source },
    };
    // A missing file is an error below.
    let _ = unfinished::complete(path);
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(LoadError::Huge(path.to_owned()));
    }
    decode(bytes).map_err(|line| LoadError::NoText { path: path.to_owned(), line })
}

/// The text of a file, without the byte order mark that some editors write before it. UTF-16 is known by its mark.
///
/// # Errors
/// The line, counted from 1, up to which it is text.
fn decode(bytes: Vec<u8>) -> Result<String, usize> {
    let utf_16 = |units: &[u8], unit: fn([u8; 2]) -> u16| {
        let (units, rest) = units.as_chunks::<2>();
        let units = units.iter().map(|bytes| unit(*bytes));
        // Half a unit is no text.
        let units = units.chain((!rest.is_empty()).then_some(0xd800));
        let mut text = String::new();
        for character in char::decode_utf16(units) {
            text.push(character.map_err(|_| 1 + text.matches('\n').count())?);
        }
        Ok(text)
    };
    match bytes.as_slice() {
        [0xff, 0xfe, units @ ..] => utf_16(units, u16::from_le_bytes),
        [0xfe, 0xff, units @ ..] => utf_16(units, u16::from_be_bytes),
        _ => {
            let mut text = String::from_utf8(bytes).map_err(|error| {
                let (good, _) = error.as_bytes().split_at(error.utf8_error().valid_up_to());
                1 + good.iter().filter(|byte| **byte == b'\n').count()
            })?;
            if text.starts_with(MARK) {
                text.drain(..MARK.len_utf8());
            }
            Ok(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utf_16_is_known_by_its_mark() {
        let text = "a: \u{e9}\u{1f4f7}\n";
        let with = |unit: fn(u16) -> [u8; 2]| -> Vec<u8> {
            "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(unit).collect()
        };
        assert_eq!(decode(with(u16::to_le_bytes)), Ok(text.to_owned()));
        assert_eq!(decode(with(u16::to_be_bytes)), Ok(text.to_owned()));
        let mut cut = with(u16::to_le_bytes);
        cut.push(b'x');
        assert_eq!(decode(cut), Err(2));
        assert_eq!(decode(b"\xef\xbb\xbfa\n\xff".to_vec()), Err(2));
        assert_eq!(decode(Vec::new()), Ok(String::new()));
    }
}
