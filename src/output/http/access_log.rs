//! The log line of each request, and its trace where that is recorded.

use super::request_id::RequestId;
use crate::{
    access::{Pass, without_link},
    output::shard::{NO_PROGRESS, session::Account},
    stream::{Arrival, Progress, ViewerHandle, Viewers},
    telemetry::{Attribute, HttpStats, Protocol, Step, Trace, TraceId, Tracer},
};
use http::{Method, Request, StatusCode, Uri, Version, uri::PathAndQuery};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Instant, SystemTime},
};

/// The client of a request, and what the request is measured by.
#[derive(Debug, Clone)]
pub struct Client {
    /// Its address.
    pub peer: SocketAddr,
    /// For all requests.
    pub instruments: Instruments,
}

/// What requests are measured by. Clones are the same.
#[derive(Debug, Clone)]
pub struct Instruments {
    /// Counts them.
    pub stats: Arc<HttpStats>,
    /// Records the traces of some.
    pub tracer: Tracer,
}

/// The trace of a request that is recorded.
#[derive(Debug)]
struct Traced {
    trace: Trace,
    /// Between the head of a live response and its first bytes.
    waits: Option<Step>,
}

/// One request from its first byte to its last; logged when dropped, so that every outcome is logged once.
#[derive(Debug)]
pub struct RequestLog {
    client: Client,
    id: RequestId,
    /// The id of its trace: also where that is recorded by others only.
    trace: Option<TraceId>,
    /// Until what the client waits for has begun.
    traced: Option<Traced>,
    method: Method,
    /// With its secrets: see [`RequestLog::target`].
    uri: Uri,
    started: Instant,
    protocol: Protocol,
    /// The status code of the response.
    status: u16,
    /// Bytes of the body that were handed to the connection.
    pub bytes: u64,
    /// Times that the client lagged and lost data.
    gaps: u64,
    /// Lost packets.
    lost: u64,
    /// Times that it was reduced to keyframes.
    reductions: u64,
    is_reduced: bool,
    /// Why the request ended.
    pub reason: &'static str,
    /// See [`LowPriorityLog`].
    pub is_low_priority: bool,
    /// Its entry among the viewers of a stream.
    viewer: Option<ViewerHandle>,
    /// The name of the identity that made it.
    pub user: Option<String>,
    /// Ends a response that runs for longer with its permission.
    pub pass: Option<Pass>,
}

/// Marks a response that programs request every few seconds: a successful one is logged at debug level only.
#[derive(Debug, Clone, Copy)]
pub struct LowPriorityLog;

/// Longest request target that is logged whole.
const TARGET: usize = 256;

impl RequestLog {
    /// A request that starts now; `trace` is the id of its trace, and `recorded` that trace if it is recorded.
    pub fn new<B>(
        client: Client,
        id: RequestId,
        trace: Option<TraceId>,
        recorded: Option<Trace>,
        request: &Request<B>,
    ) -> Self {
        // The default: the connection was dropped before the response was complete.
        let reason = "client left";
        Self {
            client,
            id,
            trace,
            traced: recorded.map(|trace| Traced { trace, waits: None }),
            method: request.method().clone(),
            uri: request.uri().clone(),
            started: Instant::now(),
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
            is_low_priority: false,
            viewer: None,
            user: None,
            pass: None,
        }
    }

    /// The address of the client.
    pub fn peer(&self) -> SocketAddr {
        self.client.peer
    }

    /// The target as it is logged. Most requests of players are not, so it is not kept.
    fn target(&self) -> String {
        let target = self.uri.path_and_query().map_or("", PathAndQuery::as_str);
        without_link(target).chars().take(TARGET).collect()
    }

    /// The head of the response is ready.
    pub fn responded(&mut self, status: StatusCode) {
        self.status = status.as_u16();
        self.client.instruments.stats.responded(self.protocol, self.status, self.started.elapsed());
    }

    /// The connection takes this many bytes of a response that hyper sends.
    pub fn add(&mut self, bytes: u64) {
        self.bytes += bytes;
        if self.viewer.is_some() && self.bytes > 0 {
            self.finish_trace(None);
        }
    }

