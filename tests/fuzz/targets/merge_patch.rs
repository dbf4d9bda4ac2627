//! Merge patches of JSON: a document, a newline, and its patch.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use voyandz::api::merge_patch::merge;

fuzz_target!(|text: &str| {
    let Some((target, patch)) = text.split_once('\n') else { return };
    let (Ok(target), Ok(patch)) = (serde_json::from_str::<Value>(target), serde_json::from_str::<Value>(patch)) else {
        return;
    };
    let mut merged = target.clone();
    merge(&mut merged, &patch);
    check(&merged, &patch);
    // What is patched already stays as it is.
    let mut again = merged.clone();
    merge(&mut again, &patch);
    assert_eq!(again, merged);
    // What the patch does not name stays as it was.
    if let (Value::Object(target), Value::Object(patch), Value::Object(merged)) = (&target, &patch, &merged) {
        for (key, value) in target.iter().filter(|(key, _)| !patch.contains_key(*key)) {
            assert_eq!(merged.get(key), Some(value));
        }
    }
});

/// What RFC 7396 says of each member of a patch.
fn check(merged: &Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        assert_eq!(merged, patch);
        return;
    };
    for (key, value) in patch {
        match (merged.get(key), value) {
            (found, Value::Null) => assert!(found.is_none()),
            (Some(found), value) => check(found, value),
            (None, value) => panic!("{key} is not {value}"),
        }
    }
}
