//! Values as people write them, and the words of an error for what was expected instead.

use super::{diagnostics::Path, spans::Place, units};
use serde_yaml::Value;
use std::path::PathBuf;

/// What a value should have been.
pub(super) struct Expected {
    /// Fits behind "expected".
    pub(super) what: String,
    /// Stands after what was found; begins with punctuation, or is empty.
    pub(super) why: String,
}

impl Expected {
    /// With a reason or a hint, like `, did you mean ...`.
    pub(super) fn because(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { what: what.into(), why: why.into() }
    }
}

impl From<&str> for Expected {
    fn from(what: &str) -> Self {
        Self::because(what, "")
    }
}

impl From<String> for Expected {
    fn from(what: String) -> Self {
        Self::because(what, "")
    }
}

/// Where a value of the wrong kind is shown: one on its own line at itself, others at their key.
pub(super) fn place(path: &Path, value: &Value) -> Place {
    if path.steps().is_empty() || value.is_string() { Place::Value } else { Place::Key }
}

/// A boolean, in the words of YAML 1.2 and of YAML 1.1, which many editors, tools and people write.
pub(super) fn flag(text: &str) -> Result<bool, Expected> {
    match text {
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Ok(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Ok(false),
        _ => Err("true or false".into()),
    }
}

/// A gst-launch pipeline. Only GStreamer knows whether it is a good one; a worker asks it.
pub(super) fn launch_text(text: &str) -> Result<String, Expected> {
    let text = text.trim();
    if text.is_empty() || text.contains('\0') { Err("a gst-launch pipeline".into()) } else { Ok(text.to_owned()) }
}

/// A TCP or UDP port; 0 is any that is free.
pub(super) fn port(text: &str) -> Result<u16, Expected> {
    let port = units::whole(text).and_then(|port| port.try_into().ok());
    port.ok_or_else(|| "a port from 0 to 65535".into())
}

/// The path of a file or folder, as it is written.
pub(super) fn path_name(text: &str) -> Result<PathBuf, Expected> {
    if text.is_empty() || text.contains('\0') { Err("the path of a file".into()) } else { Ok(text.into()) }
}

/// A text as it stands in an error.
pub(super) fn quoted(text: &str) -> String {
    /// Longer ones do not help to find the error.
    const MAX: usize = 60;
    match text.char_indices().nth(MAX) {
        Some((end, _)) => format!("{:?}...", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}

/// What a value is, in an error.
pub(super) fn kind(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Sequence(_) => "a list".to_owned(),
        Value::Mapping(_) => "a map".to_owned(),
        Value::String(text) => quoted(text),
        Value::Bool(_) | Value::Number(_) | Value::Tagged(_) => "another kind of value".to_owned(),
    }
}

/// ", did you mean `cam1`?", or nothing when no candidate is near.
pub(crate) fn suggestion<'a>(found: &str, candidates: impl Iterator<Item = &'a str>) -> String {
    /// A longer text is no misspelt name.
    const MAX: usize = 64;
    if found.len() > MAX {
        return String::new();
    }
    let far = 1 + found.chars().count() / 4;
    let distance = |candidate: &&'a str| strsim::osa_distance(&found.to_lowercase(), &candidate.to_lowercase());
    let near = candidates.filter(|candidate| candidate.len() <= MAX).map(|candidate| (distance(&candidate), candidate));
    match near.filter(|(distance, _)| *distance <= far).min() {
        Some((_, candidate)) => format!(", did you mean `{candidate}`?"),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_are_those_of_both_yaml_versions() {
        for text in ["true", "True", "yes", "Yes", "YES", "on", "On", "ON"] {
            assert_eq!(flag(text).ok(), Some(true), "{text}");
        }
        for text in ["false", "FALSE", "no", "No", "NO", "off", "Off", "OFF"] {
            assert_eq!(flag(text).ok(), Some(false), "{text}");
        }
        for text in ["y", "n", "1", "0", "yEs", "", "oui"] {
            assert!(flag(text).is_err(), "{text}");
        }
    }
}
