//! Demuxes MP4 of other muxers, and of ours.

use super::super::{Muxer, box_writer};
use super::*;
use crate::media::{
    Time, TrackId, TrackInfo, TrackSet,
    codec::{CodecParameters, h264, nal},
    mux::{HeaderChange, Muxed},
    sample::Sample,
    track::{MediaKind, Shape, VideoShape},
};
use proptest::prelude::*;
use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

const PLAIN: &[u8] = include_bytes!("../../../../tests/data/h264-aac.mp4");
const GSTREAMER: &[u8] = include_bytes!("../../../../tests/data/h264-gst.mp4");
const VP9: &[u8] = include_bytes!("../../../../tests/data/vp9.mp4");
const AV1: &[u8] = include_bytes!("../../../../tests/data/av1.mp4");
const AUDIO: &[u8] = include_bytes!("../../../../tests/data/aac-dash.mp4");
const CAPTURES: [&[u8]; 5] = [PLAIN, GSTREAMER, VP9, AV1, AUDIO];

/// All that a demuxer finds in these bytes, which come in pieces of these sizes over and over.
fn demuxed(bytes: &[u8], sizes: &[usize]) -> Vec<Demuxed> {
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

fn samples(found: &[Demuxed]) -> Vec<&Sample> {
    let samples = found.iter().filter_map(|found| match found {
        Demuxed::Sample(sample) => Some(sample),
        Demuxed::Tracks(_) => None,
    });
    samples.collect()
}

fn sets(found: &[Demuxed]) -> Vec<&TrackSet> {
    let sets = found.iter().filter_map(|found| match found {
        Demuxed::Tracks(tracks) => Some(tracks),
        Demuxed::Sample(_) => None,
    });
    sets.collect()
}

/// The same bytes, muxed by us.
fn remuxed(found: &[Demuxed]) -> Vec<u8> {
    let (mut muxer, mut out, now) = (Muxer::new(), Vec::new(), Instant::now());
    for found in found {
        match found {
            Demuxed::Tracks(tracks) => muxer.set_tracks(tracks.tracks(), &mut out),
            Demuxed::Sample(sample) => muxer.push(sample, now, &mut out),
        }
    }
    bytes_of(out.into_iter())
}

fn bytes_of(made: impl Iterator<Item = Muxed>) -> Vec<u8> {
    let piece = |made| match made {
        Muxed::Header { bytes, .. } => bytes.to_vec(),
        Muxed::Packet(packet) => packet.payload().to_vec(),
        Muxed::WantsKeyframe => Vec::new(),
    };
    made.flat_map(piece).collect()
}

/// What a tool writes, which gets `input`; `None` where it is not installed.
fn tool(program: &str, arguments: &str, input: &[u8]) -> Option<String> {
    let mut command = Command::new(program);
    command.args(arguments.split(' ')).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            eprintln!("SKIPPED: {program}: {error}");
            return None;
        }
    };
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        // It may have read enough before the end.
        scope.spawn(move || stdin.write_all(input));
        child.wait_with_output().unwrap()
    });
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && errors.is_empty(), "{program} {arguments}: {errors}");
    Some(String::from_utf8(output.stdout).unwrap())
}

/// What ffmpeg makes in a file, which unlike a pipe it can go back in.
fn made(arguments: &str, name: &str) -> Option<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    let place = Path::to_str(&path).unwrap();
    tool("ffmpeg", &format!("-v error -nostdin {arguments} {place}"), b"")?;
    Some(std::fs::read(&path).unwrap())
}

