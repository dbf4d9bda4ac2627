//! The SRT protocol (version 5 of its handshake), of both sides.
//!
//! Datagrams and the time come in; datagrams and payloads go out. Pure: no socket, no clock, no task. [`handshake`] and
//! [`key`] decide who connects, [`Connection`] is what follows. Format and rules: draft-sharabayko-srt-01.

pub mod caller;
pub mod connection;
pub mod cookie;
pub mod handshake;
pub mod key;
pub mod packet;
mod receive;
mod rtt;
mod send;
pub mod sequence;
pub mod stream_id;

pub use crate::net::Outbox;
pub use connection::{Connection, End, Settings};
pub use sequence::Sequence;
