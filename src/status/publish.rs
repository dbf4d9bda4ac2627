//! Who publishes to a feed, with the field names of `/stat.json`.

use super::stream_stats::{rfc3339, seconds};
use crate::source::publisher::{CurrentPublisher, PublishSlot, PublishState};
use serde::Serialize;
use std::collections::BTreeMap;

/// What is published to a feed.
#[derive(Debug, Serialize)]
pub struct Published {
    /// Who publishes now.
    pub publisher: Option<Publisher>,
    /// Publishers so far.
    pub publishers_ever: u64,
    /// Publishers that were refused because of another one, or for their protocol.
    pub refused: u64,
    /// Bytes of samples so far.
    pub bytes: u64,
    /// Samples whose times could not be right.
    pub repaired: u64,
    /// How many publishers ended, by the reason.
    pub ended: BTreeMap<&'static str, u64>,
}

/// A publisher.
#[derive(Debug, Serialize)]
pub struct Publisher {
    /// Where it is, where the configuration shows addresses.
    address: Option<String>,
    /// By which protocol it publishes.
    pub protocol: &'static str,
    user: Option<String>,
    agent: Option<String>,
    station: Option<String>,
    title: Option<String>,
    since: String,
    bytes: u64,
    samples: u64,
    repaired: u64,
    idle_seconds: f64,
}

impl Published {
    /// What a slot has. `clients`: addresses may be shown.
    pub(super) fn of(slot: &PublishSlot, clients: bool) -> Self {
        let PublishState { current, totals } = slot.read();
        Self {
            publisher: current.map(|current| Publisher::of(current, clients)),
            publishers_ever: totals.publishers,
            refused: totals.refused,
            bytes: totals.bytes,
            repaired: totals.repaired,
            ended: totals.ended,
        }
    }
}

impl Publisher {
    fn of(current: CurrentPublisher, clients: bool) -> Self {
        let CurrentPublisher { info, since, bytes, samples, repaired, station, title, idle } = current;
        Self {
            address: clients.then(|| info.peer.to_string()),
            protocol: info.protocol.name(),
            user: info.user,
            agent: info.agent,
            station,
            title,
            since: rfc3339(since),
            bytes,
            samples,
            repaired,
            idle_seconds: seconds(idle),
        }
    }
}