/// The packets of a file as ffprobe finds them, sorted by track: track, microseconds of decoding and showing, whether it is a
/// sync sample.
fn probed(bytes: &[u8]) -> Option<Vec<(u8, i64, i64, bool)>> {
    let entries = "packet=stream_index,pts_time,dts_time,flags";
    let text = tool("ffprobe", &format!("-v error -show_entries {entries} -of csv=p=0 -"), bytes)?;
    // Lines without a track are about what is beside a packet.
    let packets = text.lines().filter(|line| line.starts_with(|first: char| first.is_ascii_digit())).map(|line| {
        let mut fields = line.split(',');
        let track = fields.next().unwrap().parse().unwrap();
        let mut micros = || (fields.next().unwrap().parse::<f64>().unwrap() * 1e6).round() as i64;
        let (pts, dts) = (micros(), micros());
        (track, dts, pts, fields.next().unwrap().starts_with('K'))
    });
    let mut packets: Vec<_> = packets.collect();
    packets.sort_by_key(|packet| packet.0);
    Some(packets)
}

/// The same of what the demuxer found.
fn listed(found: &[Demuxed]) -> Vec<(u8, i64, i64, bool)> {
    let micros = |time: Time| (time.nanos() + 500).div_euclid(1000);
    let samples = samples(found);
    let mut packets: Vec<_> =
        samples.iter().map(|sample| (sample.track.0, micros(sample.dts), micros(sample.pts), sample.is_sync)).collect();
    packets.sort_by_key(|packet| packet.0);
    packets
}

/// Hashes of all decoded frames, for each track.
fn frames(bytes: &[u8]) -> Option<Vec<Vec<String>>> {
    let text = tool("ffmpeg", "-v error -i - -map 0 -fps_mode passthrough -f framemd5 -", bytes)?;
    let mut tracks = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (track, rest) = line.split_once(',').unwrap();
        let track: usize = track.trim().parse().unwrap();
        tracks.resize(tracks.len().max(track + 1), Vec::new());
        tracks[track].push(rest.rsplit(',').next().unwrap().trim().to_owned());
    }
    Some(tracks)
}

/// Compares with what ffmpeg reads in the file, and what it decodes of it with what it decodes of ours.
#[track_caller]
fn check_against_ffmpeg(name: &str, bytes: &[u8]) {
    let found = demuxed(bytes, &[4096]);
    let Some(expect) = probed(bytes) else { return };
    assert_eq!(listed(&found), expect, "{name}");
    let ours = remuxed(&found);
    let again = demuxed(&ours, &[999]);
    assert_eq!(sets(&again)[0], sets(&found)[0], "{name}");
    assert_eq!(samples(&again).len(), samples(&found).len());
    for (again, first) in samples(&again).iter().zip(samples(&found)) {
        assert_eq!((again.track, again.is_sync), (first.track, first.is_sync), "{name}");
        assert_eq!(again.data, first.data, "{name}");
    }
    let (expect, ours) = (frames(bytes).unwrap(), frames(&ours).unwrap());
    assert_eq!((expect.len(), ours.len()), (sets(&found)[0].tracks().len(), expect.len()));
    for ((expect, ours), track) in expect.iter().zip(&ours).zip(sets(&found)[0].tracks()) {
        // An edit list hides what an encoder of audio begins with; we have none.
        let hidden = ours.len() - expect.len();
        assert!(hidden == 0 || (hidden == 1 && track.kind() == MediaKind::Audio), "{name}: {track:?}: {hidden}");
        assert!(!expect.is_empty() && ours[hidden..] == expect[..], "{name}: {track:?}");
    }
}

#[test]
fn captures_are_read_as_ffmpeg_reads_them() {
    for (name, capture) in ["plain", "gstreamer", "vp9", "av1", "audio"].into_iter().zip(CAPTURES) {
        check_against_ffmpeg(name, capture);
    }
}

const VIDEO_SOURCE: &str = "-f lavfi -i testsrc2=size=96x64:rate=25:duration=1";
const AUDIO_SOURCE: &str = "-f lavfi -i sine=440:sample_rate=48000:duration=1";

fn check_made(name: &str, arguments: &str) {
    if let Some(bytes) = made(arguments, "made.mp4") {
        check_against_ffmpeg(name, &bytes);
    }
}

