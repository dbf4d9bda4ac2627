//! MPEG-TS in datagrams, with or without RTP (RFC 2250, payload type 33): to one receiver or a multicast group.
//!
//! [`Sender`] and [`Receiver`] are a socket each. `pace` decides when a datagram leaves, `arrival` what of a datagram is media; both are
//! pure. What is lost on the way can be recovered where both sides have [error correction](crate::media::rtp::fec).

mod arrival;
mod pace;
mod receiver;
mod sender;

pub use arrival::Counts;
pub use receiver::Receiver;
pub use sender::Sender;

/// Bytes of media in a datagram: seven packets of MPEG-TS.
const PAYLOAD: usize = 7 * 188;
/// The payload type of MPEG-TS in RTP (RFC 3551).
const MP2T: u8 = 33;
