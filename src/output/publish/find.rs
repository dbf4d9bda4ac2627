//! What is published to under a name: a feed, or a pattern that makes one. One piece for all protocols.

use super::permit::{Credentials, Denied, Permit, permit};
use crate::{
    access::{Asking, CredentialError, Gate},
    config::{Encoding, FeedName},
    engine::{
        patterns::{PatternError, PatternMatch},
        registry::Registry,
    },
    source::publisher::{PublishError, PublishSlot, Publisher, PublisherInfo},
};

/// What is published to.
#[derive(Debug, Clone)]
pub enum Target {
    /// A feed.
    Feed(PublishSlot),
    /// A name that becomes a feed.
    Pattern(Box<PatternMatch>),
}

/// Why a target cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// The slot is taken, or not for this protocol.
    #[error(transparent)]
    Slot(#[from] PublishError),
    /// The feed cannot be made.
    #[error(transparent)]
    Pattern(#[from] PatternError),
}

/// What kind of error a [`ClaimError`] is, for the status that a protocol has for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimFault {
    /// Somebody or something has the name.
    Conflict,
    /// Not by this protocol.
    Forbidden,
    /// The server cannot now.
    Unavailable,
}

impl ClaimError {
    /// What kind of error it is.
    pub const fn fault(&self) -> ClaimFault {
        match self {
            Self::Slot(PublishError::Protocol(_) | PublishError::Layer) => ClaimFault::Forbidden,
            Self::Pattern(PatternError::Unavailable) => ClaimFault::Unavailable,
            Self::Slot(PublishError::Busy) | Self::Pattern(_) => ClaimFault::Conflict,
        }
    }
}

impl Target {
    /// What is published to under a name or percent-decoded path, with or without its leading slash: the feed with this name,
    /// that of a stream which is nothing but a feed, or what a pattern makes.
    pub fn find(registry: &Registry, path: &str) -> Option<Self> {
        let path = path.strip_prefix('/').unwrap_or(path);
        Self::configured(registry, path)
            .or_else(|| registry.patterns().find(path).map(|found| Self::Pattern(Box::new(found))))
    }

    fn configured(registry: &Registry, path: &str) -> Option<Self> {
        let of_stream = || {
            let is_named = |stream: &crate::config::Stream| {
                let own = stream.path.as_str();
                own.strip_prefix('/') == Some(path) || path.strip_prefix("stream/") == Some(stream.name.as_str())
            };
            registry.streams().iter().map(|stream| &stream.config).filter(|stream| is_named(stream)).find_map(
                |stream| {
                    let ([feed], Encoding::Copy) = (stream.feeds.as_slice(), &stream.encoding) else { return None };
                    registry.publish_slot(feed.as_str())
                },
            )
        };
        registry.publish_slot(path).or_else(of_stream).cloned().map(Self::Feed)
    }

    /// The name of the feed.
    pub fn feed(&self) -> &FeedName {
        match self {
            Self::Feed(slot) => slot.feed(),
            Self::Pattern(pattern) => pattern.feed(),
        }
    }

    /// The slots of the smaller layers of its video, each with what publishers call it.
    pub fn layers(&self, registry: &Registry) -> Vec<(String, PublishSlot)> {
        let Self::Feed(slot) = self else { return Vec::new() };
        let layer = |name: &String| {
            let feed = FeedName::of_layer(slot.feed(), name)?;
            Some((name.clone(), registry.publish_slot(feed.as_str())?.clone()))
        };
        slot.settings().layers.iter().filter_map(layer).collect()
    }

    /// Decides whether a client may publish there: see [`permit`]. Nothing is made for it. Cancel-safe.
    ///
    /// # Errors
    /// Why not.
    pub async fn permit(
        &self,
        gate: &Gate,
        credentials: Result<Credentials, CredentialError>,
        asking: Asking<'_>,
    ) -> Result<Permit, Denied> {
        match self {
            Self::Feed(slot) => permit(gate, slot, credentials, asking).await,
            Self::Pattern(pattern) => permit(gate, &pattern.preview(), credentials, asking).await,
        }
    }

    /// Takes the slot, whose feed is made if need be. For those who may publish only. Cancel-safe.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub async fn claim(self, info: PublisherInfo) -> Result<Publisher, ClaimError> {
        let slot = match self {
            Self::Feed(slot) => slot,
            Self::Pattern(pattern) => {
                if !pattern.preview().settings().protocols.contains(&info.protocol) {
                    return Err(PublishError::Protocol(info.protocol).into());
                }
                pattern.open().await?
            }
        };
        Ok(slot.claim(info)?)
    }
}
