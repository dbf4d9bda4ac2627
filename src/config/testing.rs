//! Checks of configurations, for tests.

use super::parse;

/// The faults of a configuration are these lines.
#[track_caller]
pub(super) fn check(text: &str, expect: &str) {
    let faults = parse(text).err().unwrap_or_default();
    let found: Vec<_> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(found.join("\n"), expect, "of\n{text}");
}
