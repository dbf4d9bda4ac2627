//! What is published to under a name: a feed, or a pattern that makes one.

use super::permit::{Credentials, Denied, Permit, permit};
use crate::{
    access::{CredentialError, Gate},
    engine::{
        patterns::{PatternError, PatternMatch},
        registry::Registry,
    },
    source::publisher::PublishSlot,
};
use std::net::IpAddr;

/// What is published to.
#[derive(Debug, Clone)]
pub enum Target {
    /// A feed.
    Feed(PublishSlot),
    /// A name that becomes a feed.
    Pattern(PatternMatch),
}

impl Target {
    /// What is published to under the first of these names that there is: paths without a leading slash.
    pub fn find(registry: &Registry, names: &[String]) -> Option<Self> {
        let feed = names.iter().find_map(|name| registry.publish_slot(name));
        let pattern = || names.iter().find_map(|name| registry.patterns().find(name));
        match feed {
            Some(slot) => Some(Self::Feed(slot.clone())),
            None => {
                let found = pattern()?;
                // It may be there already.
                let known = registry.publish_slot(found.feed().as_str()).cloned();
                Some(known.map_or(Self::Pattern(found), Self::Feed))
            }
        }
    }

    /// Decides whether a client may publish there: see [`permit`].
    ///
    /// # Errors
    /// Why not.
    pub async fn permit(
        &self,
        gate: &Gate,
        credentials: Result<Credentials, CredentialError>,
        peer: IpAddr,
    ) -> Result<Permit, Denied> {
        match self {
            Self::Feed(slot) => permit(gate, slot, credentials, peer).await,
            Self::Pattern(pattern) => permit(gate, &pattern.preview(), credentials, peer).await,
        }
    }

    /// The slot, which is made if need be. For those who may publish only.
    ///
    /// # Errors
    /// Why it cannot be made.
    pub async fn open(self) -> Result<PublishSlot, PatternError> {
        match self {
            Self::Feed(slot) => Ok(slot),
            Self::Pattern(pattern) => pattern.open().await,
        }
    }
}
