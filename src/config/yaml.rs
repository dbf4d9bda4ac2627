//! YAML text → a tree in which every scalar is the text that stands in the file.
//!
//! `mode: 1.10` and an argument `007` stay what they are, because a command must get its words as written. A key
//! that appears twice is noted and its first value is kept, so that the other faults of the file are found too.

use super::{
    fault::{Fault, MAX_FAULTS, Path, Position},
    locate,
};
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_yaml::{Mapping, Value};
use std::fmt;

/// Reads one YAML document. The values of the tree are null, texts, lists, and maps with texts as keys.
/// With it come the paths of keys that appear more than once.
///
/// # Errors
/// When the text is no YAML or has what a configuration has no use for, like tags.
pub(super) fn parse(text: &str) -> Result<(Value, Vec<Path>), Fault> {
    let mut twice = Vec::new();
    let shape = Shape { path: Path::default(), twice: &mut twice };
    let mut tree = shape.deserialize(serde_yaml::Deserializer::from_str(text)).map_err(|error| fault(text, &error))?;
    if twice.is_empty() {
        Verbatim(&mut tree)
            .deserialize(serde_yaml::Deserializer::from_str(text))
            .map_err(|error| fault(text, &error))?;
    }
    Ok((tree, twice))
}

/// An error of serde_yaml, its position taken out of its text.
fn fault(text: &str, error: &serde_yaml::Error) -> Fault {
    let message = error.to_string();
    let ((line, column), message) = match message.rsplit_once(" at position ") {
        // Characters that no YAML has are found before lines are counted.
        Some((message, offset)) => (line_and_column(text, offset.parse().unwrap_or(0)), message.to_owned()),
        None => {
            let (line, column) = locate::position(error).unwrap_or((1, 1));
            ((line, column), message.replacen(&format!(" at line {line} column {column}"), "", 1))
        }
    };
    let position = Position::Line { order: 0, line, column, file: "".into() };
    Fault { position, path: String::new(), message }
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
            } else if self.twice.len() < MAX_FAULTS && !self.twice.contains(&path) {
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
        let (tree, twice) = parse(text).unwrap();
        assert_eq!(serde_json::to_string(&tree).unwrap(), expect);
        assert_eq!(twice, []);
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
        let (_, twice) = parse("a: {b: 1, b: 2, b: 3}\nc: [{d: 1, d: 2}]\na: 1").unwrap();
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
