//! RTMP: encoders publish, players play.
//!
//! [`wire`] is the protocol (pure), [`listener`] accepts connections and follows the configuration, [`session`] serves one
//! [`connection`], [`publish`] and [`play`] are what it is for once a client has said so. Bodies of messages are those of FLV tags: what comes is taken apart by the demuxer of FLV,
//! and what leaves is the ring of FLV packets, which all players share.

mod connection;
mod context;
pub mod listener;
mod play;
mod publish;
mod session;
pub mod tags;
pub mod wire;
