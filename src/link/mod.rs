//! Links to others: connections that this server opens, to send a stream or to receive a feed.
//!
//! An address of the configuration comes in; payloads go out or come in. [`srt`] is a caller of SRT, and has the protocol that its listener
//! in `src/output/srt/` speaks as well; [`datagrams`] is MPEG-TS over UDP and RTP. Runs in the tasks of those who use it; starts none, and knows nothing of streams and feeds.

pub mod datagrams;
pub mod srt;
