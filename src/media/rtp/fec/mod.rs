//! Forward error correction for MPEG-TS over RTP (SMPTE 2022-1, Pro-MPEG Code of Practice 3): packets are laid out in a matrix of
//! columns and rows, and the XOR of each column and row is sent beside them.
//!
//! An [`Encoder`] makes these packets of what a sender sends; a [`Decoder`] recovers what a receiver misses: one packet of each column and
//! row, and what that makes possible. A [`packet`] names what it protects, whose sum is a [`parity`]. Pure.

mod decoder;
mod encoder;
mod packet;
mod parity;
#[cfg(test)]
mod tests;

pub use decoder::Decoder;
pub use encoder::{Encoder, Matrix};
pub use packet::Direction;

/// Largest packet of media that is protected: more than fits into a datagram of Ethernet.
const MAX_PACKET: usize = 2048;
