//! What players get of sequences of frames.

use super::*;
use crate::media::{
    Time,
    codec::{adts, flac, mpeg_audio},
    testing::Scan,
    track::{AudioShape, Shape, VideoShape},
};
use std::{io::Write as _, process::Command};

const AAC: &[u8] = include_bytes!("../../../../tests/data/sound.aac");
const MP3: &[u8] = include_bytes!("../../../../tests/data/sound.mp3");
const FLAC: &[u8] = include_bytes!("../../../../tests/data/sound.flac");
const WAV: &[u8] = include_bytes!("../../../../tests/data/sound.wav");
const MJPEG: &[u8] = include_bytes!("../../../../tests/data/pictures.mjpeg");

fn track(codec: CodecParameters, rate: u32, channels: u16) -> TrackInfo {
    let shape = match codec.is_video() {
        true => Shape::Video(VideoShape { width: 160, height: 120, pixel_aspect: (1, 1), frame_rate: None }),
        false => Shape::Audio(AudioShape { rate, channels }),
    };
    TrackInfo { id: TrackId(3), codec, shape }
}

fn sample(data: Bytes) -> Sample {
    Sample {
        track: TrackId(3),
        dts: Time::ZERO,
        pts: Time::ZERO,
        duration: None,
        is_sync: true,
        discontinuity: true,
        captured: Some(Duration::from_secs(5)),
        entered: Some(Duration::from_secs(6)),
        data,
    }
}

/// The track and the samples of a capture.
fn demuxed(container: Container, capture: &'static [u8]) -> (TrackInfo, Vec<Bytes>) {
    // WAV is cut where its pieces end.
    let found = Scan::of(Some(container), capture, &[1000]);
    let media = Bytes::from(found.media);
    let ends = found.joins.iter().skip(1).copied().chain([media.len()]);
    let mut frames: Vec<_> = found.joins.iter().zip(ends).map(|(begin, end)| media.slice(*begin..end)).collect();
    let track = match container {
        Container::Aac => {
            frames = adts::frames(&media).map(|(header, frame)| frame.slice(header.length..)).collect();
            let parameters = adts::Header::parse(&media).unwrap().parameters(&[]).unwrap();
            track(CodecParameters::Aac(parameters), 44_100, 1)
        }
        Container::Mp3 => {
            track(CodecParameters::MpegAudio(mpeg_audio::Header::parse(&media).unwrap().parameters), 44_100, 1)
        }
        Container::Flac => track(CodecParameters::Flac(flac::Parameters::from_header(capture).unwrap()), 16_000, 1),
        Container::Wav => track(CodecParameters::Pcm(pcm::Format::S16Le), 8000, 2),
        _ => track(CodecParameters::Jpeg, 0, 0),
    };
    (track, frames)
}

#[derive(Default)]
struct Out {
    container: Option<Container>,
    headers: Vec<(Bytes, HeaderChange)>,
    packets: Vec<crate::media::Packet>,
}