    /// The trace is complete: `reason` is why the request has ended, if it has.
    fn finish_trace(&mut self, reason: Option<&'static str>) {
        let Some(Traced { trace, waits }) = self.traced.take() else { return };
        drop(waits);
        let path = self.uri.path().chars().take(TARGET).collect::<String>();
        let version = self.protocol.name().trim_start_matches("http/");
        let mut attributes: Vec<(&'static str, Attribute)> = vec![
            ("http.request.method", self.method.to_string().into()),
            ("url.path", path.into()),
            ("http.response.status_code", u32::from(self.status).into()),
            ("network.protocol.name", "http".into()),
            ("network.protocol.version", version.into()),
            ("client.address", self.client.peer.ip().to_string().into()),
            ("voyandz.request.id", self.id.to_string().into()),
        ];
        attributes.extend(reason.map(|reason| ("voyandz.reason", reason.into())));
        trace.finish(self.method.as_str(), attributes, self.status >= 500);
    }

    /// The response is a live stream.
    pub fn joined(&mut self, viewers: &Viewers) {
        let arrival = Arrival { protocol: "http", user: self.user.as_deref(), peer: self.client.peer };
        let end = self.pass.as_ref().map(Pass::ended_by_order);
        self.viewer = Some(viewers.join(arrival, end, SystemTime::now()));
        if let Some(Traced { trace, waits }) = &mut self.traced {
            *waits = Some(trace.step("wait for first byte"));
        }
    }
}

impl Account for RequestLog {
    fn withdrawn(&self) -> Option<&'static str> {
        self.pass.as_ref()?.end().reason()
    }

    fn sent(&mut self, bytes: u64, container: &dyn Fn() -> &'static str) {
        if self.bytes == 0 {
            let took = self.started.elapsed();
            self.client.instruments.stats.first_byte(container(), took);
            if let Some(viewer) = &self.viewer {
                viewer.began(took, Instant::now());
            }
            self.finish_trace(None);
        }
        self.bytes += bytes;
    }

    fn lagged(&mut self, packets: u64) {
        self.gaps += 1;
        self.lost += packets;
        let (peer, id) = (self.client.peer, &self.id);
        tracing::debug!(%peer, %id, lost = packets, "viewer lagged: skipped to keyframe");
    }

    fn reduced(&mut self, is_reduced: bool) {
        self.is_reduced = is_reduced;
        let (peer, id, path) = (self.client.peer, &self.id, self.target());
        if is_reduced {
            self.reductions += 1;
            tracing::info!(%peer, %id, path, "viewer too slow: keyframes only");
        } else {
            tracing::info!(%peer, %id, path, "viewer recovered: full stream");
        }
    }

    fn is_reduced(&self) -> bool {
        self.is_reduced
    }

    fn report(&mut self) {
        let Self { bytes, gaps, lost, reductions, is_reduced, .. } = *self;
        if let Some(viewer) = &mut self.viewer {
            viewer.report(Progress { bytes, gaps, lost, reductions, is_reduced });
        }
    }
}

impl Drop for RequestLog {
    fn drop(&mut self) {
        self.report();
        if let Some(viewer) = &self.viewer {
            viewer.ended(self.reason);
            if self.reason == NO_PROGRESS {
                viewer.dropped();
            }
        }
        self.finish_trace(Some(self.reason));
        let is_low_priority = self.is_low_priority && self.status < 400;
        // Thousands a second, whose line nobody reads.
        if is_low_priority && !tracing::enabled!(tracing::Level::DEBUG) {
            return;
        }
        let (trace, target) = (self.trace.map(tracing::field::display), self.target());
        let Self { client: Client { peer, .. }, id, method, status, bytes, gaps, reason, user, .. } = self;
        let (method, user) = (method.as_str(), user.as_deref());
        let seconds = (self.started.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
        if is_low_priority {
            tracing::debug!(%peer, user, %id, trace, method, path = target, status, bytes, seconds, gaps, reason, "request");
        } else {
            tracing::info!(%peer, user, %id, trace, method, path = target, status, bytes, seconds, gaps, reason, "request");
        }
    }
}
