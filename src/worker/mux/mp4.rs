//! MP4: what caps say of its tracks.

use super::{Leaving, Muxer};
use crate::{
    ipc::TrackKind,
    media::{
        Sample,
        mp4::{self, Chroma, Coding, Made, Shape, Track},
    },
    worker::{
        codec,
        link::{Mapped, Payload},
    },
};
use gstreamer as gst;
use std::{sync::OnceLock, time::Instant};

/// What can be written, by GStreamer's names.
const TAKEN: &str = "video/x-h264, stream-format=(string){ avc, avc3 }, alignment=(string)au; \
                     video/x-h265, stream-format=(string){ hvc1, hev1 }, alignment=(string)au; \
                     video/x-av1, stream-format=(string)obu-stream, alignment=(string)tu; video/x-vp9; \
                     audio/mpeg, mpegversion=(int)1; audio/mpeg, mpegversion=(int)4, stream-format=(string)raw; \
                     audio/x-opus; audio/x-ac3";

/// What can be written.
pub(super) fn takes() -> &'static gst::Caps {
    static CAPS: OnceLock<gst::Caps> = OnceLock::new();
    CAPS.get_or_init(|| TAKEN.parse().unwrap_or_else(|_| gst::Caps::new_empty()))
}

/// A muxer of so many tracks.
pub(super) fn muxer(tracks: usize) -> Box<dyn Muxer> {
    Box::new(Mp4 { muxer: mp4::Muxer::new(tracks), made: Vec::new() })
}

struct Mp4 {
    muxer: mp4::Muxer<Mapped>,
    /// Empty between two samples.
    made: Vec<Made<Mapped>>,
}

impl Muxer for Mp4 {
    fn describe(&mut self, place: usize, caps: &gst::CapsRef, first: &[u8]) -> Result<bool, String> {
        let Some((coding, shape)) = described(caps) else { return Err(format!("MP4 cannot carry {caps}")) };
        let track = Track::new(&coding, shape, first).map_err(|error| format!("failed to {error}"))?;
        let is_there = track.is_some();
        track.into_iter().for_each(|track| self.muxer.describe(place, track));
        Ok(is_there)
    }

    fn push(
        &mut self,
        place: usize,
        sample: Sample<Mapped>,
        now: Instant,
        leaving: &mut Vec<Leaving>,
    ) -> Result<(), String> {
        let Self { muxer, made } = self;
        muxer.push(place, sample, now, made).map_err(|error| format!("failed to write MP4: {error}"))?;
        leaving.extend(made.drain(..).map(|made| match made {
            Made::Header(header) => Leaving::Header(header),
            Made::Fragment { is_join, is_torn, shown, front, payload } => {
                Leaving::Packet { is_join, is_torn, shown, payload: Payload::Fronted(front, payload) }
            }
        }));
        Ok(())
    }
}

/// What caps say of a track; `None` if we cannot write it.
fn described(caps: &gst::CapsRef) -> Option<(Coding, Shape)> {
    let structure = caps.structure(0)?;
    let text = |field| structure.get::<&str>(field).ok();
    let number = |field| structure.get::<i32>(field).ok();
    let bytes = |buffer: &gst::Buffer| buffer.map_readable().ok().map(|map| map.to_vec());
    let record = || structure.get::<gst::Buffer>("codec_data").ok().as_ref().and_then(bytes).unwrap_or_default();
    let depth = || structure.get::<u32>("bit-depth-luma").ok().and_then(|bits| u8::try_from(bits).ok()).unwrap_or(8);
    let coding = match (structure.name().as_str(), number("mpegversion").unwrap_or(0)) {
        ("video/x-h264", _) => Coding::Avc { record: record(), in_band: text("stream-format") == Some("avc3") },
        ("video/x-h265", _) => Coding::Hevc { record: record(), in_band: text("stream-format") == Some("hev1") },
        ("video/x-vp9", _) => {
            let profile = text("profile").and_then(|profile| profile.parse().ok()).unwrap_or(0);
            Coding::Vp9 { profile, depth: depth(), chroma: chroma(text("chroma-format")) }
        }
        ("video/x-av1", _) => Coding::Av1 { depth: depth(), chroma: chroma(text("chroma-format")) },
        ("audio/mpeg", 1) => Coding::Mpeg { is_low: number("mpegaudioversion").is_some_and(|version| version > 1) },
        ("audio/mpeg", 4) => Coding::Aac(record()),
        ("audio/x-opus", _) => Coding::Opus(opus_head(structure)),
        ("audio/x-ac3", _) => Coding::Ac3,
        _ => return None,
    };
    let small = |field| number(field).and_then(|size| u16::try_from(size).ok());
    let ratio = |field| {
        let ratio = structure.get::<gst::Fraction>(field).ok()?;
        let part = |part| u32::try_from(part).ok().filter(|part| *part > 0);
        Some((part(ratio.numer())?, part(ratio.denom())?))
    };
    let shape = match codec::classify(caps)?.0 {
        TrackKind::Video => Shape::Pictures {
            width: small("width")?,
            height: small("height")?,
            pixel: ratio("pixel-aspect-ratio").unwrap_or((1, 1)),
            rate: ratio("framerate"),
        },
        TrackKind::Audio => Shape::Sound {
            rate: number("rate").and_then(|rate| u32::try_from(rate).ok()).unwrap_or(0),
            channels: small("channels").unwrap_or(0),
        },
        TrackKind::Muxed => return None,
    };
    Some((coding, shape))
}

