//! The containers a stream can have, and how the outside world names them.

use std::fmt;

/// A container format that viewers can be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Container {
    /// MPEG transport stream (ISO/IEC 13818-1).
    Ts,
    /// WebM: the subset of Matroska that browsers play.
    Webm,
    /// Matroska (RFC 9559).
    Mkv,
    /// Ogg (RFC 3533) with any codec.
    Ogg,
    /// Flash video, also of Enhanced RTMP.
    Flv,
    /// MP4 in fragments (ISO/IEC 14496-12, section 8.8).
    Mp4,
    /// MP3 frames.
    Mp3,
    /// AAC frames in ADTS.
    Aac,
    /// FLAC frames after their metadata (RFC 9639).
    Flac,
    /// WAV: samples as they are.
    Wav,
    /// JPEG frames as `multipart/x-mixed-replace`, for `<img>`.
    Mjpeg,
    /// AVI files ([`super::avi`]), of recordings only: their index comes at the end. It is not in [`Container::ALL`].
    Avi,
    /// RTP payloads for WebRTC sessions, which no viewer gets as bytes: see [`super::webrtc`]. It is not in [`Container::ALL`].
    WebRtc,
    /// Anything else: bytes pass through untouched, nothing is known of headers and join points.
    Raw,
    /// RTP packets as RTSP interleaves them ([`rtp::Muxer`](super::rtp::Muxer)). No stream is configured with it.
    Rtp,
}

impl Container {
    /// Every container that viewers may get as bytes, for tables, help texts and tests.
    pub const ALL: [Self; 12] = [
        Self::Ts,
        Self::Webm,
        Self::Mkv,
        Self::Ogg,
        Self::Flv,
        Self::Mp4,
        Self::Mp3,
        Self::Aac,
        Self::Flac,
        Self::Wav,
        Self::Mjpeg,
        Self::Raw,
    ];

    /// The name in the configuration, which is also the usual file name extension.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ts => "ts",
            Self::Webm => "webm",
            Self::Mkv => "mkv",
            Self::Ogg => "ogg",
            Self::Flv => "flv",
            Self::Mp4 => "mp4",
            Self::Mp3 => "mp3",
            Self::Aac => "aac",
            Self::Flac => "flac",
            Self::Wav => "wav",
            Self::Mjpeg => "mjpeg",
            Self::Avi => "avi",
            Self::WebRtc => "webrtc",
            Self::Raw => "raw",
            Self::Rtp => "rtp",
        }
    }

    /// The container with this configuration name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|container| container.name() == name)
    }

    /// The container that a path's file name extension stands for, if it is one we know.
    pub fn from_extension(path: &str) -> Option<Self> {
        let (_, extension) = path.rsplit('/').next()?.rsplit_once('.')?;
        match extension.to_ascii_lowercase().as_str() {
            "ts" => Some(Self::Ts),
            "webm" => Some(Self::Webm),
            "mkv" | "mka" => Some(Self::Mkv),
            "ogg" | "oga" | "ogv" | "opus" => Some(Self::Ogg),
            "flv" => Some(Self::Flv),
            "mp4" | "m4v" | "m4a" => Some(Self::Mp4),
            "mp3" => Some(Self::Mp3),
            "aac" => Some(Self::Aac),
            "flac" => Some(Self::Flac),
            "wav" => Some(Self::Wav),
            "mjpeg" | "mjpg" | "mpjpeg" => Some(Self::Mjpeg),
            _ => None,
        }
    }

    /// The media type sent to viewers when the configuration names none.
    pub const fn mimetype(self) -> &'static str {
        match self {
            Self::Ts => "video/mp2t",
            Self::Webm => "video/webm",
            Self::Mkv => "video/x-matroska",
            Self::Ogg => "application/ogg",
            Self::Flv => "video/x-flv",
            Self::Mp4 => "video/mp4",
            Self::Mp3 => "audio/mpeg",
            Self::Aac => "audio/aac",
            Self::Flac => "audio/flac",
            Self::Wav => "audio/wav",
            Self::Mjpeg => "multipart/x-mixed-replace; boundary=voyandz",
            Self::Avi => "video/x-msvideo",
            Self::WebRtc | Self::Raw | Self::Rtp => "application/octet-stream",
        }
    }

    /// Whether headers and join points of this container are known.
    pub const fn is_joinable(self) -> bool {
        !matches!(self, Self::Raw)
    }
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_extensions_lead_back_to_the_container() {
        for container in Container::ALL {
            assert_eq!(Container::from_name(container.name()), Some(container));
        }
        assert_eq!(Container::from_extension("/a/cam 0.TS"), Some(Container::Ts));
        assert_eq!(Container::from_extension("/a.ts/cam"), None);
        assert_eq!(Container::from_extension("cam0"), None);
    }
}
