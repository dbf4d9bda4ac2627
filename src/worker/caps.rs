//! What caps mean: kind of track, container, parser, form of the samples, and what a muxer takes.

use super::accepted_caps;
use crate::{
    ipc::TrackKind,
    media::{
        Container,
        codec::{aac, canonical::SourceForm, flac, h264, h265, mpeg4_visual, opus, pcm, xiph},
        track::VideoShape,
    },
};
use bytes::Bytes;
use gst::prelude::*;
use gstreamer as gst;

/// A track's kind and whether it is encoded; `None` for what is neither video nor audio.
pub(super) fn classify(caps: &gst::CapsRef) -> Option<(TrackKind, bool)> {
    let structure = caps.structure(0)?;
    let name = structure.name().as_str();
    let system = structure.get::<bool>("systemstream").unwrap_or(false);
    Some(match name {
        "video/x-raw" => (TrackKind::Video, false),
        "audio/x-raw" => (TrackKind::Audio, false),
        "video/mpegts"
        | "video/webm"
        | "audio/webm"
        | "video/x-matroska"
        | "audio/x-matroska"
        | "video/x-matroska-3d"
        | "video/x-flv"
        | "video/quicktime"
        | "video/x-msvideo"
        | "video/x-ms-asf"
        | "application/ogg"
        | "video/ogg"
        | "audio/ogg"
        | "audio/x-wav"
        | "multipart/x-mixed-replace" => (TrackKind::Muxed, true),
        "video/mpeg" if system => (TrackKind::Muxed, true),
        _ if name.starts_with("video/") || name.starts_with("image/") => (TrackKind::Video, true),
        _ if name.starts_with("audio/") => (TrackKind::Audio, true),
        _ => return None,
    })
}

/// The container that muxed caps stand for, of those whose packets a viewer can be given as they are.
pub(super) fn container(caps: &gst::CapsRef) -> Option<Container> {
    let structure = caps.structure(0)?;
    let number = |field| structure.get::<i32>(field).unwrap_or(0);
    match structure.name().as_str() {
        "audio/mpeg" if number("mpegversion") == 1 && number("layer") == 3 => Some(Container::Mp3),
        "audio/mpeg" if matches!(number("mpegversion"), 2 | 4) => Some(Container::Aac),
        "video/mpegts" => Some(Container::Ts),
        "video/webm" | "audio/webm" => Some(Container::Webm),
        "video/x-matroska" | "audio/x-matroska" => Some(Container::Mkv),
        "application/ogg" | "audio/ogg" | "video/ogg" => Some(Container::Ogg),
        "video/x-flv" => Some(Container::Flv),
        "audio/x-flac" => Some(Container::Flac),
        "audio/x-wav" => Some(Container::Wav),
        "image/jpeg" | "multipart/x-mixed-replace" => Some(Container::Mjpeg),
        _ => None,
    }
}

/// The parser for these caps, set so that every keyframe carries what a decoder needs to begin there.
pub(super) fn parser(caps: &gst::CapsRef) -> Option<gst::Element> {
    let structure = caps.structure(0)?;
    let version = structure.get::<i32>("mpegversion").unwrap_or(0);
    let (factory, repeats_headers) = match (structure.name().as_str(), version) {
        ("video/x-h264", _) => ("h264parse", true),
        ("video/x-h265", _) => ("h265parse", true),
        ("video/mpeg", 1 | 2) => ("mpegvideoparse", false),
        ("video/mpeg", 4) => ("mpeg4videoparse", true),
        ("video/x-av1", _) => ("av1parse", false),
        ("video/x-vp9", _) => ("vp9parse", false),
        ("audio/mpeg", 1) => ("mpegaudioparse", false),
        ("audio/mpeg", 2 | 4) => ("aacparse", false),
        ("audio/x-ac3" | "audio/x-eac3", _) => ("ac3parse", false),
        ("audio/x-opus", _) => ("opusparse", false),
        ("audio/x-flac", _) => ("flacparse", false),
        _ => return None,
    };
    let parser = gst::ElementFactory::make(factory).build().ok()?;
    if repeats_headers {
        parser.set_property("config-interval", -1i32);
    }
    Some(parser)
}

/// The caps that `caps` can become after their parser.
pub(super) fn parsed_forms(caps: &gst::Caps) -> gst::Caps {
    let mut forms = gst::Caps::new_empty();
    let forms_mut = forms.make_mut();
    forms_mut.append(caps.clone());
    if let (Some(parser), Some(structure)) = (parser(caps), caps.structure(0))
        && let Some(template) = parser.pad_template("src")
    {
        let media = structure.name();
        for form in template.caps().iter().filter(|form| form.name() == media) {
            let mut form = form.to_owned();
            // What a parser does not change.
            for field in ["width", "height", "framerate", "mpegversion", "rate", "channels"] {
                if let Ok(value) = structure.value(field) {
                    form.set_value(field, value.clone());
                }
            }
            forms_mut.append_structure(form);
        }
    }
    forms
}

