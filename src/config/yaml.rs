//! YAML text → a tree in which every scalar is the text that stands in the file.
//!
//! `mode: 1.10` and an argument `007` stay what they are, because a command must get its words as written. A key
//! that appears twice is noted and its first value is kept, so that the other errors of the file are found too.

use super::{
    diagnostics::{Diagnostic, MAX_DIAGNOSTICS, MERGE, Path, Position},
    spans,
};
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_yaml::{Mapping, Value};
use std::fmt;

/// What was read.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    /// Null, texts, lists, and maps with texts as keys. Merge keys are resolved.
    pub(super) tree: Value,
    /// Paths of keys that appear more than once.
    pub(super) twice: Vec<Path>,
    /// Paths of merge keys whose values are no maps.
    pub(super) unmergeable: Vec<Path>,
}

/// What an error says of [`Parsed::twice`].
pub(super) const TWICE: &str = "appears a second time, keep one";
/// What an error says of [`Parsed::unmergeable`].
pub(super) const UNMERGEABLE: &str = "expected a map to merge, like `*name`, or a list of maps";

/// Reads one YAML document.
///
/// # Errors
/// When the text is no YAML or has what a configuration has no use for, like tags.
pub(super) fn parse(text: &str) -> Result<Parsed, Diagnostic> {
    let mut twice = Vec::new();
    let shape = Shape { path: Path::default(), twice: &mut twice };
    let mut tree = shape.deserialize(serde_yaml::Deserializer::from_str(text)).map_err(|error| fault(text, &error))?;
    if twice.is_empty() {
        Verbatim(&mut tree)
            .deserialize(serde_yaml::Deserializer::from_str(text))
            .map_err(|error| fault(text, &error))?;
    }
    let mut unmergeable = Vec::new();
    merge(&mut tree, &Path::default(), &mut unmergeable);
    Ok(Parsed { tree, twice, unmergeable })
}

/// The tree of a text, its merge keys left as they are written.
///
/// # Errors
/// When the text is no YAML.
pub(super) fn unmerged(text: &str) -> Result<Value, Diagnostic> {
    let shape = Shape { path: Path::default(), twice: &mut Vec::new() };
    shape.deserialize(serde_yaml::Deserializer::from_str(text)).map_err(|error| fault(text, &error))
}

/// Replaces merge keys, also those of what they merge, by entries. An entry that stands beside a merge key wins, then the first map.
/// Nothing grows by it: each merged value was a copy already.
fn merge(tree: &mut Value, path: &Path, unmergeable: &mut Vec<Path>) {
    match tree {
        Value::Sequence(items) => {
            items.iter_mut().enumerate().for_each(|(index, item)| merge(item, &path.index(index), unmergeable));
        }
        Value::Mapping(entries) => {
            for (key, value) in entries.iter_mut() {
                merge(value, &path.key(key.as_str().unwrap_or_default()), unmergeable);
            }
            if entries.contains_key(MERGE) {
                let merged = std::mem::take(entries);
                *entries = merge_into(merged, &path.key(MERGE), unmergeable);
            }
        }
        _ => {}
    }
}

/// The entries of a map, in its order; what its merge key gives stands where that key was.
fn merge_into(own: Mapping, path: &Path, unmergeable: &mut Vec<Path>) -> Mapping {
    let names: Vec<Value> = own.keys().cloned().collect();
    let mut entries = Mapping::new();
    for (key, value) in own {
        if key.as_str() != Some(MERGE) {
            entries.insert(key, value);
            continue;
        }
        let maps = match value {
            Value::Sequence(maps) => maps,
            map => vec![map],
        };
        for map in maps {
            match map {
                Value::Mapping(map) => {
                    for (name, value) in map {
                        if !names.contains(&name) && !entries.contains_key(&name) {
                            entries.insert(name, value);
                        }
                    }
                }
                _ if unmergeable.contains(path) => {}
                _ => unmergeable.push(path.clone()),
            }
        }
    }
    entries
}

/// An error of serde_yaml, its position taken out of its text.
fn fault(text: &str, error: &serde_yaml::Error) -> Diagnostic {
    let message = error.to_string();
    let ((line, column), message) = match message.rsplit_once(" at position ") {
        // Characters that no YAML has are found before lines are counted.
        Some((message, offset)) => (line_and_column(text, offset.parse().unwrap_or(0)), message.to_owned()),
        None => {
            let (line, column) = spans::position(error).unwrap_or((1, 1));
            ((line, column), message.replacen(&format!(" at line {line} column {column}"), "", 1))
        }
    };
    let position = Position::Line { order: 0, line, column, file: "".into() };
    Diagnostic { position, path: String::new(), message }
}

/// Both counted from 1, of an offset in bytes.
fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or_default();
    let line = before.rsplit('\n').next().unwrap_or_default();
    (1 + before.matches('\n').count(), 1 + line.chars().count())
}

/// First reading: which values are maps, lists, scalars.
struct Shape<'a> {
    path: Path,
    twice: &'a mut Vec<Path>,
}

