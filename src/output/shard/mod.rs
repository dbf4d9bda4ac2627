//! The threads that write live packets to sockets of TCP, whatever protocol their viewers speak.
//!
//! A viewer comes here when its protocol has said all that is before the first packet: [`pool`] has the threads, [`viewer`] is one
//! viewer, [`socket`] its socket and `encrypted` the session of TLS over it, [`session`] what its protocol does beside the packets, and
//! [`viewer_log`] what is counted of it. [`subscription`] yields the next packet, also to those that write elsewhere, and
//! [`write_latency`] measures how long media waits in the server.

mod encrypted;
pub mod pool;
pub mod session;
pub mod socket;
pub mod subscription;
pub mod viewer;
pub mod viewer_log;
pub mod write_latency;

use std::time::Duration;

/// A client that takes nothing for this long is dropped.
pub const PROGRESS_WITHIN: Duration = Duration::from_secs(10);
/// Why a connection that takes nothing for [`PROGRESS_WITHIN`] ends.
pub const NO_PROGRESS: &str = "no progress for 10 s";
/// Data that waits in the kernel for a slow client. The rest stays in the ring, where it can be skipped.
pub const UNSENT_LOW_WATER: u32 = 64 << 10;
/// How long a live connection may be silent before the kernel probes whether the client is still there.
pub const KEEPALIVE: Duration = Duration::from_secs(30);