#[test]
fn files_with_an_index_in_front_are_read_as_ffmpeg_reads_them() {
    let b_frames = "-c:v libx264 -preset veryfast -bf 3 -g 12 -pix_fmt yuv420p -c:a aac";
    check_made("index", &format!("{VIDEO_SOURCE} {AUDIO_SOURCE} {b_frames} -movflags +faststart"));
}

#[test]
fn fragments_with_reordered_frames_are_read_as_ffmpeg_reads_them() {
    let b_frames = "-c:v libx264 -preset veryfast -bf 3 -g 12 -pix_fmt yuv420p -c:a aac";
    let negative = "-movflags frag_keyframe+empty_moov+negative_cts_offsets+default_base_moof";
    let file = made(&format!("{VIDEO_SOURCE} {AUDIO_SOURCE} {b_frames} {negative}"), "made.mp4");
    if let Some((file, mut expect)) = file.and_then(|file| probed(&file).map(|packets| (file, packets))) {
        // ffmpeg moves the time of showing in place of that of decoding, and so the video away from the audio.
        let first = expect[0].2;
        expect.iter_mut().filter(|packet| packet.0 == 0).for_each(|packet| packet.2 -= first);
        let shown = |packets: &[(u8, i64, i64, bool)]| -> Vec<_> {
            packets.iter().map(|(track, _, pts, is_sync)| (*track, *pts, *is_sync)).collect()
        };
        let found = listed(&demuxed(&file, &[777]));
        assert_eq!(shown(&found), shown(&expect));
        assert!(found.iter().all(|(_, dts, pts, _)| dts <= pts));
    }
    // An edit list, offsets from the begin of the file, data of the tracks apart.
    check_made("edits", &format!("{VIDEO_SOURCE} {AUDIO_SOURCE} {b_frames} -movflags frag_keyframe+delay_moov"));
}

/// One file with a track for each of these encoders.
fn check_codecs(source: &str, kind: char, encoders: &[&str]) {
    let live = "-movflags delay_moov+default_base_moof -frag_duration 40000 -strict -2";
    let codecs: String =
        encoders.iter().enumerate().map(|(at, encoder)| format!("-map 0 -c:{kind}:{at} {encoder} ")).collect();
    check_made("codecs", &format!("{source} {codecs}{live}"));
}

#[test]
fn every_video_codec_survives_the_way_through_muxer_and_demuxer() {
    let x265 = "libx265 -x265-params log-level=none:bframes=0";
    check_codecs(VIDEO_SOURCE, 'v', &[x265, "mpeg4", "mpeg2video", "mpeg1video", "mjpeg", "libvpx-vp9"]);
}

#[test]
fn every_audio_codec_survives_the_way_through_muxer_and_demuxer() {
    check_codecs(AUDIO_SOURCE, 'a', &["libopus", "flac", "libmp3lame", "mp2", "ac3", "eac3", "aac -ar:a:6 44100"]);
}

/// ffmpeg reads VP8 in MP4, but writes none.
#[test]
fn vp8_is_decoded() {
    let Some(ivf) = made(&format!("{VIDEO_SOURCE} -c:v libvpx"), "made.ivf") else { return };
    let shape = VideoShape { width: 96, height: 64, pixel_aspect: (1, 1), frame_rate: Some((25, 1)) };
    let info = TrackInfo { id: TrackId(0), codec: CodecParameters::Vp8, shape: Shape::Video(shape) };
    let (mut muxer, mut out, mut rest, mut time) = (Muxer::new(), Vec::new(), &ivf[32..], Time::ZERO);
    muxer.set_tracks(std::slice::from_ref(&info), &mut out);
    // A length, with the lowest byte first, and a time stand before each frame.
    while let Some((head, after)) = rest.split_first_chunk::<12>() {
        let (data, after) = after.split_at(u32::from_le_bytes(*head.first_chunk().unwrap()) as usize);
        rest = after;
        let (captured, entered, duration, discontinuity, is_sync) = (None, None, None, false, data[0] & 1 == 0);
        let data = bytes::Bytes::copy_from_slice(data);
        let sample =
            Sample { track: info.id, dts: time, pts: time, duration, is_sync, discontinuity, captured, entered, data };
        muxer.push(&sample, Instant::now(), &mut out);
        time = time + Duration::from_millis(40);
    }
    let bytes = bytes_of(out.into_iter());
    assert_eq!(frames(&bytes), frames(&ivf));
    assert_eq!(listed(&demuxed(&bytes, &[99])), probed(&bytes).unwrap());
}