impl<'de> DeserializeSeed<'de> for Shape<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Shape<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number, a list or a map")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::String(value.to_string()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::String(value.to_string()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::String(value.to_string()))
    }

    fn visit_i128<E: Error>(self, value: i128) -> Result<Value, E> {
        Ok(Value::String(value.to_string()))
    }

    fn visit_u128<E: Error>(self, value: u128) -> Result<Value, E> {
        Ok(Value::String(value.to_string()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Value::String(value.to_string()))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, _: A) -> Result<Value, A::Error> {
        Err(A::Error::custom("expected a value without a `!tag`"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) =
            list.next_element_seed(Shape { path: self.path.index(items.len()), twice: &mut *self.twice })?
        {
            items.push(item);
        }
        Ok(Value::Sequence(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Mapping::new();
        while let Some(key) = map.next_key_seed(Key)? {
            let path = self.path.key(&key);
            let is_second = entries.contains_key(key.as_str());
            let value = map.next_value_seed(Shape { path: path.clone(), twice: &mut *self.twice })?;
            if !is_second {
                entries.insert(Value::String(key), value);
            } else if self.twice.len() < MAX_DIAGNOSTICS && !self.twice.contains(&path) {
                self.twice.push(path);
            }
        }
        Ok(Value::Mapping(entries))
    }
}

/// A key, as it is written: `1.10` and `on` are names like others.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name as key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<String, E> {
        Ok(key.to_owned())
    }
}

/// Second reading, possible once the shape is known: scalars as they are written.
struct Verbatim<'a>(&'a mut Value);

impl<'de> DeserializeSeed<'de> for Verbatim<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.0 {
            Value::String(_) => deserializer.deserialize_str(self),
            Value::Sequence(_) => deserializer.deserialize_seq(self),
            Value::Mapping(_) => deserializer.deserialize_map(self),
            _ => deserializer.deserialize_ignored_any(IgnoredAny).map(|_| ()),
        }
    }
}

impl<'de> Visitor<'de> for Verbatim<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what was there before")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        *self.0 = Value::String(text.to_owned());
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        for item in self.0.as_sequence_mut().into_iter().flatten() {
            list.next_element_seed(Verbatim(item))?;
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        for (_, value) in self.0.as_mapping_mut().into_iter().flatten() {
            if map.next_key::<IgnoredAny>()?.is_some() {
                map.next_value_seed(Verbatim(value))?;
            }
        }
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, expect: &str) {
        let Parsed { tree, twice, unmergeable } = parse(text).unwrap();
        assert_eq!(serde_json::to_string(&tree).unwrap(), expect);
        assert_eq!(twice, []);
        assert_eq!(unmergeable, []);
    }

    #[test]
    fn merge_keys_give_what_is_not_beside_them() {
        check("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}", r#"{"a":{"x":"1","y":"2"},"b":{"x":"1","y":"3"}}"#);
        check("b: {y: 3, <<: {y: 2, x: 1}}", r#"{"b":{"y":"3","x":"1"}}"#);
        check("b:\n  <<: [{x: 1}, {x: 2, y: 2}]\n  z: 3", r#"{"b":{"x":"1","y":"2","z":"3"}}"#);
        // What is merged may merge.
        check("b: {<<: {<<: {x: 1}, y: 2}}", r#"{"b":{"x":"1","y":"2"}}"#);
        check("- {<<: {x: 01}}", r#"[{"x":"01"}]"#);
        check("<<: {x: 1}", r#"{"x":"1"}"#);
        check("b: {<<: []}", r#"{"b":{}}"#);
        // A value is a value.
        check("b: <<", r#"{"b":"<<"}"#);
    }

    #[test]
    fn what_cannot_be_merged_is_noted() {
        let check = |text: &str, expect: &[&str]| {
            let paths: Vec<String> = parse(text).unwrap().unmergeable.iter().map(Path::to_string).collect();
            assert_eq!(paths, expect, "{text}");
        };
        check("b: {<<: x}", &["b.<<"]);
        check("- {<<: [{a: 1}, x, y]}", &["[0].<<"]);
        check("<<:", &["<<"]);
    }

    #[test]
    fn scalars_stay_as_they_are_written() {
        check(
            "a: [1.10, 007, 0x1F, True, 1e3, '', ~, \"\\x41\"]",
            r#"{"a":["1.10","007","0x1F","True","1e3","",null,"A"]}"#,
        );
        check("1.10: {on: no}", r#"{"1.10":{"on":"no"}}"#);
        check("x: &x {a: 01}\ny: *x", r#"{"x":{"a":"01"},"y":{"a":"01"}}"#);
        check("", "null");
    }

    #[test]
    fn a_key_that_appears_twice_is_noted_wherever_it_is() {
        let Parsed { twice, .. } = parse("a: {b: 1, b: 2, b: 3}\nc: [{d: 1, d: 2}]\na: 1").unwrap();
        let root = Path::default();
        assert_eq!(twice, [root.key("a").key("b"), root.key("c").index(0).key("d"), root.key("a")]);
    }

    #[test]
    fn what_is_no_yaml_has_a_place() {
        let check = |text: &str, expect: &str| assert_eq!(parse(text).unwrap_err().to_string(), expect);
        check("a: b\n c: d", "2:3: mapping values are not allowed in this context");
        check("a: !Tag b", "1:4: a: expected a value without a `!tag`");
        check("? [a]\n: b", "1:3: invalid type: sequence, expected a name as key");
        check("a: *b", "1:4: unknown anchor");
        check("a: b\né: \u{1}", "2:4: control characters are not allowed");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[-a: \\n\\[\\]{}&*!|>'\"%@#?,0-9.~\\x00\u{feff}é]{0,60}") {
            let _ = parse(&text);
        }
    }
}
