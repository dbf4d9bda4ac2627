//! The log line and the statistics of one connection.

use crate::{
    access::Pass,
    output::shard::NO_PROGRESS,
    stream::{Arrival, Progress, ViewerHandle, Viewers},
    telemetry::SrtStats,
};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Instant, SystemTime},
};

use super::wire::connection::Counts;

/// Who a connection is of; what it did is logged when this is dropped.
#[derive(Debug)]
pub struct SessionLog {
    /// Its address.
    pub peer: SocketAddr,
    /// The stream, or the feed.
    pub stream: Arc<str>,
    /// Whether it sends media.
    publishes: bool,
    user: Option<String>,
    /// Ends it with its permission, where nothing else does.
    pass: Option<Pass>,
    since: Instant,
    viewer: Option<ViewerHandle>,
    has_begun: bool,
    progress: Progress,
    counts: Counts,
    stats: Arc<SrtStats>,
    /// Why it ended.
    pub reason: &'static str,
}

impl SessionLog {
    /// A connection that is accepted now.
    pub fn new(
        peer: SocketAddr,
        stream: Arc<str>,
        publishes: bool,
        user: Option<String>,
        pass: Option<Pass>,
        stats: Arc<SrtStats>,
        now: Instant,
    ) -> Self {
        if !publishes {
            tracing::debug!(stream = %stream, %peer, user, protocol = "srt", "viewer joined");
        }
        Self {
            peer,
            stream,
            publishes,
            user,
            pass,
            since: now,
            viewer: None,
            has_begun: false,
            progress: Progress::default(),
            counts: Counts::default(),
            stats,
            reason: "client left",
        }
    }

    /// It is a viewer of this stream.
    pub fn joined(&mut self, viewers: &Viewers) {
        let arrival = Arrival { protocol: "srt", user: self.user.as_deref(), peer: self.peer };
        let end = self.pass.as_ref().map(Pass::ended_by_order);
        self.viewer = Some(viewers.join(arrival, end, SystemTime::now()));
    }

    /// So many bytes were handed to the connection, or came from it.
    pub fn moved(&mut self, bytes: usize, now: Instant) {
        if !std::mem::replace(&mut self.has_begun, true)
            && let Some(viewer) = &self.viewer
        {
            viewer.played(now.saturating_duration_since(self.since), self.since, now);
        }
        self.progress.bytes += bytes as u64;
    }

    /// It lost this many packets of the stream.
    pub fn lagged(&mut self, packets: u64) {
        self.progress.gaps += 1;
        self.progress.lost += packets;
        tracing::debug!(stream = %self.stream, peer = %self.peer, lost = packets, "viewer lagged: skipped to keyframe");
    }

    /// From now on it gets keyframes only, or the full stream.
    pub fn reduced(&mut self, is_reduced: bool) {
        self.progress.is_reduced = is_reduced;
        let (stream, peer) = (&self.stream, self.peer);
        if is_reduced {
            self.progress.reductions += 1;
            tracing::info!(%stream, %peer, "viewer too slow: keyframes only");
        } else {
            tracing::info!(%stream, %peer, "viewer recovered: full stream");
        }
    }

    /// Whether it gets keyframes only.
    pub fn is_reduced(&self) -> bool {
        self.progress.is_reduced
    }

    /// Why its permission has ended, if it has.
    pub fn withdrawn(&self) -> Option<&'static str> {
        self.pass.as_ref()?.end().reason()
    }

    /// Updates the statistics.
    pub fn report(&mut self, counts: Counts) {
        let Counts { received, sent, .. } = counts;
        let before = std::mem::replace(&mut self.counts, counts);
        let stats = &self.stats;
        stats.moved(&[
            received.packets - before.received.packets,
            received.lost - before.received.lost,
            sent.packets - before.sent.packets,
            sent.resent - before.sent.resent,
            sent.dropped - before.sent.dropped,
        ]);
        if let Some(viewer) = &mut self.viewer {
            viewer.report(self.progress);
        }
    }
}

impl Drop for SessionLog {
    fn drop(&mut self) {
        if let Some(viewer) = &mut self.viewer {
            viewer.report(self.progress);
            viewer.ended(self.reason);
            if self.reason == NO_PROGRESS {
                viewer.dropped();
            }
        }
        let Self { peer, stream, user, reason, progress: Progress { bytes, gaps, .. }, counts, .. } = self;
        let seconds = (self.since.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
        let (rtt_ms, rekeyed) = (counts.rtt.as_millis() as u64, counts.rekeyed);
        if self.publishes {
            let (lost, missed) = (counts.received.lost, counts.received.missed);
            // The slot of the feed has the line of the publisher.
            tracing::info!(feed = %stream, %peer, user, protocol = "srt", bytes, seconds, missed, lost, rekeyed, rtt_ms, reason, "connection ended");
        } else {
            let resent = counts.sent.resent;
            tracing::info!(%stream, %peer, user, protocol = "srt", bytes, seconds, gaps, resent, rekeyed, rtt_ms, reason, "viewer left");
        }
    }
}
