//! Statistics of a stream, with the field names of `/stat.json`.

use crate::{
    stream::{StreamStats, ViewerStats, Viewers},
    telemetry::Figures,
};
use jiff::Timestamp;
use serde::Serialize;
use std::time::{Duration, Instant, SystemTime};

/// What a stream has produced.
#[derive(Debug, Default, Serialize)]
pub struct WriteStats {
    /// Packets so far; unknown for a stream that is started for each request.
    pub packets: Option<u64>,
    /// Bytes so far.
    pub bytes: Option<u64>,
    /// Join points among the packets.
    pub join_points: Option<u64>,
    gop_seconds: Option<f64>,
    /// Over the last seconds.
    pub bit_rate: Option<u64>,
    /// Time since the last packet.
    pub idle_seconds: Option<f64>,
    /// From the capture of media to its packet.
    pub capture_latency: Latency,
}

/// The quantiles of a latency.
#[derive(Debug, Default, Serialize)]
pub struct Latency {
    p50_seconds: Option<f64>,
    p99_seconds: Option<f64>,
    max_seconds: Option<f64>,
    /// The complete histogram.
    #[serde(skip)]
    pub figures: Figures,
}

/// The viewers of a stream.
#[derive(Debug, Serialize)]
pub struct ViewersStatus {
    /// Now.
    pub readers: usize,
    /// So far.
    pub readers_ever: u64,
    /// Bytes that their connections accepted.
    pub bytes_out: u64,
    /// Times that a viewer lagged and lost data.
    pub gaps: u64,
    /// Packets that viewers lost.
    pub lost_packets: u64,
    /// Times that a viewer was reduced to keyframes.
    pub reductions: u64,
    /// Viewers that get keyframes only, now.
    pub reduced_readers: usize,
    /// Viewers that were dropped because they made no progress.
    pub dropped_readers: u64,
    /// Viewers that left, by the reason that the log has.
    #[serde(skip)]
    pub ended: Vec<(&'static str, u64)>,
    /// The latency that the server adds.
    pub latency: Latency,
    /// From the request of a viewer to its first bytes.
    pub first_bytes: Latency,
}

impl WriteStats {
    /// From the meter of the stream.
    pub(super) fn of(reading: StreamStats) -> Self {
        Self {
            packets: Some(reading.packets),
            bytes: Some(reading.bytes),
            join_points: Some(reading.joins),
            gop_seconds: reading.group.map(seconds),
            bit_rate: reading.bit_rate,
            idle_seconds: reading.idle.map(seconds),
            capture_latency: Latency::of(reading.captured),
        }
    }
}

impl Latency {
    fn of(figures: Figures) -> Self {
        let micros = |time: Duration| (time.as_secs_f64() * 1e6).round() / 1e6;
        Self {
            p50_seconds: figures.median.map(micros),
            p99_seconds: figures.p99.map(micros),
            max_seconds: figures.longest.map(micros),
            figures,
        }
    }
}

impl ViewersStatus {
    /// From the viewers of the stream.
    pub(super) fn of(viewers: &Viewers) -> Self {
        let ViewerStats { now, ever, reduced, dropped, progress } = viewers.stats();
        let waits = viewers.waits(Instant::now());
        Self {
            readers: now,
            readers_ever: ever,
            bytes_out: progress.bytes,
            gaps: progress.gaps,
            lost_packets: progress.lost,
            reductions: progress.reductions,
            reduced_readers: reduced,
            dropped_readers: dropped,
            ended: viewers.ended(),
            latency: Latency::of(waits.media),
            first_bytes: Latency::of(waits.beginning),
        }
    }
}

/// A time as in RFC 3339, in UTC, to the millisecond.
pub fn rfc3339(time: SystemTime) -> String {
    Timestamp::try_from(time).map(|time| format!("{time:.3}")).unwrap_or_default()
}

/// To the millisecond.
pub(super) fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}
