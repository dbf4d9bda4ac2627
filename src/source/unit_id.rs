//! Names of units.

use crate::config::{FeedName, StreamName};
use std::fmt;

/// Names a unit, in one configuration as in the next.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnitId {
    /// A feed.
    Feed(FeedName),
    /// All tracks of a worker's feed, muxed for commands.
    Tap(FeedName),
    /// A stream.
    Stream(StreamName),
    /// One track of a stream in another codec, which is the one with this name.
    Encoding(StreamName, &'static str),
}

impl UnitId {
    /// The name of the feed or stream.
    pub fn name(&self) -> &str {
        match self {
            Self::Feed(name) | Self::Tap(name) => name.as_str(),
            Self::Stream(name) | Self::Encoding(name, _) => name.as_str(),
        }
    }

    /// The fields `feed` and `stream` of log lines about this unit; a tap is a stream there, as it is to the worker.
    pub fn log_fields(&self) -> (Option<String>, Option<String>) {
        match self {
            Self::Feed(name) => (Some(name.to_string()), None),
            Self::Tap(name) => (None, Some(tap_name(name))),
            Self::Stream(name) => (None, Some(name.to_string())),
            Self::Encoding(name, codec) => (None, Some(encoding_name(name, codec))),
        }
    }
}

/// The name of a stream's encoding in another codec in the plan of its group.
pub fn encoding_name(stream: &StreamName, codec: &str) -> String {
    format!("{stream} in {codec}")
}

/// The name of a feed's tap in the plan of its group.
pub fn tap_name(feed: &FeedName) -> String {
    format!("{feed} for commands")
}

impl fmt::Display for UnitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Feed(name) => write!(f, "feed {name}"),
            Self::Tap(name) => write!(f, "feed {name} for commands"),
            Self::Stream(name) => write!(f, "stream {name}"),
            Self::Encoding(name, codec) => write!(f, "stream {name} in {codec}"),
        }
    }
}
