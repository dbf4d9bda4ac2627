//! RTMP: a connection to a server, and the protocol of both sides.
//!
//! [`wire`] is the protocol (pure), [`connection`] opens a connection and publishes or plays.

pub mod connection;
pub mod wire;

pub use connection::Connection;
