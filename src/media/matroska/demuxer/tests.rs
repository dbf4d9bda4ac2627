//! Demuxes Matroska of other muxers, and of ours.

use super::*;
use crate::media::codec::CodecParameters;
use crate::media::matroska::Muxer;
use crate::media::mux::Muxed;
use crate::media::sample::Sample;
use crate::media::track::Shape;
use proptest::prelude::*;
use std::{io::Write as _, process::Command};

const H264_AAC: &[u8] = include_bytes!("../../../../tests/data/h264-aac.mkv");
const AV1_OPUS: &[u8] = include_bytes!("../../../../tests/data/av1-opus.mkv");
const VP9_OPUS: &[u8] = include_bytes!("../../../../tests/data/vp9-opus.webm");
const VP8_OPUS: &[u8] = include_bytes!("../../../../tests/data/vp8-opus-gst.webm");
const VP8_LIVE: &[u8] = include_bytes!("../../../../tests/data/vp8-opus-live.webm");
const OPUS: &[u8] = include_bytes!("../../../../tests/data/opus-live.webm");
const CAPTURES: [&[u8]; 6] = [H264_AAC, AV1_OPUS, VP9_OPUS, VP8_OPUS, VP8_LIVE, OPUS];

/// Demuxes bytes in pieces of these sizes, over and over.
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

fn tracks(found: &[Demuxed]) -> Vec<&[TrackInfo]> {
    let sets = found.iter().filter_map(|found| match found {
        Demuxed::Tracks(set) => Some(set.tracks()),
        Demuxed::Sample(_) => None,
    });
    sets.collect()
}

fn samples(found: &[Demuxed]) -> Vec<&Sample> {
    let samples = found.iter().filter_map(|found| match found {
        Demuxed::Sample(sample) => Some(sample),
        Demuxed::Tracks(_) => None,
    });
    samples.collect()
}

/// What is muxed again.
fn muxed(is_webm: bool, found: &[Demuxed]) -> Vec<u8> {
    let (mut muxer, mut out) = (Muxer::new(is_webm), Vec::new());
    for found in found {
        match found {
            Demuxed::Tracks(set) => muxer.set_tracks(set.tracks(), &mut out),
            Demuxed::Sample(sample) => muxer.push(sample, &mut out),
        }
    }
    bytes_of(out)
}

fn bytes_of(out: Vec<Muxed>) -> Vec<u8> {
    let piece = |made: Muxed| match made {
        Muxed::Header { bytes, .. } => bytes,
        Muxed::Packet(packet) => packet.payload(),
        Muxed::WantsKeyframe => Bytes::new(),
    };
    out.into_iter().flat_map(piece).collect()
}

/// What a foreign tool says of a file with these bytes; `None` when it is missing, which fails in CI.
fn tool(name: &str, bytes: &[u8], arguments: &[&str]) -> Option<String> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let path = file.path().to_str().unwrap();
    let arguments = arguments.iter().map(|argument| if *argument == "FILE" { path } else { argument });
    match Command::new(name).args(["-v", "error"]).args(arguments).output() {
        Ok(output) => {
            assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{name} complains");
            Some(String::from_utf8(output.stdout).unwrap())
        }
        Err(fault) => {
            assert!(std::env::var_os("CI").is_none(), "{name}: {fault}");
            eprintln!("skipped: {name} is missing: {fault}");
            None
        }
    }
}

/// Hashes of the frames that ffmpeg decodes: stream and hash, sorted by stream.
fn frames(bytes: &[u8]) -> Option<Vec<(usize, String)>> {
    let arguments = ["-i", "FILE", "-map", "0", "-fps_mode", "passthrough", "-f", "framehash", "-hash", "crc32", "-"];
    let text = tool("ffmpeg", bytes, &arguments)?;
    let frame = |line: &str| {
        let fields: Vec<_> = line.split(',').map(str::trim).collect();
        (!line.starts_with('#')).then(|| (fields[0].parse().unwrap(), fields[5].to_owned()))
    };
    let mut frames: Vec<_> = text.lines().filter_map(frame).collect();
    // Streams may be interleaved otherwise.
    frames.sort_by_key(|frame: &(usize, String)| frame.0);
    Some(frames)
}