/// Readers that do not know the second header decode what follows it.
#[test]
fn other_parameter_sets_of_the_same_size_reach_readers_of_the_first_header() {
    for (codec, others) in [
        ("libx264", ["-profile:v baseline -bf 0", "-profile:v high -bf 0"]),
        ("libx265 -x265-params", ["log-level=none:bframes=0", "log-level=none:bframes=0:no-sao=1:ref=3:qp=30"]),
    ] {
        let live = "-pix_fmt yuv420p -movflags empty_moov+default_base_moof -frag_duration 40000";
        let files = others.map(|other| made(&format!("{VIDEO_SOURCE} -c:v {codec} {other} {live}"), "made.mp4"));
        let [Some(first), Some(second)] = files else { return };
        let mut found = demuxed(&first, &[usize::MAX]);
        found.extend(demuxed(&second, &[usize::MAX]).into_iter().map(|found| match found {
            Demuxed::Sample(sample) => {
                let shift = Duration::from_secs(1);
                Demuxed::Sample(Sample { dts: sample.dts + shift, pts: sample.pts + shift, ..sample })
            }
            tracks => tracks,
        }));
        let (mut muxer, mut out) = (Muxer::new(), Vec::new());
        for found in &found {
            match found {
                Demuxed::Tracks(tracks) => muxer.set_tracks(tracks.tracks(), &mut out),
                Demuxed::Sample(sample) => muxer.push(sample, Instant::now(), &mut out),
            }
        }
        let headers = out.iter().filter_map(|made| match made {
            Muxed::Header { readers, .. } => Some(*readers),
            _ => None,
        });
        assert_eq!(headers.collect::<Vec<_>>(), [HeaderChange::None, HeaderChange::Inline], "{codec}");
        // With and without the second header.
        let mut headers = 0;
        let mut without = Vec::new();
        for made in &out {
            match made {
                Muxed::Header { .. } if headers > 0 => {}
                Muxed::Header { bytes, .. } => {
                    headers += 1;
                    without.extend_from_slice(bytes);
                }
                Muxed::Packet(packet) => without.extend_from_slice(&packet.payload()),
                Muxed::WantsKeyframe => {}
            }
        }
        let expect = [frames(&first).unwrap(), frames(&second).unwrap()].map(|mut tracks| tracks.remove(0)).concat();
        assert_eq!(frames(&without).unwrap()[0], expect, "{codec}");
        // ffmpeg says that it skips the header, which is no fault.
        let text =
            tool("ffmpeg", "-v fatal -i - -map 0 -fps_mode passthrough -f framemd5 -", &remuxed(&found)).unwrap();
        assert_eq!(text.lines().filter(|line| !line.starts_with('#')).count(), expect.len(), "{codec}");
    }
}

