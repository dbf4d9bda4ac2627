//! What `video:` and `audio:` of a stream ask of its encoders, after it was checked.

use super::{
    codec::{AudioCodec, VideoCodec},
    encoders::Encoder,
    overlay::Overlay,
    units::{Bitrate, Fps, Size},
};

/// How video is encoded.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Video {
    pub(super) codec: VideoCodec,
    pub(super) rate: Rate,
    /// Most frames from one keyframe to the next.
    pub(super) gop: u32,
    /// `None` keeps the feed's.
    pub(super) fps: Option<Fps>,
    /// `None` keeps the feed's.
    pub(super) size: Option<Size>,
    /// Most lines; the width follows the shape of the feed's frames. Not with a size.
    pub(super) height: Option<u32>,
    /// Which encoder makes them.
    pub(super) encoder: Choice,
    /// Speed against size, if it is asked for; of x264 and x265 only.
    pub(super) preset: Option<&'static str>,
    /// GStreamer's name.
    pub(super) pixel_format: &'static str,
    /// What is written into them.
    pub(super) overlay: Option<Overlay>,
}

/// Good for 720p at 25 frames a second.
pub(super) const DEFAULT_VIDEO_BITRATE: Bitrate = Bitrate(2_000_000);

/// What an encoder holds constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rate {
    Bitrate(Bitrate),
    /// 1 to 100.
    Quality(u8),
}

/// How audio is encoded.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Audio {
    pub(super) codec: AudioCodec,
    pub(super) bitrate: Bitrate,
    /// `None` keeps the feed's.
    pub(super) channels: Option<u32>,
    /// Samples per second; `None` keeps the feed's where the codec can.
    pub(super) rate: Option<u32>,
}

/// What becomes of one track of the feed.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Track<T> {
    /// Muxed as it is.
    Copy,
    Drop,
    Encode(T),
}

impl Rate {
    /// The bitrate, also for an encoder that holds no quality.
    pub(super) fn bitrate(self) -> Bitrate {
        match self {
            Self::Bitrate(bitrate) => bitrate,
            Self::Quality(_) => DEFAULT_VIDEO_BITRATE,
        }
    }
}

/// Which encoder is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    /// The first that works here, hardware before software.
    Auto,
    /// The first in software that works here.
    Software,
    /// This one.
    Only(&'static Encoder),
}
