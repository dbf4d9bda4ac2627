//! RTMP: encoders publish, players play.
//!
//! The protocol is in [`crate::link::rtmp::wire`] (pure). [`listener`] accepts connections and follows the configuration, [`session`] serves one
//! [`connection`], [`publish`] and [`play`] are what it is for once a client has said so. Bodies of messages are those of FLV tags: the demuxer of FLV reads what comes,
//! and what leaves is the ring of FLV packets, which all players share.

mod connection;
mod context;
pub mod listener;
mod play;
mod publish;
mod session;
pub mod tags;
