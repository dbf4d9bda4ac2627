//! What is known of the tracks of a rendition.

use super::codec::CodecParameters;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Number of a track within its rendition. A track keeps it while the rendition exists, whatever its parameters become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TrackId(pub u8);

/// Whether a track is seen or heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaKind {
    /// Video, motion JPEG included.
    Video,
    /// Audio.
    Audio,
}

/// Size and rate of the frames of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// Of a video track.
    Video(VideoShape),
    /// Of an audio track.
    Audio(AudioShape),
}

/// Size and rate of the frames of a video track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VideoShape {
    /// Pixels of the visible part; 0 when unknown.
    pub width: u32,
    /// Pixels of the visible part; 0 when unknown.
    pub height: u32,
    /// Width and height of a pixel; `(1, 1)` when unknown.
    pub pixel_aspect: (u32, u32),
    /// Frames a second as a fraction, if the source says so.
    pub frame_rate: Option<(u32, u32)>,
}

/// Rate and channels of an audio track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioShape {
    /// Samples a second of each channel, as they leave the decoder.
    pub rate: u32,
    /// Number of channels, as they leave the decoder.
    pub channels: u16,
}

/// One track: how its samples are coded, and what they show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackInfo {
    /// Which track.
    pub id: TrackId,
    /// Codec and parameter sets.
    pub codec: CodecParameters,
    /// Size and rate; its kind is that of the codec.
    pub shape: Shape,
}

impl TrackInfo {
    /// Whether it is seen or heard.
    pub fn kind(&self) -> MediaKind {
        match self.shape {
            Shape::Video(_) => MediaKind::Video,
            Shape::Audio(_) => MediaKind::Audio,
        }
    }

    /// Its size, for a video track.
    pub fn video(&self) -> Option<&VideoShape> {
        match &self.shape {
            Shape::Video(shape) => Some(shape),
            Shape::Audio(_) => None,
        }
    }

    /// Its rate, for an audio track.
    pub fn audio(&self) -> Option<&AudioShape> {
        match &self.shape {
            Shape::Audio(shape) => Some(shape),
            Shape::Video(_) => None,
        }
    }
}

/// All tracks of a rendition. Immutable: a change is a new set, in order with the samples. Clones share it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TrackSet(Arc<[TrackInfo]>);

impl TrackSet {
    /// A set of these tracks, in order of preference among those of one kind.
    pub fn new(tracks: Vec<TrackInfo>) -> Self {
        Self(tracks.into())
    }

    /// All tracks.
    pub fn tracks(&self) -> &[TrackInfo] {
        &self.0
    }

    /// The track with this number.
    pub fn get(&self, id: TrackId) -> Option<&TrackInfo> {
        self.0.iter().find(|track| track.id == id)
    }

    /// The track whose sync samples are where readers begin: the first video track, else the first one.
    pub fn lead(&self) -> Option<&TrackInfo> {
        lead(&self.0)
    }

    /// The codecs as the `codecs` parameter of media types lists them (RFC 6381); `None` when one has no such name.
    pub fn codec_strings(&self) -> Option<String> {
        codec_strings(&self.0)
    }
}

/// The track that leads these: the first video track, else the first one.
pub fn lead(tracks: &[TrackInfo]) -> Option<&TrackInfo> {
    tracks.iter().find(|track| track.kind() == MediaKind::Video).or(tracks.first())
}

/// The codecs of these tracks as the `codecs` parameter of media types lists them (RFC 6381): `avc1.42c01e, mp4a.40.2`.
/// `None` when one has no such name, as half a list is worse than none, and when there are no tracks.
pub fn codec_strings(tracks: &[TrackInfo]) -> Option<String> {
    let names: Option<Vec<String>> = tracks.iter().map(|track| track.codec.codec_string()).collect();
    names.filter(|names| !names.is_empty()).map(|names| names.join(", "))
}