/// A file of these streams, half a second each, made by ffmpeg.
fn encoded(codecs: &[(&str, char)]) -> Option<Vec<u8>> {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut arguments: Vec<String> = ["-y", "-f", "lavfi", "-i", "testsrc2=size=64x48:rate=25", "-f", "lavfi", "-i"]
        .into_iter()
        .chain(["sine=440:r=48000", "-t", "0.5", "-pix_fmt", "yuv420p", "-ac", "1", "-strict", "-2"])
        .chain(["-x265-params", "log-level=none"])
        .map(str::to_owned)
        .collect();
    for (at, (codec, kind)) in codecs.iter().enumerate() {
        let input = if *kind == 'v' { "0:v" } else { "1:a" };
        arguments.extend(["-map".to_owned(), input.to_owned(), format!("-c:{at}"), (*codec).to_owned()]);
    }
    arguments.extend(["-f", "matroska"].map(str::to_owned));
    arguments.push(file.path().to_str().unwrap().to_owned());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    tool("ffmpeg", b"", &arguments)?;
    Some(std::fs::read(file.path()).unwrap())
}

#[test]
fn captures_are_read_as_ffprobe_reads_them() {
    for capture in CAPTURES {
        let found = demux(capture, &[1000]);
        let entries = "packet=stream_index,pts_time,size,flags";
        let Some(text) = tool("ffprobe", capture, &["-show_entries", entries, "-of", "csv=p=0", "FILE"]) else {
            return;
        };
        // Stream, time, size, and K for keyframes.
        let mut expected: Vec<(u8, i64, usize, bool)> = Vec::new();
        for line in text.lines() {
            let fields: Vec<_> = line.split(',').collect();
            // Side data has lines of its own.
            if fields.len() < 4 {
                continue;
            }
            let millis = (fields[1].parse::<f64>().unwrap() * 1000.0).round() as i64;
            expected.push((fields[0].parse().unwrap(), millis, fields[2].parse().unwrap(), fields[3].starts_with('K')));
        }
        let found = samples(&found);
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            // ffprobe rounds the delay of Opus to milliseconds.
            assert!((found.pts.millis() - expected.1).abs() <= 1, "{found:?} {expected:?}");
            assert_eq!((found.track.0, found.is_sync), (expected.0, expected.3));
            // Sequence headers of AV1 are parameters.
            assert!(found.data.len() == expected.2 || capture == AV1_OPUS && found.is_sync);
            assert_eq!((found.dts, found.discontinuity), (found.pts, false));
        }
    }
}

#[test]
fn tracks_come_first_and_once() {
    let names = [["H.264", "AAC"], ["AV1", "Opus"], ["VP9", "Opus"], ["VP8", "Opus"], ["VP8", "Opus"], ["Opus", ""]];
    for (capture, names) in CAPTURES.into_iter().zip(names) {
        let found = demux(capture, &[77]);
        let sets = tracks(&found);
        assert_eq!(sets.len(), 1);
        let found: Vec<_> = sets[0].iter().map(|track| track.codec.name()).collect();
        assert_eq!(found, names.into_iter().filter(|name| !name.is_empty()).collect::<Vec<_>>());
    }
    let found = demux(H264_AAC, &[77]);
    assert!(matches!(found[0], Demuxed::Tracks(_)));
    let Shape::Video(shape) = tracks(&found)[0][0].shape else { panic!("no video") };
    assert_eq!((shape.width, shape.height, shape.frame_rate), (160, 120, Some((25, 1))));
    let Shape::Audio(shape) = tracks(&found)[0][1].shape else { panic!("no audio") };
    assert_eq!((shape.rate, shape.channels), (44_100, 1));
}

#[test]
fn a_sample_leaves_with_its_last_byte() {
    let (mut demuxer, mut out, mut left) = (Demuxer::new(), Vec::new(), Vec::new());
    for (at, byte) in VP8_OPUS.iter().enumerate() {
        let before = out.len();
        demuxer.push(&[*byte], &mut out);
        left.extend(out[before..].iter().filter(|found| matches!(found, Demuxed::Sample(_))).map(|_| at + 1));
    }
    // The first blocks of the file: where they end was read off a dump.
    let ends: Vec<_> = samples(&out).iter().take(3).map(|sample| end_of(&sample.data)).collect();
    assert_eq!(left[..3], ends);
}

