//! What is counted and measured of a stream, as the pages of the state have it.

use crate::{
    stream::{Attendance, Audience, Reading},
    telemetry::Figures,
};
use serde::Serialize;
use std::time::{Duration, Instant};

/// What was made of a stream.
#[derive(Debug, Default, Serialize)]
pub struct Made {
    /// Packets so far; unknown of what is made for each request.
    pub packets: Option<u64>,
    /// Bytes so far.
    pub bytes: Option<u64>,
    /// Join points among the packets.
    pub join_points: Option<u64>,
    gop_seconds: Option<f64>,
    /// Measured over the last seconds.
    pub bit_rate: Option<u64>,
    /// Since the last packet.
    pub idle_seconds: Option<f64>,
    /// From the capture of media to the packet that it is in.
    pub capture_latency: Latency,
}

/// How long something takes.
#[derive(Debug, Default, Serialize)]
pub struct Latency {
    p50_seconds: Option<f64>,
    p99_seconds: Option<f64>,
    max_seconds: Option<f64>,
    /// The whole of it.
    #[serde(skip)]
    pub figures: Figures,
}

/// Those who watch a stream.
#[derive(Debug, Serialize)]
pub struct Watched {
    /// Now.
    pub readers: usize,
    /// So far.
    pub readers_ever: u64,
    /// Bytes that their connections took.
    pub bytes_out: u64,
    /// Times that one of them lost data.
    pub gaps: u64,
    /// Packets that they lost.
    pub lost_packets: u64,
    /// Times that one of them was reduced to join points.
    pub reductions: u64,
    /// Those that get join points only, now.
    pub reduced_readers: usize,
    /// Sent away, because they took nothing.
    pub dropped_readers: u64,
    /// What the server adds.
    pub latency: Latency,
    /// From a viewer's request to the first bytes that it took.
    pub first_bytes: Latency,
}

impl Made {
    /// As it is counted.
    pub(super) fn of(reading: Reading) -> Self {
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

impl Watched {
    /// As they are counted.
    pub(super) fn of(audience: &Audience) -> Self {
        let Attendance { now, ever, reduced, dropped, progress } = audience.attendance();
        let waits = audience.waits(Instant::now());
        Self {
            readers: now,
            readers_ever: ever,
            bytes_out: progress.bytes,
            gaps: progress.gaps,
            lost_packets: progress.lost,
            reductions: progress.reductions,
            reduced_readers: reduced,
            dropped_readers: dropped,
            latency: Latency::of(waits.media),
            first_bytes: Latency::of(waits.beginning),
        }
    }
}

/// To the millisecond.
pub(super) fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}
