//! Muxer and demuxer together, and against ffmpeg.

use super::testing::{self, GSTREAMER, PLAIN, Track};
use super::{Demuxer, Muxer, tag};
use crate::media::codec::CodecParameters;
use crate::media::demux::Demuxed;
use crate::media::mux::{HeaderChange, Muxed};
use crate::media::sample::Sample;
use crate::media::testing::split;
use crate::media::{Kind, Time, TrackInfo, TrackSet};
use proptest::prelude::*;
use std::process::Command;

/// Tracks and samples in bytes that come in pieces of these sizes.
fn demux(bytes: &[u8], sizes: &[usize]) -> Vec<Demuxed> {
    let (mut demuxer, mut out, mut rest) = (Demuxer::new(), Vec::new(), bytes);
    for &size in sizes.iter().cycle() {
        let (piece, after) = rest.split_at(size.min(rest.len()));
        demuxer.push(piece, &mut out);
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    demuxer.finish(&mut out);
    out
}

/// What one reader of everything gets.
fn bytes(muxed: &[Muxed]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for it in muxed {
        match it {
            Muxed::Header { bytes: header, .. } if bytes.is_empty() => bytes.extend_from_slice(header),
            Muxed::Header { readers, .. } => assert_eq!(*readers, HeaderChange::None),
            Muxed::Packet(packet) => bytes.extend_from_slice(&packet.payload()),
            Muxed::WantsKeyframe => {}
        }
    }
    bytes
}

fn infos(tracks: &[&Track]) -> Vec<TrackInfo> {
    tracks.iter().map(|track| track.info.clone()).collect()
}

/// Twenty samples of each track: video of 25 frames a second, and audio of the same moment after it.
fn samples(tracks: &[&Track], begin: i64) -> Vec<Sample> {
    let video = |number: i64| begin + number * 40;
    (0..20)
        .flat_map(|number| tracks.iter().map(move |track| (number, *track)))
        .map(|(number, track)| {
            let has_b_frames = matches!(track.info.codec.name(), "H.264" | "H.265");
            let dts = if track.info.codec.is_video() { video(number) } else { video(number) - 60 };
            let later = if has_b_frames { number % 3 * 40 } else { 0 };
            track.sample(number as usize, dts, dts + later)
        })
        .collect()
}

fn mux(tracks: &[&Track], samples: &[Sample]) -> Vec<Muxed> {
    let (mut muxer, mut out) = (Muxer::new(), Vec::new());
    muxer.set_tracks(&infos(tracks), &mut out);
    samples.iter().for_each(|sample| muxer.push(sample, &mut out));
    out
}

#[track_caller]
fn check_round_trip(tracks: &[&Track], begin: i64, sizes: &[usize]) {
    let sent = samples(tracks, begin);
    let (sets, got) = split(demux(&bytes(&mux(tracks, &sent)), sizes));
    let name = infos(tracks).iter().map(|info| info.codec.name()).collect::<Vec<_>>().join(" and ");
    assert_eq!(sets.len(), 1, "{name}");
    assert_eq!(sets[0].tracks().len(), tracks.len(), "{name}");
    for (info, track) in sets[0].tracks().iter().zip(tracks) {
        assert_eq!((&info.codec, info.shape), (&track.info.codec, track.info.shape), "{name}");
    }
    assert_eq!(got.len(), sent.len(), "{name}");
    // Milliseconds from the first video frame, which has the time 500; without video from the first audio.
    let origin = Time::from_millis(500);
    for (got, sent, at) in got.iter().zip(&sent).map(|(got, it)| (got, it, it.dts.since(sent[0].dts))) {
        assert_eq!((&got.data, got.is_sync), (&sent.data, sent.is_sync), "{name}");
        assert_eq!((got.dts, got.pts.since(got.dts)), (origin.shifted(at), sent.pts.since(sent.dts)), "{name}");
        assert!(!got.discontinuity);
    }
}

#[test]
fn every_codec_survives_the_way_into_flv_and_back() {
    let (videos, audios) = (testing::videos(), testing::audios());
    for video in &videos {
        check_round_trip(&[video], 0, &[1]);
        check_round_trip(&[video, &audios[0]], 7, &[usize::MAX]);
    }
    for audio in &audios {
        check_round_trip(&[audio], -5, &[1]);
        check_round_trip(&[&videos[0], audio], 3_600_000, &[usize::MAX]);
    }
}

proptest! {
    #[test]
    fn pieces_do_not_matter(
        video in 0usize..5,
        audio in 0usize..9,
        sizes in prop::collection::vec(1usize..400, 1..6),
    ) {
        let (videos, audios) = (testing::videos(), testing::audios());
        check_round_trip(&[&videos[video], &audios[audio]], 1000, &sizes);
    }

    #[test]
    fn holes_and_pieces_lose_what_was_there_only(
        capture in prop::sample::select(vec![PLAIN, GSTREAMER]),
        holes in prop::collection::vec((900usize..26_000, 1usize..3000), 1..4),
        sizes in prop::collection::vec(1usize..3000, 1..6),
    ) {
        let mut bytes = capture.to_vec();
        let size = |found: Vec<Demuxed>| split(found).1.iter().map(|sample| sample.data.len()).sum::<usize>();
        // Each hole also takes the tags at its edges, the longest of which has 3300 bytes.
        let mut lost = 2 * 3400 * holes.len();
        for (at, length) in holes {
            let at = at.min(bytes.len());
            lost += bytes.drain(at..(at + length).min(bytes.len())).len();
        }
        let found = demux(&bytes, &sizes);
        prop_assert_eq!(&found, &demux(&bytes, &[usize::MAX]));
        prop_assert!(size(found) + lost >= size(demux(capture, &[usize::MAX])));
    }

    #[test]
    fn foreign_tags_never_panic(
        tags in prop::collection::vec((
            prop::sample::select(vec![tag::AUDIO, tag::VIDEO, tag::SCRIPT]),
            prop::sample::select(vec![0x17u8, 0x27, 0x2f, 0xaf, 0x72, 0x90, 0x91, 0x95, 0x96, 0x97, 0xa1, 0xb2]),
            prop::sample::select(vec![&b""[..], b"\x00", b"\x01", b"avc1", b"hvc1", b"av01", b"vp09", b"Opus", b"fLaC", b"\x01mp4a\x01", b"\x11ec-3\x01\0\0\x09"]),
            prop::collection::vec(any::<u8>(), 0..60),
            any::<u32>(),
        ), 0..40),
        size in 1usize..200,
    ) {
        let mut bytes = b"FLV\x01\x05\0\0\0\x09\0\0\0\0".to_vec();
        for (kind, flags, name, data, time) in tags {
            let body = [&[flags][..], name, &data].concat();
            bytes.extend_from_slice(&tag::frame_head(kind, body.len(), time));
            bytes.extend_from_slice(&body);
            bytes.extend_from_slice(&tag::frame_tail(body.len()));
        }
        let found = demux(&bytes, &[size]);
        prop_assert_eq!(&found, &demux(&bytes, &[usize::MAX]));
        let mut known: Option<TrackSet> = None;
        for it in found {
            match it {
                Demuxed::Tracks(set) => known = Some(set),
                Demuxed::Sample(sample) => {
                    prop_assert!(sample.pts >= sample.dts);
                    prop_assert!(known.as_ref().is_some_and(|set| set.get(sample.track).is_some()));
                }
            }
        }
    }
}

/// The output of a tool; `None`, with a word about it, when it is not installed.
fn run(tool: &str, arguments: &[&str]) -> Option<String> {
    match Command::new(tool).args(arguments).output() {
        Ok(output) => {
            assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
            Some(String::from_utf8(output.stdout).unwrap())
        }
        Err(error) => {
            eprintln!("SKIPPED: {tool}: {error}");
            None
        }
    }
}

/// A packet, as ffprobe has it: whether it is video, DTS and PTS in milliseconds, whether it is a keyframe, and its size.
type Probed = (bool, i64, i64, bool, usize);

fn probed(file: &str) -> Option<Vec<Probed>> {
    let entries = "packet=codec_type,pts,dts,size,flags";
    let said = run("ffprobe", &["-v", "error", "-show_entries", entries, "-of", "csv=p=0", file])?;
    let packets = said.lines().map(|line| {
        let [kind, pts, dts, size, flags] = line.split(',').collect::<Vec<_>>()[..] else { panic!("{line}") };
        (kind == "video", dts.parse().unwrap(), pts.parse().unwrap(), flags.starts_with('K'), size.parse().unwrap())
    });
    Some(packets.collect())
}

#[test]
fn captures_are_read_as_ffprobe_reads_them() {
    for (capture, name) in [(PLAIN, "h264-aac.flv"), (GSTREAMER, "h264-gst.flv")] {
        let file = format!("{}/../../../tests/data/{name}", std::path::Path::new(file!()).parent().unwrap().display());
        let Some(expect) = probed(&file) else { return };
        let (sets, samples) = split(demux(capture, &[1316]));
        let [set] = &sets[..] else { panic!("{sets:?}") };
        let shape = set.tracks()[0].video().unwrap();
        assert_eq!((shape.width, shape.height, shape.frame_rate), (160, 120, Some((25, 1))));
        assert_eq!(samples.len(), expect.len());
        for (sample, (is_video, dts, pts, is_key, size)) in samples.iter().zip(expect) {
            assert_eq!(set.get(sample.track).unwrap().codec.is_video(), is_video);
            assert_eq!((sample.dts.millis(), sample.pts.millis(), sample.is_sync), (dts, pts, is_key));
            // GStreamer's frames begin with a delimiter of 2 bytes and its length, and keyframes have the parameter sets.
            let dropped = size - sample.data.len();
            match (capture == GSTREAMER && is_video, is_key) {
                (false, _) => assert_eq!(dropped, 0),
                (true, false) => assert_eq!(dropped, 6),
                (true, true) => assert!((6..80).contains(&dropped), "{dropped}"),
            }
        }
    }
}

/// Hashes of the frames that ffmpeg decodes.
fn decoded(bytes: &[u8]) -> Option<Vec<String>> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let said = run("ffmpeg", &["-v", "error", "-f", "flv", "-i", file.path().to_str()?, "-f", "framemd5", "-"])?;
    let frames = said.lines().filter(|line| !line.starts_with('#'));
    // Stream, size and hash.
    let mut frames: Vec<_> =
        frames.map(|line| line.split(',').collect::<Vec<_>>()).map(|it| [it[0], it[4], it[5]].concat()).collect();
    frames.sort();
    Some(frames)
}