fn end_of(data: &[u8]) -> usize {
    VP8_OPUS.windows(data.len()).position(|window| window == data).unwrap() + data.len()
}

#[test]
fn what_is_muxed_is_what_was_demuxed() {
    for (capture, is_webm) in CAPTURES.into_iter().zip([false, false, true, true, true, true]) {
        let before = demux(capture, &[1000]);
        let after = demux(&muxed(is_webm, &before), &[333]);
        assert_eq!(tracks(&before), tracks(&after));
        let (before, after) = (samples(&before), samples(&after));
        assert_eq!(before.len(), after.len());
        for (before, after) in before.iter().zip(&after) {
            assert_eq!((before.track, before.is_sync, &before.data), (after.track, after.is_sync, &after.data));
            assert!(before.pts.since(after.pts).abs() < 1_000_000, "{:?} {:?}", before.pts, after.pts);
        }
    }
}

#[test]
fn ffmpeg_decodes_the_same_frames_of_what_is_muxed() {
    for (capture, is_webm) in CAPTURES.into_iter().zip([false, false, true, true, true, true]) {
        let Some(mut before) = frames(capture) else { return };
        let mut after = frames(&muxed(is_webm, &demux(capture, &[1000]))).unwrap();
        // The end of the last frame of Opus is padding, which a live stream has no way to say.
        assert!(before.len() > 70 && before.pop().is_some() && after.pop().is_some());
        assert_eq!(before, after);
    }
}

#[test]
fn all_codecs_survive_the_way_through_samples() {
    let video =
        ["libx264", "libx265", "mpeg1video", "mpeg2video", "mpeg4", "mjpeg", "libtheora"].map(|codec| (codec, 'v'));
    let audio = ["aac", "libmp3lame", "mp2", "ac3", "eac3", "flac", "libvorbis", "pcm_s16le", "pcm_s24le", "pcm_s32le"];
    let more = ["pcm_f32le", "pcm_u8", "pcm_alaw", "pcm_mulaw"];
    let codecs: Vec<_> = video.into_iter().chain(audio.into_iter().chain(more).map(|codec| (codec, 'a'))).collect();
    let Some(bytes) = encoded(&codecs) else { return };
    let found = demux(&bytes, &[5000]);
    assert_eq!(tracks(&found).last().unwrap().len(), codecs.len(), "{:?}", tracks(&found));
    let (before, after) = (frames(&bytes).unwrap(), frames(&muxed(false, &found)).unwrap());
    for (at, (codec, _)) in codecs.iter().enumerate() {
        let of = |frames: &[(usize, String)]| -> Vec<String> {
            frames.iter().filter(|frame| frame.0 == at).map(|frame| frame.1.clone()).collect()
        };
        let (mut before, mut after) = (of(&before), of(&after));
        // The end of the last frame may be padding, as with Opus.
        assert!(before.len() > 5 && before.pop().is_some() && after.pop().is_some(), "{codec}");
        assert_eq!(before, after, "{codec}");
    }
    for track in tracks(&found).last().unwrap().iter() {
        let samples = samples(&found);
        let times: Vec<_> = samples.iter().filter(|sample| sample.track == track.id).map(|sample| sample.dts).collect();
        assert!(times.is_sorted(), "{}", track.codec.name());
    }
}

#[test]
fn b_frames_get_the_decoding_times_of_the_encoder() {
    let Some(bytes) = encoded(&[("libx264", 'v')]) else { return };
    let found = demux(&bytes, &[5000]);
    let times: Vec<_> = samples(&found).iter().map(|sample| (sample.dts.millis(), sample.pts.millis())).collect();
    assert!(times.iter().any(|(dts, pts)| dts < pts) && times.iter().all(|(dts, pts)| dts <= pts));
    assert!(times.windows(2).all(|pair| pair[1].0 - pair[0].0 == 40), "{times:?}");
}

/// A header for one track of this codec.
fn header(entry: &[u8]) -> Vec<u8> {
    use super::super::write;
    let mut out = b"\x1a\x45\xdf\xa3\x80\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff".to_vec();
    write::parent(element::TRACKS, &mut out, |tracks| write::element(element::TRACK_ENTRY, entry, tracks));
    out
}

