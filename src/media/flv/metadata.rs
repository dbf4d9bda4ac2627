//! `onMetaData`: what the file says of itself (Adobe FLV 10.1, section E.5; Enhanced RTMP v2, "Enhancing onMetaData").

use super::amf::{self, Value};
use super::tag::Codec;
use crate::media::track::TrackInfo;

const NAME: &str = "onMetaData";

/// The body of a script tag that describes the first video and the first audio track that FLV carries. It has no duration.
pub fn write(tracks: &[&TrackInfo]) -> Vec<u8> {
    let mut members = Vec::new();
    let mut add = |name: &str, value: Value| members.push((name.to_owned(), value));
    let known = |number: u32| Some(number).filter(|number| *number > 0).map(|number| Value::Number(number.into()));
    let find = |is_video: bool| {
        let codecs = tracks.iter().filter_map(|track| Some((*track, Codec::of(track)?)));
        codecs.into_iter().find(|(_, codec)| codec.is_video() == is_video)
    };
    let (video, audio) = (find(true), find(false));
    // mpegts.js believes these, and would wait for a track that the flags of the file claim.
    add("hasVideo", Value::Boolean(video.is_some()));
    add("hasAudio", Value::Boolean(audio.is_some()));
    if let Some((track, codec)) = video {
        let shape = track.video();
        for (name, number) in [("width", shape.map(|shape| shape.width)), ("height", shape.map(|shape| shape.height))] {
            if let Some(value) = number.and_then(known) {
                add(name, value);
            }
        }
        if let Some((frames, seconds)) =
            shape.and_then(|shape| shape.frame_rate).filter(|rate| rate.0 > 0 && rate.1 > 0)
        {
            add("framerate", Value::Number(f64::from(frames) / f64::from(seconds)));
        }
        add("videocodecid", Value::Number(codec.id().into()));
    }
    if let Some((track, codec)) = audio {
        if let Some(shape) = track.audio() {
            if let Some(value) = known(shape.rate) {
                add("audiosamplerate", value);
            }
            add("stereo", Value::Boolean(shape.channels > 1));
        }
        add("audiosamplesize", Value::Number(16.0));
        add("audiocodecid", Value::Number(codec.id().into()));
    }
    let mut body = Vec::new();
    Value::String(NAME.to_owned()).write(&mut body);
    Value::EcmaArray(members).write(&mut body);
    body
}

/// What a script tag says of the tracks to expect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expected {
    /// Whether there is video; `None` when nothing is said of it.
    pub video: Option<bool>,
    /// Whether there is audio.
    pub audio: Option<bool>,
}

/// Reads the body of a script tag; `None` when it is no `onMetaData`.
pub fn read(body: &[u8]) -> Option<Expected> {
    let values = amf::read(body);
    // RTMP publishers may leave `@setDataFrame` in front.
    let mut values = values.iter().skip_while(|value| value.text() == Some("@setDataFrame"));
    let (Some(name), Some(members)) = (values.next(), values.next()) else { return None };
    if name.text() != Some(NAME) {
        return None;
    }
    let find = |flag: &str, codec: &str| {
        members.get(flag).and_then(Value::boolean).or_else(|| {
            // Its absence says nothing: GStreamer and others leave out what they do not know.
            let is_codec = match members.get(codec)? {
                Value::Number(number) => *number > 0.0,
                Value::String(name) => !name.is_empty(),
                _ => false,
            };
            is_codec.then_some(true)
        })
    };
    Some(Expected { video: find("hasVideo", "videocodecid"), audio: find("hasAudio", "audiocodecid") })
}
