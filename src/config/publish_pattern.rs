//! A pattern of names that can be published to.

use super::publish::Publish;
use serde_yaml::Mapping;
use std::time::Duration;

/// Longest name that a star stands for, in bytes.
const MAX_NAME: usize = 40;

/// Names that can be published to without being configured one by one.
#[derive(Debug, Clone, PartialEq)]
pub struct PublishPattern {
    /// What a name begins with: `live/` of `live/*`.
    pub(super) prefix: String,
    /// How the feeds are published to.
    pub publish: Publish,
    /// How long feed and streams stay behind their publisher.
    pub linger: Duration,
    /// How many names may be there at a time.
    pub most: usize,
    /// The streams of a feed, with placeholders; empty for the one usual stream.
    pub(super) streams: Mapping,
}

impl PublishPattern {
    /// What of a path its star stands for, if the path fits.
    pub fn matched<'a>(&self, path: &'a str) -> Option<&'a str> {
        let name = path.strip_prefix(&self.prefix)?;
        // A dot would be the extension of a container.
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let is_good = (1..=MAX_NAME).contains(&name.len()) && name.chars().all(fits);
        is_good.then_some(name)
    }

    /// The same without its secret, to be shown.
    pub fn masked(&self) -> Self {
        Self { publish: self.publish.masked(), ..self.clone() }
    }
}
