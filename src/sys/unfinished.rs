//! Files that are overwritten in place, because they cannot be replaced: what a crash in the middle of it leaves is completed by the next
//! reader.

use super::kill_point;
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

/// Both texts of a file while it is overwritten, in a file beside it.
#[derive(Debug, Serialize, Deserialize)]
struct Unfinished {
    before: String,
    after: String,
}

/// Overwrites a file that exists. What is beside it meanwhile lets the next reader complete it after a crash; where its folder takes no
/// files, a crash may leave a part of both texts.
///
/// # Errors
/// What the system says.
pub fn overwrite(target: &Path, text: &str) -> io::Result<()> {
    let before = String::from_utf8_lossy(&fs::read(target)?).into_owned();
    let known = Unfinished { before, after: text.to_owned() };
    let beside = note(target);
    // Without it there is the file itself only.
    let noted = write_note(&beside, &known);
    kill_point("in place noted");
    write_whole(target, &known)?;
    kill_point("in place written");
    if noted.is_ok() {
        fs::remove_file(&beside)?;
    }
    Ok(())
}

/// Completes a file whose overwriting a crash has interrupted. One that somebody has edited since is left as it is.
///
/// # Errors
/// What the system says.
pub fn complete(path: &Path) -> io::Result<()> {
    // Nearly always there is none, and the path is that of the file itself.
    let target = fs::canonicalize(path)?;
    let beside = note(&target);
    let noted = match fs::read(&beside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        noted => noted?,
    };
    if let Ok(known) = serde_json::from_slice::<Unfinished>(&noted)
        && is_torn(&fs::read(&target)?, &known)
    {
        write_whole(&target, &known)?;
    }
    fs::remove_file(&beside)
}

/// In one write that is never shorter than what was there, which a killed process leaves done or not done as long as it is a page.
fn write_whole(target: &Path, known: &Unfinished) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(target)?;
    file.write_all(&padded(known))?;
    file.set_len(known.after.len() as u64)?;
    file.sync_all()
}

/// The new text, with empty lines up to the length of the old one.
fn padded(known: &Unfinished) -> Vec<u8> {
    let mut bytes = known.after.clone().into_bytes();
    bytes.resize(bytes.len().max(known.before.len()), b'\n');
    bytes
}

/// Whether the bytes are those of both texts, and neither of them.
fn is_torn(found: &[u8], known: &Unfinished) -> bool {
    let (before, after) = (known.before.as_bytes(), padded(known));
    if found == before || found == known.after.as_bytes() {
        return false;
    }
    found.len() >= before.len().min(known.after.len())
        && found.len() <= after.len()
        && (0..found.len()).all(|at| {
            let byte = found.get(at);
            byte == before.get(at) || byte == after.get(at)
        })
}

fn write_note(path: &Path, known: &Unfinished) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(&serde_json::to_vec(known)?)?;
    file.sync_all()?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn note(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(format!(".{name}.unfinished"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_torn_anywhere_is_completed(before in "[a-c\n]{0,60}", after in "[a-c\n]{0,60}", cut in 0..61usize, is_cut in any::<bool>()) {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("a.yaml");
            let known = Unfinished { before: before.clone(), after: after.clone() };
            let whole = padded(&known);
            let cut = cut.min(whole.len());
            let rest = before.as_bytes().get(cut..).unwrap_or_default();
            let mut torn = [&whole[..cut], rest].concat();
            if is_cut && cut == whole.len() {
                torn.truncate(after.len());
            }
            fs::write(&file, &torn).unwrap();
            write_note(&note(&file), &known).unwrap();
            complete(&file).unwrap();
            let found = fs::read_to_string(&file).unwrap();
            prop_assert!(found == before || found == after, "{found:?}");
            prop_assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn what_somebody_has_edited_since_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        fs::write(&file, "a: 3\n").unwrap();
        write_note(&note(&file), &Unfinished { before: "a: 1\n".into(), after: "a: 2\n".into() }).unwrap();
        complete(&file).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "a: 3\n");
        overwrite(&file, "b\n").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "b\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        complete(&file).unwrap();
        assert!(complete(&folder.path().join("none")).is_err());
    }
}
