//! Tracks and frames of every codec that FLV carries, for tests.

use super::reader::{Found, Reader};
use super::tag::{self, Part, Unit};
use crate::media::codec::canonical::{Canonicalizer, SourceForm};
use crate::media::codec::{aac, av1, flac, h264, h265, opus, pcm};
use crate::media::sample::Sample;
use crate::media::{Time, TrackId, TrackInfo};
use bytes::Bytes;

/// ffmpeg's H.264 and AAC.
pub(super) const PLAIN: &[u8] = include_bytes!("../../../tests/data/h264-aac.flv");
/// GStreamer's H.264.
pub(super) const GSTREAMER: &[u8] = include_bytes!("../../../tests/data/h264-gst.flv");

/// A track with some frames, the first of which a decoder may begin with.
pub(super) struct Track {
    pub(super) info: TrackInfo,
    /// Whether a decoder may begin with it, and the frame.
    pub(super) frames: Vec<(bool, Bytes)>,
}

impl Track {
    /// What a canonicalizer makes of these frames.
    fn of(id: u8, form: SourceForm, frames: &[Vec<u8>]) -> Self {
        let mut canonicalizer = Canonicalizer::new(form);
        let frames = frames.iter().map(|frame| {
            let canonical = canonicalizer.push(frame.clone().into()).unwrap();
            assert_eq!(canonical.data, frame[..], "the frames are canonical");
            (canonical.is_sync, canonical.data)
        });
        let frames = frames.collect();
        let (codec, shape) = canonicalizer.parameters().unwrap();
        Self { info: TrackInfo { id: TrackId(id), codec: codec.clone(), shape }, frames }
    }

    /// A sample with one of the frames, over and over.
    pub(super) fn sample(&self, number: usize, dts: i64, pts: i64) -> Sample {
        let (is_sync, data) = self.frames[number % self.frames.len()].clone();
        Sample {
            track: self.info.id,
            dts: Time::from_millis(dts),
            pts: Time::from_millis(pts),
            duration: None,
            is_sync,
            discontinuity: false,
            captured: None,
            entered: None,
            data,
        }
    }
}

/// All units in the tags of a file.
pub(super) fn units(file: &[u8]) -> Vec<(u8, Unit)> {
    let mut reader = Reader::default();
    reader.push(file);
    let mut units = Vec::new();
    while let Some(found) = reader.next() {
        match found {
            Found::Tag { kind: tag::VIDEO, body, .. } => {
                units.extend(tag::read_video(&body).map(|it| (tag::VIDEO, it)))
            }
            Found::Tag { kind: tag::AUDIO, body, .. } => {
                units.extend(tag::read_audio(&body).map(|it| (tag::AUDIO, it)))
            }
            _ => {}
        }
    }
    units
}

fn capture(file: &[u8], kind: u8) -> (Bytes, Vec<Vec<u8>>) {
    let (configs, frames): (Vec<_>, Vec<_>) =
        units(file).into_iter().filter(|it| it.0 == kind).map(|it| it.1).partition(|unit| unit.part == Part::Config);
    (configs[0].data.clone(), frames.iter().map(|unit| unit.data.to_vec()).collect())
}

fn hex(text: &str) -> Bytes {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// A frame that begins so and is so long.
fn frame(begin: &[u8], length: usize) -> Vec<u8> {
    let mut frame = begin.to_vec();
    frame.extend((begin.len()..length).map(|at| at as u8));
    frame
}

/// H.264 of a capture.
pub(super) fn h264(file: &[u8]) -> Track {
    let (config, frames) = capture(file, tag::VIDEO);
    let (parameters, length_size) = h264::Parameters::from_record(&config).unwrap();
    let mut canonicalizer = Canonicalizer::new(SourceForm::H264Lengths(parameters.clone(), length_size));
    let frames: Vec<_> =
        frames.into_iter().filter_map(|frame| canonicalizer.push(frame.into())).map(|it| it.data.to_vec()).collect();
    Track::of(0, SourceForm::H264Lengths(parameters, length_size), &frames)
}

/// AAC of a capture.
pub(super) fn aac() -> Track {
    let (config, frames) = capture(PLAIN, tag::AUDIO);
    Track::of(1, SourceForm::AacRaw(aac::Parameters { config }), &frames)
}

/// MP3 frames of 32 kbit/s; of MPEG-2 at 24 kHz, which FLV has no flag for.
pub(super) fn mp3(is_low: bool) -> Track {
    let head = if is_low { [0xff, 0xf3, 0x44, 0xc4] } else { [0xff, 0xfb, 0x10, 0xc4] };
    let length = if is_low { 96 } else { 104 };
    Track::of(1, SourceForm::MpegAudio, &[frame(&head, length), frame(&head, length)])
}

/// A track of each video codec.
pub(super) fn videos() -> Vec<Track> {
    let record = hex(
        "0104080000009d08000000003cf000fcfefafa00000f03a00001001740010c01ffff0408000003009d0800000300003c959809a1000100294201010408000003009d0800000300003cb00a480b9c96d96566924e5780b40400000fa40001d4c020a2000100074401c172b46240",
    );
    let (parameters, length_size) = h265::Parameters::from_record(&record).unwrap();
    let h265 = [frame(&[0, 0, 0, 60, 0x26, 1], 64), frame(&[0, 0, 0, 46, 2, 1], 50)];
    let sequence = av1::Parameters::from_record(&hex("81000c000a0a00000003b4ff700be001")).unwrap();
    let av1 = [frame(&[0x32, 60, 0x10], 62), frame(&[0x32, 48, 0x30], 50)];
    let vp8 = [frame(&[0x10, 2, 0, 0x9d, 1, 0x2a, 0xa0, 0, 0x78, 0], 60), frame(&[0x31, 2, 0], 50)];
    let vp9 = [frame(&hex("824983420009f0077000"), 60), frame(&[0x86, 0], 50)];
    vec![
        h264(PLAIN),
        Track::of(0, SourceForm::H265Lengths(parameters, length_size), &h265),
        Track::of(0, SourceForm::Av1ObuStream(Some(sequence)), &av1),
        Track::of(0, SourceForm::Vp8, &vp8),
        Track::of(0, SourceForm::Vp9, &vp9),
    ]
}

/// A track of each audio codec.
pub(super) fn audios() -> Vec<Track> {
    let stream_info = hex("040004000000000000000bb800f000000000000000000000000000000000000000000000");
    let flac = [frame(&hex("fff8aa0800ed4c"), 80), frame(&hex("fff8aa0801ea4c"), 70)];
    let flac_form = SourceForm::Flac(flac::Parameters::from_header(&stream_info[..34]).unwrap());
    let dolby = |begin: &str| [frame(&hex(begin), 384), frame(&hex(begin), 384)];
    vec![
        aac(),
        mp3(false),
        mp3(true),
        Track::of(1, SourceForm::Opus(opus::Parameters::simple(2)), &[frame(&[0xfc], 90), frame(&[0xfc], 80)]),
        Track::of(1, flac_form, &flac),
        Track::of(1, SourceForm::Ac3, &dolby("0b77480d0c402f842bc1c77a")),
        Track::of(1, SourceForm::Ac3, &dolby("0b7700bf3287c00021064060")),
        Track::of(1, SourceForm::Pcm(pcm::Format::ALaw, 8000, 1), &[frame(&[], 160), frame(&[], 160)]),
        Track::of(1, SourceForm::Pcm(pcm::Format::MuLaw, 8000, 2), &[frame(&[], 320), frame(&[], 160)]),
    ]
}
