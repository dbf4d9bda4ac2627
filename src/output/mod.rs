//! How streams leave: one folder for each protocol.

pub mod hls;
pub mod http;
pub mod rtsp;
