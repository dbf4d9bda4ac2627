//! The pushes of a stream, as the state reports them.

use crate::engine::push_status::PushFacts;
use serde::Serialize;

/// A push.
#[derive(Debug, Serialize)]
pub struct Push {
    /// Its target, without secrets.
    pub to: String,
    /// The protocol.
    pub protocol: &'static str,
    /// `waiting`, `connecting`, `established`, `backoff`, `unsupported` or `stopped`.
    pub state: &'static str,
    /// When that began.
    since: String,
    /// Why it is not established.
    pub error: Option<String>,
    /// Connections that were established.
    pub connections: u64,
    /// Connections that could not be established, or that the target ended.
    pub failures: u64,
    /// Bytes that the target took.
    pub bytes: u64,
    /// Times that the target was too slow and lost data.
    pub gaps: u64,
    /// Packets that it lost.
    pub lost_packets: u64,
}

impl Push {
    /// The state of a push.
    pub fn of(facts: PushFacts) -> Self {
        let PushFacts { to, protocol, state, since, error, connections, failures, bytes, gaps, lost } = facts;
        let time = jiff::Timestamp::try_from(since);
        Self {
            to,
            protocol,
            state: state.name(),
            since: time.map(|time| format!("{time:.3}")).unwrap_or_default(),
            error,
            connections,
            failures,
            bytes,
            gaps,
            lost_packets: lost,
        }
    }
}
