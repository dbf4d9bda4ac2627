//! The log's line about one request.

use super::{request_id::RequestId, trace::Trace};
use crate::{
    stream::{Audience, Progress, Seat},
    telemetry::{Protocol, Traffic},
};
use http::{Request, StatusCode, Version};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

/// Who asks, and what is to count it.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// Its address.
    pub peer: SocketAddr,
    /// What all ask for.
    pub traffic: Arc<Traffic>,
}

/// One request from its first byte to its last; logged when dropped, so that every way out is counted once.
#[derive(Debug)]
pub struct Visit {
    visitor: Visitor,
    id: RequestId,
    trace: Option<Trace>,
    method: String,
    target: String,
    began: Instant,
    protocol: Protocol,
    /// The answer's status code.
    status: u16,
    /// Bytes of the answer's body that were handed to the connection.
    pub bytes: u64,
    /// Times that data was lost because the client was slow.
    gaps: u64,
    /// Packets that were lost.
    lost: u64,
    /// Times that it was reduced to join points.
    reductions: u64,
    is_reduced: bool,
    /// Why it ended.
    pub reason: &'static str,
    /// See [`Polled`].
    pub is_polled: bool,
    /// Its place among the viewers of a stream.
    seat: Option<Seat>,
}

/// Marks an answer that programs ask for every few seconds: one that is well is worth a line only to who looks for it.
#[derive(Debug, Clone, Copy)]
pub struct Polled;

/// A client that takes nothing of an answer for this long is dropped.
pub const PROGRESS_WITHIN: Duration = Duration::from_secs(10);
/// The reason of that.
pub const NO_PROGRESS: &str = "no progress for 10 s";

/// Longest request target that is logged whole.
const TARGET: usize = 256;

impl Visit {
    /// A request that begins now.
    pub fn new<B>(visitor: Visitor, id: RequestId, trace: Option<Trace>, request: &Request<B>) -> Self {
        let target = request.uri().path_and_query().map_or("", http::uri::PathAndQuery::as_str);
        let target = target.chars().take(TARGET).collect();
        // Until somebody knows better: the connection was dropped with the answer unfinished.
        let reason = "client left";
        Self {
            visitor,
            id,
            trace,
            method: request.method().to_string(),
            target,
            began: Instant::now(),
            protocol: match request.version() {
                Version::HTTP_10 => Protocol::Http10,
                Version::HTTP_2 => Protocol::Http2,
                _ => Protocol::Http11,
            },
            status: 0,
            bytes: 0,
            gaps: 0,
            lost: 0,
            reductions: 0,
            is_reduced: false,
            reason,
            is_polled: false,
            seat: None,
        }
    }

    /// The head of its answer is there.
    pub fn answered(&mut self, status: StatusCode) {
        self.status = status.as_u16();
        self.visitor.traffic.answered(self.protocol, self.status, self.began.elapsed());
    }

    /// The connection took this much of a live answer, which is in such a container.
    pub fn took(&mut self, bytes: u64, container: impl FnOnce() -> &'static str) {
        if self.bytes == 0 {
            let took = self.began.elapsed();
            self.visitor.traffic.began(container(), took);
            if let Some(seat) = &self.seat {
                seat.began(took, Instant::now());
            }
        }
        self.bytes += bytes;
    }

    /// It is answered with a live stream.
    pub fn joins(&mut self, audience: &Audience) {
        self.seat = Some(audience.seat(self.visitor.peer, SystemTime::now()));
    }

    /// Data was lost because the client was slow: so many packets.
    pub fn lost(&mut self, packets: u64) {
        self.gaps += 1;
        self.lost += packets;
        let (peer, id) = (self.visitor.peer, &self.id);
        tracing::debug!(%peer, %id, lost = packets, "a slow viewer goes on at a join point");
    }

    /// From now on it gets join points only, or everything again.
    pub fn reduced(&mut self, is_reduced: bool) {
        self.is_reduced = is_reduced;
        let (peer, id, path) = (self.visitor.peer, &self.id, &self.target);
        if is_reduced {
            self.reductions += 1;
            tracing::info!(%peer, %id, path, "a viewer that is too slow gets keyframes only");
        } else {
            tracing::info!(%peer, %id, path, "a viewer that kept up gets everything again");
        }
    }

    /// Whether it gets join points only.
    pub fn is_reduced(&self) -> bool {
        self.is_reduced
    }

    /// Tells the audience how far it is.
    pub fn tell(&mut self) {
        let Self { bytes, gaps, lost, reductions, is_reduced, .. } = *self;
        if let Some(seat) = &mut self.seat {
            seat.tell(Progress { bytes, gaps, lost, reductions, is_reduced });
        }
    }

    /// How long it has lasted.
    pub fn age(&self) -> Duration {
        self.began.elapsed()
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.tell();
        if let Some(seat) = self.seat.as_ref().filter(|_| self.reason == NO_PROGRESS) {
            seat.dropped();
        }
        let trace = self.trace.as_ref().map(Trace::id);
        let Self { visitor: Visitor { peer, .. }, id, method, target, status, bytes, gaps, reason, .. } = self;
        let seconds = (self.began.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
        if self.is_polled && *status < 400 {
            tracing::debug!(%peer, %id, trace, method, path = target, status, bytes, seconds, gaps, reason, "request");
        } else {
            tracing::info!(%peer, %id, trace, method, path = target, status, bytes, seconds, gaps, reason, "request");
        }
    }
}