#[test]
fn ffmpeg_decodes_the_same_of_what_is_muxed_again() {
    for capture in [PLAIN, GSTREAMER] {
        let (sets, samples) = split(demux(capture, &[1316]));
        let (mut muxer, mut out) = (Muxer::new(), Vec::new());
        muxer.set_tracks(sets[0].tracks(), &mut out);
        samples.iter().for_each(|sample| muxer.push(sample, &mut out));
        let Some(expect) = decoded(capture) else { return };
        assert_eq!(decoded(&bytes(&out)), Some(expect));
    }
}

#[test]
fn ffmpeg_decodes_mp3() {
    let capture: &[u8] = include_bytes!("../../../tests/data/sound.mp3");
    let (mut muxer, mut out) = (Muxer::new(), Vec::new());
    let mut track = testing::mp3(false);
    // An ID3 tag stands in front.
    let mut rest = capture.get(45..).unwrap();
    let (mut frames, mut plain) = (Vec::new(), 0);
    while let Some(header) = crate::media::codec::mpeg_audio::Header::parse(rest) {
        let (frame, after) = rest.split_at(header.frame_length);
        frames.push((true, bytes::Bytes::copy_from_slice(frame)));
        (rest, plain) = (after, plain + header.samples as usize);
        track.info.shape = crate::media::track::Shape::Audio(crate::media::track::AudioShape {
            rate: header.rate,
            channels: header.channels,
        });
    }
    track.frames = frames;
    muxer.set_tracks(&infos(&[&track]), &mut out);
    for number in 0..track.frames.len() {
        let mut sample = track.sample(number, 0, 0);
        (sample.dts, sample.pts) =
            (Time::from_ticks(number as i64 * 1152, 44_100), Time::from_ticks(number as i64 * 1152, 44_100));
        muxer.push(&sample, &mut out);
    }
    let Some(frames) = decoded(&bytes(&out)) else { return };
    assert_eq!(frames.len(), plain / 1152);
    let file = format!("{}/../../../tests/data/sound.mp3", std::path::Path::new(file!()).parent().unwrap().display());
    let expect = run("ffmpeg", &["-v", "error", "-i", &file, "-f", "framemd5", "-"]).unwrap();
    let known = frames.iter().filter(|frame| expect.contains(frame.rsplit(' ').next().unwrap()));
    assert!(known.count() + 3 >= frames.len(), "the decoder begins with other padding");
}

