//! Reads values of the tree one by one and collects what is wrong with them.

use super::{
    fault::Path,
    library::Library,
    locate::Place,
    places::{Findings, Owner, Places},
    raw,
};
use serde::Deserialize;
use serde_yaml::Value;
use std::collections::HashSet;

/// Why a key with "buffer" in it cannot exist.
const NO_BUFFERS: &str = "voyandz has no buffer sizes: each viewer gets packets at the speed of that viewer, \
                          and voyandz itself bounds the memory for it";

/// Collects what is wrong while values are read.
pub(super) struct Checker {
    /// What `use:` can name.
    pub(super) library: Library,
    /// Where everything comes from.
    pub(super) places: Places,
    /// What could not be filled in, by path and instance: nothing more is said of it.
    pub(super) unfilled: HashSet<(String, String)>,
    /// What is wrong.
    pub(super) findings: Findings,
}

impl Checker {
    /// Nothing is read yet.
    pub(super) fn new(library: Library) -> Self {
        Self { library, places: Places::default(), unfilled: HashSet::new(), findings: Findings::default() }
    }

    /// The words of a command: a list, or one text that is split like a shell splits it.
    pub(super) fn plain_words(&mut self, path: &Path, value: Value) -> Option<Vec<String>> {
        let words = match value {
            Value::Sequence(items) => {
                let mut words = Vec::new();
                for (index, item) in items.into_iter().enumerate() {
                    words.push(self.value(&path.index(index), Some(item), word)?);
                }
                words
            }
            Value::String(text) => match shell_words::split(&text) {
                Ok(words) => words,
                Err(_) => {
                    self.note(path, Place::Value, "has a quote that is not closed".to_owned());
                    return None;
                }
            },
            other => {
                let message = format!("expected a list of words or one text, found {}", kind(&other));
                self.note(path, place(path, &other), message);
                return None;
            }
        };
        if words.first().is_none_or(String::is_empty) {
            self.note(path, Place::Value, "expected a program and its arguments, found none".to_owned());
            return None;
        }
        if words.iter().any(|word| word.contains('\0')) {
            self.note(path, Place::Value, "a word of a command cannot contain a zero byte".to_owned());
            return None;
        }
        Some(words)
    }

    /// Reads one scalar with `read`.
    pub(super) fn value<T>(
        &mut self,
        path: &Path,
        value: Option<Value>,
        read: impl FnOnce(&str) -> Result<T, Expected>,
    ) -> Option<T> {
        let text = match value? {
            Value::String(text) => text,
            other => {
                self.note(path, place(path, &other), format!("expected a single value, found {}", kind(&other)));
                return None;
            }
        };
        match read(&text) {
            Ok(value) => Some(value),
            Err(Expected { what, why }) => {
                self.note(path, Place::Value, format!("expected {what}, found {}{why}", quoted(&text)));
                None
            }
        }
    }

    /// The named entries below `feeds:` or `streams:`; none when there is no value.
    pub(super) fn entries(&mut self, path: &Path, value: Option<Value>) -> raw::Entries<Value> {
        match value {
            None | Some(Value::Null) => raw::Entries::new(),
            Some(Value::Mapping(map)) => {
                map.into_iter().filter_map(|(name, value)| Some((name.as_str()?.to_owned(), value))).collect()
            }
            Some(other) => {
                let message = format!("expected names with keys below them, found {}", kind(&other));
                self.note(path, place(path, &other), message);
                raw::Entries::new()
            }
        }
    }

