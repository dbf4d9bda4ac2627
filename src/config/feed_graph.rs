//! Feeds that read other feeds: `feed:` of a feed.

use super::{
    diagnostics::Path,
    expected::{Expected, suggestion},
    model::{Feed, FeedName},
    spans::Place,
    validator::Validator,
};
use serde_yaml::Value;
use std::collections::{HashMap, HashSet};

impl Validator {
    /// The feed that another one reads; `known` are the names of all feeds.
    pub(super) fn parent(&mut self, path: &Path, value: Option<Value>, known: &[String]) -> Option<FeedName> {
        self.value(path, value, |text| feed_name(text, known))
    }

    /// Notes feeds that would read themselves. Each circle is one error, at the feed of it that comes first.
    pub(super) fn circles(&mut self, path: &Path, feeds: &[Feed]) {
        let parents: HashMap<&str, &str> =
            feeds.iter().filter_map(|feed| Some((feed.name.as_str(), feed.parent.as_ref()?.as_str()))).collect();
        let mut cleared: HashSet<&str> = HashSet::new();
        for feed in feeds {
            let mut way = vec![feed.name.as_str()];
            while let Some(parent) = way.last().and_then(|last| parents.get(last)) {
                if cleared.contains(parent) {
                    break;
                }
                if let Some(begin) = way.iter().position(|name| name == parent) {
                    let circle: Vec<_> =
                        way.iter().skip(begin).chain([parent]).map(|name| format!("`{name}`")).collect();
                    let path = path.key(way.get(begin).copied().unwrap_or_default()).key("feed");
                    let message =
                        format!("feeds that read each other in a circle have no source: {}", circle.join(" reads "));
                    self.note(&path, Place::Value, message);
                    break;
                }
                way.push(parent);
            }
            cleared.extend(way);
        }
    }
}

/// The name of a feed that exists.
pub(super) fn feed_name(text: &str, known: &[String]) -> Result<FeedName, Expected> {
    if !known.iter().any(|name| name == text) {
        let hint = suggestion(text, known.iter().map(String::as_str));
        return Err(Expected::because("the name of a feed", hint));
    }
    FeedName::new(text).map_err(Expected::from)
}

#[cfg(test)]
mod tests {
    use crate::config::parse;
    use crate::config::testing::check;
    use crate::engine::layout::Layout;
    use proptest::prelude::*;

    #[test]
    fn a_feed_reads_another_one() {
        let text = "feeds:\n  c: {command: c, feed: b}\n  b: {command: b, feed: a}\n  a: {pipeline: x}\n";
        let parents: Vec<_> = parse(text).unwrap().feeds.into_iter().map(|feed| feed.parent).collect();
        let parents: Vec<_> = parents.iter().map(|parent| parent.as_ref().map(|name| name.as_str())).collect();
        assert_eq!(parents, [Some("b"), Some("a"), None]);
    }

    #[test]
    fn faults_of_chains() {
        check(
            "feeds:
  self: {command: x, feed: self}
  a: {command: x, feed: b}
  b: {command: x, feed: c}
  c: {command: x, feed: b}
  d: {command: x, feed: a}
  e: {command: x, feed: sel}
  f: {pipeline: x, feed: self}
  g: {file: x, feed: self}
  h: {command: 'x {input1}'}
  i: {command: 'x {input2}', feed: self}
",
            "\
2:28: feeds.self.feed: feeds that read each other in a circle have no source: `self` reads `self`
4:25: feeds.b.feed: feeds that read each other in a circle have no source: `b` reads `c` reads `b`
7:25: feeds.e.feed: expected the name of a feed, found \"sel\", did you mean `self`?
8:20: feeds.f.feed: only a `command` reads another feed
9:16: feeds.g.feed: only a `command` reads another feed
10:16: feeds.h.command: the command has no `{input1}`: it has no feed
11:16: feeds.i.command: the command has no `{input2}`: its only one is `{input1}`, feed `self`",
        );
    }

    proptest! {
        #[test]
        fn a_configuration_has_a_circle_or_a_layout(parents in prop::collection::vec(prop::option::of(0_usize..8), 8)) {
            let feed = |(at, parent): (usize, &Option<usize>)| match parent {
                Some(parent) => format!("  f{at}: {{command: x, feed: f{parent}}}\n"),
                None => format!("  f{at}: {{command: x}}\n"),
            };
            let text = format!("feeds:\n{}", parents.iter().enumerate().map(feed).collect::<String>());
            // Who still reads something after as many steps as there are feeds goes round.
            let end = |at| (0..8).try_fold(at, |at: usize, _| parents[at]);
            let has_circle = (0..8).any(|at| end(at).is_some());
            match parse(&text) {
                Ok(config) => {
                    prop_assert!(!has_circle, "{}", text);
                    let layout = crate::engine::layout::layout(&config, &Layout::default());
                    prop_assert_eq!(layout.units.len(), 8);
                    for unit in layout.units.values() {
                        prop_assert!(unit.needs.iter().all(|need| layout.units.contains_key(need)), "{:?}", layout);
                    }
                }
                Err(faults) => {
                    prop_assert!(has_circle, "{:?}", faults);
                    prop_assert!(faults.iter().all(|fault| fault.message.contains("in a circle")), "{:?}", faults);
                }
            }
        }
    }
}