fn video_entry(codec: &[u8], more: &[u8]) -> Vec<u8> {
    [b"\xd7\x81\x01\x83\x81\x01\x86", &[0x80 | codec.len() as u8][..], codec, more].concat()
}

/// A keyframe of VP8 and one that needs it (RFC 6386, section 9.1).
const KEY: &[u8] = b"\x10\x02\0\x9d\x01\x2a\x40\0\x30\0";
const DELTA: &[u8] = b"\x11\x02\0";

/// The beginning of a cluster at 100 ms.
const CLUSTER: &[u8] = b"\x1f\x43\xb6\x75\xff\xe7\x81\x64";

/// A `SimpleBlock` or, with another ID, a `Block` of a track.
fn block(id: u32, track: u8, relative: i16, flags: u8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let head = [&[0x80 | track][..], &relative.to_be_bytes(), &[flags]].concat();
    super::super::write::element(id, &[&head, content].concat(), &mut out);
    out
}

fn simple(track: u8, relative: i16, content: &[u8]) -> Vec<u8> {
    block(element::SIMPLE_BLOCK, track, relative, 0x80, content)
}

fn vp8(more: &[u8], blocks: &[u8]) -> Vec<u8> {
    [&header(&video_entry(b"V_VP8", more)), CLUSTER, blocks].concat()
}

#[test]
fn groups_of_blocks_say_duration_and_keyframes() {
    use super::super::write;
    let mut blocks = Vec::new();
    write::parent(element::BLOCK_GROUP, &mut blocks, |group| {
        group.extend(block(element::BLOCK, 1, 5, 0, KEY));
        write::unsigned(element::BLOCK_DURATION, 40, group);
    });
    write::parent(element::BLOCK_GROUP, &mut blocks, |group| {
        write::element(element::VOID, b"xx", group);
        group.extend(block(element::BLOCK, 1, 45, 0, DELTA));
        write::element(element::REFERENCE_BLOCK, &[0xd8], group);
    });
    let found = demux(&vp8(b"", &blocks), &[5]);
    let found = samples(&found);
    assert_eq!(found.iter().map(|sample| sample.is_sync).collect::<Vec<_>>(), [true, false]);
    assert_eq!(found.iter().map(|sample| sample.pts.millis()).collect::<Vec<_>>(), [105, 145]);
    assert_eq!(found[0].duration, Some(Duration::from_millis(40)));
}

#[test]
fn laced_frames_follow_each_other_in_time() {
    use super::super::write;
    let mut entry = b"\xd7\x81\x01\x83\x81\x02\x86\x86A_OPUS\x56\xaa\x83\x63\x2e\xa0".to_vec();
    write::element(element::CODEC_PRIVATE, b"OpusHead\x01\x02\x38\x01\0\0\0\0\0\0\0", &mut entry);
    let mut bytes = header(&entry);
    bytes.extend(b"\x1f\x43\xb6\x75\xff\xe7\x81\x64\xa3\x88\x81\0\x05\x84\x02\xfca\xfcb");
    // Three bytes of frames do not go into two.
    bytes.extend(b"\xa3\x8b\x81\0\x05\x84\x01\xfca\xfcb\xfcc");
    bytes.extend(b"\xa3\x8b\x81\0\x05\x84\x02\xfca\xfcb\xfcc");
    let found = demux(&bytes, &[100]);
    let times: Vec<_> = samples(&found).iter().map(|sample| sample.pts.nanos()).collect();
    assert_eq!(times, [98_500_000, 118_500_000, 138_500_000]);
}

#[test]
fn headers_that_were_stripped_are_put_back_and_compressed_tracks_ignored() {
    let stripped = b"\x6d\x80\x90\x62\x40\x8d\x50\x34\x8a\x42\x54\x81\x03\x42\x55\x83\x10\x02\0";
    assert_eq!(samples(&demux(&vp8(stripped, &simple(1, 5, &KEY[3..])), &[100]))[0].data, KEY);
    let zlib = b"\x6d\x80\x8a\x62\x40\x87\x50\x34\x84\x42\x54\x81\0";
    assert_eq!(demux(&vp8(zlib, &simple(1, 5, KEY)), &[100]), []);
    let encrypted = b"\x6d\x80\x87\x62\x40\x84\x50\x33\x81\x01";
    assert_eq!(demux(&vp8(encrypted, &simple(1, 5, KEY)), &[100]), []);
}

