//! Streams without a pipeline of their own: what is encoded is passthrough, the rest is encoded with the container's
//! usual codecs, set for low latency.

use super::{caps, track::Track};
use crate::{ipc::TrackKind, media::Container};
use gstreamer as gst;

/// From raw frames to those of JPEG files: BT.601 with the full range of luma, which the encoder leaves to those in
/// front of it. A converter of 1.22 only copies what differs in nothing but its range, and loses the colours of unknown
/// primaries when it is set to honour them: RGB in between is right for all, and costs a conversion. That
/// with four bytes a pixel gives the same and takes three quarters of the time.
pub(super) const JPEG_PIXELS: &str =
    "videoconvert ! video/x-raw,format=BGRx ! videoconvert ! video/x-raw,format=I420,colorimetry=1:4:0:1";

/// The pipeline for one container and the tracks that there are, and remarks for the log.
pub(super) fn text(
    container: Container,
    video: Option<&Track>,
    audio: Option<&Track>,
) -> Result<(String, Vec<String>), String> {
    let mut remarks = Vec::new();
    let mut part = |track: Option<&Track>| -> Option<String> {
        let track = track?;
        let caps = track.caps()?;
        if track.is_encoded() && caps::carries(container, &caps) {
            return Some(String::new());
        }
        if track.is_encoded() {
            let name = caps.structure(0).map_or("?", |structure| structure.name().as_str()).to_owned();
            remarks.push(format!("{container} cannot carry {name}: it is decoded and encoded again"));
        }
        encoder(container, track.kind, &caps)
    };
    let (video, audio) = (part(video), part(audio));
    let Some(muxer) = caps::muxer(container) else {
        return match (container, video) {
            (Container::Mjpeg, Some(encoder)) => Ok((format!("video. {encoder}! identity silent=true"), remarks)),
            (Container::Mp3 | Container::Aac | Container::Flac | Container::Wav, _) => match audio {
                Some(encoder) => Ok((format!("audio. {encoder}! {}", frames(container)), remarks)),
                None => Err("the feed has no audio track".into()),
            },
            (Container::Mjpeg, None) => Err("the feed has no video track".into()),
            _ => Err(format!("a {container} stream needs a text, or a feed that is muxed already")),
        };
    };
    let mut text = String::new();
    for (name, part) in [("video", video), ("audio", audio)] {
        if let Some(encoder) = part {
            text += &format!("{name}. {encoder}! mux. ");
        }
    }
    if text.is_empty() {
        return Err("the feed has neither video nor audio".into());
    }
    Ok((text + &format!("{muxer} name=mux"), remarks))
}

/// What a passthrough track goes through, in a pipeline that ends in its tracks.
pub(super) const PASSED: &str = "! identity silent=true";

/// The pipeline for the tracks that there are, as the feed has them; raw ones are encoded with the usual codecs.
pub(super) fn tracks(video: Option<&Track>, audio: Option<&Track>) -> Result<String, String> {
    let part = |(name, track): (&str, Option<&Track>)| track.map(|_| format!("{name}. {PASSED}"));
    let parts: Vec<_> = [("video", video), ("audio", audio)].into_iter().filter_map(part).collect();
    match parts.is_empty() {
        true => Err("the feed has neither video nor audio".into()),
        false => Ok(parts.join(" ")),
    }
}

/// The container's usual encoder for raw media.
pub(super) fn encoder(container: Container, kind: TrackKind, caps: &gst::CapsRef) -> Option<String> {
    let rate = bitrate(caps);
    match (kind, container) {
        (TrackKind::Video, Container::Ts | Container::Mkv | Container::Flv | Container::Mp4) => Some(format!(
            "! videoconvert ! video/x-raw,format=I420 \
             ! x264enc tune=zerolatency speed-preset=superfast bitrate={rate} key-int-max={} ",
            keyframe_distance(caps)
        )),
        (TrackKind::Video, Container::Webm) => Some(format!(
            "! videoconvert ! video/x-raw,format=I420 \
             ! vp8enc deadline=1 cpu-used=8 lag-in-frames=0 end-usage=cbr target-bitrate={} keyframe-max-dist={} ",
            rate * 1000,
            keyframe_distance(caps)
        )),
        (TrackKind::Video, Container::Mjpeg) => Some(format!("! {JPEG_PIXELS} ! jpegenc ")),
        (TrackKind::Audio, Container::Ts | Container::Flv | Container::Mp4 | Container::Aac) => {
            Some("! audioconvert ! audioresample ! avenc_aac ".into())
        }
        (TrackKind::Audio, Container::Mp3) => Some("! audioconvert ! audioresample ! lamemp3enc ".into()),
        (TrackKind::Audio, Container::Flac) => {
            Some("! audioconvert ! audioresample ! audio/x-raw,format=S16LE ! flacenc blocksize=1024 ".into())
        }
        (TrackKind::Audio, Container::Wav) => Some("! audioconvert ! audioresample ! audio/x-raw,format=S16LE ".into()),
        (TrackKind::Audio, Container::Webm | Container::Mkv | Container::Ogg) => {
            Some("! audioconvert ! audioresample ! opusenc ".into())
        }
        _ => None,
    }
}

/// What makes whole frames of encoded audio, for a container that has nothing else.
fn frames(container: Container) -> &'static str {
    match container {
        Container::Aac => "aacparse ! audio/mpeg,stream-format=adts",
        Container::Flac => "flacparse",
        Container::Wav => "wavenc",
        _ => "mpegaudioparse",
    }
}

/// Frames between two keyframes: two seconds.
fn keyframe_distance(caps: &gst::CapsRef) -> u32 {
    let rate = caps.structure(0).and_then(|structure| structure.get::<gst::Fraction>("framerate").ok());
    match rate {
        Some(rate) if rate.numer() > 0 && rate.denom() > 0 => {
            u32::try_from(2 * rate.numer() / rate.denom()).unwrap_or(60).clamp(2, 240)
        }
        _ => 60,
    }
}

/// Kilobits a second that suit the frame size: 2.7 Mbit/s for 720p.
fn bitrate(caps: &gst::CapsRef) -> u32 {
    let size = |name| {
        caps.structure(0)
            .and_then(|structure| structure.get::<i32>(name).ok())
            .and_then(|size| u32::try_from(size).ok())
    };
    let pixels = size("width").unwrap_or(1280).saturating_mul(size("height").unwrap_or(720));
    (pixels / 340).clamp(500, 12_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_encoders_follow_the_picture() {
        gst::init().unwrap();
        let caps = gst::Caps::builder("video/x-raw")
            .field("width", 1280)
            .field("height", 720)
            .field("framerate", gst::Fraction::new(25, 1))
            .build();
        let text = encoder(Container::Ts, TrackKind::Video, &caps).unwrap();
        assert!(text.contains("bitrate=2710 key-int-max=50 "), "{text}");
    }
}
