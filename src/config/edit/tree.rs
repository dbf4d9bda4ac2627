//! An edit, and what it makes of a tree.

use serde_yaml::{Mapping, Value};

/// One change of a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Edit {
    /// The keys from the top of the text to the value.
    pub path: Vec<String>,
    /// The new value; `None` removes the entry.
    pub value: Option<Value>,
}

/// The value at a path.
pub fn get<'a>(tree: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(tree, |value, key| value.as_mapping()?.get(key.as_str()))
}

/// Sets or removes the value at a path. What is around it becomes a map where it is none.
pub(super) fn set(tree: &mut Value, path: &[String], value: Option<Value>) {
    let Some((key, rest)) = path.split_first() else {
        *tree = value.unwrap_or_default();
        return;
    };
    if !tree.is_mapping() {
        *tree = Value::Mapping(Mapping::new());
    }
    let Value::Mapping(entries) = tree else { return };
    match (rest, value) {
        ([], None) => {
            entries.shift_remove(key.as_str());
        }
        (rest, value) => {
            let inner = entries.entry(Value::String(key.clone())).or_insert(Value::Null);
            set(inner, rest, value.map(texts));
        }
    }
}

/// The value as the parser gives it: each scalar is a text.
pub(super) fn texts(value: Value) -> Value {
    match value {
        Value::Bool(value) => Value::String(value.to_string()),
        Value::Number(value) => Value::String(value.to_string()),
        Value::Sequence(items) => Value::Sequence(items.into_iter().map(texts).collect()),
        Value::Mapping(entries) => {
            Value::Mapping(entries.into_iter().map(|(key, value)| (texts(key), texts(value))).collect())
        }
        other => other,
    }
}

/// Whether two trees say the same: a key without a value says as little as an empty map.
pub(super) fn is_same(one: &Value, other: &Value) -> bool {
    let is_empty = |value: &Value| value.is_null() || value.as_mapping().is_some_and(Mapping::is_empty);
    match (one, other) {
        (Value::Mapping(one), Value::Mapping(other)) => {
            one.len() == other.len()
                && one.iter().all(|(key, value)| other.get(key).is_some_and(|other| is_same(value, other)))
        }
        (Value::Sequence(one), Value::Sequence(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (one, other) => one == other || (is_empty(one) && is_empty(other)),
    }
}