    /// The known keys of one section; unknown ones are noted and skipped.
    pub(super) fn section<T: Default + for<'de> Deserialize<'de>>(&mut self, path: &Path, value: Value) -> T {
        let known = raw::keys::<T>();
        let mut map = match value {
            Value::Null => return T::default(),
            Value::Mapping(map) => map,
            other => {
                let message = format!("expected keys like `{}:`, found {}", known.join(":`, `"), kind(&other));
                self.note(path, place(path, &other), message);
                return T::default();
            }
        };
        map.retain(|key, value| {
            let Some(key) = key.as_str() else { return false };
            let is_known = known.contains(&key);
            if !is_known && !self.is_full() {
                let message = if key.to_ascii_lowercase().contains("buffer") {
                    NO_BUFFERS.to_owned()
                } else {
                    format!("unknown key{}", suggestion(key, known.iter().copied()))
                };
                self.note(&path.key(key), Place::Key, message);
            }
            is_known && !value.is_null()
        });
        T::deserialize(Value::Mapping(map)).unwrap_or_else(|error| {
            self.note(path, Place::Key, error.to_string());
            T::default()
        })
    }

    /// Whether no more errors are reported, so that looking for them is of no use.
    pub(super) fn is_full(&self) -> bool {
        self.findings.is_full()
    }

    /// Remembers an error.
    pub(super) fn note(&mut self, path: &Path, place: Place, message: String) {
        let (owner, path, instance) = self.places.source(path);
        let is_unfilled = |instance: &String| self.unfilled.contains(&(path.to_string(), instance.clone()));
        if !instance.as_ref().is_some_and(is_unfilled) {
            self.findings.note(owner, &path, place, message, instance.as_deref());
        }
    }

    /// Remembers an error of an instance of a set, at a path of the text.
    pub(super) fn note_in(&mut self, path: &Path, place: Place, message: String, instance: &str) {
        self.findings.note(self.places.owner(path), path, place, message, Some(instance));
    }

    /// Remembers an error in what someone says who does not prevail.
    pub(super) fn note_of(&mut self, owner: &Owner, path: &Path, place: Place, message: String) {
        self.findings.note(owner.clone(), path, place, message, None);
    }
}

/// What a value should have been.
pub(super) struct Expected {
    /// Fits behind "expected".
    pub(super) what: String,
    /// Stands after what was found; begins with punctuation, or is empty.
    why: String,
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

fn word(text: &str) -> Result<String, Expected> {
    Ok(text.to_owned())
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
    use proptest::prelude::*;

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

    fn split(text: &str) -> Option<Vec<String>> {
        Checker::new(Library::built_in()).plain_words(&Path::default(), Value::String(text.to_owned()))
    }

    #[test]
    fn a_command_is_split_like_a_shell_does_it() {
        let check = |text: &str, expect: &[&str]| assert_eq!(split(text).unwrap(), expect, "{text}");
        check("ffmpeg -i - -f mpegts -", &["ffmpeg", "-i", "-", "-f", "mpegts", "-"]);
        check("  a\tb \n c  ", &["a", "b", "c"]);
        check(r#"a 'b c' "d e" f\ g"#, &["a", "b c", "d e", "f g"]);
        check(r#"a b'c'"d"\e "" '' "it's" '"'"#, &["a", "bcde", "", "", "it's", "\""]);
        check(r#"a "\"\\\$\x" '\n' b\\"#, &["a", r#""\$\x"#, r"\n", r"b\"]);
        check("a \"b\\\nc\" d\\\ne", &["a", "bc", "de"]);
        check(
            r"drawtext=text='%{localtime\:%T}' $HOME `x` a|b *.c ~ > <",
            &[r"drawtext=text=%{localtime\:%T}", "$HOME", "`x`", "a|b", "*.c", "~", ">", "<"],
        );
        check("a b#c '#d' #e f", &["a", "b#c", "#d"]);
        for fault in ["", "  ", "''", "a 'b", "a \"b", "a\0"] {
            assert_eq!(split(fault), None, "{fault:?}");
        }
    }

    proptest! {
        #[test]
        fn quoted_words_come_back(words in prop::collection::vec("[^\\x00]{1,12}|[a '\"\\\\$\n]{1,12}", 1..6)) {
            prop_assert_eq!(split(&shell_words::join(&words)), Some(words));
        }

        #[test]
        fn no_text_panics(text in "[ab'\"\\\\ \n#]{0,20}") {
            let _ = split(&text);
        }
    }
}
