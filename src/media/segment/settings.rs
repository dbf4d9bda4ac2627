//! How long segments and parts are, and how much is kept.

use std::{num::NonZeroU32, time::Duration};

/// How far from the end low-latency players are to be: so many parts, and no less than so many milliseconds. HLS wants three parts
/// (RFC 8216bis, section 4.4.3.8); with one more, a part that the network delays does not stall them.
const PARTS: u64 = 4;
const LEAST: u64 = 800;

/// How far from the end low-latency players are to be, in milliseconds, where parts are so many milliseconds long.
pub(super) fn low_latency_delay(part: u64) -> u64 {
    (PARTS * part).max(LEAST)
}

/// The settings of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// A segment ends with the first keyframe after this time. The encoder is asked for one then.
    pub segment: Duration,
    /// A part is as many frames as come closest to this time.
    pub part: Duration,
    /// How much of the past playlists list.
    pub window: Duration,
    /// Most bytes that are kept; older segments are dropped before their time.
    pub max_bytes: usize,
    /// Whether playlists list parts (LL-HLS).
    pub has_parts: bool,
    /// How much of the past playlists list where segments that are dropped can be had from recordings.
    pub dvr: Option<Duration>,
    /// Segments are encrypted, so many of them with one key.
    pub encrypt: Option<NonZeroU32>,
}

impl Settings {
    /// Without other settings: segments of 2 s, parts of 0.2 s, a window of 30 s.
    pub const DEFAULT: Self = Self {
        segment: Duration::from_secs(2),
        part: Duration::from_millis(200),
        window: Duration::from_secs(30),
        max_bytes: 128 << 20,
        has_parts: true,
        dvr: None,
        encrypt: None,
    };
}

impl Default for Settings {
    fn default() -> Self {
        Self::DEFAULT
    }
}