impl Out {
    fn take(&mut self, out: &mut Vec<Muxed>) {
        for muxed in out.drain(..) {
            match muxed {
                Muxed::Header { bytes, readers } => self.headers.push((bytes, readers)),
                Muxed::Packet(packet) => self.packets.push(packet),
                Muxed::WantsKeyframe => {}
            }
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let opening = if self.container == Some(Container::Mjpeg) { multipart::opening() } else { &[] };
        let header = self.headers.iter().flat_map(|(bytes, _)| bytes.to_vec());
        opening.iter().copied().chain(header).chain(self.packets.iter().flat_map(|packet| packet.payload())).collect()
    }
}

fn muxed(container: Container, tracks: &[TrackInfo], samples: &[Bytes]) -> Out {
    let (mut muxer, mut found, mut out) = (Muxer::new(container).unwrap(), Out::default(), Vec::new());
    found.container = Some(container);
    muxer.set_tracks(tracks, &mut out);
    for data in samples {
        muxer.push(&sample(data.clone()), &mut out);
    }
    found.take(&mut out);
    found
}

const ALL: [(Container, &[u8]); 5] = [
    (Container::Aac, AAC),
    (Container::Mp3, MP3),
    (Container::Flac, FLAC),
    (Container::Wav, WAV),
    (Container::Mjpeg, MJPEG),
];

#[test]
fn every_sample_is_a_join_point_that_a_scanner_finds() {
    for (container, capture) in ALL {
        let (track, samples) = demuxed(container, capture);
        let out = muxed(container, &[track], &samples);
        assert!(samples.len() > 5 && out.packets.len() == samples.len(), "{container}");
        for packet in &out.packets {
            assert_eq!((packet.kind, packet.discontinuity), (Kind::Keyframe, true));
            assert_eq!((packet.captured, packet.entered), (Some(Duration::from_secs(5)), Some(Duration::from_secs(6))));
        }
        let (expected, found) = (Scan::of(None, capture, &[999]), Scan::of(None, &out.bytes(), &[777]));
        assert_eq!(found.container, Some(container));
        assert_eq!(found.media, expected.media, "{container}");
    }
}

#[test]
fn ffmpeg_decodes_the_same() {
    for (container, capture) in ALL {
        let (track, samples) = demuxed(container, capture);
        let bytes = muxed(container, &[track], &samples).bytes();
        let hash = |bytes: &[u8]| {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(bytes).unwrap();
            // Frames of JPEG have no times of their own.
            let arguments =
                ["-v", "error", "-i", file.path().to_str().unwrap(), "-vsync", "passthrough", "-f", "md5", "-"];
            Command::new("ffmpeg").args(arguments).output().ok()
        };
        let (Some(expected), Some(found)) = (hash(capture), hash(&bytes)) else {
            eprintln!("SKIPPED: there is no ffmpeg");
            return;
        };
        assert!(expected.stdout.starts_with(b"MD5="));
        assert_eq!(found.stdout, expected.stdout, "{container}");
        // It misses an image after the last boundary.
        assert!(found.stderr.is_empty() || container == Container::Mjpeg, "{}", found.stderr.escape_ascii());
    }
}

#[test]
fn wav_says_every_format() {
    use pcm::Format::{ALaw, F32Le, MuLaw, S16Be, S16Le, S24Le, S32Le, U8};
    for (format, channels, name) in [
        (U8, 1, "pcm_u8,8000,1"),
        (S16Le, 2, "pcm_s16le,8000,2"),
        (S16Be, 1, "pcm_s16le,8000,1"),
        (S24Le, 2, "pcm_s24le,8000,2"),
        (S32Le, 1, "pcm_s32le,8000,1"),
        (F32Le, 2, "pcm_f32le,8000,2"),
        (ALaw, 1, "pcm_alaw,8000,1"),
        (MuLaw, 1, "pcm_mulaw,8000,1"),
        (S16Le, 6, "pcm_s16le,8000,6"),
    ] {
        let data = Bytes::from(vec![1; 4801]);
        let out = muxed(Container::Wav, &[track(CodecParameters::Pcm(format), 8000, channels)], &[data.clone(), data]);
        let block = usize::from(channels) * format.bytes();
        assert!(out.packets.iter().all(|packet| packet.len() == 4801 - 4801 % block));
        let found = Scan::of(None, &out.bytes(), &[100]);
        assert_eq!((found.container, found.media.len()), (Some(Container::Wav), 2 * (4801 - 4801 % block)));
        assert_eq!(found.headers[0].1, out.headers[0].0, "sizes are unknown already");
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&out.bytes()).unwrap();
        let path = file.path().to_str().unwrap();
        let show = "stream=codec_name,sample_rate,channels";
        let Ok(output) =
            Command::new("ffprobe").args(["-v", "error", "-show_entries", show, "-of", "csv=p=0", path]).output()
        else {
            eprintln!("SKIPPED: there is no ffprobe");
            return;
        };
        assert_eq!(str::from_utf8(&output.stdout).unwrap().trim(), name);
        assert_eq!(str::from_utf8(&output.stderr).unwrap(), "");
    }
}

#[test]
fn big_endian_samples_are_swapped() {
    let swapped = track(CodecParameters::Pcm(pcm::Format::S16Be), 8000, 1);
    let out = muxed(Container::Wav, &[swapped], &[Bytes::from_static(b"abcde"), Bytes::from_static(b"x")]);
    assert_eq!(out.packets.len(), 1);
    assert_eq!(out.packets[0].payload().as_ref(), b"badc");
}

