use super::super::packet::PACKET;
use super::super::psi::tests::{described_pmt, packets as table, pat};
use super::super::sample_muxer::SampleMuxer;
use super::*;
use crate::media::access_unit::Sample;
use crate::media::codec::{CodecParameters, nal};
use crate::media::mux::Muxed;
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
    let (mut muxer, mut out) = (SampleMuxer::new(), Vec::new());
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

/// PTS, DTS and size of each packet of a stream, as ffprobe finds them.
fn ffprobe(bytes: &[u8], stream: &str) -> Option<Vec<(i64, i64, usize)>> {
    let entries = "packet=pts,dts,size";
    let text = run(
        "ffprobe",
        bytes,
        &["-v", "error", "-select_streams", stream, "-show_entries", entries, "-of", "csv=p=0", "FILE"],
    )?;
    let line = |line: &str| {
        let mut numbers = line.split(',');
        let mut next = || numbers.next().and_then(|number| number.trim().parse::<i64>().ok());
        Some((next()?, next()?, usize::try_from(next()?).ok()?))
    };
    Some(text.lines().filter_map(line).collect())
}

/// Hashes of the decoded frames of a stream, without times; ffmpeg says nothing else.
fn frames(bytes: &[u8], stream: &str) -> Option<Vec<String>> {
    let map = format!("0:{stream}");
    let arguments = ["-v", "error", "-i", "FILE", "-map", &map, "-fps_mode", "passthrough", "-f", "framemd5", "-"];
    let text = run("ffmpeg", bytes, &arguments)?;
    let of_frame = |line: &str| line.rsplit(',').next().map(|hash| hash.trim().to_owned());
    Some(text.lines().filter(|line| !line.starts_with('#')).filter_map(of_frame).collect())
}

/// Bytes that ffprobe counts and that are not in the canonical form.
fn extra(track: &TrackInfo, sample: &Sample) -> Option<usize> {
    match track.codec {
        CodecParameters::Aac(_) => Some(7),
        CodecParameters::Mpeg2Video | CodecParameters::Ac3(_) | CodecParameters::MpegAudio(_) => Some(0),
        // Parameter sets, delimiters, lengths of start codes.
        CodecParameters::H264(_) | CodecParameters::H265(_) if sample.is_sync => None,
        _ => None,
    }
}

#[track_caller]
fn check_against_ffprobe(bytes: &[u8], streams: &[&str]) {
    let found = demux(bytes);
    let set = tracks(&found);
    assert_eq!(set.len(), 1);
    assert_eq!(set[0].tracks().len(), streams.len());
    assert!(matches!(found[0], Demuxed::Tracks(_)));
    for (track, stream) in set[0].tracks().iter().zip(streams) {
        let Some(expect) = ffprobe(bytes, stream) else { return };
        let ours: Vec<&Sample> = samples(&found).into_iter().filter(|sample| sample.track == track.id).collect();
        assert_eq!(ours.len(), expect.len(), "{stream}");
        for (sample, (pts, dts, size)) in ours.iter().zip(&expect) {
            // Times of frames that share a PES packet are rounded.
            let near = |time: Time, ticks: i64| (time.ticks(90_000) - ticks).abs() <= 1;
            assert!(near(sample.pts, *pts) && near(sample.dts, *dts), "{stream}: {sample:?} {pts} {dts}");
            assert!(!sample.discontinuity);
            if let Some(extra) = extra(track, sample) {
                assert_eq!(sample.data.len() + extra, *size);
            }
        }
    }
}

