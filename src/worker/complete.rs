//! Completes pipelines: what a muxer or an output does not take as it is, gets a converter or an encoder in between.

use super::{
    caps,
    default_encoders::{PASSED, encoder},
    launch,
    track::Track,
};
use crate::{ipc::TrackKind, media::Container};
use gst::prelude::*;
use gstreamer as gst;
use std::sync::Arc;

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
pub(super) fn insert_converters(text: &str, track: impl Fn(&str) -> Option<Arc<Track>>) -> (String, Vec<String>) {
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
