//! What has just come, taken out of the ring once for all readers that are up to date.
//!
//! Most readers of a live stream need the same packets at the same moment. Looking them up for each of thousands costs a lock, and
//! counts of references that processors must pass to and fro.

use crate::media::Packet;

/// Most packets at a time. More come to those only who fell behind.
pub(super) const MOST: usize = 16;
/// Most bytes of several packets.
pub(super) const MOST_BYTES: usize = 128 << 10;

/// The packets of a ring from a place on.
#[derive(Debug, Default)]
pub struct Batch {
    pub(super) packets: Vec<Packet>,
    /// Number of the first of them, or of the one to come.
    pub(super) from: u64,
    /// That of the ring.
    pub(super) generation: u64,
}

impl Batch {
    /// The packets, in their order.
    pub fn packets(&self) -> &[Packet] {
        &self.packets
    }

    /// The number of the packet after them.
    pub(super) fn to(&self) -> u64 {
        self.from + self.packets.len() as u64
    }
}
