//! The sum (XOR) of packets: with it and all of them but one, that one is known (RFC 2733, section 5).

use super::{super::HEADER, MAX_PACKET};
use bytes::Bytes;

/// The sum of packets of RTP, but for their numbers and sources.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Parity {
    /// Padding, extension and count of sources.
    pub(super) flags: u8,
    /// Marker and payload type.
    pub(super) kind: u8,
    pub(super) timestamp: u32,
    /// Of what follows the fixed header.
    pub(super) length: u16,
    /// What follows the fixed header, as long as the longest one.
    pub(super) payload: Vec<u8>,
}

impl Parity {
    /// Adds a packet; what is none changes nothing.
    pub(super) fn add(&mut self, packet: &[u8]) {
        let Some((&[flags, kind, _, _, a, b, c, d, ..], payload)) = packet.split_first_chunk::<HEADER>() else {
            return;
        };
        self.flags ^= flags & 0x3f;
        self.kind ^= kind;
        self.timestamp ^= u32::from_be_bytes([a, b, c, d]);
        self.length ^= payload.len() as u16;
        if self.payload.len() < payload.len() {
            self.payload.resize(payload.len(), 0);
        }
        self.payload.iter_mut().zip(payload).for_each(|(sum, byte)| *sum ^= byte);
    }

    /// The packet that is the sum; `None` when it cannot be one.
    pub(super) fn packet(self, sequence: u16, ssrc: u32) -> Option<Bytes> {
        let length = usize::from(self.length);
        if length == 0 || length > self.payload.len() || length > MAX_PACKET - HEADER {
            return None;
        }
        let mut packet = Vec::with_capacity(HEADER + length);
        packet.extend([0x80 | self.flags, self.kind]);
        packet.extend(sequence.to_be_bytes());
        packet.extend(self.timestamp.to_be_bytes());
        packet.extend(ssrc.to_be_bytes());
        packet.extend(self.payload.iter().take(length));
        Some(packet.into())
    }
}
