//! `publish:` at the top: feeds and streams that come into being when somebody publishes to a name that fits, and are gone some
//! time after.

use super::{
    diagnostics::Path,
    expected::{Expected, kind, place},
    model::{Config, Feed, FeedName, Source, Stream, StreamPath},
    publish,
    publish_pattern::PublishPattern,
    spans::Place,
    streams::{BELOW, is_reserved},
    template_store::TemplateStore,
    validator::Validator,
};
use serde_yaml::{Mapping, Value};
use std::{ops::RangeInclusive, time::Duration};

/// What stands for any name at the end of a pattern.
const STAR: char = '*';
/// What stands for the name in what a pattern makes.
const NAME: &str = "{name}";
/// Seconds that feed and streams stay behind their publisher.
const LINGER: RangeInclusive<f64> = 0.0..=86_400.0;
const DEFAULT_LINGER: Duration = Duration::from_secs(30);
/// How many names may be published to at a time.
const MOST: RangeInclusive<usize> = 1..=1000;
const DEFAULT_MOST: usize = 20;
/// What follows the path of a stream or feed in that of its sessions of WebRTC.
const OF_WEBRTC: [&str; 2] = ["/whep", "/whip"];
/// A name to try a pattern with.
const SAMPLE: &str = "name";

impl PublishPattern {
    /// The feed that a name is published to: `live-anna` for `live/anna`.
    pub fn feed(&self, name: &str) -> Option<FeedName> {
        FeedName::new(&format!("{}{name}", self.prefix.replace('/', "-"))).ok()
    }

    /// The feed for a name, and its streams.
    ///
    /// # Errors
    /// What is wrong with them; a pattern that was checked has no errors of its own, but a name may be too long.
    pub fn instance(&self, name: &str) -> Result<(Feed, Vec<Stream>), String> {
        let feed_name = format!("{}{NAME}", self.prefix.replace('/', "-"));
        let text = |text: &str| Value::String(text.to_owned());
        let map = |entries: Vec<(&str, Value)>| {
            Value::Mapping(entries.into_iter().map(|(key, value)| (text(key), value)).collect())
        };
        let mut streams = Mapping::new();
        if self.streams.is_empty() {
            let path = format!("/{}{NAME}", self.prefix);
            streams.insert(text(&feed_name), map(vec![("feed", text(&feed_name)), ("url", text(&path))]));
        }
        for (stream, keys) in &self.streams {
            let mut keys = keys.as_mapping().cloned().unwrap_or_default();
            if !keys.contains_key("feed") && !keys.contains_key("feeds") {
                keys.insert(text("feed"), text(&feed_name));
            }
            streams.insert(stream.clone(), Value::Mapping(keys));
        }
        let feeds = map(vec![(&feed_name, map(vec![("publish", text("true"))]))]);
        let names = Value::Sequence(vec![text(name)]);
        let set = map(vec![("for", names), ("feeds", feeds), ("streams", Value::Mapping(streams))]);
        let mut checker = Validator::new(TemplateStore::built_in());
        let config = checker.file(map(vec![("sets", map(vec![("publish", set)]))]), &[]);
        let faults = checker.findings.into_diagnostics(&checker.places);
        if let Some(fault) = faults.faults.first() {
            return Err(fault.message.clone());
        }
        let feed = config.feeds.into_iter().next().ok_or("it has no feed")?;
        Ok((Feed { source: Source::Publish(self.publish.clone()), ..feed }, config.streams))
    }
}

/// Whether nothing in a configuration has the path of a stream, or what belongs to one.
pub fn is_free(config: &Config, path: &StreamPath) -> bool {
    let path = path.as_str();
    let ends = || BELOW.iter().map(|(end, _)| *end).chain(OF_WEBRTC);
    let is_below = |path: &str, owner: &str| ends().any(|end| path.strip_suffix(end) == Some(owner));
    let owns = |owner: &str| owner == path || is_below(path, owner) || is_below(owner, path);
    let is_page = ends().chain([""]).any(|end| config.pages.at(&format!("{path}{end}")).is_some());
    !(is_page || is_reserved(path) || config.streams.iter().any(|stream| owns(stream.path.as_str())))
}

