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

/// What is said of the tracks to expect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Whether there is video; `None` when nothing is said of it.
    pub video: Option<bool>,
    /// Whether there is audio.
    pub audio: Option<bool>,
    /// Frames a second as a fraction.
    pub frame_rate: Option<(u32, u32)>,
}

impl Metadata {
    /// Adds what is said later, which counts more.
    pub fn add(&mut self, later: Self) {
        self.video = later.video.or(self.video);
        self.audio = later.audio.or(self.audio);
        self.frame_rate = later.frame_rate.or(self.frame_rate);
    }
}

/// Reads the body of a script tag; `None` when it is no `onMetaData`.
pub fn read(body: &[u8]) -> Option<Metadata> {
    let values = amf::read(body);
    // RTMP publishers leave `@setDataFrame` in front.
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
    Some(Metadata {
        video: find("hasVideo", "videocodecid"),
        audio: find("hasAudio", "audiocodecid"),
        frame_rate: members.get("framerate").and_then(Value::number).and_then(fraction),
    })
}

/// A frame rate that is meant by a number: whole, a thousandth less than whole as television has it, or any other.
fn fraction(rate: f64) -> Option<(u32, u32)> {
    /// Some write the ticks of a clock.
    const MAX_RATE: f64 = 300.0;
    if !(1.0..=MAX_RATE).contains(&rate) {
        return None;
    }
    let (whole, television) = (rate.round(), (rate * 1.001).round());
    Some(if (rate - whole).abs() < 0.001 {
        (whole as u32, 1)
    } else if (rate - television / 1.001).abs() < 0.01 {
        (television as u32 * 1000, 1001)
    } else {
        ((rate * 1000.0).round() as u32, 1000)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_rates_are_the_usual_fractions() {
        let rates = [25.0, 29.97, 23.976, 59.94005994, 12.5, 0.0, 1000.0, f64::NAN, -1.0];
        let fractions = [(25, 1), (30_000, 1001), (24_000, 1001), (60_000, 1001), (12_500, 1000)].map(Some);
        assert_eq!(rates.map(fraction)[..5], fractions);
        assert_eq!(rates.map(fraction)[5..], [None; 4]);
    }

    #[test]
    fn what_publishers_say_is_read() {
        #[track_caller]
        fn check(members: &[(&str, Value)], expect: Metadata) {
            let mut body = Vec::new();
            Value::String("@setDataFrame".to_owned()).write(&mut body);
            Value::String(NAME.to_owned()).write(&mut body);
            Value::Object(members.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
                .write(&mut body);
            assert_eq!(read(&body), Some(expect));
        }
        let said = |video, audio| Metadata { video, audio, frame_rate: None };
        check(&[], said(None, None));
        check(&[("videocodecid", Value::Number(7.0)), ("audiocodecid", Value::Number(0.0))], said(Some(true), None));
        check(&[("videocodecid", Value::String("avc1".into())), ("hasAudio", Value::Boolean(false))], {
            said(Some(true), Some(false))
        });
        assert_eq!(read(b"\x02\0\x0aonCuePoint\x05"), None);
    }
}