#[test]
fn readers_end_where_a_header_changes() {
    let (flac, frames) = demuxed(Container::Flac, FLAC);
    let mut other_end = flac.clone();
    let CodecParameters::Flac(parameters) = &mut other_end.codec else { panic!() };
    let mut info = parameters.stream_info.to_vec();
    info[17..].fill(7);
    parameters.stream_info = info.into();
    let (stereo, _) = demuxed(Container::Flac, include_bytes!("../../../../tests/data/sound-gst.flac"));
    let wav = |channels| track(CodecParameters::Pcm(pcm::Format::U8), 8000, channels);
    let aac = |config: &'static [u8]| {
        let config = Bytes::from_static(config);
        track(CodecParameters::Aac(crate::media::codec::aac::Parameters { config }), 48_000, 2)
    };
    for (container, first, same, other, headers) in [
        (Container::Flac, flac.clone(), other_end, stereo, vec![HeaderChange::None, HeaderChange::End]),
        (Container::Wav, wav(1), wav(1), wav(2), vec![HeaderChange::None, HeaderChange::End]),
        (Container::Aac, aac(&[0x11, 0x90]), aac(&[0x11, 0x90]), aac(&[0x12, 0x08]), vec![]),
    ] {
        let (mut muxer, mut out, mut found) = (Muxer::new(container).unwrap(), Vec::new(), Out::default());
        for tracks in [&[first][..], &[same], &[], &[other]] {
            muxer.set_tracks(tracks, &mut out);
            muxer.push(&sample(frames[0].slice(..100)), &mut out);
            muxer.push(&Sample { track: TrackId(1), ..sample(frames[0].clone()) }, &mut out);
            found.take(&mut out);
        }
        assert_eq!(found.headers.iter().map(|(_, readers)| *readers).collect::<Vec<_>>(), headers);
        assert_eq!(found.packets.len(), 3, "{container}");
    }
}

#[test]
fn parts_say_when_they_were_captured() {
    let (jpeg, frames) = demuxed(Container::Mjpeg, MJPEG);
    let (mut muxer, mut out, mut found) = (Muxer::new(Container::Mjpeg).unwrap(), Vec::new(), Out::default());
    muxer.set_tracks(&[jpeg], &mut out);
    muxer.push(&sample(frames[0].clone()), &mut out);
    muxer.set_epoch(Some(Duration::from_millis(1_000_500)));
    muxer.push(&sample(frames[0].clone()), &mut out);
    found.take(&mut out);
    assert!(found.headers.is_empty(), "the opening is not the header's");
    let expected = [None, Some(Duration::from_millis(1_005_500))];
    for (packet, captured) in found.packets.iter().zip(expected) {
        assert_eq!(packet.payload(), multipart::part(Kind::Keyframe, &frames[0], captured).payload());
        assert_eq!(multipart::picture_of(packet).unwrap(), frames[0]);
    }
}

#[test]
fn only_what_a_container_has_words_for_is_carried() {
    let codecs: Vec<_> =
        ALL.iter().map(|(container, capture)| (*container, demuxed(*container, capture).0.codec)).collect();
    for container in Container::ALL {
        for (own, codec) in &codecs {
            assert_eq!(Muxer::carries(container, codec), container == *own, "{container}");
        }
        assert_eq!(Muxer::new(container).is_some(), codecs.iter().any(|(own, _)| *own == container));
    }
    // Channels are listed in the configuration.
    let config = Bytes::from_static(&[0x11, 0x80, 0x04, 0xc8, 0x44, 0x00, 0x20, 0x00]);
    let aac = CodecParameters::Aac(crate::media::codec::aac::Parameters { config });
    assert!(!Muxer::carries(Container::Aac, &aac));
    let out =
        muxed(Container::Wav, &[track(CodecParameters::Pcm(pcm::Format::U8), 8000, 0)], &[Bytes::from_static(b"a")]);
    assert!(out.headers.is_empty() && out.packets.is_empty());
    let long = muxed(Container::Aac, &[demuxed(Container::Aac, AAC).0], &[vec![0; 9000].into()]);
    assert!(long.packets.is_empty());
}

#[test]
fn ffmpeg_plays_frames_of_flac_from_the_middle_and_over_a_restart() {
    let (track, frames) = demuxed(Container::Flac, FLAC);
    let again = [&frames[5..], &frames[..]].concat();
    let bytes = muxed(Container::Flac, &[track], &again).bytes();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&bytes).unwrap();
    let arguments = ["-v", "warning", "-i", file.path().to_str().unwrap(), "-f", "s16le", "-"];
    let Ok(output) = Command::new("ffmpeg").args(arguments).output() else {
        eprintln!("SKIPPED: there is no ffmpeg");
        return;
    };
    let samples = |frames: &[Bytes]| frames.iter().filter_map(|frame| flac::block_size(frame)).sum::<u32>();
    assert_eq!(output.stdout.len(), 2 * samples(&again) as usize, "{}", output.stderr.escape_ascii());
}
