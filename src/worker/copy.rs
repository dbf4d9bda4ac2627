//! Streams without a text of their own: what is encoded stays as it is, the rest is encoded with the container's
//! usual codecs, set for low latency.

use super::{codec, track::Track};
use crate::{ipc::TrackKind, media::Container};
use gst::prelude::*;
use gstreamer as gst;

/// From raw pictures to those of JPEG files: BT.601 with the full range of luma, which the encoder leaves to those in
/// front of it. The converter only copies what differs in nothing but its range, unless primaries count as well.
pub(super) const JPEG_PIXELS: &str =
    "videoconvert primaries-mode=merge-only ! video/x-raw,format=I420,colorimetry=1:4:0:1";

/// The text for one container and the tracks that there are, and remarks for the log.
pub(super) fn text(
    container: Container,
    video: Option<&Track>,
    audio: Option<&Track>,
) -> Result<(String, Vec<String>), String> {
    let mut remarks = Vec::new();
    let mut part = |track: Option<&Track>| -> Option<String> {
        let track = track?;
        let caps = track.caps()?;
        if track.is_encoded() && codec::carries(container, &caps) {
            return Some(String::new());
        }
        if track.is_encoded() {
            let name = caps.structure(0).map_or("?", |structure| structure.name().as_str()).to_owned();
            remarks.push(format!("{container} cannot carry {name}: it is decoded and encoded anew"));
        }
        encoder(container, track.kind, &caps)
    };
    let (video, audio) = (part(video), part(audio));
    let Some(muxer) = codec::muxer(container) else {
        return match (container, video) {
            (Container::Mjpeg, Some(encoder)) => Ok((format!("video. {encoder}! identity silent=true"), remarks)),
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

/// The container's usual encoder for raw media.
fn encoder(container: Container, kind: TrackKind, caps: &gst::CapsRef) -> Option<String> {
    let rate = bitrate(caps);
    match (kind, container) {
        (TrackKind::Video, Container::Ts | Container::Mkv) => Some(format!(
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
        (TrackKind::Audio, Container::Ts) => Some("! audioconvert ! audioresample ! avenc_aac ".into()),
        (TrackKind::Audio, Container::Webm | Container::Mkv) => {
            Some("! audioconvert ! audioresample ! opusenc ".into())
        }
        _ => None,
    }
}

/// Pictures between two keyframes: two seconds.
fn keyframe_distance(caps: &gst::CapsRef) -> u32 {
    let rate = caps.structure(0).and_then(|structure| structure.get::<gst::Fraction>("framerate").ok());
    match rate {
        Some(rate) if rate.numer() > 0 && rate.denom() > 0 => {
            u32::try_from(2 * rate.numer() / rate.denom()).unwrap_or(60).clamp(2, 240)
        }
        _ => 60,
    }
}

/// Kilobits a second that suit the size of the picture: 2.7 Mbit/s for 720p.
fn bitrate(caps: &gst::CapsRef) -> u32 {
    let size = |name| {
        caps.structure(0)
            .and_then(|structure| structure.get::<i32>(name).ok())
            .and_then(|size| u32::try_from(size).ok())
    };
    let pixels = size("width").unwrap_or(1280).saturating_mul(size("height").unwrap_or(720));
    (pixels / 340).clamp(500, 12_000)
}

/// Sets what a live stream needs, whatever a text says: join points at each keyframe, headers that can be repeated.
pub(super) fn tune_muxers(bin: &gst::Bin) {
    for element in bin.children() {
        match element.factory().as_ref().map(|factory| factory.name()).as_deref() {
            Some("webmmux" | "matroskamux") => {
                element.set_property("streamable", true);
                element.set_property("min-cluster-duration", 0i64);
            }
            Some("flvmux") => element.set_property("streamable", true),
            // Any other alignment loses the flags that tell join points.
            Some("mpegtsmux") => {
                element.set_property("alignment", -1i32);
                // Otherwise buffer times count from the first buffer, and capture times are lost.
                element.set_property_from_str("start-time-selection", "first");
            }
            _ => {}
        }
    }
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
