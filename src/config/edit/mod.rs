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
use std::collections::HashSet;
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
    let mut text = Proven { tree: tree(text)?, text: text.to_owned() };
    let mut rest = edits;
    while let Some((edit, later)) = rest.split_first() {
        // A thousand entries that are new are one insertion, and one proof.
        let (new, others) = rest.split_at(text.new_entries(rest));
        if new.len() > 1 && text.insert(new) {
            rest = others;
            continue;
        }
        match (get(&text.tree, &edit.path), &edit.value) {
            (None, None) => return Err(EditError::Missing(edit.path.join("."))),
            (Some(old), Some(new)) => {
                for step in difference::between(&edit.path, old, new) {
                    text.change(&step)?;
                }
            }
            _ => text.change(edit)?,
        }
        rest = later;
    }
    Ok(text.text)
}

/// What a text says; `None` where it is wrong.
pub fn read(text: &str) -> Option<Value> {
    tree(text).ok()
}

/// Whether a text says this and nothing else.
pub fn says(text: &str, expected: &Value) -> bool {
    tree(text).is_ok_and(|found| is_same(&found, expected))
}

/// A text, and what it says.
struct Proven {
    text: String,
    tree: Value,
}

impl Proven {
    /// Makes one change, as near to the value as it is possible.
    fn change(&mut self, edit: &Edit) -> Result<(), EditError> {
        let mut expected = self.tree.clone();
        set(&mut expected, &edit.path, edit.value.clone());
        let least = edit.path.len().min(ENTRY);
        for length in (least..=edit.path.len()).rev() {
            let Some(path) = edit.path.get(..length) else { continue };
            let value = if length == edit.path.len() { edit.value.as_ref() } else { get(&expected, path) };
            if let Some(spliced) = splice::splice(&self.text, path, value)
                && says(&spliced, &expected)
            {
                *self = Self { text: spliced, tree: expected };
                return Ok(());
            }
        }
        let path = edit.path.iter().fold(Path::default(), |path, key| path.key(key));
        let (line, _) = super::spans::locate_near(&self.text, &path, super::spans::Place::Key);
        Err(EditError::NotInPlace { path: path.to_string(), line })
    }

    /// How many of the first edits make new entries of one section.
    fn new_entries(&self, edits: &[Edit]) -> usize {
        let Some([section, _]) = edits.first().map(|edit| edit.path.as_slice()) else { return 0 };
        let mut names = HashSet::new();
        let is_new = |edit: &Edit| edit.value.is_some() && get(&self.tree, &edit.path).is_none();
        let of_section = edits.iter().map_while(|edit| match edit.path.as_slice() {
            [of, name] if of == section && is_new(edit) => Some(name),
            _ => None,
        });
        of_section.take_while(|name| names.insert(*name)).count()
    }

    /// Inserts new entries of one section together. Returns whether that could be written.
    fn insert(&mut self, edits: &[Edit]) -> bool {
        let mut expected = self.tree.clone();
        edits.iter().for_each(|edit| set(&mut expected, &edit.path, edit.value.clone()));
        let spliced = splice::insert_all(&self.text, edits).filter(|spliced| says(spliced, &expected));
        let Some(text) = spliced else { return false };
        *self = Self { text, tree: expected };
        true
    }
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
