//! RTSP (RFC 2326): players receive the streams of the server and publishers send media into feeds, over the connection of their
//! requests or in datagrams.
//!
//! `server.rs` listens, and one task serves each connection (`connection.rs`); requests are read by `message.rs`, `target.rs` and
//! `transport.rs`, `session.rs` decides what a client may do next, and `timeouts.rs` how long it may be silent (all pure). The packets are made once for all readers
//! ([`crate::media::rtp::Muxer`]). Those of a connection leave by the shards ([`crate::output::shard`]), `live.rs` is what is left of
//! the protocol then. A thread of `shard.rs` sends to those in datagrams: `datagrams.rs` takes the packets apart (pure), `viewer.rs` is one
//! viewer, `udp.rs` has the sockets; `multicast.rs` sends to groups. `tunnel.rs` brings both halves of a connection through HTTP together.

pub mod announce;
mod authorize;
pub mod client;
mod connection;
mod context;
mod datagrams;
pub mod describe;
mod live;
pub mod message;
mod multicast;
mod opened;
mod out;
mod play;
mod record;
mod recording;
pub mod server;
mod session;
mod sessions;
mod shard;
pub mod table;
pub mod target;
mod timeouts;
pub mod transport;
mod tunnel;
mod udp;
mod viewer;
