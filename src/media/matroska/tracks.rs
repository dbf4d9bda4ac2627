//! What a header says about the stream: its kind and its tracks.

use super::element::{self, elements, unsigned};
use crate::media::{Container, codec::rfc6381::Setup, sniffed::Sniffed};

/// Video and audio in `TrackType` (RFC 9559, section 5.1.4.1.3).
const VIDEO_TYPE: u64 = 1;
const AUDIO_TYPE: u64 = 2;

/// Whether two headers describe the same tracks (number, type, codec and its configuration, frame size, sampling frequency,
/// channels), so that a decoder can continue from one to the other. Identifiers, dates, titles and names of programs do
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

/// The codec configurations of the tracks of a header, in their order.
pub(in crate::media) fn setups(header: &[u8]) -> Vec<Setup<'_>> {
    let tracks = tracks(header).into_iter().filter(|track| matches!(track.kind, VIDEO_TYPE | AUDIO_TYPE));
    tracks.map(|track| setup(track.codec, track.codec_private)).collect()
}

/// By the identifiers of RFC 9559, section 27.2.
fn setup<'a>(codec: &[u8], private: &'a [u8]) -> Setup<'a> {
    match codec {
        b"V_MPEG4/ISO/AVC" => Setup::Avc("avc1", private),
        b"V_MPEGH/ISO/HEVC" => Setup::Hevc("hvc1", private),
        b"V_VP8" => Setup::Named("vp8"),
        b"V_VP9" => Setup::Vp9(private),
        b"V_AV1" => Setup::Av1(private),
        b"V_THEORA" => Setup::Named("theora"),
        b"A_AAC" => Setup::Aac(private),
        b"A_OPUS" => Setup::Named("opus"),
        b"A_VORBIS" => Setup::Named("vorbis"),
        b"A_FLAC" => Setup::Named("flac"),
        b"A_MPEG/L3" => Setup::Named("mp3"),
        b"A_AC3" => Setup::Named("ac-3"),
        b"A_EAC3" => Setup::Named("ec-3"),
        _ => Setup::Unknown,
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

/// Distinguishes WebM from Matroska by the EBML header that `bytes` begin with (RFC 8794, section 11.2.6).
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

pub(super) fn float(content: &[u8]) -> f64 {
    match (<[u8; 4]>::try_from(content), <[u8; 8]>::try_from(content)) {
        (Ok(bytes), _) => f64::from(f32::from_be_bytes(bytes)),
        (_, Ok(bytes)) => f64::from_be_bytes(bytes),
        // Zero bytes stand for 0.0 (RFC 8794, section 7.3).
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GSTREAMER: &[u8] = include_bytes!("../../../tests/data/vp8-opus-gst.webm");
    const LIVE: &[u8] = include_bytes!("../../../tests/data/vp8-opus-live.webm");
    const PLAIN: &[u8] = include_bytes!("../../../tests/data/h264-aac.mkv");

    #[test]
    fn tracks_are_read_from_captures() {
        let found = tracks(PLAIN);
        assert_eq!(found.len(), 2);
        assert!(found[0].is_video() && !found[1].is_video());
        assert_eq!((found[0].codec, found[0].width, found[0].height), (&b"V_MPEG4/ISO/AVC"[..], 160, 120));
        assert_eq!((found[1].codec, found[1].sampling_frequency, found[1].channels), (&b"A_AAC"[..], 44100.0, 1));
        assert_eq!(found[1].number, 2);
    }

    #[test]
    fn the_same_tracks_are_told_by_what_a_decoder_needs() {
        #[track_caller]
        fn check(from: &[u8], to: &[u8], expect: bool) {
            assert_eq!(from.len(), to.len());
            let at = GSTREAMER.windows(from.len()).position(|bytes| bytes == from).unwrap();
            let mut other = GSTREAMER.to_vec();
            other[at..at + to.len()].copy_from_slice(to);
            assert_eq!(same_tracks(GSTREAMER, &other), expect);
        }
        check(b"GStreamer", b"gstreamer", true);
        check(b"\x44\x61\x88\x0b", b"\x44\x61\x88\x0c", true);
        check(b"\x73\xc5\x88", b"\x73\xc4\x88", true);
        check(b"V_VP8", b"V_VP9", false);
        check(b"\xb0\x81\xa0", b"\xb0\x81\xa1", false);
        check(b"OpusHead\x01\x01", b"OpusHead\x01\x02", false);
        check(b"\xb5\x88\x40\xe7", b"\xb5\x88\x40\xe8", false);
        assert!(!same_tracks(GSTREAMER, PLAIN) && !same_tracks(LIVE, &LIVE[..100]) && !same_tracks(b"", b""));
    }
}
