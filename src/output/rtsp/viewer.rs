//! A reader of the packets of a stream, with all that counts and limits it, whatever its packets are written to.

use crate::{
    access::Pass,
    media::Packet,
    output::shard::{NO_PROGRESS, write_latency::LatencyRecorder},
    source::demand::Lease,
    stream::{Arrival, Delivery, LagAction, LagPolicy, Progress, Reader, ViewerHandle, Viewers},
    telemetry::HttpStats,
};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

/// The name of these packets in statistics.
const CONTAINER: &str = "rtp";

/// Who receives, for the log.
#[derive(Debug, Clone)]
pub struct Client {
    /// Its address.
    pub peer: SocketAddr,
    /// Its name, if it proved one.
    pub user: Option<String>,
    /// `tcp`, `tls` or `udp`.
    pub transport: &'static str,
    /// The statistics of all requests.
    pub stats: Arc<HttpStats>,
}

/// A viewer; one that leaves is logged when this is dropped.
#[derive(Debug)]
pub struct Viewer {
    reader: Reader,
    lag: LagPolicy,
    _lease: Lease,
    viewers: Viewers,
    viewer: ViewerHandle,
    pass: Pass,
    client: Client,
    stream: String,
    asked: Instant,
    started: Instant,
    progress: Progress,
    latency: LatencyRecorder,
    /// When the media came that is being written, and the begin of this viewer, on the monotonic clock.
    entered: Option<Duration>,
    since: Duration,
    /// Why it ends.
    pub reason: &'static str,
}

/// What a viewer is made of.
#[derive(Debug)]
pub struct Parts {
    /// Its place in the stream.
    pub reader: Reader,
    /// Keeps the stream running.
    pub lease: Lease,
    /// Those who receive the stream.
    pub viewers: Viewers,
    /// Ends it with its permission.
    pub pass: Pass,
    /// Who it is.
    pub client: Client,
    /// The name of the stream.
    pub stream: String,
    /// When the client asked for the stream first.
    pub asked: Instant,
}

/// What comes next.
#[derive(Debug)]
pub enum Next {
    /// A packet of the ring.
    Packet(Packet),
    /// The end, for this reason.
    End(&'static str),
}

impl Viewer {
    /// A viewer that begins at `now`, which is `since` on the monotonic clock.
    pub fn new(parts: Parts, now: Instant, since: Duration) -> Self {
        let Parts { reader, lease, viewers, pass, client, stream, asked } = parts;
        let Client { peer, transport, .. } = client;
        tracing::debug!(stream, %peer, protocol = "rtsp", transport, "viewer joined");
        let arrival = Arrival { protocol: "rtsp", user: client.user.as_deref(), peer };
        let viewer = viewers.join(arrival, Some(pass.ended_by_order()), SystemTime::now());
        Self {
            reader,
            lag: LagPolicy::default(),
            _lease: lease,
            viewers,
            viewer,
            pass,
            client,
            stream,
            asked,
            started: now,
            progress: Progress::default(),
            latency: LatencyRecorder::default(),
            entered: None,
            since,
            reason: "client left",
        }
    }

    /// The next packet; waits for it. Cancel-safe.
    pub async fn next(&mut self, now: impl Fn() -> Instant) -> Next {
        loop {
            let delivery = self.reader.next().await;
            if let Some(next) = self.take(delivery, now()) {
                return next;
            }
        }
    }

    /// The next packet, if it is there.
    pub fn try_next(&mut self, now: Instant) -> Option<Next> {
        loop {
            let delivery = self.reader.try_next()?;
            if let Some(next) = self.take(delivery, now) {
                return Some(next);
            }
        }
    }

    fn take(&mut self, delivery: Delivery, now: Instant) -> Option<Next> {
        match delivery {
            // The description, which the client has.
            Delivery::Aside(_) => None,
            Delivery::Packet(packet) => {
                self.entered = self.entered.or(packet.entered);
                Some(Next::Packet(packet))
            }
            Delivery::Gap(lost) => {
                self.progress.gaps += 1;
                self.progress.lost += lost;
                let Client { peer, .. } = self.client;
                tracing::debug!(stream = self.stream, %peer, protocol = "rtsp", lost, "viewer lagged: skipped to keyframe");
                let step = self.lag.overrun(now);
                self.apply(step);
                None
            }
            Delivery::End => Some(Next::End("stream ended")),
        }
    }

    /// Its connection took this many bytes; `is_all` of what was taken from the stream.
    pub fn sent(&mut self, bytes: u64, is_all: bool) {
        if self.progress.bytes == 0 && bytes > 0 {
            let took = self.started.elapsed();
            self.client.stats.first_byte(CONTAINER, took);
            self.viewer.played(took, self.asked, Instant::now());
        }
        self.progress.bytes += bytes;
        if is_all && let Some(entered) = self.entered.take().filter(|entered| *entered >= self.since) {
            self.latency.record(entered);
            self.latency.flush();
        }
    }

    /// Its packets waited for the client: that is no latency of the server.
    pub fn waited(&mut self) {
        self.entered = None;
    }

    /// To be called about once a second: reports the statistics; why it has to end, if it has to.
    pub fn tick(&mut self, now: Instant) -> Option<&'static str> {
        let step = self.lag.look(now);
        self.apply(step);
        self.viewer.report(self.progress);
        self.latency.report(&self.viewers, now);
        self.pass.end().reason()
    }

    /// Reduces it to keyframes, or restores the full stream.
    fn apply(&mut self, step: Option<LagAction>) {
        let Some(step) = step else { return };
        let is_reduced = step == LagAction::Reduce;
        if !self.reader.reduce(is_reduced) || is_reduced == self.progress.is_reduced {
            return;
        }
        self.progress.is_reduced = is_reduced;
        let Client { peer, .. } = self.client;
        if is_reduced {
            self.progress.reductions += 1;
            tracing::info!(stream = self.stream, %peer, protocol = "rtsp", "viewer too slow: keyframes only");
        } else {
            tracing::info!(stream = self.stream, %peer, protocol = "rtsp", "viewer recovered: full stream");
        }
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.viewer.report(self.progress);
        self.latency.report(&self.viewers, Instant::now());
        self.viewer.ended(self.reason);
        if self.reason == NO_PROGRESS {
            self.viewer.dropped();
        }
        let Self { stream, reason, client: Client { peer, user, transport, .. }, .. } = self;
        let Progress { bytes, gaps, .. } = self.progress;
        let seconds = (self.started.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
        tracing::info!(stream, %peer, user, protocol = "rtsp", transport, bytes, seconds, gaps, reason, "viewer left");
    }
}
