//! What a header says about the stream: its kind and its tracks.

use super::element::{self, elements};
use crate::media::{Container, sniff::Sniffed};

/// Video in `TrackType` (RFC 9559, section 5.1.4.1.3).
const VIDEO_TYPE: u64 = 1;

/// Whether two headers describe the same tracks (number, type, codec and its set-up, picture size, sampling frequency,
/// channels), so that a decoder can go on from one to the other. Identifiers, dates, titles and names of programs do
/// not matter. Headers without tracks are never the same.
pub fn same_tracks(a: &[u8], b: &[u8]) -> bool {
    let tracks = tracks(a);
    !tracks.is_empty() && tracks == self::tracks(b)
}

/// One `TrackEntry` (RFC 9559, section 5.1.4.1).
#[derive(Debug, PartialEq)]
pub(super) struct Track<'a> {
    pub(super) number: u64,
    kind: u64,
    codec: &'a [u8],
    codec_private: &'a [u8],
    width: u64,
    height: u64,
    sampling_frequency: f64,
    channels: u64,
}

impl Track<'_> {
    pub(super) fn is_video(&self) -> bool {
        self.kind == VIDEO_TYPE
    }
}

/// The tracks of a header, which begins with the EBML header.
pub(super) fn tracks(header: &[u8]) -> Vec<Track<'_>> {
    let segment = elements(header).filter(|&(id, _)| id == element::SEGMENT);
    let tracks = segment.flat_map(|(_, content)| elements(content)).filter(|&(id, _)| id == element::TRACKS);
    let entries = tracks.flat_map(|(_, content)| elements(content)).filter(|&(id, _)| id == element::TRACK_ENTRY);
    entries.map(|(_, content)| track(content)).collect()
}

fn track(entry: &[u8]) -> Track<'_> {
    let mut track = Track {
        number: 0,
        kind: 0,
        codec: &[],
        codec_private: &[],
        width: 0,
        height: 0,
        // Defaults of sections 5.1.4.1.29.1 and 5.1.4.1.29.3.
        sampling_frequency: 8000.0,
        channels: 1,
    };
    let settings = elements(entry).flat_map(|(id, content)| {
        let is_group = matches!(id, element::VIDEO | element::AUDIO);
        let group = elements(if is_group { content } else { &[] });
        std::iter::once((id, content)).chain(group)
    });
    for (id, content) in settings {
        match id {
            element::TRACK_NUMBER => track.number = unsigned(content),
            element::TRACK_TYPE => track.kind = unsigned(content),
            // Strings may be padded with zeros (RFC 8794, section 7.4).
            element::CODEC_ID => track.codec = content.split(|&byte| byte == 0).next().unwrap_or_default(),
            element::CODEC_PRIVATE => track.codec_private = content,
            element::PIXEL_WIDTH => track.width = unsigned(content),
            element::PIXEL_HEIGHT => track.height = unsigned(content),
            element::SAMPLING_FREQUENCY => track.sampling_frequency = float(content),
            element::CHANNELS => track.channels = unsigned(content),
            _ => {}
        }
    }
    track
}

/// Tells WebM from Matroska by the EBML header that `bytes` begin with (RFC 8794, section 11.2.6).
pub(in crate::media) fn doc_type(bytes: &[u8]) -> Sniffed {
    let Ok(head) = element::Head::read(bytes) else { return Sniffed::Unknown };
    let Some((head, content)) = head.and_then(|head| Some((head, bytes.get(head.length..)?))) else {
        return Sniffed::Undecided;
    };
    let Some(size) = head.size.and_then(|size| usize::try_from(size).ok()) else { return Sniffed::Unknown };
    let is_whole = content.len() >= size;
    let mut rest = content.get(..size).unwrap_or(content);
    while let Ok(Some(head)) = element::Head::read(rest) {
        let size = head.size.and_then(|size| usize::try_from(size).ok()).unwrap_or(usize::MAX);
        let Some(value) = rest.get(head.length..).and_then(|content| content.get(..size)) else { break };
        if head.id == element::DOC_TYPE {
            return match value.split(|&byte| byte == 0).next() {
                Some(b"webm") => Sniffed::Is(Container::Webm),
                Some(b"matroska") => Sniffed::Is(Container::Mkv),
                _ => Sniffed::Unknown,
            };
        }
        rest = rest.get(head.length + size..).unwrap_or_default();
    }
    if is_whole { Sniffed::Unknown } else { Sniffed::Undecided }
}

fn unsigned(content: &[u8]) -> u64 {
    content.iter().take(8).fold(0, |number, &byte| number << 8 | u64::from(byte))
}

fn float(content: &[u8]) -> f64 {
    match (<[u8; 4]>::try_from(content), <[u8; 8]>::try_from(content)) {
        (Ok(bytes), _) => f64::from(f32::from_be_bytes(bytes)),
        (_, Ok(bytes)) => f64::from_be_bytes(bytes),
        // Zero bytes stand for 0.0 (RFC 8794, section 7.3).
        _ => 0.0,
    }
}
