//! Reads values of the tree one by one and collects what is wrong with them.

use super::{
    diagnostics::Path,
    expected::{Expected, kind, place, quoted, suggestion},
    raw,
    source_map::{Findings, Owner, SourceMap},
    spans::Place,
    template_store::TemplateStore,
};
use serde::Deserialize;
use serde_yaml::Value;
use std::collections::HashSet;

/// Why a key with "buffer" in it cannot exist.
const NO_BUFFERS: &str = "voyandz has no buffer sizes: each viewer gets packets at the speed of that viewer, \
                          and voyandz itself bounds the memory for it";

/// Collects what is wrong while values are read.
pub(super) struct Validator {
    /// What `use:` can name.
    pub(super) library: TemplateStore,
    /// Where everything comes from.
    pub(super) places: SourceMap,
    /// What could not be filled in, by path and instance: nothing more is said of it.
    pub(super) unfilled: HashSet<(String, String)>,
    /// What is wrong.
    pub(super) findings: Findings,
}

impl Validator {
    /// Nothing is read yet.
    pub(super) fn new(library: TemplateStore) -> Self {
        Self { library, places: SourceMap::default(), unfilled: HashSet::new(), findings: Findings::default() }
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

    /// Reads one scalar with `include`.
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

fn word(text: &str) -> Result<String, Expected> {
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(text: &str) -> Option<Vec<String>> {
        Validator::new(TemplateStore::built_in()).plain_words(&Path::default(), Value::String(text.to_owned()))
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