#[test]
fn tracks_come_first_and_samples_with_their_last_byte() {
    let (mut demuxer, mut out, mut ends) = (Demuxer::new(), Vec::new(), Vec::new());
    for (at, byte) in PLAIN.iter().enumerate() {
        let before = out.len();
        demuxer.push(&[*byte], &mut out);
        ends.extend((before..out.len()).map(|_| at + 1));
    }
    let Demuxed::Tracks(tracks) = &out[0] else { panic!("{:?}", out[0]) };
    assert_eq!(tracks.codec_strings().unwrap(), "avc1.42c00b, mp4a.40.2");
    let video = tracks.get(TrackId(0)).unwrap().video().unwrap();
    assert_eq!((video.width, video.height), (160, 120));
    let moof = PLAIN.windows(4).position(|word| word == b"moof").unwrap();
    assert!(ends[0] < moof, "before any media");
    let data = PLAIN.windows(4).position(|word| word == b"mdat").unwrap() + 4;
    assert!(ends[1] < data + 4000 && ends.windows(2).all(|ends| ends[0] < ends[1]));
    assert_eq!(demuxer.unsupported(), Vec::<String>::new());
}

/// As cameras do that leave parameter sets to the samples.
#[test]
fn parameter_sets_may_come_with_the_first_keyframe() {
    let found = demuxed(PLAIN, &[usize::MAX]);
    let mut tracks = sets(&found)[0].tracks().to_vec();
    let CodecParameters::H264(sets_of_video) = tracks[0].codec.clone() else { panic!("{:?}", tracks[0]) };
    tracks[0].codec = CodecParameters::H264(h264::Parameters { sps: Vec::new(), pps: Vec::new() });
    let (mut muxer, mut out) = (Muxer::new(), Vec::new());
    muxer.set_tracks(&tracks, &mut out);
    let mut bytes = bytes_of(out.drain(..));
    // Audio of a second comes in front.
    let mut samples: Vec<Sample> = samples(&found).into_iter().cloned().collect();
    samples.sort_by_key(|sample| sample.dts.nanos() + i64::from(sample.track.0 == 0) * 1_000_000_000);
    for sample in &samples {
        let mut sample = sample.clone();
        if sample.track == TrackId(0) && sample.is_sync {
            let mut data = Vec::new();
            let sets = sets_of_video.sps.iter().chain(&sets_of_video.pps);
            sets.for_each(|set| nal::push_length_prefixed(set, &mut data));
            data.extend_from_slice(&sample.data);
            sample.data = data.into();
        }
        muxer.push(&sample, Instant::now(), &mut out);
        bytes.extend(bytes_of(out.drain(..)));
    }
    let again = demuxed(&bytes, &[1234]);
    assert_eq!((sets(&again).len(), sets(&again)[0]), (1, sets(&found)[0]));
    assert!(matches!(again[0], Demuxed::Tracks(_)), "audio waits");
    assert_eq!(super::tests::samples(&again).len(), samples.len());

    // Video that never comes is not waited for.
    let bytes = bytes_without_video(&tracks, &samples);
    let again = demuxed(&bytes, &[1234]);
    assert_eq!(sets(&again)[0].codec_strings().unwrap(), "mp4a.40.2");
    let audio = samples.iter().filter(|sample| sample.track == TrackId(1)).count();
    assert_eq!(super::tests::samples(&again).len(), audio);
}

fn bytes_without_video(tracks: &[TrackInfo], samples: &[Sample]) -> Vec<u8> {
    let (mut muxer, mut out) = (Muxer::new(), Vec::new());
    muxer.set_tracks(tracks, &mut out);
    let now = Instant::now();
    samples.iter().filter(|sample| sample.track == TrackId(1)).for_each(|sample| muxer.push(sample, now, &mut out));
    bytes_of(out.into_iter())
}

#[test]
fn data_may_have_64_bits_of_length_or_no_end() {
    let Some(file) = made(&format!("{VIDEO_SOURCE} -c:v libvpx-vp9 -movflags +faststart"), "made.mp4") else { return };
    let expect = demuxed(&file, &[usize::MAX]);
    assert_eq!(samples(&expect).len(), 25);
    let at = file.windows(4).position(|word| word == b"mdat").unwrap() - 4;
    let mut endless = file.clone();
    endless[at..at + 4].copy_from_slice(&[0; 4]);
    assert_eq!(demuxed(&endless, &[333]), expect);
    // ffmpeg leaves room for a long head before a short one.
    assert_eq!(file[at - 8..at], *b"\0\0\0\x08free");
    let mut long = file.clone();
    let length = u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) + 8;
    long[at - 8..at].copy_from_slice(b"\0\0\0\x01mdat");
    long[at..at + 8].copy_from_slice(&u64::from(length).to_be_bytes());
    assert_eq!(demuxed(&long, &[333]), expect);
}

