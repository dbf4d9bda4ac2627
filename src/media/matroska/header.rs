//! Writes the header of a live stream: the EBML head, and of the segment all that stands before the first cluster.

use super::coding::{self, Coding};
use super::{element, write};
use crate::media::codec::CodecParameters;
use crate::media::track::{AudioShape, Shape, TrackInfo, VideoShape};

/// Ticks of a millisecond, the usual and for WebM the only scale.
const TIMESTAMP_SCALE: u64 = 1_000_000;
const PROGRAM: &[u8] = b"voyandz";
/// Longest display size that is written.
const MAX_DISPLAY: u64 = 1 << 20;

/// The header for these tracks, which are numbered from 1 by their place. `None` when one cannot be described.
pub(super) fn header(webm: bool, tracks: &[TrackInfo]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    write::parent(element::EBML, &mut out, |ebml| {
        write::unsigned(element::EBML_VERSION, 1, ebml);
        write::unsigned(element::EBML_READ_VERSION, 1, ebml);
        write::unsigned(element::EBML_MAX_ID_LENGTH, 4, ebml);
        write::unsigned(element::EBML_MAX_SIZE_LENGTH, 8, ebml);
        write::element(element::DOC_TYPE, if webm { b"webm" } else { b"matroska" }, ebml);
        // Version 4 has `CodecDelay` and `SeekPreRoll`, `SimpleBlock` needs readers of version 2.
        write::unsigned(element::DOC_TYPE_VERSION, 4, ebml);
        write::unsigned(element::DOC_TYPE_READ_VERSION, 2, ebml);
    });
    write::id_bytes(element::SEGMENT, &mut out);
    out.extend(element::UNKNOWN_SIZE);
    write::parent(element::INFO, &mut out, |info| {
        write::unsigned(element::TIMESTAMP_SCALE, TIMESTAMP_SCALE, info);
        write::element(element::MUXING_APP, PROGRAM, info);
        write::element(element::WRITING_APP, PROGRAM, info);
    });
    let mut entries = Vec::new();
    for (number, track) in (1..).zip(tracks) {
        let (rate, channels) = track.audio().map_or((0, 0), |shape| (shape.rate, shape.channels));
        let coding = Coding::of(&track.codec, rate, channels)?;
        write::parent(element::TRACK_ENTRY, &mut entries, |entry| track_entry(number, track, &coding, entry));
    }
    write::element(element::TRACKS, &entries, &mut out);
    Some(out)
}

fn track_entry(number: u64, track: &TrackInfo, coding: &Coding, entry: &mut Vec<u8>) {
    write::unsigned(element::TRACK_NUMBER, number, entry);
    write::unsigned(element::TRACK_UID, number, entry);
    write::unsigned(element::TRACK_TYPE, if track.codec.is_video() { 1 } else { 2 }, entry);
    write::unsigned(element::FLAG_LACING, 0, entry);
    write::element(element::LANGUAGE, b"und", entry);
    // Without it, Chromium holds each frame until the next one comes (media/formats/webm/webm_cluster_parser.cc).
    if let Some((frames, seconds)) = track.video().and_then(|shape| shape.frame_rate)
        && let Some(duration) = (u64::from(seconds) * 1_000_000_000).checked_div(frames.into())
        && duration > 0
    {
        write::unsigned(element::DEFAULT_DURATION, duration, entry);
    }
    write::element(element::CODEC_ID, coding.id.as_bytes(), entry);
    if !coding.private.is_empty() {
        write::element(element::CODEC_PRIVATE, &coding.private, entry);
    }
    if matches!(track.codec, CodecParameters::Opus(_)) {
        write::unsigned(element::CODEC_DELAY, coding::delay(&track.codec), entry);
        write::unsigned(element::SEEK_PRE_ROLL, coding::OPUS_PRE_ROLL, entry);
    }
    match &track.shape {
        Shape::Video(shape) => write::parent(element::VIDEO, entry, |video| {
            video_entry(shape, video);
            if let CodecParameters::Raw(format) = &track.codec {
                write::element(element::COLOUR_SPACE, &format.four_cc(), video);
            }
        }),
        Shape::Audio(shape) => write::parent(element::AUDIO, entry, |audio| audio_entry(&track.codec, shape, audio)),
    }
}

fn video_entry(shape: &VideoShape, video: &mut Vec<u8>) {
    let (width, height) = (u64::from(shape.width), u64::from(shape.height));
    if width == 0 || height == 0 {
        return;
    }
    write::unsigned(element::PIXEL_WIDTH, width, video);
    write::unsigned(element::PIXEL_HEIGHT, height, video);
    let (wide, high) = shape.pixel_aspect;
    let display = (width * u64::from(wide) + u64::from(high) / 2).checked_div(high.into());
    if let Some(display) = display.filter(|display| (1..MAX_DISPLAY).contains(display) && *display != width) {
        write::unsigned(element::DISPLAY_WIDTH, display, video);
        write::unsigned(element::DISPLAY_HEIGHT, height, video);
    }
}

fn audio_entry(codec: &CodecParameters, shape: &AudioShape, audio: &mut Vec<u8>) {
    let coded = coded_rate(codec).unwrap_or(shape.rate);
    write::float(element::SAMPLING_FREQUENCY, coded.into(), audio);
    if coded != shape.rate {
        write::float(element::OUTPUT_SAMPLING_FREQUENCY, shape.rate.into(), audio);
    }
    write::unsigned(element::CHANNELS, shape.channels.max(1).into(), audio);
    if let CodecParameters::Pcm(format) = codec {
        write::unsigned(element::BIT_DEPTH, format.bytes() as u64 * 8, audio);
    }
}

/// The rate of the core of AAC, which spectral band replication doubles.
fn coded_rate(codec: &CodecParameters) -> Option<u32> {
    let CodecParameters::Aac(parameters) = codec else { return None };
    parameters.parse().map(|config| config.core_rate).filter(|rate| *rate > 0)
}
