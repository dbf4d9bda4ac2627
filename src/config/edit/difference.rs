//! The smallest edits that make one value of another, so that what is not changed keeps its text and comments.

use super::tree::{Edit, is_same, texts};
use serde_yaml::Value;

/// The edits at and below `path`. Maps are compared entry by entry, everything else is replaced as a whole.
pub(super) fn between(path: &[String], old: &Value, new: &Value) -> Vec<Edit> {
    let mut edits = Vec::new();
    collect(path, old, &texts(new.clone()), &mut edits);
    edits
}

fn collect(path: &[String], old: &Value, new: &Value, edits: &mut Vec<Edit>) {
    if is_same(old, new) {
        return;
    }
    let (Value::Mapping(old), Value::Mapping(entries)) = (old, new) else {
        edits.push(Edit { path: path.to_vec(), value: Some(new.clone()) });
        return;
    };
    if old.is_empty() || entries.is_empty() {
        edits.push(Edit { path: path.to_vec(), value: Some(new.clone()) });
        return;
    }
    let below = |key: &Value| [path, &[key.as_str().unwrap_or_default().to_owned()]].concat();
    for (key, value) in entries {
        match old.get(key) {
            Some(before) => collect(&below(key), before, value, edits),
            None => edits.push(Edit { path: below(key), value: Some(value.clone()) }),
        }
    }
    // After what is added: the map is never empty in between.
    for key in old.keys().filter(|key| !entries.contains_key(*key)) {
        edits.push(Edit { path: below(key), value: None });
    }
}
