//! Files are written, torn, read back and cut out of.

use super::*;
use crate::media::{
    MediaKind, Sample, Time, TrackId, TrackInfo,
    codec::{CodecParameters, aac, h264},
    track::{AudioShape, Shape, VideoShape},
};
use bytes::Bytes;
use mp4_atom::{Decode, Moov};
use proptest::prelude::*;

fn tracks() -> [TrackInfo; 2] {
    let sets = h264::Parameters {
        sps: vec![Bytes::from_static(b"\x67\x42\xc0\x1e")],
        pps: vec![Bytes::from_static(b"\x68\xce")],
    };
    let video = VideoShape { width: 640, height: 360, pixel_aspect: (1, 1), frame_rate: Some((25, 1)) };
    let audio = AudioShape { rate: 48_000, channels: 2 };
    let aac = aac::Parameters { config: Bytes::from_static(&[0x11, 0x90]) };
    [
        TrackInfo { id: TrackId(0), codec: CodecParameters::H264(sets), shape: Shape::Video(video) },
        TrackInfo { id: TrackId(1), codec: CodecParameters::Aac(aac), shape: Shape::Audio(audio) },
    ]
}

/// The heads of these tracks.
pub(super) fn heads() -> Vec<TrackHead> {
    TrackHead::of_header(&FileWriter::new(&tracks(), 0).1)
}

fn sample(track: u8, millis: i64, is_sync: bool, byte: u8) -> Sample {
    Sample {
        track: TrackId(track),
        dts: Time::from_millis(millis),
        pts: Time::from_millis(millis),
        duration: None,
        is_sync,
        discontinuity: false,
        captured: None,
        entered: None,
        data: Bytes::from(vec![byte; 20 + usize::from(byte % 7)]),
    }
}

/// A file of so many frames of 40 ms with a keyframe each second, and its bytes before and after it is finished.
fn file(frames: u8) -> (Vec<u8>, Vec<u8>, Vec<u64>) {
    let (mut writer, mut bytes) = FileWriter::new(&tracks(), 1_000);
    let mut ends = vec![bytes.len() as u64];
    for number in 0..frames {
        let millis = i64::from(number) * 40;
        writer.push(&sample(0, millis, number % 25 == 0, number));
        writer.push(&sample(1, millis + 5, true, number));
        if number % 10 == 9 {
            bytes.extend(writer.take());
            assert_eq!(writer.length(), bytes.len() as u64);
            ends.push(bytes.len() as u64);
        }
    }
    let open = bytes.clone();
    let Finish { tail, patch: (at, patch) } = writer.finish();
    bytes.extend(tail);
    bytes[at as usize..at as usize + patch.len()].copy_from_slice(&patch);
    (open, bytes, ends)
}

fn read_from(bytes: &[u8]) -> impl FnMut(u64, usize) -> Option<Vec<u8>> {
    |at, length| {
        let from = (at as usize).min(bytes.len());
        Some(bytes[from..(from + length).min(bytes.len())].to_vec())
    }
}

fn scanned(bytes: &[u8]) -> Result<ScannedFile, NotOurs> {
    scan(bytes.len() as u64, read_from(bytes))
}

/// The first bytes and times of all samples of a track, as a table says.
fn content(bytes: &[u8], table: &SampleTable) -> Vec<(u64, u8)> {
    table.samples().map(|sample| (sample.decode, bytes[sample.at as usize])).collect()
}

#[test]
fn a_file_is_the_same_before_and_after_it_is_finished() {
    let (open, finished, _) = file(60);
    let before = scanned(&open).unwrap();
    let after = scanned(&finished).unwrap();
    assert!(!before.is_finished && after.is_finished);
    // The last samples come with the end.
    assert_eq!((before.tracks[0].1.len(), after.tracks[0].1.len(), after.tracks[1].1.len()), (59, 60, 60));
    let frames: Vec<_> = (0..60u8).map(|number| (u64::from(number) * 3600, number)).collect();
    assert_eq!(content(&finished, &after.tracks[0].1), frames);
    assert_eq!(after.tracks[0].1.end(), 60 * 3600);
    // A foreign reader finds the same in the movie box.
    let moov = Moov::decode(&mut &finished[after.end as usize..]).unwrap();
    let table = &moov.trak[0].mdia.minf.stbl;
    let sizes: Vec<u32> = after.tracks[0].1.samples().map(|sample| sample.size).collect();
    assert!(matches!(&table.stsz.samples, mp4_atom::StszSamples::Different { sizes: found } if *found == sizes));
    assert_eq!(table.stss.as_ref().unwrap().entries, [1, 26, 51]);
    assert_eq!(table.co64.as_ref().unwrap().entries[0], after.tracks[0].1.samples().next().unwrap().at);
    assert_eq!(moov.trak[1].edts.as_ref().unwrap().elst.as_ref().unwrap().entries.len(), 2, "audio begins later");
    assert_eq!(moov.mvhd.creation_time, 1_000 + 2_082_844_800);
    // What hides the fragments ends where the movie box begins.
    assert_eq!(&finished[24..32], b"\0\0\0\x01mdat");
}

