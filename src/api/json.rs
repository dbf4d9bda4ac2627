//! Between the texts of the configuration and JSON: numbers and switches, tags, masked secrets. Pure.

use super::problem::{Kind, Problem};
use crate::{
    access::MASK,
    config::{is_secret_name, text_without_secrets},
};
use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Map, Value};
use std::fmt::Write as _;

/// Deepest body.
const DEEPEST: usize = 64;

/// A part of the configuration as JSON: each scalar is a text there; one that a number or `true` and `false` are written as is that here.
pub(super) fn from_yaml(value: &serde_yaml::Value) -> Value {
    match value {
        serde_yaml::Value::String(text) => scalar(text),
        serde_yaml::Value::Sequence(items) => items.iter().map(from_yaml).collect(),
        serde_yaml::Value::Mapping(entries) => entries
            .iter()
            .map(|(key, value)| (key.as_str().unwrap_or_default().to_owned(), from_yaml(value)))
            .collect::<Map<_, _>>()
            .into(),
        _ => Value::Null,
    }
}

fn scalar(text: &str) -> Value {
    match text {
        "true" => true.into(),
        "false" => false.into(),
        _ => {
            let number = serde_json::from_str::<Value>(text).ok().filter(Value::is_number);
            // `007` and `1.10` stay what they are.
            number.filter(|number| format!("{number}") == text).unwrap_or_else(|| text.into())
        }
    }
}

/// JSON as a part of the configuration.
///
/// # Errors
/// When it is nested deeper than any configuration.
pub(super) fn to_yaml(value: &Value) -> Result<serde_yaml::Value, Problem> {
    to_yaml_at(value, 0)
}

fn to_yaml_at(value: &Value, depth: usize) -> Result<serde_yaml::Value, Problem> {
    if depth > DEEPEST {
        return Err(Problem::new(Kind::BadRequest, format!("the value is nested more than {DEEPEST} levels deep")));
    }
    Ok(match value {
        Value::Null => serde_yaml::Value::Null,
        Value::String(text) => text.clone().into(),
        Value::Bool(_) | Value::Number(_) => value.to_string().into(),
        Value::Array(items) => {
            let items: Result<_, _> = items.iter().map(|item| to_yaml_at(item, depth + 1)).collect();
            serde_yaml::Value::Sequence(items?)
        }
        Value::Object(entries) => {
            let entry = |(key, value): (&String, &Value)| Ok((key.clone().into(), to_yaml_at(value, depth + 1)?));
            serde_yaml::Value::Mapping(entries.iter().map(entry).collect::<Result<_, Problem>>()?)
        }
    })
}

