//! Demuxes transport streams of other muxers, and of ours.

use super::super::Muxer;
use super::super::packet::PACKET;
use super::super::psi::tests::{described_pmt, packets as table, pat};
use super::*;
use crate::media::codec::{CodecParameters, nal};
use crate::media::mux::Muxed;
use crate::media::sample::Sample;
use crate::media::{Time, TrackInfo, TrackSet};
use bytes::Bytes;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::io::Write;
use std::process::Command;
use std::time::Duration;

const H264_AAC: &[u8] = include_bytes!("../../../../tests/data/h264-aac.ts");
const GSTREAMER: &[u8] = include_bytes!("../../../../tests/data/h264-aac-gst.ts");
const MPEG2: &[u8] = include_bytes!("../../../../tests/data/mpeg2.ts");
const H265: &[u8] = include_bytes!("../../../../tests/data/h265.ts");
const AAC: &[u8] = include_bytes!("../../../../tests/data/aac.ts");
const AV1: &[u8] = include_bytes!("../../../../tests/data/av1.ts");

/// What came out of bytes that were pushed in pieces of these sizes, over and over.
fn demux_in(bytes: &[u8], sizes: &[usize]) -> Vec<Demuxed> {
    let (mut demuxer, mut out, mut rest) = (Demuxer::new(), Vec::new(), bytes);
    for size in sizes.iter().cycle() {
        let (piece, after) = rest.split_at((*size).min(rest.len()));
        demuxer.push(piece, &mut out);
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    demuxer.finish(&mut out);
    out
}

fn demux(bytes: &[u8]) -> Vec<Demuxed> {
    demux_in(bytes, &[usize::MAX])
}

fn samples(out: &[Demuxed]) -> Vec<&Sample> {
    out.iter()
        .filter_map(|found| match found {
            Demuxed::Sample(sample) => Some(sample),
            Demuxed::Tracks(_) => None,
        })
        .collect()
}

fn tracks(out: &[Demuxed]) -> Vec<&TrackSet> {
    out.iter()
        .filter_map(|found| match found {
            Demuxed::Tracks(tracks) => Some(tracks),
            Demuxed::Sample(_) => None,
        })
        .collect()
}

/// Muxes everything again, in one packet for each sample.
fn mux(found: &[Demuxed]) -> Vec<u8> {
    let (mut muxer, mut out) = (Muxer::new(), Vec::new());
    for found in found {
        match found {
            Demuxed::Tracks(tracks) => muxer.set_tracks(tracks.tracks(), &mut out),
            Demuxed::Sample(sample) => muxer.push(sample, &mut out),
        }
    }
    let payload = |muxed| match muxed {
        Muxed::Packet(packet) => packet.payload(),
        _ => Bytes::new(),
    };
    out.into_iter().flat_map(payload).collect()
}

/// Runs a tool on bytes in a file; `None`, said loudly, when it is missing.
fn run(tool: &str, bytes: &[u8], arguments: &[&str]) -> Option<String> {
    let mut file = tempfile::Builder::new().suffix(".ts").tempfile().unwrap();
    file.write_all(bytes).unwrap();
    let path = file.path().to_str().unwrap();
    let arguments = arguments.iter().map(|argument| argument.replace("FILE", path));
    let Ok(output) = Command::new(tool).args(arguments).output() else {
        assert!(std::env::var_os("CI").is_none(), "{tool} is missing");
        eprintln!("SKIPPED: {tool} is missing");
        return None;
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    Some(String::from_utf8(output.stdout).unwrap() + &errors)
}

/// PTS, DTS and size of each packet, by stream, as ffprobe finds them.
fn ffprobe(bytes: &[u8]) -> Option<Vec<Vec<(i64, i64, usize)>>> {
    let entries = "packet=stream_index,pts,dts,size";
    let text = run("ffprobe", bytes, &["-v", "error", "-show_entries", entries, "-of", "csv=p=0", "FILE"])?;
    let mut streams: BTreeMap<i64, Vec<_>> = BTreeMap::new();
    for line in text.lines() {
        let mut numbers = line.split(',').map(|number| number.trim().parse::<i64>().ok());
        let mut next = || numbers.next().flatten();
        if let (Some(stream), Some(pts), Some(dts), Some(size)) = (next(), next(), next(), next()) {
            streams.entry(stream).or_default().push((pts, dts, size as usize));
        }
    }
    Some(streams.into_values().collect())
}

/// Hashes of the decoded frames, by stream, without times.
fn frames(bytes: &[u8]) -> Option<Vec<Vec<String>>> {
    let arguments = ["-v", "error", "-i", "FILE", "-map", "0", "-fps_mode", "passthrough", "-f", "framemd5", "-"];
    let text = run("ffmpeg", bytes, &arguments)?;
    let mut streams: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let (Some((stream, _)), Some((_, hash))) = (line.split_once(','), line.rsplit_once(',')) {
            streams.entry(stream).or_default().push(hash.trim().to_owned());
        }
    }
    Some(streams.into_values().collect())
}

/// Bytes that ffprobe counts and that are not in the canonical form, if that does not depend on the sample.
fn extra(track: &TrackInfo) -> Option<usize> {
    match track.codec {
        CodecParameters::Mpeg1Video
        | CodecParameters::Mpeg2Video
        | CodecParameters::Mpeg4Visual(_)
        | CodecParameters::Ac3(_)
        | CodecParameters::Eac3(_)
        | CodecParameters::MpegAudio(_) => Some(0),
        _ => None,
    }
}

#[track_caller]
fn check_against_ffprobe(bytes: &[u8], found: &[Demuxed]) {
    let set = tracks(found);
    assert_eq!(set.len(), 1);
    assert!(matches!(found[0], Demuxed::Tracks(_)));
    let Some(expect) = ffprobe(bytes) else { return };
    assert_eq!(set[0].tracks().len(), expect.len());
    for (track, expect) in set[0].tracks().iter().zip(&expect) {
        let name = track.codec.name();
        let ours: Vec<&Sample> = samples(found).into_iter().filter(|sample| sample.track == track.id).collect();
        assert_eq!(ours.len(), expect.len(), "{name}");
        for (sample, (pts, dts, size)) in ours.iter().zip(expect) {
            // Times of frames that share a PES packet are rounded.
            let near = |time: Time, ticks: i64| (time.ticks(90_000) - ticks).abs() <= 2;
            assert!(near(sample.pts, *pts) && near(sample.dts, *dts), "{name}: {sample:?} {pts} {dts}");
            assert!(!sample.discontinuity);
            if let Some(extra) = extra(track) {
                assert_eq!(sample.data.len() + extra, *size, "{name}");
            }
        }
    }
}

#[test]
fn captures_are_demuxed_as_ffprobe_does() {
    for capture in [H264_AAC, GSTREAMER, MPEG2, H265, AAC] {
        check_against_ffprobe(capture, &demux(capture));
    }
}

/// The capture of ffmpeg 5, which does not name AV1, as others have it.
fn named_av1() -> Vec<u8> {
    let named = table(0x1000, &described_pmt(0, 0, &[(0x06, b"\x05\x04AV01")]));
    let mut capture = AV1.to_vec();
    for raw in capture.as_chunks_mut::<PACKET>().0 {
        if Packet::new(raw).is_some_and(|packet| packet.pid() == 0x1000) {
            let counter = raw[3];
            *raw = named[0];
            raw[3] = counter;
        }
    }
    capture
}

#[test]
fn av1_is_demuxed_with_and_without_start_codes() {
    let plain = demux(&named_av1());
    assert_eq!(samples(&plain).len(), 50);
    assert_eq!(samples(&plain).iter().filter(|sample| sample.is_sync).count(), 2);
    let again = demux(&mux(&plain));
    let content = |found: &[Demuxed]| -> Vec<(Bytes, bool)> {
        samples(found).into_iter().map(|sample| (sample.data.clone(), sample.is_sync)).collect()
    };
    assert!(content(&again) == content(&plain));
    assert_eq!(tracks(&again), tracks(&plain));
}

#[track_caller]
fn check_frames(stream: &[u8], found: &[Demuxed]) {
    let (Some(before), Some(after)) = (frames(stream), frames(&mux(found))) else { return };
    assert!(before.iter().all(|frames| frames.len() > 5), "{before:?}");
    assert_eq!(before, after);
}

#[test]
fn what_is_muxed_again_decodes_to_the_same_frames() {
    for capture in [H264_AAC, GSTREAMER, MPEG2, H265, AAC] {
        check_frames(capture, &demux(capture));
    }
}

#[test]
fn what_is_muxed_again_is_demuxed_to_the_same() {
    for capture in [H264_AAC, GSTREAMER, MPEG2, H265, AAC] {
        let found = demux(capture);
        let again = demux(&mux(&found));
        assert_eq!(tracks(&found), tracks(&again));
        let of = |found: &[Demuxed]| -> BTreeMap<TrackId, Vec<(i64, i64, Bytes, bool)>> {
            let mut of: BTreeMap<_, Vec<_>> = BTreeMap::new();
            for sample in samples(found) {
                let times = (sample.pts.ticks(90_000), sample.dts.ticks(90_000));
                of.entry(sample.track).or_default().push((times.0, times.1, sample.data.clone(), sample.is_sync));
            }
            of
        };
        let moved = |(track, list): (TrackId, Vec<(i64, i64, Bytes, bool)>)| {
            let back = |ticks: i64| ticks - super::super::pes::BASE;
            (track, list.into_iter().map(|(pts, dts, data, sync)| (back(pts), back(dts), data, sync)).collect())
        };
        assert!(of(&found) == of(&again).into_iter().map(moved).collect());
    }
}

/// Makes a stream with ffmpeg, of a test image (input 0) and a tone (input 1).
fn made(arguments: &str) -> Option<Vec<u8>> {
    let inputs = "-v error -f lavfi -i testsrc2=size=160x120:rate=25 -f lavfi -i sine=440:r=48000";
    let command = format!("{inputs} -t 1 {arguments} -f mpegts");
    let output = Command::new("ffmpeg").args(command.split_whitespace()).arg("-").output().ok()?;
    if !output.status.success() {
        eprintln!("SKIPPED: {}", String::from_utf8_lossy(&output.stderr));
        return None;
    }
    Some(output.stdout)
}

/// The codecs of a stream that ffmpeg makes; what is demuxed of it is what ffprobe finds, and decodes the same when it is
/// muxed again.
#[track_caller]
fn check_made(arguments: &str, names: &[&str]) {
    let Some(stream) = made(arguments) else { return };
    let found = demux(&stream);
    let set = tracks(&found);
    assert_eq!(set[0].tracks().iter().map(|track| track.codec.name()).collect::<Vec<_>>(), names);
    check_against_ffprobe(&stream, &found);
    check_frames(&stream, &found);
}

#[test]
fn video_codecs_of_ffmpeg_are_demuxed_and_muxed_again() {
    check_made(
        "-map 0 -map 0 -map 0 -map 0 -c:v:0 mpeg4 -g:0 12 -c:v:1 mpeg1video -c:v:2 libx264 -bf:2 2 -pix_fmt:2 yuv420p \
         -c:v:3 mpeg2video -bf:3 2 -flags:3 +ildct+ilme",
        &["MPEG-4 part 2", "MPEG-1 video", "H.264", "MPEG-2 video"],
    );
}

#[test]
fn audio_codecs_of_ffmpeg_are_demuxed_and_muxed_again() {
    check_made(
        "-map 1 -map 1 -map 1 -map 1 -map 1 -map 1 -map 1 -c:a:0 mp2 -c:a:1 libmp3lame -ar:1 22050 -c:a:2 ac3 -c:a:3 eac3 \
         -c:a:4 libopus -c:a:5 libopus -ac:5 6 -mapping_family:5 1 -c:a:6 aac -filter:a:6 pan=2.1|c0=c0|c1=c0|c2=c0",
        &["MP2", "MP3", "AC-3", "E-AC-3", "Opus", "Opus", "AAC"],
    );
}

#[test]
fn other_forms_of_streams_are_demuxed_and_muxed_again() {
    check_made("-map 1 -map 1 -c:a:0 ac3 -c:a:1 eac3 -mpegts_flags +system_b", &["AC-3", "E-AC-3"]);
    check_made("-map 1 -c:a aac -mpegts_flags +latm", &["AAC"]);
    check_made("-map 0 -map 1 -c:v libx264 -pix_fmt yuv420p -c:a ac3 -mpegts_m2ts_mode 1", &["H.264", "AC-3"]);
}

#[test]
fn frames_leave_before_the_next_one_comes() {
    for (capture, pid) in [(GSTREAMER, 0x41), (&mux(&demux(H264_AAC)), 0x100), (H264_AAC, 0x100), (MPEG2, 0x100)] {
        let (mut demuxer, mut out, mut begun, mut late) = (Demuxer::new(), Vec::new(), 0, Vec::new());
        for raw in capture.as_chunks::<PACKET>().0 {
            let packet = Packet::new(raw).unwrap();
            if packet.pid() == pid && packet.starts_unit() {
                let is_video = |sample: &&&Sample| sample.track == samples(&out)[0].track;
                if !tracks(&out).is_empty() && samples(&out).iter().filter(is_video).count() < begun {
                    late.push(begun);
                }
                begun += 1;
            }
            demuxer.push(raw, &mut out);
        }
        // Until it is known that stuffing ends frames, and those that need none.
        assert!(begun > 40 && late.len() <= 8, "{pid:x}: {late:?} of {begun}");
        assert!(late.iter().filter(|at| **at > 12).count() <= 2, "{late:?}");
    }
}

#[test]
fn a_stream_without_keyframe_does_not_hold_the_others_for_long() {
    // Video without its parameter sets: from the second frame on, up to the next keyframe.
    let found = demux(&H264_AAC[20_304 - 100 * PACKET..]);
    let sets = tracks(&found);
    assert_eq!(sets.len(), 1);
    assert_eq!(sets[0].tracks().len(), 2);
    // Video that never comes.
    let audio: Vec<u8> = H264_AAC
        .as_chunks::<PACKET>()
        .0
        .iter()
        .filter(|raw| Packet::new(raw).is_some_and(|packet| packet.pid() != 0x100))
        .flatten()
        .copied()
        .collect();
    let (mut demuxer, mut out) = (Demuxer::new(), Vec::new());
    demuxer.push(&audio, &mut out);
    assert_eq!(tracks(&out)[0].tracks().len(), 1);
    let span = samples(&out).last().unwrap().dts.since(samples(&out)[0].dts);
    assert!(span > 2_000_000_000, "{span}");
}

#[test]
fn losses_are_said_and_cost_no_more_than_what_was_damaged() {
    let packets = H264_AAC.as_chunks::<PACKET>().0;
    let whole = demux(H264_AAC);
    let at = packets.iter().position(|raw| {
        let packet = Packet::new(raw).unwrap();
        packet.pid() == 0x100 && !packet.starts_unit() && packet.has_payload()
    });
    let at = at.unwrap() + 150;
    let lossy = [packets[..at].as_flattened(), packets[at + 1..].as_flattened()].concat();
    let found = demux(&lossy);
    assert_eq!(samples(&whole).len() - samples(&found).len(), 1);
    assert_eq!(samples(&found).iter().filter(|sample| sample.discontinuity).count(), 1);
}

#[test]
fn timestamps_are_unrolled_over_a_wrap() {
    let found = demux(H264_AAC);
    // The muxer begins at an hour: 26.5 hours less that, and a second.
    let wrap = Duration::from_nanos((1u64 << 33) * 100_000 / 9) - Duration::from_secs(3601);
    let moved: Vec<Demuxed> = found
        .iter()
        .map(|found| match found {
            Demuxed::Sample(sample) => {
                Demuxed::Sample(Sample { dts: sample.dts + wrap, pts: sample.pts + wrap, ..sample.clone() })
            }
            tracks => tracks.clone(),
        })
        .collect();
    let again = demux(&mux(&moved));
    assert_eq!(samples(&again).len(), samples(&found).len());
    assert!(samples(&again).iter().all(|sample| !sample.discontinuity));
    let mut last: BTreeMap<TrackId, Time> = BTreeMap::new();
    for sample in samples(&again) {
        let step = last.insert(sample.track, sample.dts).map_or(1, |last| sample.dts.since(last));
        assert!((1..200_000_000).contains(&step), "{step}");
    }
}

#[test]
fn a_new_map_is_followed() {
    let found = demux(H264_AAC);
    let set = tracks(&found)[0].clone();
    let (mut muxer, mut out) = (Muxer::new(), Vec::new());
    // Audio alone, both, video alone, each from a keyframe on.
    let all = samples(&found);
    let mut keys = (0..all.len()).filter(|at| all[*at].is_sync && all[*at].track == set.tracks()[0].id);
    let (_, first, second) = (keys.next(), keys.next().unwrap(), keys.next().unwrap());
    for (range, kept) in
        [(0..first, &set.tracks()[1..]), (first..second, set.tracks()), (second..all.len(), &set.tracks()[..1])]
    {
        muxer.set_tracks(kept, &mut out);
        all[range].iter().for_each(|sample| muxer.push(sample, &mut out));
    }
    let bytes: Vec<u8> = out
        .into_iter()
        .flat_map(|muxed| match muxed {
            Muxed::Packet(packet) => packet.payload(),
            _ => Bytes::new(),
        })
        .collect();
    let again = demux(&bytes);
    let names: Vec<Vec<&str>> =
        tracks(&again).iter().map(|set| set.tracks().iter().map(|track| track.codec.name()).collect()).collect();
    assert_eq!(names, [&["AAC"][..], &["H.264", "AAC"], &["H.264"]]);
    let ids: Vec<_> =
        tracks(&again).iter().flat_map(|set| set.tracks().iter().map(|track| (track.id, track.codec.name()))).collect();
    assert_eq!(ids.iter().filter(|(id, _)| *id == ids[0].0).count(), 2, "{ids:?}");
}

#[test]
fn what_is_not_demuxed_is_named() {
    let pmt = described_pmt(0, 0, &[(0x1b, b""), (0x82, b""), (0x06, b"\x59\0"), (0x86, b"")]);
    let mut bytes = [table(0, &pat(0x1000)), table(0x1000, &pmt)].concat().concat();
    let mut scrambled = [0xff; PACKET];
    scrambled[..4].copy_from_slice(&[0x47, 0x41, 0x00, 0xd0]);
    bytes.extend(scrambled);
    let (mut demuxer, mut out) = (Demuxer::new(), Vec::new());
    demuxer.push(&bytes, &mut out);
    assert_eq!(demuxer.unsupported(), ["DTS", "DVB subtitles", "SCTE-35", "scrambled"]);
    assert!(out.is_empty());
}

#[test]
fn canonical_samples_have_no_start_codes_and_no_parameter_sets() {
    for sample in samples(&demux(H264_AAC)).iter().filter(|sample| sample.track == TrackId(0)) {
        let mut total = 0;
        for unit in nal::length_prefixed(&sample.data, 4) {
            assert!(matches!(unit[0] & 0x1f, 1 | 5 | 6), "{:x}", unit[0]);
            total += 4 + unit.len();
        }
        assert_eq!(total, sample.data.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn pieces_do_not_matter(
        sizes in prop::collection::vec(1usize..2000, 1..20),
        hole in 0usize..50_000,
        length in 0usize..3000,
        damage in prop::collection::vec((0usize..50_000, any::<u8>()), 0..10),
    ) {
        for capture in [H264_AAC, GSTREAMER, MPEG2] {
            let mut bytes = capture.to_vec();
            damage.iter().for_each(|(at, value)| bytes[*at] = *value);
            bytes.drain(hole..hole + length);
            prop_assert!(demux_in(&bytes, &sizes) == demux(&bytes));
        }
    }

    #[test]
    fn any_begin_leads_to_the_same_end(cut in 0usize..30_000) {
        let found = demux(&H264_AAC[cut..]);
        let whole = demux(H264_AAC);
        let last = |found: &[Demuxed]| -> Vec<Sample> { samples(found).into_iter().rev().take(60).cloned().collect() };
        prop_assert!(last(&found) == last(&whole));
    }

    #[test]
    fn foreign_packets_never_panic(
        packets in prop::collection::vec((prop::sample::select(vec![0u16, 0x1000, 0x100, 0x101, 0x102]), any::<[u8; 4]>(), prop::collection::vec(any::<u8>(), 0..40)), 0..60),
        kinds in prop::collection::vec(prop::sample::select(vec![1u8, 2, 3, 0x0f, 0x10, 0x11, 0x1b, 0x24, 0x81, 0x87, 6]), 3),
    ) {
        let streams: Vec<(u8, &[u8])> = kinds.iter().map(|kind| (*kind, &b"\x05\x04Opus"[..])).collect();
        let mut bytes = [table(0, &pat(0x1000)), table(0x1000, &described_pmt(0, 0, &streams))].concat();
        for (pid, head, tail) in packets {
            let mut raw = [0; PACKET];
            raw[0] = 0x47;
            raw[1..3].copy_from_slice(&(pid | u16::from(head[0] & 0xe0) << 8).to_be_bytes());
            raw[3] = head[1];
            raw[4] = head[2] & 31;
            raw[20..26].copy_from_slice(&[0, 0, 1, 0xe0, 0, head[3]]);
            raw[26..26 + tail.len()].copy_from_slice(&tail);
            bytes.push(raw);
        }
        demux(bytes.as_flattened());
    }

    #[test]
    fn foreign_bytes_never_panic(bytes: Vec<u8>) {
        demux(&bytes);
    }
}