#[test]
fn a_second_header_begins_again() {
    let bytes = [VP8_OPUS, VP8_OPUS, OPUS].concat();
    let found = demux(&bytes, &[999]);
    assert_eq!(tracks(&found).len(), 2, "those of the second header are the same");
    let once = samples(&demux(VP8_OPUS, &[999])).len();
    let flagged: Vec<_> = samples(&found).iter().map(|sample| sample.discontinuity).collect();
    assert_eq!(flagged.iter().position(|flag| *flag), Some(once));
    assert_eq!(flagged.iter().filter(|flag| **flag).count(), 3);
}

#[test]
fn lost_bytes_cost_no_more_than_their_cluster() {
    let whole = demux(VP8_OPUS, &[999]);
    let whole = samples(&whole);
    for cut in [3000, 9000, 20_000] {
        let bytes = [&VP8_OPUS[..cut], &VP8_OPUS[cut + 700..]].concat();
        let found = demux(&bytes, &[999]);
        let found = samples(&found);
        assert!(found.len() > whole.len() / 2 && found.len() < whole.len(), "{} of {}", found.len(), whole.len());
        assert!(found.iter().any(|sample| sample.discontinuity));
    }
}

#[test]
fn a_stream_that_begins_in_the_middle_waits_for_a_header() {
    let bytes = [&VP8_OPUS[2000..], OPUS].concat();
    let found = demux(&bytes, &[999]);
    assert_eq!(tracks(&found)[0].len(), 1);
    assert_eq!(samples(&found).len(), samples(&demux(OPUS, &[999])).len());
}

#[test]
fn an_element_that_is_too_large_is_passed_over() {
    let bytes = vp8(b"", b"\xa3\x08\x05\0\0\0");
    let (mut demuxer, mut out) = (Demuxer::new(), Vec::new());
    demuxer.push(&bytes, &mut out);
    let piece = vec![0; 1 << 20];
    for _ in 0..80 {
        demuxer.push(&piece, &mut out);
        assert!(demuxer.buffer.capacity() < 4 << 20);
    }
    demuxer.push(&simple(1, 5, KEY), &mut out);
    let found = samples(&out);
    assert_eq!((found.len(), found[0].discontinuity), (1, true));
}

#[test]
fn a_track_whose_parameters_come_late_holds_the_others_for_two_seconds() {
    let mut bytes = header(b"");
    bytes.truncate(17);
    super::super::write::parent(element::TRACKS, &mut bytes, |tracks| {
        for entry in [video_entry(b"V_VP8", b""), b"\xd7\x81\x02\x83\x81\x02\x86\x89A_MPEG/L3".to_vec()] {
            super::super::write::element(element::TRACK_ENTRY, &entry, tracks);
        }
    });
    bytes.extend(CLUSTER);
    (0..50).for_each(|number| bytes.extend(simple(1, number * 40, KEY)));
    // 32 kbit/s, 44.1 kHz.
    let audio = [&b"\xff\xfb\x10\xc4"[..], &[0; 100]].concat();
    let (mut demuxer, mut out) = demuxer_after(&bytes);
    assert_eq!(out.len(), 0);
    let mut late = demuxer_after(&bytes);
    late.0.push(&simple(2, 2000, &audio), &mut late.1);
    assert_eq!((tracks(&late.1)[0].len(), late.1.len()), (2, 52));
    demuxer.push(&simple(1, 2000, KEY), &mut out);
    assert_eq!((tracks(&out)[0].len(), out.len()), (1, 52));
    demuxer.push(&simple(2, 2000, &audio), &mut out);
    assert_eq!((tracks(&out)[1].len(), out.len()), (2, 54));
}

fn demuxer_after(bytes: &[u8]) -> (Demuxer, Vec<Demuxed>) {
    let (mut demuxer, mut out) = (Demuxer::new(), Vec::new());
    demuxer.push(bytes, &mut out);
    (demuxer, out)
}

