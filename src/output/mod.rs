//! How streams leave, and how publishers bring them: one folder for each protocol, and `publish` for what those that bring share.

pub mod hls;
pub mod http;
pub mod publish;
pub mod push;
pub mod record;
pub mod rtmp;
pub mod rtsp;
pub mod srt;
pub mod webrtc;
