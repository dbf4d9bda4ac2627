//! WebRTC: browsers get a stream by WHEP (draft-ietf-wish-whep), with the least delay that they can have, and publish one by WHIP
//! (RFC 9725).
//!
//! An offer comes over HTTP (`whep.rs`, `whip.rs`); what of the stream answers it is decided in `negotiation.rs`. All sessions share one UDP port
//! (`listener.rs`): a thread receives and finds the session of each datagram (`mux.rs`), and the threads of shards (`event_loop.rs`, what comes
//! waits in `shard.rs`) hold the sessions (`session.rs`), read their streams (`play.rs`) and send. No task and no thread of its own for a viewer; nothing of a viewer
//! is ever waited for.

pub mod announce;
pub mod bridge;
pub mod candidates;
pub mod channels;
pub mod directory;
pub mod event_loop;
mod events;
pub mod exchange;
pub mod fragment;
pub mod hooked;
pub mod ingest;
pub mod keyframes;
pub mod keys;
pub mod layer;
pub mod layers;
pub mod listener;
pub mod member;
pub mod mux;
pub mod negotiation;
pub mod opened;
pub mod play;
pub mod sdp;
pub mod send;
pub mod sender;
pub mod session;
pub mod shard;
pub mod srtp;
pub mod state;
pub mod switching;
pub mod table;
pub mod tcp;
pub mod viewer;
pub mod whep;
pub mod whip;

pub use listener::WebRtc;
