//! RTSP (RFC 2326): players receive the streams of the server and publishers send media into feeds, over the connection of their
//! requests or in datagrams.
//!
//! `server.rs` listens, and one task serves each connection (`connection.rs`); requests are read by `message.rs`, `target.rs` and
//! `transport.rs`, and `session.rs` decides what a client may do next (all pure). The packets are made once for all readers
//! ([`crate::media::rtp::Muxer`]); `viewer.rs` is a reader of them, `udp.rs` sends them in datagrams.

mod announce;
mod authorize;
pub mod client;
mod connection;
mod context;
pub mod describe;
mod message;
mod opened;
mod out;
mod play;
mod record;
mod recording;
pub mod server;
mod session;
mod sessions;
pub mod table;
mod target;
mod transport;
mod udp;
mod viewer;