#[test]
fn who_comes_late_begins_with_the_next_header() {
    let found = demuxed(&[&PLAIN[20_000..], PLAIN].concat(), &[1000]);
    let whole = demuxed(PLAIN, &[1000]);
    assert_eq!(found, whole);
}

#[test]
fn a_stream_that_restarts_says_so() {
    let once = demuxed(PLAIN, &[usize::MAX]);
    let twice = demuxed(&[PLAIN, PLAIN].concat(), &[usize::MAX]);
    assert_eq!(twice.len(), 2 * once.len() - 1, "the tracks are the same");
    let breaks: Vec<_> = samples(&twice).iter().map(|sample| sample.discontinuity).collect();
    assert_eq!(breaks.iter().filter(|is_break| **is_break).count(), 2);
    let other = demuxed(&[PLAIN, AUDIO].concat(), &[usize::MAX]);
    assert_eq!(sets(&other).len(), 2);
}

#[test]
fn a_header_in_front_of_each_fragment_changes_nothing() {
    for capture in [PLAIN, VP9] {
        let begin = capture.windows(4).position(|word| word == b"moof").unwrap() - 4;
        let (header, mut rest) = capture.split_at(begin);
        let mut repeated = Vec::new();
        while let Some(next) = rest[8..].windows(4).position(|word| word == b"moof" || word == b"mfra") {
            repeated.extend_from_slice(header);
            repeated.extend_from_slice(&rest[..next + 4]);
            rest = &rest[next + 4..];
        }
        assert_eq!(demuxed(&repeated, &[500]), demuxed(capture, &[500]));
    }
}

/// The header that our own muxer sends in line.
#[test]
fn other_parameters_are_other_tracks_and_no_break() {
    let found = demuxed(PLAIN, &[usize::MAX]);
    let mut tracks = sets(&found)[0].tracks().to_vec();
    let (mut muxer, mut out, now) = (Muxer::new(), Vec::new(), Instant::now());
    muxer.set_tracks(&tracks, &mut out);
    for (at, sample) in samples(&found).into_iter().enumerate() {
        if at == 100 {
            let CodecParameters::H264(parameters) = &mut tracks[0].codec else { panic!("no H.264") };
            parameters.pps.push(bytes::Bytes::from_static(b"\x68\xdb\x12\xcb"));
            muxer.set_tracks(&tracks, &mut out);
        }
        muxer.push(sample, now, &mut out);
    }
    let again = demuxed(&bytes_of(out.into_iter()), &[777]);
    assert_eq!((sets(&again).len(), samples(&again).len()), (2, samples(&found).len()));
    assert!(samples(&again).iter().all(|sample| !sample.discontinuity));
}

#[test]
fn a_hole_costs_some_samples_only() {
    let whole = samples(&demuxed(PLAIN, &[usize::MAX])).len();
    let moof = PLAIN.windows(4).position(|word| word == b"moof").unwrap();
    for at in [moof + 20, moof + 700, moof + 3000] {
        let found = demuxed(&[&PLAIN[..at], &PLAIN[at + 100..]].concat(), &[777]);
        assert!(samples(&found).len() > whole * 2 / 3, "{} of {whole}", samples(&found).len());
        assert!(samples(&found).iter().any(|sample| sample.discontinuity));
    }
}

