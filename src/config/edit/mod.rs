//! Changes of a configuration file that leave the rest of its text as it is, comments and order included.
//!
//! An edit is spliced into the text ([`splice`](splice::splice)) at positions of the parser that reads the configuration. It counts only after a proof: the new
//! text is parsed, and must give the tree of before with this edit and nothing else. So the splicing decides how a file looks, never
//! what it says ([ADR 42](../../../docs/adr/0042-edits-are-spliced-and-proven.md)).

mod difference;
mod render;
mod splice;
mod tree;
mod undo;

pub use tree::{Edit, get};
pub use undo::{UndoError, changed_paths, undo};

use super::{
    diagnostics::{Diagnostic, Path},
    yaml,
};
use serde_yaml::Value;
use tree::{is_same, set};

/// Why a text was not changed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EditError {
    /// It has errors already.
    #[error("the file has an error that must be corrected first: {0}")]
    Unreadable(Diagnostic),
    /// What is to be removed is not there.
    #[error("there is no `{0}` in the file")]
    Missing(String),
    /// No way of writing the change gave a text that says exactly this.
    #[error(
        "`{path}` at line {line} cannot be edited in place: an anchor, an alias or a merge key shares it with other entries"
    )]
    NotInPlace {
        /// Which value, `feeds.cam1`.
        path: String,
        /// Where it is, counted from 1.
        line: usize,
    },
}

/// Entries of sections are never written as a part of their section: that would lose the comments of all others.
const ENTRY: usize = 2;

/// The text with these changes, one after the other.
///
/// # Errors
/// When one of them cannot be made; nothing is changed then.
pub fn edit(text: &str, edits: &[Edit]) -> Result<String, EditError> {
    let mut text = text.to_owned();
    for edit in edits {
        let before = tree(&text)?;
        match (get(&before, &edit.path), &edit.value) {
            (None, None) => return Err(EditError::Missing(edit.path.join("."))),
            (Some(old), Some(new)) => {
                for step in difference::between(&edit.path, old, new) {
                    text = one(&text, &step)?;
                }
            }
            _ => text = one(&text, edit)?,
        }
    }
    Ok(text)
}

/// What a text says; `None` where it is wrong.
pub fn read(text: &str) -> Option<Value> {
    tree(text).ok()
}

/// Whether a text says this and nothing else.
pub fn says(text: &str, expected: &Value) -> bool {
    tree(text).is_ok_and(|found| is_same(&found, expected))
}

/// Makes one change, as near to the value as it is possible.
fn one(text: &str, edit: &Edit) -> Result<String, EditError> {
    let mut expected = tree(text)?;
    set(&mut expected, &edit.path, edit.value.clone());
    let least = edit.path.len().min(ENTRY);
    for length in (least..=edit.path.len()).rev() {
        let Some(path) = edit.path.get(..length) else { continue };
        let value = if length == edit.path.len() { edit.value.as_ref() } else { get(&expected, path) };
        let spliced = splice::splice(text, path, value);
        if let Some(spliced) = spliced
            && tree(&spliced).is_ok_and(|found| is_same(&found, &expected))
        {
            return Ok(spliced);
        }
    }
    let path = edit.path.iter().fold(Path::default(), |path, key| path.key(key));
    let (line, _) = super::spans::locate_near(text, &path, super::spans::Place::Key);
    Err(EditError::NotInPlace { path: path.to_string(), line })
}

fn tree(text: &str) -> Result<Value, EditError> {
    let parsed = yaml::parse(text).map_err(EditError::Unreadable)?;
    let fault = |path: &Path, message: &str| {
        let (line, column) = super::spans::locate_near(text, path, super::spans::Place::SecondKey);
        let position = super::diagnostics::Position::Line { order: 0, line, column, file: "".into() };
        EditError::Unreadable(Diagnostic { position, path: path.to_string(), message: message.to_owned() })
    };
    match (parsed.twice.first(), parsed.unmergeable.first()) {
        (Some(path), _) => Err(fault(path, yaml::TWICE)),
        (_, Some(path)) => Err(fault(path, yaml::UNMERGEABLE)),
        _ => Ok(parsed.tree),
    }
}

#[cfg(test)]
mod tests;
