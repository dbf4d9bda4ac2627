//! Real samples are written, torn and read back; ffmpeg has to find every frame and its place.

use super::*;
use crate::media::{
    Sample, Time, TrackInfo,
    codec::{CodecParameters, pcm},
    demux::Demuxed,
    track::{AudioShape, MediaKind, Shape, TrackId},
    unpack::AnyDemuxer,
};
use bytes::Bytes;
use proptest::prelude::*;
use std::{process::Command, sync::LazyLock};

/// Tracks and samples of a file of any container, of which times count from the first sample of video.
fn media(bytes: &[u8]) -> (Vec<TrackInfo>, Vec<Sample>) {
    let (mut demuxer, mut found) = (AnyDemuxer::new(), Vec::new());
    demuxer.push(bytes, &mut found).unwrap();
    demuxer.finish(&mut found).unwrap();
    let (mut tracks, mut samples) = (Vec::new(), Vec::new());
    for found in found {
        match found {
            Demuxed::Tracks(set) => tracks = set.tracks().to_vec(),
            Demuxed::Sample(sample) => samples.push(sample),
        }
    }
    samples.sort_by_key(|sample| sample.dts);
    let lead = tracks.iter().find(|track| track.kind() == MediaKind::Video).map(|track| track.id);
    let is_first = |sample: &&Sample| sample.is_sync && lead.is_none_or(|lead| sample.track == lead);
    let begin = samples.iter().find(is_first).unwrap().dts;
    samples.retain_mut(|sample| {
        let since = |time: Time| Time::from_nanos(time.since(begin));
        (sample.dts, sample.pts) = (since(sample.dts), since(sample.pts));
        sample.dts >= Time::ZERO
    });
    (tracks, samples)
}

/// A file before and after it is finished.
fn write(tracks: &[TrackInfo], samples: &[Sample]) -> (Vec<u8>, Vec<u8>) {
    let (mut writer, mut bytes) = FileWriter::new(tracks);
    for sample in samples {
        writer.push(sample);
        if writer.waiting() > 20_000 {
            bytes.extend(writer.take());
            assert_eq!(writer.length(), bytes.len() as u64);
        }
    }
    bytes.extend(writer.take());
    let open = bytes.clone();
    let Finish { tail, header } = writer.finish();
    bytes.extend(tail);
    bytes[..header.len()].copy_from_slice(&header);
    (open, bytes)
}

fn scanned(bytes: &[u8]) -> Option<ScannedFile> {
    scan(bytes.len() as u64, |at, length| {
        let from = (at as usize).min(bytes.len());
        Some(bytes[from..(from + length).min(bytes.len())].to_vec())
    })
}

/// What a file becomes when it is finished later.
fn finished(bytes: &[u8]) -> Option<Vec<u8>> {
    let ScannedFile { end, tail, patches, .. } = scanned(bytes)?;
    let mut whole = bytes[..end as usize].to_vec();
    whole.extend(tail);
    for (at, number) in patches {
        whole[at as usize..at as usize + 4].copy_from_slice(&number);
    }
    Some(whole)
}

/// The hashes of all decoded frames of a track (`v` or `a`), with their times in seconds, as ffmpeg has it; `None` without ffmpeg.
fn decoded(bytes: &[u8], track: &str) -> Option<Vec<(f64, String)>> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let map = format!("0:{track}");
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-i", file.path().to_str().unwrap(), "-map", &map])
        .args(["-fps_mode", "passthrough", "-f", "framehash", "-"])
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) => {
            eprintln!("SKIPPED: there is no ffmpeg: {error}");
            return None;
        }
    };
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let base = text.lines().find_map(|line| line.strip_prefix("#tb 0: ")).unwrap();
    let (over, under) = base.split_once('/').unwrap();
    let tick = over.parse::<f64>().unwrap() / under.parse::<f64>().unwrap();
    let fields = |line: &str| line.split(',').map(|field| field.trim().to_owned()).collect::<Vec<_>>();
    let frames = text.lines().filter(|line| !line.starts_with('#')).map(fields);
    Some(frames.map(|fields| (fields[2].parse::<f64>().unwrap() * tick, fields[5].clone())).collect())
}

const H264: &[u8] = include_bytes!("../../../tests/data/h264-aac.ts");