#[test]
fn new_parameters_are_said_in_line() {
    let (first, second, audio) = (testing::h264(PLAIN), testing::h264(GSTREAMER), testing::aac());
    let (mut muxer, mut out) = (Muxer::new(), Vec::new());
    muxer.set_tracks(&infos(&[&first, &audio]), &mut out);
    (0..25).for_each(|number| muxer.push(&first.sample(number, number as i64 * 40, number as i64 * 40), &mut out));
    let header = |out: &[Muxed]| match &out[0] {
        Muxed::Header { bytes, readers } => (bytes.clone(), *readers),
        other => panic!("{other:?}"),
    };
    let before = header(&out);
    assert_eq!(before.1, HeaderChange::None);
    let mut change = Vec::new();
    muxer.set_tracks(&infos(&[&first, &audio]), &mut change);
    assert!(change.is_empty(), "nothing changed");
    muxer.set_tracks(&infos(&[&second, &audio]), &mut change);
    let [Muxed::Packet(config), Muxed::Header { bytes: after, readers: HeaderChange::None }] = &change[..] else {
        panic!("{change:?}")
    };
    assert_eq!((config.kind, &config.payload()[11..13]), (Kind::Delta, &[0x17, 0][..]));
    // At the time of the newest tag.
    assert_eq!(config.payload()[4..8], [0, (1460 >> 8) as u8, (1460 & 0xff) as u8, 0]);
    assert_ne!(before.0, *after);
    out.append(&mut change);
    for number in 0..25 {
        let mut sample = second.sample(number, 1000 + number as i64 * 40, 1000 + number as i64 * 40);
        sample.discontinuity = number == 0;
        muxer.push(&sample, &mut out);
    }
    let (sets, samples) = split(demux(&bytes(&out), &[1000]));
    let codecs: Vec<_> = sets.iter().map(|set| set.lead().unwrap().codec.clone()).collect();
    assert_eq!(codecs, [first.info.codec, second.info.codec]);
    assert_eq!(samples.len(), 50);
    let Some(frames) = decoded(&bytes(&out)) else { return };
    assert_eq!(frames.len(), 50);
}

