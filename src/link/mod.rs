//! Links to others: connections that this server opens, to send a stream or to receive a feed.
//!
//! An address of the configuration comes in; media goes out or comes in. [`rtmp`] is a client of RTMP and [`srt`] a caller of SRT; both have
//! the protocol that the listeners in `src/output/` speak as well. [`datagrams`] is MPEG-TS over UDP and RTP. [`server`] is what clients over TCP have in common. Runs in the tasks of those who
//! use it; starts none, and knows nothing of streams and feeds.

pub mod datagrams;
pub mod rtmp;
pub mod server;
pub mod srt;
