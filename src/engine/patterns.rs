//! Names that can be published to without being configured one by one: each becomes a feed with its streams when somebody publishes.
//!
//! [`Instances`] decides what there is (pure); [`Patterns`] is the handle by which a session of any protocol asks for it.

use crate::{
    config::{Config, Feed, FeedName, PublishPattern, Stream, is_free},
    source::publisher::PublishSlot,
    telemetry::Facts,
};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};

/// How long a session waits until feed and streams are there.
const OPEN_WITHIN: Duration = Duration::from_secs(10);

/// Why a name has no feed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// The limit of the pattern.
    #[error("{0} names are published to already, which is the limit `most`")]
    Full(usize),
    /// Something that is configured has the name or path.
    #[error("`{0}` is configured already")]
    Taken(String),
    /// The name cannot be that of feeds and streams.
    #[error("{0}")]
    Name(String),
    /// The server ends, or takes too long.
    #[error("the server cannot make the feed now")]
    Unavailable,
}

/// Someone wants to publish to a name.
#[derive(Debug)]
pub struct PatternRequest {
    /// The pattern that the name fits.
    pub pattern: PublishPattern,
    /// What its star stands for.
    pub name: String,
    /// Gets the slot.
    pub done: oneshot::Sender<Result<PublishSlot, PatternError>>,
}

/// The patterns of a configuration, and where to ask for feeds. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Patterns {
    patterns: Arc<[PublishPattern]>,
    requests: Option<mpsc::Sender<PatternRequest>>,
}

/// A name that fits a pattern and has no feed yet.
#[derive(Debug, Clone)]
pub struct PatternMatch {
    pattern: PublishPattern,
    name: String,
    feed: FeedName,
    requests: mpsc::Sender<PatternRequest>,
}

impl Patterns {
    /// These; feeds are asked for by `requests`.
    pub fn new(patterns: &[PublishPattern], requests: mpsc::Sender<PatternRequest>) -> Self {
        Self { patterns: patterns.into(), requests: Some(requests) }
    }

    /// The feed that is published to by a path without a leading slash, and what makes it.
    pub fn find(&self, path: &str) -> Option<PatternMatch> {
        let requests = self.requests.as_ref()?;
        self.patterns.iter().find_map(|pattern| {
            let name = pattern.matched(path)?;
            let (feed, requests) = (pattern.feed(name)?, requests.clone());
            Some(PatternMatch { pattern: pattern.clone(), name: name.to_owned(), feed, requests })
        })
    }
}

impl PatternMatch {
    /// The name of the feed.
    pub fn feed(&self) -> &FeedName {
        &self.feed
    }

    /// A slot like that of the feed, which leads nowhere: who may publish is decided by it before anything is made.
    pub fn preview(&self) -> PublishSlot {
        PublishSlot::new(self.feed.clone(), self.pattern.publish.clone(), 0, Facts::default())
    }

    /// Has the feed and its streams made. Cancel-safe: they may be made in vain, and are gone again.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn open(self) -> Result<PublishSlot, PatternError> {
        let (done, answer) = oneshot::channel();
        let request = PatternRequest { pattern: self.pattern, name: self.name, done };
        let opened = async {
            self.requests.send(request).await.map_err(|_| PatternError::Unavailable)?;
            answer.await.unwrap_or(Err(PatternError::Unavailable))
        };
        tokio::time::timeout(OPEN_WITHIN, opened).await.unwrap_or(Err(PatternError::Unavailable))
    }
}

/// What patterns have made of a configuration.
#[derive(Debug)]
pub struct Instances {
    base: Config,
    made: BTreeMap<FeedName, Instance>,
}

#[derive(Debug, Clone)]
struct Instance {
    pattern: PublishPattern,
    feed: Feed,
    streams: Vec<Stream>,
    /// Since when there is no publisher.
    vacant_since: Instant,
}

impl Instances {
    /// A configuration of which nothing has been made.
    pub fn new(base: Config) -> Self {
        Self { base, made: BTreeMap::new() }
    }

    /// Another configuration: what patterns made that it has still stays. Returns what was before.
    pub fn set_base(&mut self, base: Config) -> Self {
        let before = Self { base: std::mem::replace(&mut self.base, base), made: self.made.clone() };
        let made = std::mem::take(&mut self.made);
        for (name, instance) in made {
            if self.base.patterns.contains(&instance.pattern) && self.clash(&instance.feed, &instance.streams).is_none()
            {
                self.made.insert(name, instance);
            }
        }
        before
    }

    /// The configuration with all that patterns made.
    pub fn config(&self) -> Config {
        let mut config = self.base.clone();
        for instance in self.made.values() {
            config.feeds.push(instance.feed.clone());
            config.streams.extend(instance.streams.iter().cloned());
        }
        config
    }

