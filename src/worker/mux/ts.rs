//! MPEG-TS: what caps say of its tracks.

use super::{Leaving, Muxer};
use crate::{
    media::{
        Sample,
        ts::{self, Coding, Made, Track},
    },
    worker::link::{Mapped, Payload},
};
use gstreamer as gst;
use std::{sync::OnceLock, time::Instant};

/// What can be written, by GStreamer's names.
const TAKEN: &str = "video/x-h264, stream-format=(string)byte-stream, alignment=(string)au; \
                     video/x-h265, stream-format=(string)byte-stream, alignment=(string)au; \
                     video/mpeg, mpegversion=(int){ 1, 2, 4 }, systemstream=(boolean)false; \
                     audio/mpeg, mpegversion=(int)1; \
                     audio/mpeg, mpegversion=(int){ 2, 4 }, stream-format=(string){ raw, adts }; \
                     audio/x-ac3; audio/x-opus, channel-mapping-family=(int)[ 0, 1 ]";

/// What can be written.
pub(super) fn takes() -> &'static gst::Caps {
    static CAPS: OnceLock<gst::Caps> = OnceLock::new();
    CAPS.get_or_init(|| TAKEN.parse().unwrap_or_else(|_| gst::Caps::new_empty()))
}

/// A muxer of so many tracks.
pub(super) fn muxer(tracks: usize) -> Box<dyn Muxer> {
    Box::new(Ts { muxer: ts::Muxer::new(tracks), made: Vec::new() })
}

struct Ts {
    muxer: ts::Muxer<Mapped>,
    /// Empty between two samples.
    made: Vec<Made>,
}

impl Muxer for Ts {
    fn describe(&mut self, place: usize, caps: &gst::CapsRef, _first: &[u8]) -> Result<bool, String> {
        let coding = coding(caps).ok_or_else(|| format!("MPEG-TS cannot carry {caps}"))?;
        self.muxer.describe(place, Track::new(&coding).map_err(|error| error.to_string())?);
        Ok(true)
    }

    fn push(
        &mut self,
        place: usize,
        sample: Sample<Mapped>,
        now: Instant,
        leaving: &mut Vec<Leaving>,
    ) -> Result<(), String> {
        let Self { muxer, made } = self;
        muxer.push(place, sample, now, made);
        leaving.extend(made.drain(..).map(|Made { is_join, shown, bytes }| Leaving::Packet {
            is_join,
            is_torn: false,
            shown,
            payload: Payload::Owned(bytes),
        }));
        Ok(())
    }
}

/// What caps say of a track; `None` if we cannot write it.
fn coding(caps: &gst::CapsRef) -> Option<Coding> {
    let structure = caps.structure(0)?;
    let number = |field| structure.get::<i32>(field).ok();
    let is_raw = structure.get::<&str>("stream-format") == Ok("raw");
    Some(match (structure.name().as_str(), number("mpegversion").unwrap_or(0)) {
        ("video/x-h264", _) => Coding::H264,
        ("video/x-h265", _) => Coding::H265,
        ("video/mpeg", 1) => Coding::Mpeg1,
        ("video/mpeg", 2) => Coding::Mpeg2,
        ("video/mpeg", 4) => Coding::Mpeg4,
        ("audio/mpeg", 1) => Coding::Mpeg { is_low: number("mpegaudioversion").is_some_and(|version| version > 1) },
        ("audio/mpeg", 2 | 4) if is_raw => {
            let config = structure.get::<gst::Buffer>("codec_data").ok()?;
            Coding::Aac(config.map_readable().ok()?.to_vec())
        }
        ("audio/mpeg", 2 | 4) => Coding::Adts,
        ("audio/x-ac3", _) => Coding::Ac3,
        ("audio/x-opus", _) => Coding::Opus { channels: u8::try_from(number("channels").unwrap_or(2)).ok()? },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caps_say_what_a_track_is() {
        gst::init().unwrap();
        let coding = |caps: &str| coding(&caps.parse::<gst::Caps>().unwrap());
        assert_eq!(coding("video/x-h265, stream-format=byte-stream"), Some(Coding::H265));
        assert_eq!(coding("video/mpeg, mpegversion=2, systemstream=false"), Some(Coding::Mpeg2));
        assert_eq!(coding("audio/mpeg, mpegversion=1, mpegaudioversion=2"), Some(Coding::Mpeg { is_low: true }));
        let raw = "audio/mpeg, mpegversion=4, stream-format=raw";
        assert_eq!(coding(&format!("{raw}, codec_data=(buffer)1190")), Some(Coding::Aac(vec![0x11, 0x90])));
        assert_eq!(coding(raw), None, "without its set-up");
        assert_eq!(coding("audio/mpeg, mpegversion=4, stream-format=adts"), Some(Coding::Adts));
        assert_eq!(coding("audio/x-opus, channels=6"), Some(Coding::Opus { channels: 6 }));
        assert_eq!(coding("meta/x-klv"), None);
        assert!(!takes().is_empty() && takes().can_intersect(&"audio/x-ac3".parse::<gst::Caps>().unwrap()));
    }
}