#[test]
fn codecs_are_mapped_both_ways() {
    use crate::media::codec::pcm::Format;
    use crate::media::track::AudioShape;
    for format in [
        Format::U8,
        Format::S16Le,
        Format::S16Be,
        Format::S24Le,
        Format::S32Le,
        Format::F32Le,
        Format::ALaw,
        Format::MuLaw,
    ] {
        let shape = Shape::Audio(AudioShape { rate: 16_000, channels: 2 });
        let track = TrackInfo { id: TrackId(0), codec: CodecParameters::Pcm(format), shape };
        let (mut muxer, mut out) = (Muxer::new(false), Vec::new());
        muxer.set_tracks(std::slice::from_ref(&track), &mut out);
        let Some(Muxed::Header { bytes, .. }) = out.first() else { panic!("no header") };
        assert_eq!(tracks(&demux(bytes, &[9])), [[track]]);
    }
}

proptest! {
    #[test]
    fn pieces_do_not_matter(
        capture in prop::sample::select(CAPTURES.to_vec()),
        sizes in prop::collection::vec(1usize..3000, 1..8),
    ) {
        prop_assert_eq!(demux(capture, &sizes), demux(capture, &[capture.len()]));
    }

    #[test]
    fn any_samples_come_back_out_of_any_pieces(
        begin in -5000i64..5_000_000,
        shape in prop::collection::vec((any::<bool>(), any::<bool>(), 1i64..70, prop::collection::vec(any::<u8>(), 0..300)), 1..80),
        is_webm: bool,
        sizes in prop::collection::vec(1usize..400, 1..6),
    ) {
        let set = tracks(&demux(VP8_OPUS, &[VP8_OPUS.len()]))[0].to_vec();
        let (mut muxer, mut out) = (Muxer::new(is_webm), Vec::new());
        muxer.set_tracks(&set, &mut out);
        let (mut times, mut samples) = ([begin; 2], Vec::new());
        for (at, (is_video, is_sync, step, payload)) in shape.into_iter().enumerate() {
            let is_video = is_video || at == 0;
            let is_sync = is_sync || !is_video || at == 0;
            let time = &mut times[usize::from(!is_video)];
            *time += step;
            let front = if !is_video { &[0xfc][..] } else if is_sync { KEY } else { DELTA };
            samples.push(Sample {
                track: set[usize::from(!is_video)].id,
                dts: Time::from_millis(*time),
                pts: Time::from_millis(*time),
                duration: None,
                is_sync,
                discontinuity: false,
                captured: None,
                entered: None,
                data: [front, &payload].concat().into(),
            });
            muxer.push(&samples[at], &mut out);
        }
        let found = demux(&bytes_of(out), &sizes);
        let found = self::samples(&found);
        prop_assert_eq!(found.len(), samples.len());
        let origin = if begin < 0 { found[0].pts.since(samples[0].pts) } else { 0 };
        for (found, sample) in found.iter().zip(&samples) {
            prop_assert_eq!((found.track, found.is_sync, &found.data), (sample.track, sample.is_sync, &sample.data));
            prop_assert!(found.pts.since(sample.pts.shifted(origin)).abs() < 1_000_000);
        }
    }

    #[test]
    fn damage_is_the_same_in_all_pieces(
        capture in prop::sample::select(CAPTURES.to_vec()),
        at in prop::collection::vec((0usize..60_000, any::<u8>()), 1..6),
        cut in 0usize..60_000,
        size in 1usize..2000,
    ) {
        let mut bytes = capture.to_vec();
        for (at, byte) in at {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        bytes.drain(cut.min(bytes.len())..(cut + 100).min(bytes.len()));
        prop_assert_eq!(demux(&bytes, &[size]), demux(&bytes, &[bytes.len()]));
    }

    #[test]
    fn foreign_bytes_never_panic(bytes: Vec<u8>, entry: Vec<u8>, size in 1usize..50) {
        prop_assert_eq!(demux(&bytes, &[size]), demux(&bytes, &[bytes.len().max(1)]));
        let bytes = [header(&entry), bytes].concat();
        demux(&bytes, &[size]);
        let bytes = [header(&video_entry(b"V_VP8", b"")), b"\x1f\x43\xb6\x75\xff\xe7\x81\0".to_vec(), bytes].concat();
        prop_assert_eq!(demux(&bytes, &[size]), demux(&bytes, &[bytes.len()]));
    }
}