    /// Adds the feed and streams for a name. Returns the feed, and whether it is new.
    ///
    /// # Errors
    /// Why they cannot be.
    pub fn add(
        &mut self,
        pattern: &PublishPattern,
        name: &str,
        now: Instant,
    ) -> Result<(FeedName, bool), PatternError> {
        let (feed, streams) = pattern.instance(name).map_err(PatternError::Name)?;
        let feed_name = feed.name.clone();
        if let Some(known) = self.made.get_mut(&feed_name).filter(|known| known.pattern == *pattern) {
            known.vacant_since = now;
            return Ok((feed_name, false));
        }
        if let Some(taken) = self.clash(&feed, &streams) {
            return Err(PatternError::Taken(taken));
        }
        let of_pattern = self.made.values().filter(|instance| instance.pattern == *pattern).count();
        if of_pattern >= pattern.most {
            return Err(PatternError::Full(pattern.most));
        }
        let instance = Instance { pattern: pattern.clone(), feed, streams, vacant_since: now };
        self.made.insert(feed_name.clone(), instance);
        Ok((feed_name, true))
    }

    /// Whether patterns have made anything.
    pub fn is_empty(&self) -> bool {
        self.made.is_empty()
    }

    /// Removes what has had no publisher for longer than its pattern says. Returns the feeds.
    pub fn expire(&mut self, now: Instant, is_published: impl Fn(&FeedName) -> bool) -> Vec<FeedName> {
        let mut gone = Vec::new();
        self.made.retain(|name, instance| {
            if is_published(name) {
                instance.vacant_since = now;
            }
            let stays = now.saturating_duration_since(instance.vacant_since) <= instance.pattern.linger;
            if !stays {
                gone.push(name.clone());
            }
            stays
        });
        gone
    }

    /// Takes away the feed and streams of a name that could not be made.
    pub fn remove(&mut self, feed: &FeedName) {
        self.made.remove(feed);
    }

    /// What is there already of the names and paths of these.
    fn clash(&self, feed: &Feed, streams: &[Stream]) -> Option<String> {
        if self.base.feeds.iter().any(|known| known.name == feed.name) || self.made.contains_key(&feed.name) {
            return Some(feed.name.to_string());
        }
        let known = self.config();
        let has_name = |stream: &Stream| known.streams.iter().any(|one| one.name == stream.name);
        let is_taken = |stream: &&Stream| has_name(stream) || !is_free(&known, &stream.path);
        streams.iter().find(is_taken).map(|stream| stream.name.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    const TEXT: &str = "
publish: {live/*: {linger: 10, most: 2}}
feeds: {live-cam: {command: cat}}
streams: {s: {feed: live-cam, url: /live/taken}}
";

    fn instances() -> (Instances, PublishPattern) {
        let config = parse(TEXT).unwrap();
        let pattern = config.patterns[0].clone();
        (Instances::new(config), pattern)
    }

    fn names(instances: &Instances) -> Vec<String> {
        instances.config().feeds.iter().map(|feed| feed.name.to_string()).collect()
    }

    #[test]
    fn names_are_made_up_to_a_limit_and_gone_when_unused() {
        let (mut instances, pattern) = instances();
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let mut add = |name: &str, at| {
            instances.add(&pattern, name, now + second * at).map(|(feed, new)| (feed.to_string(), new))
        };
        assert_eq!(add("anna", 0), Ok(("live-anna".to_owned(), true)));
        assert_eq!(add("anna", 0), Ok(("live-anna".to_owned(), false)));
        assert_eq!(add("cam", 0), Err(PatternError::Taken("live-cam".to_owned())));
        assert_eq!(add("taken", 0), Err(PatternError::Taken("live-taken".to_owned())));
        assert_eq!(add("bob", 1), Ok(("live-bob".to_owned(), true)));
        assert_eq!(add("carl", 1), Err(PatternError::Full(2)));
        assert_eq!(names(&instances), ["live-cam", "live-anna", "live-bob"]);
        let is_anna = |feed: &FeedName| feed.as_str() == "live-anna";
        assert!(instances.expire(now + second * 11, is_anna).is_empty());
        assert_eq!(instances.expire(now + second * 12, is_anna), [FeedName::new("live-bob").unwrap()]);
        assert_eq!(names(&instances), ["live-cam", "live-anna"]);
        assert!(instances.expire(now + second * 22, |_| false).is_empty());
        assert!(!instances.expire(now + second * 23, |_| false).is_empty() && instances.is_empty());
    }

    #[test]
    fn another_configuration_keeps_what_its_patterns_make() {
        let (mut instances, pattern) = instances();
        instances.add(&pattern, "anna", Instant::now()).unwrap();
        instances.set_base(parse(&TEXT.replace("/live/taken", "/other")).unwrap());
        assert_eq!(names(&instances), ["live-cam", "live-anna"]);
        instances.set_base(parse(&TEXT.replace("most: 2", "most: 3")).unwrap());
        assert_eq!(names(&instances), ["live-cam"]);
    }
}
