//! A live response over HTTP/1 on its way through a shard: what is left of the protocol then.

use super::access_log::RequestLog;
use crate::output::shard::session::{Account, Session};

/// Most bytes that a client may send. The connection closes after a live response, so there is nothing to send.
const MAX_RECEIVED: usize = 64 << 10;
/// The last chunk of a body (RFC 9112, section 7.1).
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// A response whose head is sent.
#[derive(Debug)]
pub struct LiveSession {
    log: RequestLog,
    /// Whether the body is sent in chunks.
    chunked: bool,
    received: usize,
}

impl LiveSession {
    /// A response whose body is sent in chunks (HTTP/1.1), or ends with the connection (HTTP/1.0).
    pub const fn new(log: RequestLog, chunked: bool) -> Self {
        Self { log, chunked, received: 0 }
    }
}

impl Session for LiveSession {
    fn account(&mut self) -> &mut dyn Account {
        &mut self.log
    }

    fn receive(&mut self, bytes: &[u8], _: &mut Vec<u8>) -> Result<(), &'static str> {
        self.received += bytes.len();
        if self.received > MAX_RECEIVED { Err("client sends too much") } else { Ok(()) }
    }

    fn may_half_close(&self) -> bool {
        true
    }

    fn end(&mut self, _: &'static str, out: &mut Vec<u8>) {
        if self.chunked {
            out.extend_from_slice(LAST_CHUNK);
        }
    }

    fn closed(&mut self, reason: &'static str) {
        self.log.reason = reason;
    }
}