impl Validator {
    /// All patterns; those with errors, which are noted, are omitted.
    pub(super) fn patterns(&mut self, path: &Path, value: Option<Value>) -> Vec<PublishPattern> {
        let entries = self.entries(path, value).into_iter();
        let entries: Vec<_> =
            entries.filter_map(|(name, value)| self.pattern(&path.key(&name), &name, value)).collect();
        entries
    }

    fn pattern(&mut self, path: &Path, name: &str, value: Value) -> Option<PublishPattern> {
        let parts = |prefix: &str| prefix.split_terminator('/').all(|part| FeedName::new(part).is_ok());
        let prefix = name.strip_suffix(STAR).filter(|prefix| parts(prefix) && prefix.len() <= 20);
        let Some(prefix) = prefix else {
            let message = "expected a name like `live/*`: one `*`, at the end, and at most 20 bytes in front of it";
            self.note(path, Place::Key, message.to_owned());
            return None;
        };
        let mut keys = match value {
            Value::Mapping(keys) => keys,
            Value::Null => Mapping::new(),
            other => {
                let message = format!("expected keys below it, found {}", kind(&other));
                self.note(path, place(path, &other), message);
                return None;
            }
        };
        let mut own = |key: &str| keys.shift_remove(key).filter(|value| !value.is_null());
        let (linger, most, streams) = (own("linger"), own("most"), own("streams"));
        if let Some(Value::Mapping(streams)) = &streams {
            for name in streams.keys().filter_map(Value::as_str).filter(|name| !name.contains(NAME)) {
                let message = format!("streams of several names would have this one: expected a name with `{NAME}`");
                self.note(&path.key("streams").key(name), Place::Key, message);
            }
        }
        let linger = self.value(&path.key("linger"), linger, |text| publish::seconds(text, LINGER));
        let most = self.value(&path.key("most"), most, most_of);
        let streams = self.entries(&path.key("streams"), streams).into_iter();
        let publish = self.publish(path, Value::Mapping(keys));
        if !publish.layers.is_empty() {
            let message = "only a feed with a name of its own has layers".to_owned();
            self.note(&path.key("layers"), Place::Key, message);
        }
        let pattern = PublishPattern {
            prefix: prefix.to_owned(),
            publish,
            linger: linger.unwrap_or(DEFAULT_LINGER),
            most: most.unwrap_or(DEFAULT_MOST),
            streams: streams.map(|(name, value)| (Value::String(name), value)).collect(),
        };
        if let Err(fault) = pattern.instance(SAMPLE) {
            self.note(&path.key("streams"), Place::Key, format!("the streams of `{prefix}{SAMPLE}`: {fault}"));
            return None;
        }
        Some(pattern)
    }
}

/// The section as it could have been read; `None` without patterns.
pub(super) fn printed(patterns: &[PublishPattern]) -> Option<Value> {
    let text = |text: &str| Value::String(text.to_owned());
    let printed = patterns.iter().map(|pattern| {
        let mut keys = publish::printed(&pattern.publish).as_mapping().cloned().unwrap_or_default();
        if pattern.linger != DEFAULT_LINGER {
            keys.insert(text("linger"), Value::from(pattern.linger.as_secs_f64()));
        }
        if pattern.most != DEFAULT_MOST {
            keys.insert(text("most"), Value::from(pattern.most));
        }
        if !pattern.streams.is_empty() {
            keys.insert(text("streams"), Value::Mapping(pattern.streams.clone()));
        }
        (text(&format!("{}{STAR}", pattern.prefix)), Value::Mapping(keys))
    });
    (!patterns.is_empty()).then(|| Value::Mapping(printed.collect()))
}

