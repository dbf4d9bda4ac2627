//! The log's line about one request.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

/// One request from its first byte to its last; logged when dropped, so that every way out is counted once.
#[derive(Debug)]
pub struct Visit {
    peer: SocketAddr,
    method: String,
    target: String,
    began: Instant,
    /// The answer's status code.
    pub status: u16,
    /// Bytes of the answer's body that were handed to the connection.
    pub bytes: u64,
    /// Times that data was lost because the client was slow.
    pub gaps: u64,
    /// Why it ended.
    pub reason: &'static str,
}

/// Longest request target that is logged whole.
const TARGET: usize = 256;

impl Visit {
    /// A request that begins now.
    pub fn new(peer: SocketAddr, method: &http::Method, uri: &http::Uri) -> Self {
        let target = uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str);
        let target = target.chars().take(TARGET).collect();
        // Until somebody knows better: the connection was dropped with the answer unfinished.
        let reason = "client left";
        Self { peer, method: method.to_string(), target, began: Instant::now(), status: 0, bytes: 0, gaps: 0, reason }
    }

    /// How long it has lasted.
    pub fn age(&self) -> Duration {
        self.began.elapsed()
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let Self { peer, method, target, status, bytes, gaps, reason, .. } = self;
        let seconds = format!("{:.3}", self.began.elapsed().as_secs_f64());
        tracing::info!(%peer, method, path = target, status, bytes, seconds, gaps, reason, "request");
    }
}
