//! `title:` and `labels:` of feeds and streams: for people and filters. They change nothing of media.

use super::{diagnostics::Path, expected::Expected, spans::Place, validator::Validator};
use serde_yaml::Value;
use std::collections::BTreeMap;

/// Most labels of an entry.
const MOST: usize = 32;
/// Longest title and value of a label, in characters.
const LONGEST: usize = 200;
/// Longest name of a label in bytes.
const NAME: usize = 64;

/// What people say of a feed or stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// What it is called where people read.
    pub title: Option<String>,
    /// By their names.
    pub labels: BTreeMap<String, String>,
}

impl Validator {
    /// Both keys of an entry.
    pub(super) fn about(&mut self, path: &Path, title: Option<Value>, labels: Option<Value>) -> About {
        let title = self.value(&path.key("title"), title, line);
        let path = path.key("labels");
        let entries = self.entries(&path, labels);
        if entries.len() > MOST {
            self.note(&path, Place::Key, format!("there are {} labels: at most {MOST}", entries.len()));
        }
        let mut labels = BTreeMap::new();
        for (name, value) in entries.into_iter().take(MOST) {
            let path = path.key(&name);
            if !is_name(&name) {
                let message = format!("the name of a label has 1 to {NAME} letters, digits, `-`, `_`, `.` and `/`");
                self.note(&path, Place::Key, message);
            }
            labels.extend(self.value(&path, Some(value), line).map(|value| (name, value)));
        }
        About { title, labels }
    }
}

/// Whether a label can have this name.
pub fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/');
    (1..=NAME).contains(&name.len()) && name.bytes().all(fits)
}

fn line(text: &str) -> Result<String, Expected> {
    let is_good = !text.trim().is_empty() && text.chars().count() <= LONGEST && !text.chars().any(char::is_control);
    if is_good { Ok(text.to_owned()) } else { Err(format!("a line of 1 to {LONGEST} characters").into()) }
}

/// The labels as they could have been read.
pub(super) fn printed(about: &About) -> (Option<Value>, Option<Value>) {
    let labels = about.labels.iter().map(|(name, value)| (name.as_str().into(), value.as_str().into()));
    let labels = (!about.labels.is_empty()).then(|| Value::Mapping(labels.collect()));
    (about.title.as_deref().map(Into::into), labels)
}

#[cfg(test)]
mod tests {
    use crate::config::{Diagnostic, parse, to_yaml};

    #[test]
    fn titles_and_labels_are_read_and_printed() {
        let text = "feeds: {a: {command: cat, title: 'The gate, left', labels: {floor: 2, team/owner: anna}}}\n\
                    streams: {a.raw: {feed: a, container: raw, title: Gate, labels: {public: true}}}";
        let config = parse(text).unwrap();
        let about = &config.feeds[0].about;
        assert_eq!(about.title.as_deref(), Some("The gate, left"));
        assert_eq!(about.labels["floor"], "2");
        assert_eq!(config.streams[0].about.labels["public"], "true");
        assert_eq!(parse(&to_yaml(&config)).unwrap(), config);
        // They are no difference in media.
        let other = parse(&text.replace("Gate", "Door")).unwrap();
        assert!(config.streams[0] != other.streams[0] && config.streams[0].is_same_media(&other.streams[0]));
        let other = parse(&text.replace("a.raw", "b.raw")).unwrap();
        assert!(!config.streams[0].is_same_media(&other.streams[0]));
    }

    #[test]
    fn faults() {
        let check = |keys: &str, expect: &str| {
            let faults = parse(&format!("feeds: {{a: {{command: cat, {keys}}}}}")).err().unwrap_or_default();
            assert_eq!(faults.iter().map(Diagnostic::to_string).collect::<Vec<_>>(), [expect], "{keys}");
        };
        check("title: ' '", "1:34: feeds.a.title: expected a line of 1 to 200 characters, found \" \"");
        check(
            "labels: {a b: c}",
            "1:36: feeds.a.labels.a b: the name of a label has 1 to 64 letters, digits, `-`, `_`, `.` and `/`",
        );
        check("labels: {a: [b]}", "1:36: feeds.a.labels.a: expected a single value, found a list");
    }
}
