//! Streams without a pipeline of their own: what is encoded is passthrough, the rest is encoded with the container's
//! usual codecs, set for low latency.

use super::{caps, launch, track::Track};
use crate::{ipc::TrackKind, media::Container};
use gst::prelude::*;
use gstreamer as gst;
use std::sync::Arc;

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
const PASSED: &str = "! identity silent=true";

/// The pipeline for the tracks that there are, as the feed has them; raw ones are encoded with the usual codecs.
pub(super) fn tracks(video: Option<&Track>, audio: Option<&Track>) -> Result<String, String> {
    let part = |(name, track): (&str, Option<&Track>)| track.map(|_| format!("{name}. {PASSED}"));
    let parts: Vec<_> = [("video", video), ("audio", audio)].into_iter().filter_map(part).collect();
    match parts.is_empty() {
        true => Err("the feed has neither video nor audio".into()),
        false => Ok(parts.join(" ")),
    }
}

/// Completes a pipeline that ends in its tracks: raw media that passes is encoded with the usual codecs.
pub(super) fn encoded(text: &str, track: impl Fn(&str) -> Option<Arc<Track>>) -> String {
    let mut whole = text.to_owned();
    for name in launch::references(text) {
        let passes = format!("{name}. {PASSED}");
        let Some(track) = track(&name).filter(|track| whole.contains(&passes) && !track.is_encoded()) else { continue };
        if let Some(encoder) = track.caps().and_then(|caps| encoder(Container::Ts, track.kind, &caps)) {
            whole = whole.replace(&passes, &format!("{name}. {}", encoder.trim_end()));
        }
    }
    whole
}

/// Completes a pipeline that leads a track straight into a muxer which does not take it: raw media is converted if there
/// is a raw form that the muxer takes, all else is encoded as usual. Comes with remarks for the log.
pub(super) fn completed(text: &str, track: impl Fn(&str) -> Option<Arc<Track>>) -> (String, Vec<String>) {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (mut whole, mut remarks) = (String::new(), Vec::new());
    for (at, word) in words.iter().enumerate() {
        whole += word;
        whole.push(' ');
        let (Some((name, _)), Some(&"!"), Some(target)) = (word.split_once('.'), words.get(at + 1), words.get(at + 2))
        else {
            continue;
        };
        let name = name.trim_start_matches('(');
        let Some((muxer, factory)) = muxer_of(&words, target) else { continue };
        let Some((track, caps)) = track(name).and_then(|track| track.caps().map(|caps| (track, caps))) else {
            continue;
        };
        let Some((part, remark)) = conversion(&factory, &track, &caps) else { continue };
        whole += &part;
        if let Some(what) = remark {
            remarks.push(format!("{muxer} cannot carry {what} of `{name}.`: it is decoded and encoded again"));
        }
    }
    // As it was written where there is nothing to add.
    if whole.split_whitespace().eq(words.iter().copied()) { (text.to_owned(), remarks) } else { (whole, remarks) }
}

/// What has to stand between a track and a muxer, and what is lost thereby; `None` if it takes the track as it is.
fn conversion(factory: &gst::ElementFactory, track: &Track, caps: &gst::Caps) -> Option<(String, Option<String>)> {
    if caps::takes(factory, &caps::parsed_forms(caps)) {
        return None;
    }
    // Of the raw forms those that every reader of the container knows.
    let (raw, converter) = match track.kind {
        TrackKind::Video => ("video/x-raw", "! videoconvert ! video/x-raw,format={I420,YUY2,UYVY} "),
        TrackKind::Audio => ("audio/x-raw", "! audioconvert ! audioresample "),
        TrackKind::Muxed => return None,
    };
    if !track.is_encoded() && caps::takes(factory, &gst::Caps::new_empty_simple(raw)) {
        return Some((converter.to_owned(), None));
    }
    let container = match factory.name().as_str() {
        "webmmux" => Container::Webm,
        "oggmux" => Container::Ogg,
        "matroskamux" => Container::Mkv,
        // H.264 and AAC are what most others are made for.
        _ => Container::Ts,
    };
    let lost = caps.structure(0).filter(|_| track.is_encoded()).map(|structure| structure.name().to_string());
    Some((encoder(container, track.kind, caps)?, lost))
}

/// The muxer that a word of a pipeline stands for: an element, or a reference to one that is named.
fn muxer_of<'a>(words: &[&'a str], target: &'a str) -> Option<(&'a str, gst::ElementFactory)> {
    let name = match target.split_once('.') {
        Some((name, _)) => {
            let named = words
                .iter()
                .position(|word| word.strip_prefix("name=").is_some_and(|is| is.trim_matches(['"', '\'']) == name))?;
            words.get(..named)?.iter().rfind(|word| !word.contains('=')).copied()?
        }
        None => target,
    };
    let factory = gst::ElementFactory::find(name)?;
    factory
        .metadata(gst::ELEMENT_METADATA_KLASS)
        .is_some_and(|class| class.contains("Muxer"))
        .then_some((name, factory))
}

/// The container's usual encoder for raw media.
fn encoder(container: Container, kind: TrackKind, caps: &gst::CapsRef) -> Option<String> {
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
