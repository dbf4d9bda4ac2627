//! What caps mean: kind of track, container, parser, and what a muxer takes.

use super::mux::Own;
use crate::{ipc::TrackKind, media::Container};
use gst::prelude::*;
use gstreamer as gst;

/// A track's kind and whether it is encoded; `None` for what is neither picture nor sound.
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

/// The caps that `caps` can become behind their parser.
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
        Container::Mp3 | Container::Aac | Container::Flac | Container::Wav | Container::Mjpeg | Container::Raw => None,
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
    entrances.any(|template| template.caps().can_intersect(caps)) && Own::may_take(&factory.name(), caps)
}

/// Whether a buffer can be decoded without those before it.
pub(super) fn is_key(buffer: &gst::BufferRef) -> bool {
    !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT)
}

/// What encodes in a text, for the log: what was asked for may be there in hardware and in software.
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

/// Whether an element encodes pictures.
pub(super) fn is_video_encoder(element: &gst::Element) -> bool {
    let Some(factory) = element.factory() else { return false };
    let class = factory.metadata(gst::ELEMENT_METADATA_KLASS).unwrap_or_default();
    class.contains("Encoder") && (class.contains("Video") || class.contains("Image"))
}