#[test]
fn what_cannot_be_read_is_named() {
    let mut file = PLAIN.to_vec();
    let at = file.windows(4).position(|word| word == b"avc1").unwrap();
    file[at..at + 4].copy_from_slice(b"encv");
    let (mut demuxer, mut out) = (Demuxer::new(), Vec::new());
    demuxer.push(&file, &mut out);
    assert_eq!(demuxer.unsupported(), ["track 1: it is encrypted (encv)"]);
    assert_eq!(sets(&out)[0].codec_strings().unwrap(), "mp4a.40.2");
    assert!(samples(&out).len() > 100);
    file[at..at + 4].copy_from_slice(b"abcd");
    demuxer.push(&file, &mut out);
    assert_eq!(demuxer.unsupported(), ["track 1: unknown codec (abcd)"]);
}

#[test]
fn an_index_behind_its_data_costs_no_memory() {
    let mut file = Vec::new();
    box_writer::write(b"ftyp", &mut file, |out| out.extend_from_slice(b"isom\0\0\0\0"));
    box_writer::write(b"mdat", &mut file, |out| out.resize(out.len() + 1_000_000, 7));
    let (mut demuxer, mut out) = (Demuxer::new(), Vec::new());
    for piece in file.chunks(1000) {
        demuxer.push(piece, &mut out);
        assert!(demuxer.window.len() < 100);
    }
    assert_eq!(out, []);
}

/// Durations that a demuxer of live streams needs to be quick: a keyframe of 2 MB.
#[test]
fn a_large_sample_is_copied_once() {
    let info = sets(&demuxed(VP9, &[usize::MAX]))[0].tracks()[0].clone();
    let data = bytes::Bytes::from(vec![0x55; 2 << 20]);
    let (mut muxer, mut out) = (Muxer::new(), Vec::new());
    muxer.set_tracks(std::slice::from_ref(&info), &mut out);
    let time = Time::ZERO;
    let (captured, entered, duration, discontinuity, is_sync) = (None, None, None, false, true);
    let sample =
        Sample { track: info.id, dts: time, pts: time, duration, is_sync, discontinuity, captured, entered, data };
    let begin = Instant::now();
    muxer.push(&sample, begin, &mut out);
    let spent = begin.elapsed();
    eprintln!("2 MB in {spent:?}");
    assert!(spent < Duration::from_millis(50));
    let Some(Muxed::Packet(packet)) = out.last() else { panic!("no packet") };
    assert_eq!(packet.len(), (2 << 20) + 112);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn pieces_do_not_matter(
        capture in prop::sample::select(CAPTURES.to_vec()),
        hole in 0usize..8000,
        sizes in prop::collection::vec(1usize..3000, 1..8),
    ) {
        let bytes = [&capture[..hole], &capture[hole + 9..]].concat();
        prop_assert_eq!(demuxed(&bytes, &sizes), demuxed(&bytes, &[usize::MAX]));
    }

    #[test]
    fn damaged_bytes_never_panic_and_stay_bounded(
        capture in prop::sample::select(CAPTURES.to_vec()),
        changes in prop::collection::vec((0usize..3000, any::<u8>()), 1..20),
    ) {
        let mut bytes = capture.to_vec();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        let (mut demuxer, mut out) = (Demuxer::new(), Vec::new());
        for piece in bytes.chunks(500) {
            demuxer.push(piece, &mut out);
        }
        prop_assert!(demuxer.window.len() <= bytes.len());
        prop_assert!(samples(&out).iter().all(|sample| sample.pts >= sample.dts));
    }

    #[test]
    fn foreign_bytes_never_panic(bytes: Vec<u8>, kind in 0usize..4) {
        const KINDS: [&[u8; 4]; 4] = [b"moov", b"moof", b"mdat", b"ftyp"];
        let mut boxed = Vec::new();
        box_writer::write(KINDS[kind], &mut boxed, |out| out.extend(&bytes));
        demuxed(&[&boxed[..], &bytes, PLAIN].concat(), &[313]);
    }
}