/// All that a track of these caps can be given as: as it is, parsed, or decoded.
pub(super) fn offer(caps: &gst::Caps) -> Option<gst::Caps> {
    let (kind, _) = classify(caps)?;
    let mut offer = parsed_forms(caps);
    let offer_mut = offer.make_mut();
    for form in offer_mut.iter_mut() {
        form.remove_fields(["codec_data", "streamheader"]);
    }
    let raw = match kind {
        TrackKind::Video => "video/x-raw",
        TrackKind::Audio => "audio/x-raw",
        TrackKind::Muxed => return None,
    };
    offer_mut.append_structure(gst::Structure::new_empty(raw));
    Some(offer)
}

/// The muxer of a container; `None` for one that needs no muxer.
pub(super) fn muxer(container: Container) -> Option<&'static str> {
    match container {
        Container::Ts => Some("mpegtsmux"),
        Container::Webm => Some("webmmux"),
        Container::Mkv => Some("matroskamux"),
        Container::Ogg => Some("oggmux"),
        Container::Flv => Some("flvmux"),
        Container::Mp4 => Some("mp4mux"),
        Container::Mp3
        | Container::Aac
        | Container::Flac
        | Container::Wav
        | Container::Mjpeg
        | Container::WebRtc
        | Container::Avi
        | Container::Rtp
        | Container::Raw => None,
    }
}

/// Whether the container can carry a track of these encoded caps.
pub(super) fn carries(container: Container, caps: &gst::Caps) -> bool {
    match muxer(container).and_then(gst::ElementFactory::find) {
        Some(muxer) => takes(&muxer, &parsed_forms(caps)),
        None => self::container(caps) == Some(container),
    }
}

/// Whether an element of this kind has a pad for some of these caps.
pub(super) fn takes(factory: &gst::ElementFactory, caps: &gst::Caps) -> bool {
    let templates = factory.static_pad_templates();
    let mut entrances = templates.iter().filter(|template| template.direction() == gst::PadDirection::Sink);
    entrances.any(|template| template.caps().can_intersect(caps)) && accepted_caps::may_take(&factory.name(), caps)
}

/// Whether a buffer can be decoded without those before it.
pub(super) fn is_key(buffer: &gst::BufferRef) -> bool {
    !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT)
}

/// What encodes in a pipeline, for the log: what was asked for may be there in hardware and in software.
pub(super) fn encoders(bin: &gst::Bin) -> Option<String> {
    let mut found = Vec::new();
    for element in bin.iterate_recurse().into_iter().flatten() {
        let Some(factory) = element.factory() else { continue };
        let class = factory.metadata(gst::ELEMENT_METADATA_KLASS).unwrap_or_default();
        if class.contains("Encoder") {
            let way = if class.contains("Hardware") { "hardware" } else { "software" };
            found.push(format!("{} in {way}", factory.name()));
        }
    }
    (!found.is_empty()).then(|| format!("encodes by {}", found.join(", ")))
}

/// Whether an element encodes video.
pub(super) fn is_video_encoder(element: &gst::Element) -> bool {
    let Some(factory) = element.factory() else { return false };
    let class = factory.metadata(gst::ELEMENT_METADATA_KLASS).unwrap_or_default();
    class.contains("Encoder") && (class.contains("Video") || class.contains("Image"))
}