#[test]
fn captures_are_demuxed_as_ffprobe_does() {
    check_against_ffprobe(H264_AAC, &["v", "a"]);
    check_against_ffprobe(GSTREAMER, &["v", "a"]);
    check_against_ffprobe(MPEG2, &["v"]);
    check_against_ffprobe(H265, &["v"]);
    check_against_ffprobe(AAC, &["a"]);
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

#[test]
fn what_is_muxed_again_decodes_to_the_same_frames() {
    for (capture, streams) in
        [(H264_AAC, &["v", "a"][..]), (GSTREAMER, &["v", "a"]), (MPEG2, &["v"]), (H265, &["v"]), (AAC, &["a"])]
    {
        let muxed = mux(&demux(capture));
        for stream in streams {
            let (Some(before), Some(after)) = (frames(capture, stream), frames(&muxed, stream)) else { return };
            assert!(!before.is_empty());
            assert_eq!(before, after);
        }
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

/// Makes a stream with ffmpeg, of a test image and a tone.
fn made(arguments: &str) -> Option<Vec<u8>> {
    let inputs = "-v error -f lavfi -i testsrc2=size=160x120:rate=25 -f lavfi -i sine=440:r=48000";
    let command = format!("{inputs} -t 1 {arguments}");
    let output = Command::new("ffmpeg").args(command.split_whitespace()).arg("-").output().ok()?;
    if !output.status.success() {
        eprintln!("SKIPPED: {}", String::from_utf8_lossy(&output.stderr));
        return None;
    }
    Some(output.stdout)
}

#[test]
fn codecs_of_ffmpeg_are_demuxed_and_muxed_again() {
    for (arguments, name) in [
        ("-map 0 -c:v mpeg4 -g 12 -f mpegts", "MPEG-4 part 2"),
        ("-map 0 -c:v mpeg1video -f mpegts", "MPEG-1 video"),
        ("-map 0 -c:v libx264 -bf 2 -pix_fmt yuv420p -f mpegts", "H.264"),
        ("-map 0 -c:v mpeg2video -bf 2 -flags +ildct+ilme -f mpegts", "MPEG-2 video"),
        ("-map 1 -c:a mp2 -f mpegts", "MP2"),
        ("-map 1 -c:a libmp3lame -ar 22050 -f mpegts", "MP3"),
        ("-map 1 -c:a ac3 -f mpegts", "AC-3"),
        ("-map 1 -c:a eac3 -f mpegts", "E-AC-3"),
        ("-map 1 -c:a ac3 -f mpegts -mpegts_flags +system_b", "AC-3"),
        ("-map 1 -c:a eac3 -f mpegts -mpegts_flags +system_b", "E-AC-3"),
        ("-map 1 -c:a libopus -f mpegts", "Opus"),
        ("-map 1 -ac 6 -c:a libopus -mapping_family 1 -f mpegts", "Opus"),
        ("-map 1 -c:a aac -f mpegts -mpegts_flags +latm", "AAC"),
        ("-map 1 -ac 3 -channel_layout 2.1 -c:a aac -f mpegts", "AAC"),
        ("-map 1 -c:a aac -f mpegts -mpegts_m2ts_mode 1", "AAC"),
    ] {
        let Some(stream) = made(arguments) else { continue };
        let kind = if arguments.contains("-c:v") { "v" } else { "a" };
        let found = demux(&stream);
        let set = tracks(&found);
        assert_eq!(set.len(), 1, "{arguments}");
        assert_eq!(set[0].tracks()[0].codec.name(), name, "{arguments}");
        let Some(expect) = ffprobe(&stream, kind) else { return };
        let ours = samples(&found);
        assert_eq!(ours.len(), expect.len(), "{arguments}");
        for (sample, (pts, dts, _)) in ours.iter().zip(&expect) {
            let near = |time: Time, ticks: i64| (time.ticks(90_000) - ticks).abs() <= 2;
            assert!(near(sample.pts, *pts) && near(sample.dts, *dts), "{arguments}: {sample:?} {pts} {dts}");
        }
        let (Some(before), Some(after)) = (frames(&stream, kind), frames(&mux(&found), kind)) else { return };
        assert_eq!(before, after, "{arguments}");
    }
}

#[test]
fn frames_leave_before_the_next_one_comes() {
    // Both say how long PES packets are, or end in a stuffed packet.
    for capture in [GSTREAMER, &mux(&demux(H264_AAC)), H264_AAC, MPEG2] {
        let (mut demuxer, mut out, mut late) = (Demuxer::new(), Vec::new(), 0);
        let mut begun: BTreeMap<u16, usize> = BTreeMap::new();
        for raw in capture.as_chunks::<PACKET>().0 {
            demuxer.push(raw, &mut out);
            let packet = Packet::new(raw).unwrap();
            if packet.presentation().is_some() {
                *begun.entry(packet.pid()).or_default() += 1;
                let of = |out: &[Demuxed]| samples(out).len();
                late = late.max(begun.values().sum::<usize>().saturating_sub(of(&out)));
            }
        }
        let held = if capture == H264_AAC || capture == MPEG2 { 8 } else { 4 };
        assert!(late <= held, "{late}");
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
    let (mut muxer, mut out) = (SampleMuxer::new(), Vec::new());
    // Audio alone, both, video alone.
    for (from, kept) in [(0, &set.tracks()[1..]), (60, set.tracks()), (120, &set.tracks()[..1])] {
        muxer.set_tracks(kept, &mut out);
        samples(&found)[from..from + 60].iter().for_each(|sample| muxer.push(sample, &mut out));
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