fn most_of(text: &str) -> Result<usize, Expected> {
    let number = text.parse().ok().filter(|number| MOST.contains(number));
    number.ok_or_else(|| format!("a number from {} to {}", MOST.start(), MOST.end()).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{masked, parse, testing::check, to_yaml};

    #[test]
    fn a_name_becomes_a_feed_and_its_streams() {
        let text = "publish: {live/*: {key: s3cret}, show-*: {linger: 5, most: 2, streams: {'{name}': {}, '{name}-small': {video: {codec: h264, size: 320x240}}}}}";
        let config = parse(text).unwrap();
        let [live, show] = &config.patterns[..] else { panic!("{:?}", config.patterns) };
        assert_eq!(
            (live.matched("live/anna"), live.matched("live/a/b"), live.matched("other/anna")),
            (Some("anna"), None, None)
        );
        assert_eq!(["live/", "live/a.ts", "live/..", "live/ä"].map(|path| live.matched(path)), [None; 4]);
        assert_eq!(
            (
                live.matched(&format!("live/{}", "a".repeat(40))).is_some(),
                live.matched(&format!("live/{}", "a".repeat(41)))
            ),
            (true, None)
        );
        assert_eq!(
            (show.matched("show-1"), show.matched("show-"), show.linger, show.most),
            (Some("1"), None, Duration::from_secs(5), 2)
        );
        let (feed, streams) = live.instance("anna").unwrap();
        assert_eq!((feed.name.as_str(), Some(feed.name.clone())), ("live-anna", live.feed("anna")));
        assert!(matches!(&feed.source, Source::Publish(publish) if publish.key.is_some()));
        assert_eq!((streams[0].name.as_str(), streams[0].path.as_str(), streams.len()), ("live-anna", "/live/anna", 1));
        let (_, streams) = show.instance("1").unwrap();
        let names: Vec<_> = streams.iter().map(|stream| (stream.name.as_str(), stream.feeds[0].as_str())).collect();
        assert_eq!(names, [("1", "show-1"), ("1-small", "show-1")]);
        assert_eq!(parse(&to_yaml(&config)).unwrap(), config);
        assert!(!to_yaml(&masked(&config)).contains("s3cret"));
    }

    #[test]
    fn faults() {
        let message = "expected a name like `live/*`: one `*`, at the end, and at most 20 bytes in front of it";
        check("publish: {live: {}}", &format!("1:11: publish.live: {message}"));
        check("publish: {'*/live': {}}", &format!("1:11: publish.*/live: {message}"));
        check(
            "publish: {live/*: {most: 0}}",
            "1:26: publish.live/*.most: expected a number from 1 to 1000, found \"0\"",
        );
        check("publish: {live/*: {kye: x}}", "1:20: publish.live/*.kye: unknown key, did you mean `key`?");
        check(
            "publish: {live/*: {streams: {fixed: {}}}}",
            "1:30: publish.live/*.streams.fixed: streams of several names would have this one: expected a name with `{name}`",
        );
        check(
            "publish: {live/*: {streams: {'{name}': {feed: other}}}}",
            "1:20: publish.live/*.streams: the streams of `live/name`: expected the name of a feed, found \"other\" (of name)",
        );
    }

    #[test]
    fn what_is_configured_keeps_its_paths() {
        let text = "pages: {stat: /admin/state}\nfeeds: {f: {command: cat}}\nstreams: {s: {feed: f, url: /live}, t: {feed: f, url: /a/play}}";
        let config = parse(text).unwrap();
        let is_free = |path: &str| is_free(&config, &StreamPath::new(path).unwrap());
        for taken in
            ["/live", "/live/ws", "/live/whip", "/live/whep", "/a", "/admin/state", "/stream/x", "/metrics", "/config"]
        {
            assert!(!is_free(taken), "{taken}");
        }
        for free in ["/live/anna", "/live/ws2", "/b"] {
            assert!(is_free(free), "{free}");
        }
    }
}
