//! A summary of a track, from its GStreamer caps. Pure.

use crate::ipc::{Track, TrackKind};
use serde::Serialize;

/// A track in the state. A field that the caps do not contain is missing.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct TrackSummary {
    /// `video`, `audio`, or `muxed` for a container as a whole.
    pub kind: &'static str,
    /// `h264`, `opus`, or `raw`.
    pub codec: String,
    /// In pixels.
    pub width: Option<u32>,
    /// In pixels.
    pub height: Option<u32>,
    /// Frames per second; 0 for a variable rate.
    pub fps: Option<f64>,
    /// In hertz.
    pub sample_rate: Option<u32>,
    /// Audio channels.
    pub channels: Option<u32>,
}

/// A summary of each of these tracks.
pub fn of(tracks: &[Track]) -> Vec<TrackSummary> {
    let kind = |track: &Track| match track.kind {
        TrackKind::Video => "video",
        TrackKind::Audio => "audio",
        TrackKind::Muxed => "muxed",
    };
    tracks.iter().map(|track| read(kind(track), &track.caps)).collect()
}

/// Reads the first structure of `caps`: `video/x-raw, format=(string)I420, width=(int)320`.
fn read(kind: &'static str, caps: &str) -> TrackSummary {
    let caps = caps.split(';').next().unwrap_or_default();
    let (media, fields) = caps.split_once(',').unwrap_or((caps, ""));
    let value = |name: &str| {
        let field = |field: &'_ str| {
            let (key, value) = field.split_once('=')?;
            (key.trim() == name).then(|| value.rsplit_once(')').map_or(value, |(_, value)| value).trim().to_owned())
        };
        fields.split(',').find_map(field)
    };
    let number = |name: &str| value(name)?.parse().ok();
    TrackSummary {
        kind,
        codec: codec(media.trim(), number("mpegversion"), number("layer")),
        width: number("width"),
        height: number("height"),
        fps: value("framerate").and_then(|rate| fraction(&rate)),
        sample_rate: number("rate"),
        channels: number("channels"),
    }
}

fn codec(media: &str, mpeg_version: Option<u32>, layer: Option<u32>) -> String {
    // The type may be followed by a memory feature.
    let media = media.split('(').next().unwrap_or_default();
    match (media, mpeg_version, layer) {
        ("audio/mpeg", Some(1), Some(layer)) => format!("mp{layer}"),
        ("audio/mpeg", Some(2 | 4), _) => "aac".to_owned(),
        ("video/mpeg", Some(version), _) => format!("mpeg{version}"),
        ("image/jpeg", ..) => "mjpeg".to_owned(),
        _ => {
            let name = media.split_once('/').map_or(media, |(_, name)| name);
            name.strip_prefix("x-").unwrap_or(name).to_owned()
        }
    }
}

fn fraction(text: &str) -> Option<f64> {
    let (count, of) = text.split_once('/')?;
    let (count, of): (f64, f64) = (count.parse().ok()?, of.parse().ok()?);
    (of > 0.0).then(|| (count / of * 1000.0).round() / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(caps: &str, codec: &str, size: Option<(u32, u32)>, fps: Option<f64>, audio: Option<(u32, u32)>) {
        let track = read("video", caps);
        assert_eq!(track.codec, codec, "{caps}");
        assert_eq!((track.width.zip(track.height), track.fps), (size, fps), "{caps}");
        assert_eq!(track.sample_rate.zip(track.channels), audio, "{caps}");
    }

    #[test]
    fn tracks_are_read_from_caps() {
        check(
            "video/x-raw, format=(string)I420, width=(int)320, height=(int)240, framerate=(fraction)25/1",
            "raw",
            Some((320, 240)),
            Some(25.0),
            None,
        );
        check("video/x-raw(memory:DMABuf), width=(int)8, height=(int)4", "raw", Some((8, 4)), None, None);
        check("image/jpeg, framerate=(fraction)30000/1001; video/x-raw", "mjpeg", None, Some(29.97), None);
        check("video/x-h264, stream-format=(string)avc, codec_data=(buffer)01ff", "h264", None, None, None);
        check("audio/mpeg, mpegversion=(int)4, rate=(int)48000, channels=(int)2", "aac", None, None, Some((48000, 2)));
        check("audio/mpeg, mpegversion=(int)1, layer=(int)3", "mp3", None, None, None);
        check("video/mpeg, mpegversion=(int)2, framerate=(fraction)0/1", "mpeg2", None, Some(0.0), None);
        check("video/x-vp8, framerate=(fraction)1/0", "vp8", None, None, None);
        check("audio/x-opus, rate=(int){ 8000, 16000 }", "opus", None, None, None);
        check("", "", None, None, None);
    }
}