/// How the buffers of encoded caps are written; `None` for what we have no canonical form of.
pub(super) fn source_form(caps: &gst::CapsRef) -> Option<SourceForm> {
    let structure = caps.structure(0)?;
    let number = |field| structure.get::<i32>(field).ok();
    let format = structure.get::<&str>("stream-format").ok();
    let codec_data = || structure.get::<gst::Buffer>("codec_data").ok().and_then(bytes_of);
    let headers = || -> Vec<Bytes> {
        let headers = structure.get::<gst::ArrayRef>("streamheader").ok();
        let values = headers.iter().flat_map(|headers| headers.iter());
        values.filter_map(|value| value.get::<gst::Buffer>().ok()).filter_map(bytes_of).collect()
    };
    Some(match (structure.name().as_str(), number("mpegversion").unwrap_or(0)) {
        ("video/x-h264", _) if format == Some("byte-stream") => SourceForm::H264AnnexB,
        ("video/x-h264", _) => {
            let (parameters, length_size) = h264::Parameters::from_record(&codec_data()?)?;
            SourceForm::H264Lengths(parameters, length_size)
        }
        ("video/x-h265", _) if format == Some("byte-stream") => SourceForm::H265AnnexB,
        ("video/x-h265", _) => {
            let (parameters, length_size) = h265::Parameters::from_record(&codec_data()?)?;
            SourceForm::H265Lengths(parameters, length_size)
        }
        ("video/x-av1", _) => SourceForm::Av1ObuStream(None),
        ("video/x-vp8", _) => SourceForm::Vp8,
        ("video/x-vp9", _) => SourceForm::Vp9,
        ("video/mpeg", 1 | 2) => SourceForm::MpegVideo,
        ("video/mpeg", 4) => {
            SourceForm::Mpeg4Visual(mpeg4_visual::Parameters { config: codec_data().unwrap_or_default() })
        }
        ("image/jpeg", _) => SourceForm::Jpeg,
        ("video/x-theora", _) => SourceForm::Theora(xiph_headers(headers())?),
        ("audio/mpeg", 1) => SourceForm::MpegAudio,
        ("audio/mpeg", 2 | 4) if format == Some("raw") => SourceForm::AacRaw(aac::Parameters { config: codec_data()? }),
        ("audio/mpeg", 2 | 4) => SourceForm::Adts,
        ("audio/x-opus", _) => SourceForm::Opus(match headers().into_iter().next() {
            Some(head) => opus::Parameters { head },
            // Without one, it is mono or stereo (RFC 7845, section 5.1).
            None => opus::Parameters::simple(u8::try_from(number("channels").unwrap_or(2)).unwrap_or(2)),
        }),
        ("audio/x-vorbis", _) => SourceForm::Vorbis(xiph_headers(headers())?),
        ("audio/x-flac", _) => SourceForm::Flac(flac::Parameters { stream_info: stream_info(&headers())? }),
        ("audio/x-ac3" | "audio/x-eac3", _) => SourceForm::Ac3,
        ("audio/x-raw", _) => {
            SourceForm::Pcm(pcm_format(structure.get("format").ok()?)?, rate(structure)?, channels(structure)?)
        }
        ("audio/x-alaw", _) => SourceForm::Pcm(pcm::Format::ALaw, rate(structure)?, channels(structure)?),
        ("audio/x-mulaw", _) => SourceForm::Pcm(pcm::Format::MuLaw, rate(structure)?, channels(structure)?),
        _ => return None,
    })
}

fn bytes_of(buffer: gst::Buffer) -> Option<Bytes> {
    buffer.into_mapped_buffer_readable().ok().map(|map| Bytes::copy_from_slice(&map))
}

fn rate(structure: &gst::StructureRef) -> Option<u32> {
    structure.get::<i32>("rate").ok().and_then(|rate| u32::try_from(rate).ok())
}

fn channels(structure: &gst::StructureRef) -> Option<u16> {
    structure.get::<i32>("channels").ok().and_then(|channels| u16::try_from(channels).ok())
}

fn pcm_format(name: &str) -> Option<pcm::Format> {
    Some(match name {
        "U8" => pcm::Format::U8,
        "S16LE" => pcm::Format::S16Le,
        "S16BE" => pcm::Format::S16Be,
        "S24LE" => pcm::Format::S24Le,
        "S32LE" => pcm::Format::S32Le,
        "F32LE" => pcm::Format::F32Le,
        _ => return None,
    })
}

fn xiph_headers(headers: Vec<Bytes>) -> Option<xiph::Headers> {
    let [identification, comment, setup] = headers.try_into().ok()?;
    Some(xiph::Headers { identification, comment, setup })
}

/// `STREAMINFO` out of the headers in caps, which have them as Ogg does: "\x7fFLAC", version, count, "fLaC", and the block with
/// its head (RFC 9639, section 10.1).
fn stream_info(headers: &[Bytes]) -> Option<Bytes> {
    const BEFORE: usize = 9 + 4 + 4;
    headers
        .first()
        .filter(|first| first.starts_with(b"\x7fFLAC") && first.len() >= BEFORE + 34)
        .map(|first| first.slice(BEFORE..BEFORE + 34))
}

/// Width and height of the frames of a video track, if they are fixed.
pub(super) fn frame_size(caps: &gst::CapsRef) -> Option<(i32, i32)> {
    let form = caps.structure(0)?;
    Some((form.get("width").ok()?, form.get("height").ok()?))
}

/// Size and rate as caps say them.
pub(super) fn video_shape(caps: &gst::CapsRef) -> Option<VideoShape> {
    let structure = caps.structure(0)?;
    let size = |field| structure.get::<i32>(field).ok().and_then(|size| u32::try_from(size).ok()).unwrap_or(0);
    let ratio = |field| {
        let ratio = structure.get::<gst::Fraction>(field).ok()?;
        let part = |part| u32::try_from(part).ok().filter(|part| *part > 0);
        Some((part(ratio.numer())?, part(ratio.denom())?))
    };
    Some(VideoShape {
        width: size("width"),
        height: size("height"),
        pixel_aspect: ratio("pixel-aspect-ratio").unwrap_or((1, 1)),
        frame_rate: ratio("framerate"),
    })
}