#[test]
fn every_codec_that_is_carried_decodes_to_the_same_frames() {
    let sources: [(&str, &[u8]); 7] = [
        ("h264-aac", H264),
        ("h264-b-frames", include_bytes!("../../../tests/data/h264-b-frames.ts")),
        ("h265", include_bytes!("../../../tests/data/h265.ts")),
        ("mpeg2", include_bytes!("../../../tests/data/mpeg2.ts")),
        ("vp8", include_bytes!("../../../tests/data/vp8-opus-live.webm")),
        ("vp9", include_bytes!("../../../tests/data/vp9.mp4")),
        ("mp3", include_bytes!("../../../tests/data/sound.mp3")),
    ];
    for (name, source) in sources {
        let (tracks, samples) = media(source);
        let carried: Vec<_> = tracks.iter().filter(|track| carries(&track.codec)).cloned().collect();
        assert!(!carried.is_empty(), "{name}");
        let bytes = write(&carried, &samples).1;
        for info in &carried {
            let track = if info.kind() == MediaKind::Video { "v" } else { "a" };
            let (Some(before), Some(after)) = (decoded(source, track), decoded(&bytes, track)) else { return };
            let hashes = |frames: &[(f64, String)]| frames.iter().map(|(_, hash)| hash.clone()).collect::<Vec<_>>();
            let (before_hashes, after_hashes) = (hashes(&before), hashes(&after));
            // The source may begin with frames that need others; and another demuxer may cut audio in other pieces.
            let is_within = match track {
                "v" => before_hashes.ends_with(&after_hashes) && after.len() + 12 > before.len(),
                _ => after.len().abs_diff(before.len()) < 10,
            };
            assert!(is_within, "{name} {track}: {} frames of {}", after.len(), before.len());
            let (first, last) = (after.first().unwrap().0, after.last().unwrap().0);
            let lasted = before.last().unwrap().0 - before[before.len() - after.len().min(before.len())].0;
            assert!((last - first - lasted).abs() < 0.25, "{name} {track}: {} s of {lasted}", last - first);
        }
    }
}

#[test]
fn what_is_missing_is_made_up_for_so_that_tracks_stay_together() {
    let (tracks, samples) = media(H264);
    let gap = |sample: &Sample| !(1_000_000_000..1_800_000_000).contains(&sample.dts.nanos());
    let bytes = write(&tracks, &samples.iter().filter(|sample| gap(sample)).cloned().collect::<Vec<_>>()).1;
    let whole = write(&tracks, &samples).1;
    for track in ["v", "a"] {
        let (Some(with), Some(without)) = (decoded(&whole, track), decoded(&bytes, track)) else { return };
        let (end, torn_end) = (with.last().unwrap().0, without.last().unwrap().0);
        assert!((end - torn_end).abs() < 0.05, "{track} ends at {torn_end} s, not at {end}");
    }
    // Silence of PCM is written as it is.
    let info = TrackInfo {
        id: TrackId(3),
        codec: CodecParameters::Pcm(pcm::Format::MuLaw),
        shape: Shape::Audio(AudioShape { rate: 8000, channels: 1 }),
    };
    let sample = |millis: i64| Sample {
        track: TrackId(3),
        dts: Time::from_millis(millis),
        pts: Time::from_millis(millis),
        duration: None,
        is_sync: true,
        discontinuity: false,
        captured: None,
        entered: None,
        data: Bytes::from_static(&[1; 160]),
    };
    let (_, bytes) = write(&[info], &[sample(0), sample(20), sample(40), sample(1000)]);
    let silence = bytes.windows(4).filter(|four| *four == [0xff; 4]).count();
    assert!(silence >= 8 * 940 - 3, "{silence}");
    assert_eq!(scanned(&bytes).unwrap().duration, 1_020_000);
}

#[test]
fn a_torn_file_is_finished_as_it_would_have_been() {
    let (tracks, samples) = media(H264);
    let samples: Vec<_> = samples.into_iter().take(120).collect();
    let (open, whole) = write(&tracks, &samples);
    let (before, after) = (scanned(&open).unwrap(), scanned(&whole).unwrap());
    assert!(!before.is_finished && after.is_finished);
    assert_eq!((before.end, before.duration), (after.end, after.duration));
    assert!(finished(&open).unwrap() == whole, "finished later it is another file");
    for length in (0..open.len()).step_by(97) {
        let Some(found) = finished(&open[..length]) else { continue };
        let again = scanned(&found).unwrap();
        assert!(again.is_finished && again.end <= length as u64, "{length}");
        assert_eq!(finished(&found).unwrap(), found);
    }
}

/// A file that was not finished.
static OPEN: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let (tracks, samples) = media(H264);
    write(&tracks, &samples.into_iter().take(20).collect::<Vec<_>>()).0
});

proptest! {
    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..400), cut in 40usize..4000, at in 0usize..600, value: u8) {
        let _ = scanned(&bytes);
        let mut torn = OPEN.clone();
        torn.truncate(cut);
        if let Some(place) = torn.get_mut(at) {
            *place = value;
        }
        let _ = scanned(&torn);
    }
}