#[test]
fn a_file_has_its_header_or_is_still_without_it() {
    let (open, finished, ends) = file(30);
    let has_header = |bytes: &[u8]| super::has_header(bytes.len() as u64, read_from(bytes));
    for length in 0..open.len() {
        let bytes = &open[..length];
        assert_eq!(has_header(bytes), length as u64 >= ends[0], "{length}");
        assert!(!has_header(bytes) || scanned(bytes).is_ok(), "{length}");
    }
    assert!(has_header(&finished));
    // Of somebody else: not for this to refuse.
    assert!(has_header(b"RIFF____AVI LIST") && scanned(b"RIFF____AVI LIST").is_err());
}

#[test]
fn a_torn_file_has_all_whole_fragments_and_is_finished_later() {
    let (open, _, ends) = file(60);
    for length in 0..open.len() {
        let torn = &open[..length];
        let found = scanned(torn);
        let whole = ends.iter().copied().filter(|end| *end <= length as u64).max();
        match whole {
            None => assert!(found.is_err(), "{length}"),
            Some(end) => {
                let found = found.unwrap();
                assert_eq!(found.end, end, "{length}");
                let Some(Finish { tail, patch: (at, patch) }) = finish(&found, 7) else {
                    assert_eq!(end, ends[0]);
                    continue;
                };
                let mut whole = torn[..end as usize].to_vec();
                whole.extend(tail);
                whole[at as usize..at as usize + patch.len()].copy_from_slice(&patch);
                let repaired = scanned(&whole).unwrap();
                assert!(repaired.is_finished);
                assert_eq!(repaired.tracks, found.tracks);
            }
        }
    }
}

/// All bytes of a clip of these files.
fn bytes_of(clip: &Clip, files: &[&[u8]], most: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(piece) = clip.piece(out.len() as u64, most) {
        match piece {
            Piece::Own(bytes) => out.extend(bytes),
            Piece::File(Extent { file, at, length }) => {
                out.extend(&files[file][at as usize..(at + length) as usize]);
            }
        }
    }
    assert_eq!(out.len() as u64, clip.length());
    out
}

#[test]
fn a_clip_of_several_files_is_one_movie() {
    let (first, second) = (file(50).1, file(50).0);
    let (one, two) = (scanned(&first).unwrap(), scanned(&second).unwrap());
    let second_of = |second: f64| (second * 1e9) as i64;
    let source = |file: &'static str, cut: (f64, f64)| {
        let tracks = if file == "one" { &one.tracks } else { &two.tracks };
        Source { tracks, cut: Cut { from: second_of(cut.0), to: second_of(cut.1) }, after: Some(2_000_000_000) }
    };
    let clip = Clip::new(&[source("one", (1.5, 9.0)), source("two", (0.0, 0.8))], 5).unwrap();
    let bytes = bytes_of(&clip, &[&first, &second], 100);
    assert_eq!(bytes, bytes_of(&clip, &[&first, &second], 1 << 30));
    let moov = Moov::decode(&mut &bytes[28..]).unwrap();
    let table = &moov.trak[0].mdia.minf.stbl;
    let mp4_atom::StszSamples::Different { sizes } = &table.stsz.samples else { panic!() };
    // From the keyframe before on: frames 25 to 49, then 0 to 19.
    assert_eq!(sizes.len(), 25 + 20);
    assert_eq!(table.stss.as_ref().unwrap().entries, [1, 26]);
    let first_at = table.co64.as_ref().unwrap().entries[0] as usize;
    assert_eq!(bytes[first_at], 25);
    assert_eq!(table.stts.entries.len(), 1, "no frame is longer because a track ends later");
    let length: u64 =
        table.stts.entries.iter().map(|run| u64::from(run.sample_count) * u64::from(run.sample_delta)).sum();
    assert_eq!(length, 45 * 3600);
    assert_eq!(clip.duration() / 1_000_000, 1800 + 5);
    // Nothing is there.
    assert!(Clip::new(&[source("one", (9.0, 9.5)), source("two", (2.0, 1.0))], 5).is_none());
    // Other tracks end it.
    let mut other = one.tracks.clone();
    other[0].0.timescale = 1000;
    let changed = Source { tracks: &other, cut: Cut { from: 0, to: i64::MAX }, after: None };
    assert_eq!(Clip::new(&[source("one", (0.0, 9.0)), changed], 5).unwrap().used(), 1);
}

