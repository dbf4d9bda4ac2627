//! Takes a change of a text back, also when others were made since. Pure.

use super::{
    EditError, difference, edit, get,
    tree::{Edit, is_same},
};
use serde_yaml::Value;

/// Why a change is not taken back.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum UndoError {
    /// Later changes are of the same.
    #[error("`{0}` was changed again since: undo the later change first, or restore a version")]
    Changed(String),
    /// The text does not allow it.
    #[error(transparent)]
    Edit(#[from] EditError),
}

/// The text `current` without the change that made `after` of `before`.
///
/// # Errors
/// When it cannot be taken back by itself.
pub fn undo(current: &str, before: &str, after: &str) -> Result<String, UndoError> {
    if current == after {
        return Ok(before.to_owned());
    }
    let (now, then) = (super::tree(current)?, super::tree(after)?);
    let edits = difference::between(&[], &then, &super::tree(before)?);
    for edit in &edits {
        let nothing = Value::Null;
        let [found, left] = [&now, &then].map(|tree| get(tree, &edit.path).unwrap_or(&nothing));
        if !is_same(found, left) {
            return Err(UndoError::Changed(edit.path.join(".")));
        }
    }
    Ok(edit(current, &edits)?)
}

/// What differs between two texts, as paths; none where one of them has errors.
pub fn changed_paths(before: &str, after: &str) -> Vec<String> {
    let (Ok(before), Ok(after)) = (super::tree(before), super::tree(after)) else { return Vec::new() };
    difference::between(&[], &before, &after).iter().map(|Edit { path, .. }| path.join(".")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "feeds:\n  a: {url: x}   # A\n  b: {url: y}\n";

    #[test]
    fn a_change_is_taken_back_beside_later_ones() {
        let after = BEFORE.replace("url: x", "url: z");
        assert_eq!(undo(&after, BEFORE, &after).unwrap(), BEFORE);
        let later = after.replace("url: y", "url: w");
        assert_eq!(undo(&later, BEFORE, &after).unwrap(), BEFORE.replace("url: y", "url: w"));
        let again = after.replace("url: z", "url: v");
        assert_eq!(undo(&again, BEFORE, &after), Err(UndoError::Changed("feeds.a.url".into())));
        // What was removed comes back, what was added goes.
        let without = "feeds:\n  b: {url: y}\n";
        let undone = undo("feeds:\n  b: {url: y, mode: 5}\n", BEFORE, without).unwrap();
        assert!(undone.contains("a:\n    url: x\n") && undone.contains("mode: 5"), "{undone}");
        assert_eq!(undo(&later, without, BEFORE), Err(UndoError::Changed("feeds.a".into())));
    }

    #[test]
    fn paths_of_a_difference() {
        let after = BEFORE.replace("url: x", "url: z").replace("  b: {url: y}\n", "  c: {url: y}\n");
        assert_eq!(changed_paths(BEFORE, &after), ["feeds.a.url", "feeds.c", "feeds.b"]);
        assert_eq!(changed_paths(BEFORE, BEFORE), [] as [&str; 0]);
        assert_eq!(changed_paths(BEFORE, "feeds: ["), [] as [&str; 0]);
    }
}
