//! Caps of tracks in canonical form for elements of GStreamer, and the bytes that they get.

use crate::media::{
    Sample, TrackInfo,
    codec::{CodecParameters, pcm},
    track::Shape,
};
use bytes::Bytes;
use gstreamer as gst;

/// Temporal delimiter of AV1 (section 5.6): begins each unit for decoders.
const DELIMITER: &[u8] = &[0x12, 0];

/// The caps of a track; `None` for what comes in none of the containers that are demuxed here.
pub(super) fn of(track: &TrackInfo) -> Option<gst::Caps> {
    let name = match &track.codec {
        CodecParameters::H264(_) => "video/x-h264",
        CodecParameters::H265(_) => "video/x-h265",
        CodecParameters::Av1(_) => "video/x-av1",
        CodecParameters::Vp8 => "video/x-vp8",
        CodecParameters::Vp9(_) => "video/x-vp9",
        CodecParameters::Mpeg1Video | CodecParameters::Mpeg2Video | CodecParameters::Mpeg4Visual(_) => "video/mpeg",
        CodecParameters::Jpeg => "image/jpeg",
        CodecParameters::Aac(_) | CodecParameters::MpegAudio(_) => "audio/mpeg",
        CodecParameters::Opus(_) => "audio/x-opus",
        CodecParameters::Ac3(_) => "audio/x-ac3",
        CodecParameters::Eac3(_) => "audio/x-eac3",
        CodecParameters::Pcm(pcm::Format::ALaw) => "audio/x-alaw",
        CodecParameters::Pcm(pcm::Format::MuLaw) => "audio/x-mulaw",
        CodecParameters::Raw(_)
        | CodecParameters::Theora(_)
        | CodecParameters::Vorbis(_)
        | CodecParameters::Flac(_)
        | CodecParameters::Pcm(_) => return None,
    };
    let mut caps = gst::Structure::new_empty(name);
    let record = |caps: &mut gst::Structure, bytes: Vec<u8>| caps.set("codec_data", gst::Buffer::from_slice(bytes));
    match &track.codec {
        CodecParameters::H264(parameters) => {
            caps.set("stream-format", "avc");
            caps.set("alignment", "au");
            record(&mut caps, parameters.record());
        }
        CodecParameters::H265(parameters) => {
            caps.set("stream-format", "hvc1");
            caps.set("alignment", "au");
            record(&mut caps, parameters.record());
        }
        CodecParameters::Av1(_) => {
            caps.set("stream-format", "obu-stream");
            caps.set("alignment", "tu");
        }
        CodecParameters::Mpeg1Video => mpeg_video(&mut caps, 1),
        CodecParameters::Mpeg2Video => mpeg_video(&mut caps, 2),
        CodecParameters::Mpeg4Visual(parameters) => {
            mpeg_video(&mut caps, 4);
            if !parameters.config.is_empty() {
                record(&mut caps, parameters.config.to_vec());
            }
        }
        CodecParameters::Aac(parameters) => {
            caps.set("mpegversion", 4i32);
            caps.set("stream-format", "raw");
            caps.set("framed", true);
            record(&mut caps, parameters.config.to_vec());
        }
        CodecParameters::MpegAudio(parameters) => {
            caps.set("mpegversion", 1i32);
            caps.set("layer", i32::from(parameters.layer));
            caps.set("parsed", true);
        }
        CodecParameters::Opus(parameters) => {
            let head = gst::Buffer::from_slice(parameters.head.to_vec());
            // Family 0 has no table (RFC 7845, section 5.1.1).
            let family = i32::from(parameters.head.get(18).copied().unwrap_or_default());
            caps.set("channel-mapping-family", family);
            caps.set("streamheader", gst::Array::new([head]));
        }
        CodecParameters::Ac3(_) | CodecParameters::Eac3(_) => {
            caps.set("framed", true);
            caps.set("alignment", "frame");
        }
        _ => caps.set("parsed", true),
    }
    match track.shape {
        Shape::Video(shape) => {
            let ratio = |(one, other): (u32, u32)| {
                let part = |part| i32::try_from(part).ok().filter(|part| *part > 0);
                Some(gst::Fraction::new(part(one)?, part(other)?))
            };
            if shape.width > 0 && shape.height > 0 {
                caps.set("width", i32::try_from(shape.width).ok()?);
                caps.set("height", i32::try_from(shape.height).ok()?);
            }
            if let Some(rate) = shape.frame_rate.and_then(ratio) {
                caps.set("framerate", rate);
            }
            if let Some(aspect) = ratio(shape.pixel_aspect) {
                caps.set("pixel-aspect-ratio", aspect);
            }
        }
        Shape::Audio(shape) => {
            caps.set("rate", i32::try_from(shape.rate).ok()?);
            caps.set("channels", i32::from(shape.channels));
        }
    }
    Some(gst::Caps::from_iter([caps]))
}

fn mpeg_video(caps: &mut gst::Structure, version: i32) {
    caps.set("mpegversion", version);
    caps.set("systemstream", false);
    caps.set("parsed", true);
}

/// A sample for a decoder that is asked for what is shown at a time: with these bytes, and the time at which it is shown alone.
pub(super) fn shown_buffer(track: &TrackInfo, sample: &Sample) -> gst::Buffer {
    let mut buffer = gst::Buffer::from_slice(bytes_of(track, sample));
    if let Some(buffer) = buffer.get_mut() {
        let pts = u64::try_from(sample.pts.nanos()).ok();
        buffer.set_pts(pts.map(gst::ClockTime::from_nseconds));
    }
    buffer
}

/// The bytes of a sample as these caps say they are.
pub(super) fn bytes_of(track: &TrackInfo, sample: &Sample) -> Bytes {
    match &track.codec {
        CodecParameters::Av1(parameters) => {
            let header: &[u8] = if sample.is_sync { &parameters.sequence_header } else { &[] };
            [DELIMITER, header, &sample.data].concat().into()
        }
        _ => sample.data.clone(),
    }
}