#[test]
fn another_codec_and_another_number_of_tracks_end_readers() {
    let (videos, audios) = (testing::videos(), testing::audios());
    let (mut muxer, mut out) = (Muxer::new(), Vec::new());
    let mut change = |tracks: &[&Track]| {
        out.clear();
        muxer.set_tracks(&infos(tracks), &mut out);
        match &out[..] {
            [Muxed::Header { bytes, readers }] => Some((bytes[4], *readers)),
            [] => None,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(change(&[]), None);
    assert_eq!(change(&[&videos[0], &audios[0]]), Some((5, HeaderChange::None)));
    assert_eq!(change(&[&videos[1], &audios[0]]), Some((5, HeaderChange::End)));
    assert_eq!(change(&[&videos[1]]), Some((1, HeaderChange::End)));
    assert_eq!(change(&[&audios[1]]), Some((4, HeaderChange::End)));
    assert_eq!(change(&[&audios[7]]), Some((4, HeaderChange::End)));
    assert_eq!(change(&[&audios[8]]), Some((4, HeaderChange::End)));
}

#[test]
fn readers_without_audio_stay_when_it_comes() {
    let (video, audio) = (testing::h264(PLAIN), testing::aac());
    let (mut muxer, mut out) = (Muxer::new(), Vec::new());
    let mut change = |tracks: &[&Track]| {
        out.clear();
        muxer.set_tracks(&infos(tracks), &mut out);
        samples(&[&video, &audio], 0)[..4].iter().for_each(|sample| muxer.push(sample, &mut out));
        let header = out.iter().find_map(|muxed| match muxed {
            Muxed::Header { bytes, readers } => Some((bytes[4], *readers)),
            _ => None,
        });
        let needs = out.iter().filter_map(|muxed| match muxed {
            Muxed::Packet(packet) => Some((packet.payload()[0], packet.needs)),
            _ => None,
        });
        (header, needs.collect::<Vec<_>>())
    };
    let of = |needs: &[(u8, u32)], kind: u8| {
        let of_kind: Vec<_> = needs.iter().filter(|(tag, _)| *tag == kind).map(|(_, needs)| *needs).collect();
        (!of_kind.is_empty()).then(|| of_kind.iter().max().copied().unwrap_or_default())
    };
    for version in [1, 2] {
        let (header, needs) = change(&[&video]);
        assert_eq!((header.map(|(flags, _)| flags), of(&needs, 9), of(&needs, 8)), (Some(1), Some(0), None));
        let (header, needs) = change(&[&video, &audio]);
        assert_eq!(header, Some((5, HeaderChange::Added { version })));
        assert_eq!((of(&needs, 9), of(&needs, 8)), (Some(0), Some(version)));
        // It stays what it is while it is there.
        let (header, needs) = change(&[&video, &audio]);
        assert_eq!((header, of(&needs, 8)), (None, Some(version)));
    }
    // It goes: a player that expects it would wait.
    assert_eq!(change(&[&video]).0, Some((1, HeaderChange::End)));
}

#[test]
fn readers_join_at_keyframes_or_at_any_audio() {
    let (videos, audios) = (testing::videos(), testing::audios());
    let kinds = |tracks: &[&Track]| -> Vec<Kind> {
        let muxed = mux(tracks, &samples(tracks, 0)[..4]);
        muxed.iter().filter_map(|it| if let Muxed::Packet(packet) = it { Some(packet.kind) } else { None }).collect()
    };
    let (key, delta) = (Kind::Keyframe, Kind::Delta);
    assert_eq!(kinds(&[&videos[1], &audios[0]]), [key, delta, delta, delta]);
    assert_eq!(kinds(&[&audios[0]]), [key; 4]);
}

#[test]
fn keyframes_of_av1_begin_with_the_sequence_header() {
    let av1 = &testing::videos()[2];
    let CodecParameters::Av1(parameters) = &av1.info.codec else { panic!() };
    let found = testing::units(&bytes(&mux(&[av1], &samples(&[av1], 0)[..2])));
    let data: Vec<_> = found.into_iter().map(|(_, unit)| unit.data).collect();
    assert_eq!(data[1], [&parameters.sequence_header[..], &av1.frames[0].1].concat());
    assert_eq!(data[2], av1.frames[1].1);
}

#[test]
fn packets_keep_what_is_known_of_samples() {
    let track = testing::aac();
    let time = std::time::Duration::from_secs;
    let mut sample = track.sample(0, 0, 0);
    (sample.captured, sample.entered, sample.discontinuity) = (Some(time(1)), Some(time(2)), true);
    let muxed = mux(&[&track], &[sample]);
    let Muxed::Packet(packet) = &muxed[1] else { panic!() };
    assert_eq!((packet.captured, packet.entered, packet.discontinuity), (Some(time(1)), Some(time(2)), true));
}

#[test]
fn what_has_no_place_is_left_out() {
    let (h264, mut aac) = (testing::h264(PLAIN), testing::aac());
    let mut long = h264.sample(0, 0, 0);
    long.data = vec![0; tag::MAX_BODY].into();
    let mut empty = h264.sample(0, 40, 40);
    empty.data = bytes::Bytes::new();
    aac.info.id = crate::media::TrackId(7);
    assert_eq!(mux(&[&h264], &[long, empty, aac.sample(0, 0, 0)]).len(), 1);
}
