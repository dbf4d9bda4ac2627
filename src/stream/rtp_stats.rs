//! What is known of a viewer that is sent RTP and reports what it got.

use serde::{Serialize, Serializer};
use std::time::Duration;

/// Counts of a viewer since it came, by the names that browsers give them (W3C, Identifiers for WebRTC's Statistics API).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RtpStats {
    /// `udp` or `tcp`.
    pub protocol: &'static str,
    /// Packets of media, those that were sent again not among them.
    pub packets_sent: u64,
    /// Packets that were sent again.
    pub retransmitted_packets_sent: u64,
    /// Reports of lost packets.
    pub nack_count: u64,
    /// Requests of a keyframe because of a lost frame.
    pub pli_count: u64,
    /// Other requests of a keyframe.
    pub fir_count: u64,
    /// Lost packets as the viewer counts them.
    pub packets_lost: i64,
    /// How long a packet takes there and back, by the newest report, in seconds.
    #[serde(serialize_with = "seconds")]
    pub round_trip_time: Option<Duration>,
    /// How unevenly the packets of video arrive, by the newest report, in seconds.
    #[serde(serialize_with = "seconds")]
    pub jitter: Option<Duration>,
}

impl RtpStats {
    /// The counts that are summed up for all viewers, each with its name.
    pub fn counts(&self) -> [u64; 5] {
        let Self { packets_sent, retransmitted_packets_sent, nack_count, pli_count, fir_count, .. } = *self;
        [packets_sent, retransmitted_packets_sent, nack_count, pli_count, fir_count]
    }
}

/// Serde hands over a reference.
fn seconds<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.as_secs_f64()).serialize(serializer)
}
