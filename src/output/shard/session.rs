//! What a protocol does for a viewer beside the packets.

use crate::media::Packet;
use bytes::Bytes;
use std::fmt::Debug;

/// What is counted and logged of a viewer.
pub trait Account {
    /// Why its permission has ended, if it has.
    fn withdrawn(&self) -> Option<&'static str>;
    /// The connection took this many bytes; `container` has the name of what the stream is in.
    fn sent(&mut self, bytes: u64, container: &dyn Fn() -> &'static str);
    /// It lagged and lost this many packets.
    fn lagged(&mut self, packets: u64);
    /// Whether it gets keyframes only.
    fn is_reduced(&self) -> bool;
    /// From now on it gets keyframes only, or the full stream.
    fn reduced(&mut self, is_reduced: bool);
    /// Updates its statistics; called about once a second.
    fn report(&mut self);
}

/// One side of the protocol of a viewer, after its head or handshake. It is dropped with the viewer.
pub trait Session: Debug + Send {
    /// What is counted and logged.
    fn account(&mut self) -> &mut dyn Account;

    /// The client has sent these bytes; what is to be answered is added to `out`, and leaves between two packets. Called once without
    /// bytes when the viewer joins: they may have come with those before.
    ///
    /// # Errors
    /// The reason, when the connection cannot continue. What is in `out` leaves before it is closed.
    fn receive(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str>;

    /// How a packet is written for this viewer alone, see [`Framing::Own`](super::viewer::Framing::Own).
    fn frame(&self, packet: &Packet) -> Bytes {
        packet.payload()
    }

    /// Whether a client that has closed its sending side may still read.
    fn may_half_close(&self) -> bool;

    /// No packet follows: adds what the protocol says then.
    fn end(&mut self, reason: &'static str, out: &mut Vec<u8>);

    /// The connection is closed, for this reason.
    fn closed(&mut self, reason: &'static str);
}
