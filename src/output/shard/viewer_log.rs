//! What is counted and logged of a viewer whose protocol has no log of requests.

use super::{NO_PROGRESS, session::Account};
use crate::{
    access::Pass,
    stream::{Arrival, Progress, ViewerHandle, Viewers},
    telemetry::HttpStats,
};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Instant, SystemTime},
};

/// Who a viewer is, and what it receives.
#[derive(Debug)]
pub struct Identified {
    /// `rtmp` or `rtsp`.
    pub protocol: &'static str,
    /// `tcp`, `tls` or `udp`, where the protocol has several.
    pub transport: Option<&'static str>,
    /// Its address.
    pub peer: SocketAddr,
    /// Its name, if it proved one.
    pub user: Option<String>,
    /// The path that it asked for, where that is not the name of the stream.
    pub path: Option<String>,
    /// The name of the stream.
    pub stream: String,
    /// When it asked for the stream first.
    pub asked: Instant,
    /// Ends it with its permission.
    pub pass: Pass,
}

/// A viewer; one that leaves is logged when this is dropped.
#[derive(Debug)]
pub struct ViewerLog {
    who: Identified,
    viewer: ViewerHandle,
    progress: Progress,
    began: Instant,
    stats: Arc<HttpStats>,
    /// Why it ends.
    pub reason: &'static str,
}

impl ViewerLog {
    /// One that joins these viewers now.
    pub fn new(who: Identified, viewers: &Viewers, stats: Arc<HttpStats>) -> Self {
        let Identified { protocol, transport, peer, ref user, ref stream, ref pass, .. } = who;
        tracing::debug!(stream, %peer, user, protocol, transport, "viewer joined");
        let arrival = Arrival { protocol, user: user.as_deref(), peer };
        let viewer = viewers.join(arrival, Some(pass.ended_by_order()), SystemTime::now());
        let (progress, began) = (Progress::default(), Instant::now());
        Self { who, viewer, progress, began, stats, reason: "client left" }
    }
}

impl Account for ViewerLog {
    fn withdrawn(&self) -> Option<&'static str> {
        self.who.pass.end().reason()
    }

    fn sent(&mut self, bytes: u64, container: &dyn Fn() -> &'static str) {
        if self.progress.bytes == 0 && bytes > 0 {
            let took = self.began.elapsed();
            self.stats.first_byte(container(), took);
            self.viewer.played(took, self.who.asked, Instant::now());
        }
        self.progress.bytes += bytes;
    }

    fn lagged(&mut self, packets: u64) {
        self.progress.gaps += 1;
        self.progress.lost += packets;
        let Identified { protocol, peer, stream, .. } = &self.who;
        tracing::debug!(stream, %peer, protocol, lost = packets, "viewer lagged: skipped to keyframe");
    }

    fn is_reduced(&self) -> bool {
        self.progress.is_reduced
    }

    fn reduced(&mut self, is_reduced: bool) {
        self.progress.is_reduced = is_reduced;
        let Identified { protocol, peer, stream, .. } = &self.who;
        if is_reduced {
            self.progress.reductions += 1;
            tracing::info!(stream, %peer, protocol, "viewer too slow: keyframes only");
        } else {
            tracing::info!(stream, %peer, protocol, "viewer recovered: full stream");
        }
    }

    fn report(&mut self) {
        self.viewer.report(self.progress);
    }
}

impl Drop for ViewerLog {
    fn drop(&mut self) {
        self.report();
        self.viewer.ended(self.reason);
        if self.reason == NO_PROGRESS {
            self.viewer.dropped();
        }
        let seconds = (self.began.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
        let Identified { protocol, transport, peer, user, path, stream, .. } = &self.who;
        let Self { progress: Progress { bytes, gaps, .. }, reason, .. } = self;
        tracing::info!(stream, %peer, user, protocol, transport, path, bytes, seconds, gaps, reason, "viewer left");
    }
}
