//! Where a value stands in a YAML text, without a second parser: a deserializer is walked down to the value and
//! made to fail there, and the error of serde_yaml carries the position.

use super::diagnostics::{MERGE, Path, Step};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// What of an entry to look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The value. For a map or a list that is its first key or item.
    Value,
    /// The key before the value, or the item of a list.
    Key,
    /// The key where it appears a second time.
    SecondKey,
}

/// Line and column, both counted from 1, of an entry in a text that serde_yaml reads; `None` when it has none.
pub(super) fn locate(text: &str, path: &Path, place: Place) -> Option<(usize, usize)> {
    // An entry beside a merge key hides what is merged.
    [false, true].into_iter().find_map(|merges| {
        let walk = Walk { steps: path.steps(), place, merges };
        let error = walk.deserialize(serde_yaml::Deserializer::from_str(text)).err()?;
        position(&error)
    })
}

/// Line and column of an entry, or of the nearest one around it that the text has.
pub(super) fn locate_near(text: &str, path: &Path, place: Place) -> (usize, usize) {
    let mut around = std::iter::successors(path.parent(), Path::parent);
    let exact = locate(text, path, place);
    exact.or_else(|| around.find_map(|path| locate(text, &path, Place::Value))).unwrap_or((1, 1))
}

/// Line and column of an error, both counted from 1.
pub(super) fn position(error: &serde_yaml::Error) -> Option<(usize, usize)> {
    error.location().map(|location| (location.line(), location.column()))
}

/// Follows the steps that are left and fails at their end.
#[derive(Clone, Copy)]
struct Walk<'a> {
    steps: &'a [Step],
    place: Place,
    /// Also in the maps of merge keys.
    merges: bool,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.steps.split_first() {
            None => deserializer.deserialize_any(Halt),
            Some((Step::Key(key), rest)) => deserializer.deserialize_map(Inside { walk: self, key, rest }),
            Some((Step::Index(index), rest)) => {
                deserializer.deserialize_seq(Among { index: *index, inner: Walk { steps: rest, ..self } })
            }
        }
    }
}

/// Fails at whatever comes: every provided method of a visitor does.
struct Halt;

impl Visitor<'_> for Halt {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing")
    }
}

/// Looks for a key of a map.
struct Inside<'a> {
    walk: Walk<'a>,
    key: &'a str,
    rest: &'a [Step],
}

impl<'de> Visitor<'de> for Inside<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut to_pass = match (self.rest, self.walk.place) {
            ([], Place::Key) => Some(0),
            ([], Place::SecondKey) => Some(1),
            _ => None,
        };
        while let Some(found) = map.next_key_seed(Key { wanted: self.key, to_pass })? {
            if found == Found::Merge && self.walk.merges {
                map.next_value_seed(Merged(self.walk))?;
            } else if found != Found::Wanted {
                map.next_value::<IgnoredAny>()?;
            } else if let Some(left) = &mut to_pass {
                *left -= 1;
                map.next_value::<IgnoredAny>()?;
            } else {
                map.next_value_seed(Walk { steps: self.rest, ..self.walk })?;
            }
        }
        Ok(())
    }
}

/// Looks in the value of a merge key, which is a map or a list of maps.
struct Merged<'a>(Walk<'a>);

impl<'de> DeserializeSeed<'de> for Merged<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Merged<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map or a list of maps")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        match self.0.steps.split_first() {
            Some((Step::Key(key), rest)) => Inside { walk: self.0, key, rest }.visit_map(map),
            _ => Ok(()),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Merged(self.0))?.is_some() {}
        Ok(())
    }
}

/// Whether a key is the wanted one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    Wanted,
    Merge,
    Other,
}

/// Reports what a key is, and fails at the wanted one when no more of them are to pass.
struct Key<'a> {
    wanted: &'a str,
    to_pass: Option<u8>,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Found;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Found, E> {
        match self.to_pass {
            Some(0) if key == self.wanted => Err(E::custom("here")),
            _ if key == self.wanted => Ok(Found::Wanted),
            _ if key == MERGE => Ok(Found::Merge),
            _ => Ok(Found::Other),
        }
    }
}

/// Looks for an item of a list.
struct Among<'a> {
    index: usize,
    inner: Walk<'a>,
}

impl<'de> Visitor<'de> for Among<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        for _ in 0..self.index {
            if list.next_element::<IgnoredAny>()?.is_none() {
                return Ok(());
            }
        }
        list.next_element_seed(self.inner)?;
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# a comment
feeds:
  cam1:
    mode: soon
    command: [ffmpeg, -i,
      /dev/video0]
  'cam 2': {file: a.ts, file: b.ts}
streams:
  1.10:
    feeds:
      - cam1
      -   cam2
    url:
    pipeline: |
      videoconvert ! x264enc
";

    fn check(path: &Path, place: Place, expect: (usize, usize)) {
        assert_eq!(locate(TEXT, path, place), Some(expect), "{path} {place:?}");
    }

    #[test]
    fn every_kind_of_value_and_key_is_found() {
        let root = Path::default();
        let cam1 = root.key("feeds").key("cam1");
        let cam2 = root.key("feeds").key("cam 2");
        let stream = root.key("streams").key("1.10");
        check(&root, Place::Value, (2, 1));
        check(&cam1, Place::Key, (3, 3));
        check(&cam1, Place::Value, (4, 5));
        check(&cam1.key("mode"), Place::Value, (4, 11));
        check(&cam1.key("mode"), Place::Key, (4, 5));
        check(&cam1.key("command"), Place::Value, (5, 14));
        check(&cam1.key("command").index(2), Place::Value, (6, 7));
        check(&cam2.key("file"), Place::Value, (7, 19));
        check(&cam2.key("file"), Place::SecondKey, (7, 25));
        check(&stream, Place::Key, (9, 3));
        check(&stream.key("feeds").index(1), Place::Value, (12, 11));
        check(&stream.key("url"), Place::Value, (13, 9));
        check(&stream.key("pipeline"), Place::Value, (14, 15));
    }

    #[test]
    fn what_is_merged_is_found_where_it_is_written() {
        let text = "a: &a\n  mode: soon\nb:\n  <<: *a\nc:\n  <<: [{x: 1}, {y: 2}]\n  x: 3\n";
        let check = |path: Path, place: Place, expect: (usize, usize)| {
            assert_eq!(locate(text, &path, place), Some(expect), "{path} {place:?}");
        };
        let root = Path::default();
        check(root.key("b").key("mode"), Place::Value, (2, 9));
        check(root.key("b").key("mode"), Place::Key, (2, 3));
        check(root.key("c").key("y"), Place::Value, (6, 20));
        check(root.key("c").key("x"), Place::Value, (7, 6));
        check(root.key("c").key(MERGE), Place::Value, (6, 7));
    }

    #[test]
    fn what_is_not_there_has_no_place() {
        let root = Path::default();
        assert_eq!(locate(TEXT, &root.key("pages"), Place::Key), None);
        assert_eq!(locate(TEXT, &root.key("feeds").key("cam1").key("command").index(9), Place::Value), None);
    }
}
