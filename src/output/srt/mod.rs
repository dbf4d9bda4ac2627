//! SRT: streams in MPEG-TS over UDP, without loss at the latency that both sides agree on.
//!
//! [`SrtListener`] is a port: one thread (`event_loop`) with one socket for all connections. The protocol is [`wire`].
//! A handshake that holds its cookie goes to a task (`admission`), which finds out what is asked for and who asks; a
//! `session` is what was accepted: `play` takes packets from the ring of a stream, as viewers of HTTP do, `publish` hands payloads to the slot of a feed.

mod admission;
mod context;
mod datagrams;
mod event_loop;
mod listener;
mod log;
mod play;
mod publish;
mod session;
mod target;

use crate::link::srt::wire;

pub use context::{Deployed, Services};
pub use listener::{Bound, SrtListener};
