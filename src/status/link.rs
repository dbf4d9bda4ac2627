//! What comes over the link of a feed, with the field names of `/stat.json`.

use super::stream_stats::seconds;
use crate::{engine::registry::LinkHandle, source::link_status::LinkFacts};
use serde::Serialize;

/// The link of a feed.
#[derive(Debug, Serialize)]
pub struct Linked {
    /// Who sends now, where the configuration shows addresses.
    peer: Option<String>,
    /// Packets with media.
    pub received: u64,
    /// Packets that did not come.
    pub lost: u64,
    /// Packets that did not come and that error correction has recovered.
    pub recovered: u64,
    /// Packets of others, without media, or that no key decrypts.
    pub ignored: u64,
    /// Bytes of samples so far.
    pub bytes: u64,
    /// Samples whose times could not be right.
    pub repaired: u64,
    idle_seconds: Option<f64>,
}

impl Linked {
    /// What a link has. `clients`: addresses may be shown.
    pub(super) fn of(link: &LinkHandle, clients: bool) -> Self {
        let (LinkFacts { peer, received, lost, recovered, ignored }, slot) = (link.packets.read(), link.slot.read());
        Self {
            peer: peer.filter(|_| clients).map(|peer| peer.to_string()),
            received,
            lost,
            recovered,
            ignored,
            bytes: slot.totals.bytes,
            repaired: slot.totals.repaired,
            idle_seconds: slot.current.map(|current| seconds(current.idle)),
        }
    }
}