#[test]
fn heads_are_those_of_the_header() {
    let (_, bytes) = FileWriter::new(&tracks(), 0);
    let found = scanned(&bytes).unwrap();
    let kinds: Vec<_> = found.tracks.iter().map(|(head, _)| (head.number, head.kind, head.timescale)).collect();
    assert_eq!(kinds, [(1, MediaKind::Video, 90_000), (2, MediaKind::Audio, 48_000)]);
    assert!(finish(&found, 0).is_none());
}

proptest! {
    #[test]
    fn foreign_bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..300), places in prop::collection::vec((any::<u16>(), any::<u8>()), 1..20)) {
        let _ = scanned(&bytes);
        let mut damaged = file(30).1;
        for (place, byte) in places {
            let place = usize::from(place) % damaged.len();
            damaged[place] = byte;
        }
        if let Ok(found) = scanned(&damaged) {
            finish(&found, 0);
            Clip::new(&[Source { tracks: &found.tracks, cut: Cut { from: 0, to: i64::MAX }, after: None }], 0);
        }
    }
}

#[test]
fn segments_are_all_of_a_file_from_keyframe_to_keyframe() {
    let (_, bytes, _) = file(80);
    let found = scanned(&bytes).unwrap();
    let second = 1_000_000_000;
    let spans = spans(&found.tracks, second * 3 / 2);
    let times: Vec<_> = spans.iter().map(|span| (span.from / 1_000_000, span.to / 1_000_000)).collect();
    assert_eq!(times, [(0, 2000), (2000, 3200)]);
    let mut whole = found.header.clone();
    for (number, span) in (1..).zip(&spans) {
        let (front, extents) = segment(&found.tracks, *span, number == 2, number, 10 * second).unwrap();
        whole.extend(front);
        extents
            .iter()
            .for_each(|extent| whole.extend(&bytes[extent.at as usize..(extent.at + extent.length) as usize]));
    }
    // A header without its room is no file of ours: it gets one.
    let mut room = whole[..24].to_vec();
    room.extend(b"\0\0\0\x10free\0\0\0\0\0\0\0\0");
    room.extend(&whole[24..]);
    let again = scanned(&room).unwrap();
    let expected: Vec<_> = content(&bytes, &found.tracks[1].1).iter().map(|(at, byte)| (at + 480_000, *byte)).collect();
    assert_eq!(content(&room, &again.tracks[1].1), expected);
    assert_eq!(again.tracks[0].1.len(), 80);
}

#[test]
fn a_time_lapse_has_some_keyframes_and_times_of_its_own() {
    let (_, bytes, _) = file(80);
    let found = scanned(&bytes).unwrap();
    let second = 1_000_000_000;
    // Keyframes are at 0, 1, 2 and 3 s of each file.
    let lapse = |every: i64, begins: &[i64]| {
        let mut lapse = Lapse::new((0, 100 * second), every, 10);
        begins.iter().for_each(|begin| assert!(lapse.add(&found.tracks, *begin)));
        lapse.finish(7)
    };
    let clip = lapse(2 * second, &[0, 10 * second]).unwrap();
    let movie = bytes_of(&clip, &[&bytes, &bytes], 50);
    let moov = Moov::decode(&mut &movie[28..]).unwrap();
    assert_eq!(moov.trak.len(), 1, "there is no audio");
    let table = &moov.trak[0].mdia.minf.stbl;
    let durations: Vec<_> = table.stts.entries.iter().map(|run| (run.sample_count, run.sample_delta)).collect();
    assert_eq!(durations, [(4, 9000)]);
    // Every frame of the test has its number as its bytes.
    let first = table.co64.as_ref().unwrap().entries[0] as usize;
    let mp4_atom::StszSamples::Different { sizes } = &table.stsz.samples else { panic!() };
    let mut at = first;
    let frames: Vec<u8> = sizes
        .iter()
        .map(|size| {
            let frame = movie[at];
            at += *size as usize;
            frame
        })
        .collect();
    assert_eq!(frames, [0, 50, 0, 50]);
    assert_eq!(lapse(second / 100, &[0]).unwrap().duration(), 400_000_000, "no frame is twice");
    assert!(lapse(second, &[200 * second]).is_none() && lapse(second, &[]).is_none());
    let mut other = found.tracks.clone();
    other[0].0.timescale = 1000;
    let mut changed = Lapse::new((0, 100 * second), second, 10);
    assert!(changed.add(&found.tracks, 0) && !changed.add(&other, 10 * second));
}