/// The tag of a version of a resource.
pub(super) fn etag(value: &Value) -> String {
    let digest = digest(&SHA256, value.to_string().as_bytes());
    let mut tag = String::from("\"");
    for byte in digest.as_ref().iter().take(8) {
        let _ = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    tag
}

/// The value with its secrets masked.
pub(super) fn masked(value: &Value) -> Value {
    match value {
        Value::String(text) => text_without_secrets(text).into(),
        Value::Array(items) => {
            // A word after one like `--password` is secret as a whole.
            let before = std::iter::once("").chain(items.iter().map(|item| item.as_str().unwrap_or_default()));
            let mask = |(before, item): (&str, &Value)| {
                let option = before.trim_start_matches('-');
                let is_secret = before.starts_with('-') && is_secret(option) && item.is_string();
                if is_secret { MASK.into() } else { masked(item) }
            };
            before.zip(items).map(mask).collect()
        }
        Value::Object(entries) => {
            let mask = |(key, value): (&String, &Value)| {
                let is_secret = is_secret(key) && !value.is_null() && !value.is_object();
                (key.clone(), if is_secret { MASK.into() } else { masked_below(key, value) })
            };
            entries.iter().map(mask).collect::<Map<_, _>>().into()
        }
        other => other.clone(),
    }
}

/// What is below a key: of `auth` the keys of links, and the address of the service that decides, are secret as a whole, and of
/// `telemetry` the headers.
fn masked_below(key: &str, value: &Value) -> Value {
    let is_secret = |name: &str| matches!(key, "link_keys" | "headers") || (key == "hook" && name == "url");
    match value {
        Value::Object(entries) if matches!(key, "link_keys" | "headers" | "hook") => {
            let mask = |(name, value): (&String, &Value)| {
                (
                    name.clone(),
                    if is_secret(name) && !value.is_null() { MASK.into() } else { masked_below(name, value) },
                )
            };
            entries.iter().map(mask).collect::<Map<_, _>>().into()
        }
        value => masked(value),
    }
}

/// Also the key of a publisher.
fn is_secret(name: &str) -> bool {
    name == "key" || is_secret_name(name)
}

/// The value with the secrets of `old` where it has them masked.
///
/// # Errors
/// When a mask stands where `old` has no secret.
pub(super) fn unmasked(value: &Value, old: &Value) -> Result<Value, Problem> {
    unmasked_at(value, old, &masked(old))
}

/// `shown`: `old` with its secrets masked.
fn unmasked_at(value: &Value, old: &Value, shown: &Value) -> Result<Value, Problem> {
    if !contains_mask(value) {
        return Ok(value.clone());
    }
    if value == shown {
        return Ok(old.clone());
    }
    match value {
        Value::Object(entries) => {
            let nothing = Value::Null;
            let entry = |(key, value): (&String, &Value)| {
                let [old, shown] = [old, shown].map(|tree| tree.get(key).unwrap_or(&nothing));
                Ok((key.clone(), unmasked_at(value, old, shown)?))
            };
            Ok(entries.iter().map(entry).collect::<Result<Map<_, _>, Problem>>()?.into())
        }
        _ => Err(Problem::new(
            Kind::SecretMoved,
            format!("`{MASK}` stands for a secret that is not known here: send the secret itself"),
        )),
    }
}

fn contains_mask(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains(MASK),
        Value::Array(items) => items.iter().any(contains_mask),
        Value::Object(entries) => entries.values().any(contains_mask),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn scalars_keep_their_text() {
        for (text, expect) in [
            ("10", json!(10)),
            ("007", json!("007")),
            ("1.10", json!("1.10")),
            ("1.5", json!(1.5)),
            ("true", json!(true)),
            ("on", json!("on")),
            ("-3", json!(-3)),
            ("", json!("")),
            ("1e5", json!("1e5")),
        ] {
            let yaml = serde_yaml::Value::String(text.to_owned());
            assert_eq!(from_yaml(&yaml), expect, "{text}");
            assert_eq!(to_yaml(&expect).unwrap(), yaml, "{text}");
        }
        let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
        assert!(to_yaml(&deep).is_err());
    }

    #[test]
    fn a_masked_secret_keeps_its_value_where_it_was() {
        let old = json!({"url": "rtsp://u:canary@h/x", "publish": {"key": "canary"}, "api_key": "canary", "command": ["x", "--password", "canary"]});
        let shown = masked(&old);
        assert!(!shown.to_string().contains("canary"), "{shown}");
        assert_eq!(unmasked(&shown, &old).unwrap(), old);
        let mut edited = shown.clone();
        edited["mode"] = json!(10);
        assert_eq!(unmasked(&edited, &old).unwrap()["url"], old["url"]);
        let moved = json!({"url": shown["url"], "other": shown["url"]});
        assert_eq!(unmasked(&moved, &old).unwrap_err().kind, Kind::SecretMoved);
        assert_eq!(unmasked(&json!({"url": "rtsp://***@other/x"}), &old).unwrap_err().kind, Kind::SecretMoved);
        let rules = json!({"auth": {"link_keys": {"one": "canary"}, "hook": {"url": "http://canary/x", "keep": 5}}});
        let mut edited = masked(&rules);
        assert!(!edited.to_string().contains("canary"), "{edited}");
        edited["auth"]["link_keys"]["two"] = json!("new");
        let expect = json!({"one": "canary", "two": "new"});
        assert_eq!(unmasked(&edited, &rules).unwrap()["auth"]["link_keys"], expect);
        let traces =
            json!({"telemetry": {"otlp": "http://h", "headers": {"authorization": "Bearer canary", "x-team": 7}}});
        let shown = masked(&traces);
        assert_eq!(
            shown["telemetry"],
            json!({"otlp": "http://h", "headers": {"authorization": "***", "x-team": "***"}})
        );
        assert_eq!(unmasked(&shown, &traces).unwrap(), traces);
    }

    #[test]
    fn tags_differ_with_the_value() {
        assert_eq!(etag(&json!({"a": 1})), etag(&json!({"a": 1})));
        assert_ne!(etag(&json!({"a": 1})), etag(&json!({"a": 2})));
        assert_eq!(etag(&json!(1)).len(), 18);
    }
}
