//! How streams leave, and how publishers bring them: one folder for each protocol, `publish` for what those that bring share, and
//! `packets` for what those that send on share; `shard` writes to viewers over TCP, and `port` listens for those that have a port over TCP.

pub mod hls;
pub mod http;
pub mod packets;
pub mod port;
pub mod publish;
pub mod push;
pub mod record;
pub mod rtmp;
pub mod rtsp;
pub mod shard;
pub mod srt;
pub mod webrtc;
