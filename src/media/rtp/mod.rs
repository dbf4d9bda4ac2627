//! RTP (RFC 3550): samples go in and payloads of packets come out, and the other way round. RTSP and WebRTC use the same.
//!
//! A [`Packetizer`] makes the payloads of a sample once, for all readers of a track; a [`Depacketizer`] makes whole access units of
//! packets, which a [`Canonicalizer`](super::codec::canonical::Canonicalizer) brings into the canonical form. What misses a
//! packet leaves as nothing, never as a part. [`Order`] sorts packets that overtook each other, [`fec`] recovers lost ones,
//! `report` has RTCP.

mod aac;
mod ac3;
mod assemble;
mod av1;
mod depacketizer;
mod encoding;
pub mod fec;
mod format;
mod h264;
mod h265;
pub mod interleaved;
mod jpeg;
mod latm;
mod mpeg_audio;
mod muxer;
mod order;
mod packet;
mod packetizer;
mod payloads;
mod pcm;
mod receiver;
mod reception;
pub mod report;
#[cfg(test)]
mod tests;
mod unit;
mod vp8;
mod vp9;

pub use depacketizer::Depacketizer;
pub use encoding::{Encoding, Unsupported};
pub use format::Format;
pub use muxer::Muxer;
pub use order::{Order, Patience};
pub use packet::{HEADER, Header, Packet, is_rtcp};
pub use packetizer::Packetizer;
pub use payloads::{Payloads, Piece};
pub use receiver::{Description, Receiver};
pub use reception::Reception;
pub use unit::Unit;