fn chroma(format: Option<&str>) -> Chroma {
    match format {
        Some("4:0:0") => Chroma::None,
        Some("4:2:2") => Chroma::Half,
        Some("4:4:4") => Chroma::Full,
        _ => Chroma::Quarter,
    }
}

/// The identification header of Opus, which comes first of those in the caps.
fn opus_head(structure: &gst::StructureRef) -> Vec<u8> {
    let headers = structure.get::<gst::ArrayRef>("streamheader").ok();
    let first = headers.as_ref().and_then(|headers| headers.first()?.get::<gst::Buffer>().ok());
    let head = first.and_then(|buffer| buffer.map_readable().ok().map(|map| map.to_vec()));
    head.unwrap_or_else(|| {
        // Without one, it is mono or stereo (RFC 7845, section 5.1).
        let channels = structure.get::<i32>("channels").ok().and_then(|channels| u8::try_from(channels).ok());
        [&b"OpusHead\x01"[..], &[channels.unwrap_or(2)], &[0; 9]].concat()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caps_say_what_a_track_is() {
        gst::init().unwrap();
        let described = |caps: &str| described(&caps.parse::<gst::Caps>().unwrap());
        let (coding, shape) = described(
            "video/x-h265, codec_data=(buffer)0101, stream-format=hev1, width=640, height=360, framerate=30000/1001, \
             pixel-aspect-ratio=4/3",
        )
        .unwrap();
        assert_eq!(coding, Coding::Hevc { record: vec![1, 1], in_band: true });
        let rate = Some((30_000, 1001));
        assert_eq!(shape, Shape::Pictures { width: 640, height: 360, pixel: (4, 3), rate });
        let (coding, shape) =
            described("audio/mpeg, mpegversion=1, mpegaudioversion=2, rate=22050, channels=1").unwrap();
        assert_eq!((coding, shape), (Coding::Mpeg { is_low: true }, Shape::Sound { rate: 22_050, channels: 1 }));
        let (coding, _) = described("audio/x-opus, rate=48000, channels=2, streamheader=(buffer)<4f70, 00>").unwrap();
        assert_eq!(coding, Coding::Opus(b"Op".to_vec()));
        let (coding, _) = described("audio/x-opus, rate=48000, channels=1").unwrap();
        assert_eq!(coding, Coding::Opus(b"OpusHead\x01\x01\0\0\0\0\0\0\0\0\0".to_vec()));
        let av1 = "video/x-av1, width=64, height=64, framerate=0/1, bit-depth-luma=(uint)10, chroma-format=4:4:4";
        let (coding, shape) = described(av1).unwrap();
        assert_eq!(coding, Coding::Av1 { depth: 10, chroma: Chroma::Full });
        assert!(matches!(shape, Shape::Pictures { rate: None, .. }));
        assert_eq!(described("video/x-h264, codec_data=(buffer)01"), None, "without a size");
        assert_eq!(described("text/x-raw"), None);
        assert!(!takes().is_empty() && takes().can_intersect(&"audio/x-ac3".parse::<gst::Caps>().unwrap()));
    }
}
