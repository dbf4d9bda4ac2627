//! Every sample is in one file, whatever comes in which order.

use super::*;
use crate::media::{
    codec::{CodecParameters, aac, h264},
    mp4::file::{ScannedFile, scan},
    track::{AudioShape, Shape, VideoShape},
};
use bytes::Bytes;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// 2026-11-28T08:29:57Z
const BEGIN: i64 = 1_795_854_597_000_000;

fn tracks() -> Vec<TrackInfo> {
    let sets = h264::Parameters {
        sps: vec![Bytes::from_static(b"\x67\x42\xc0\x1e")],
        pps: vec![Bytes::from_static(b"\x68\xce")],
    };
    let video = VideoShape { width: 640, height: 360, pixel_aspect: (1, 1), frame_rate: Some((25, 1)) };
    let audio = AudioShape { rate: 48_000, channels: 2 };
    let aac = aac::Parameters { config: Bytes::from_static(&[0x11, 0x90]) };
    vec![
        TrackInfo { id: TrackId(0), codec: CodecParameters::H264(sets), shape: Shape::Video(video) },
        TrackInfo { id: TrackId(1), codec: CodecParameters::Aac(aac), shape: Shape::Audio(audio) },
    ]
}

/// A sample whose bytes are its number.
fn sample(track: u8, number: u32, millis: i64, is_sync: bool) -> Sample {
    Sample {
        track: TrackId(track),
        dts: Time::from_millis(millis),
        pts: Time::from_millis(millis),
        duration: None,
        is_sync,
        discontinuity: false,
        captured: Some(Duration::from_millis(u64::try_from(millis).unwrap())),
        entered: None,
        data: Bytes::copy_from_slice(&number.to_be_bytes()),
    }
}

/// A moment so many milliseconds after the begin of all clocks.
fn at(millis: i64) -> Now {
    Now {
        monotonic: Duration::from_millis(u64::try_from(millis).unwrap()),
        utc: BEGIN + millis * 1000,
        instant: Instant::now(),
    }
}

fn settings(every: u64) -> Settings {
    let every = (every > 0).then(|| Duration::from_secs(every));
    Settings { container: Container::Mp4, every, part: Duration::from_secs(1), is_session: false }
}

/// What is on the disk when all actions are done.
#[derive(Default)]
struct Disk {
    files: BTreeMap<u64, (i64, Vec<u8>)>,
    ended: Vec<(u64, i64, &'static str)>,
    asked: usize,
}

impl Disk {
    fn act(&mut self, actions: &mut Vec<Action>) {
        for action in actions.drain(..) {
            match action {
                Action::Begin(begin) => drop(self.files.insert(begin.file, (begin.from, begin.header))),
                Action::Write { file, bytes, .. } => self.files.get_mut(&file).unwrap().1.extend(bytes),
                Action::End(End { file, tail, patch, to, reason }) => {
                    let bytes = &mut self.files.get_mut(&file).unwrap().1;
                    bytes.extend(tail);
                    let (at, patch) = patch.unwrap();
                    bytes[at as usize..at as usize + patch.len()].copy_from_slice(&patch);
                    self.ended.push((file, to, reason));
                }
                Action::WantKeyframe => self.asked += 1,
            }
        }
    }

    fn scanned(&self) -> Vec<ScannedFile> {
        let scanned = self.files.values().map(|(_, bytes)| {
            let read = |at: u64, length: usize| {
                let from = (at as usize).min(bytes.len());
                Some(bytes[from..(from + length).min(bytes.len())].to_vec())
            };
            scan(bytes.len() as u64, read).unwrap()
        });
        scanned.collect()
    }

    /// The numbers of the samples of a track in each file, with their milliseconds from the begin of the file.
    fn numbers(&self, track: usize) -> Vec<Vec<(u32, u64)>> {
        let files = self.files.values().zip(self.scanned());
        let numbers = files.map(|((_, bytes), scanned)| {
            let (head, table) = &scanned.tracks[track];
            let number = |at: u64| u32::from_be_bytes(bytes[at as usize..at as usize + 4].try_into().unwrap());
            let millis = |ticks: u64| (ticks * 1000 + u64::from(head.timescale) / 2) / u64::from(head.timescale);
            table.samples().map(|sample| (number(sample.at), millis(sample.decode))).collect()
        });
        numbers.collect()
    }
}

/// Records 25 frames a second for so many seconds, with audio each 20 ms that arrives so much later than it was captured (less than
/// zero: the video is later); a keyframe each `gop` frames and where one was asked for.
fn record(recorder: &mut Recorder, seconds: i64, gop: u32, audio_delay: i64) -> Disk {
    let mut arrivals = Vec::new();
    for number in 0..seconds * 25 {
        arrivals.push((number * 40 + (-audio_delay).max(0), 0u8, number));
    }
    for number in 0..seconds * 50 {
        arrivals.push((number * 20 + 3 + audio_delay.max(0), 1, number));
    }
    arrivals.sort();
    let (mut disk, mut actions, mut is_asked) = (Disk::default(), Vec::new(), false);
    recorder.tracks(tracks(), &mut actions);
    for (arrival, track, number) in arrivals {
        let captured = if track == 0 { number * 40 } else { number * 20 + 3 };
        let is_key = (number as u32).is_multiple_of(gop) || is_asked;
        if track == 0 {
            is_asked = false;
        }
        recorder.tick(at(arrival), &mut actions);
        recorder.sample(sample(track, number as u32, captured, track == 1 || is_key), at(arrival), &mut actions);
        is_asked |= actions.contains(&Action::WantKeyframe);
        disk.act(&mut actions);
    }
    recorder.stop("stopped", &mut actions);
    disk.act(&mut actions);
    disk
}

/// All numbers from 0 on, each once.
#[track_caller]
fn assert_complete(files: &[Vec<(u32, u64)>], count: usize) {
    let all: Vec<u32> = files.iter().flatten().map(|(number, _)| *number).collect();
    assert_eq!(all, (0..count as u32).collect::<Vec<_>>());
}

#[test]
fn files_are_cut_on_the_clock_and_nothing_is_lost_or_twice() {
    for delay in [0, 300, -300, 1500] {
        let mut recorder = Recorder::new(settings(10), 0);
        let disk = record(&mut recorder, 45, 250, delay);
        let video = disk.numbers(0);
        assert_eq!(video.len(), 6, "a boundary each 10 s, the first after 3 s");
        assert_complete(&video, 45 * 25);
        assert!(video.iter().all(|file| file[0].1 == 0));
        // The first sample that is captured before the first video sample is not in any file; none is.
        let audio = disk.numbers(1);
        assert_complete(&audio, 45 * 50);
        // Files begin less than two frames after the boundary, with their audio.
        let froms: Vec<i64> = disk.files.values().map(|(from, _)| from - BEGIN).collect();
        for (number, from) in froms.iter().enumerate().skip(1) {
            let late = from - (number as i64 * 10 - 7) * 1_000_000;
            assert!((0..80_000).contains(&(late + delay.min(0) * -1000)), "{delay} {froms:?}");
        }
        for (file, heard) in audio.iter().enumerate() {
            assert!(heard[0].1 <= 23, "audio of file {file} begins at {} ms with a delay of {delay}", heard[0].1);
        }
        let reasons: Vec<_> = disk.ended.iter().map(|(_, _, reason)| *reason).collect();
        assert_eq!(reasons, ["cut", "cut", "cut", "cut", "cut", "stopped"]);
        assert!(disk.scanned().iter().all(|file| file.is_finished));
    }
}

#[test]
fn a_hundred_cuts_lose_no_frame_and_have_none_twice() {
    let disk = record(&mut Recorder::new(settings(3), 0), 310, 250, 100);
    assert!(disk.files.len() > 100, "{} files", disk.files.len());
    assert_complete(&disk.numbers(0), 310 * 25);
    assert_complete(&disk.numbers(1), 310 * 50);
}

/// Frame rates whose durations are no whole ticks of anything: what is rounded must not add up.
#[test]
fn after_eight_hours_audio_is_where_video_is() {
    const HOURS: i64 = 8;
    let time = |track: u8, number: i64| {
        let (length, rate) = if track == 0 { (1001, 30_000) } else { (1024, 44_100) };
        i64::try_from(i128::from(number) * 1_000_000_000 * length / rate).unwrap()
    };
    let mut recorder = Recorder::new(Settings { part: Duration::from_secs(10), ..settings(3600) }, 0);
    let (mut disk, mut actions, mut numbers) = (Disk::default(), Vec::new(), [0i64; 2]);
    recorder.tracks(tracks(), &mut actions);
    loop {
        let track = u8::from(time(1, numbers[1]) < time(0, numbers[0]));
        let number = &mut numbers[usize::from(track)];
        let nanos = time(track, *number);
        if nanos >= HOURS * 3600 * 1_000_000_000 {
            break;
        }
        let now = at(nanos / 1_000_000);
        let is_sync = track == 1 || *number % 30 == 0;
        let made = sample(track, u32::try_from(*number).unwrap(), 0, is_sync);
        let (dts, captured) = (Time::from_nanos(nanos), Some(Duration::from_nanos(nanos.unsigned_abs())));
        recorder.sample(Sample { dts, pts: dts, captured, ..made }, now, &mut actions);
        disk.act(&mut actions);
        *number += 1;
    }
    recorder.stop("stopped", &mut actions);
    disk.act(&mut actions);
    assert!(disk.files.len() >= HOURS as usize, "{}", disk.files.len());
    for track in [0u8, 1] {
        let files = disk.numbers(usize::from(track));
        assert_complete(&files, usize::try_from(numbers[usize::from(track)]).unwrap());
        for (file, (from, _)) in files.iter().zip(disk.files.values()) {
            for (number, millis) in [file.first().unwrap(), file.last().unwrap()] {
                let recorded = (from - BEGIN) / 1000 + i64::try_from(*millis).unwrap();
                let apart = recorded - time(track, i64::from(*number)) / 1_000_000;
                assert!(apart.abs() <= 2, "sample {number} of track {track} is {apart} ms off");
            }
        }
    }
}

#[test]
fn without_a_keyframe_on_request_the_next_one_cuts() {
    let mut recorder = Recorder::new(settings(1), 5);
    let mut disk = Disk::default();
    let mut actions = Vec::new();
    recorder.tracks(tracks(), &mut actions);
    for number in 0..200u32 {
        let millis = i64::from(number) * 40;
        recorder.sample(sample(0, number, millis, number.is_multiple_of(50)), at(millis), &mut actions);
        disk.act(&mut actions);
    }
    assert_eq!(disk.files.keys().copied().collect::<Vec<_>>(), [5, 6, 7, 8]);
    assert!(disk.asked >= 6, "{}", disk.asked);
    // A power cut costs a part: all that was written is whole.
    let last = disk.numbers(0).pop().unwrap();
    assert!((24..=26).contains(&last.len()), "{last:?}");
}

#[test]
fn what_does_not_continue_begins_another_file() {
    let mut recorder = Recorder::new(settings(0), 0);
    let (mut disk, mut actions) = (Disk::default(), Vec::new());
    let mut feed = |recorder: &mut Recorder, number: u32, millis: i64, arrival: i64| {
        recorder.sample(sample(0, number, millis, number.is_multiple_of(5)), at(arrival), &mut actions);
        disk.act(&mut actions);
        recorder.tick(at(arrival), &mut actions);
        disk.act(&mut actions);
    };
    recorder.tracks(tracks(), &mut Vec::new());
    feed(&mut recorder, 4, 0, 0);
    assert!(!recorder.is_recording(), "a file begins with a keyframe");
    feed(&mut recorder, 5, 0, 0);
    feed(&mut recorder, 6, 40, 40);
    // Time jumps, forward and back.
    feed(&mut recorder, 10, 60_000, 80);
    feed(&mut recorder, 15, 1000, 120);
    feed(&mut recorder, 16, 1040, 160);
    let mut actions = Vec::new();
    recorder.restarted(&mut actions);
    assert!(actions.is_empty(), "another run of the source continues");
    recorder.tick(at(6000), &mut actions);
    assert!(!recorder.is_recording());
    disk.act(&mut actions);
    let mut other = tracks();
    other.pop();
    recorder.tracks(other, &mut actions);
    recorder.sample(sample(0, 20, 2000, true), at(9000), &mut actions);
    recorder.tracks(tracks(), &mut actions);
    recorder.sample(sample(0, 25, 2040, true), at(9040), &mut actions);
    recorder.stop("gap", &mut actions);
    disk.act(&mut actions);
    let reasons: Vec<_> = disk.ended.iter().map(|(file, _, reason)| (*file, *reason)).collect();
    let expected = [(0, "time jumped"), (1, "time jumped"), (2, "source ended"), (3, "tracks changed"), (4, "gap")];
    assert_eq!(reasons, expected);
}

#[test]
fn a_session_has_a_file_for_each_run() {
    let mut recorder = Recorder::new(Settings { is_session: true, ..settings(0) }, 0);
    let (mut disk, mut actions) = (Disk::default(), Vec::new());
    recorder.tracks(tracks(), &mut actions);
    for number in 0..30u32 {
        if number.is_multiple_of(10) {
            recorder.restarted(&mut actions);
        }
        let millis = i64::from(number) * 40;
        recorder.sample(sample(0, number, millis, true), at(millis), &mut actions);
    }
    recorder.stop("stopped", &mut actions);
    disk.act(&mut actions);
    assert_eq!(disk.numbers(0).iter().map(Vec::len).collect::<Vec<_>>(), [10, 10, 10]);
}

#[test]
fn a_clock_that_is_set_moves_no_samples() {
    let mut recorder = Recorder::new(settings(10), 0);
    let (mut disk, mut actions) = (Disk::default(), Vec::new());
    recorder.tracks(tracks(), &mut actions);
    for number in 0..500u32 {
        let millis = i64::from(number) * 40;
        let mut now = at(millis);
        // An hour back after 5 s.
        now.utc -= if millis > 5000 { 3_600_000_000 } else { 0 };
        recorder.sample(sample(0, number, millis, number.is_multiple_of(25)), now, &mut actions);
    }
    recorder.stop("stopped", &mut actions);
    disk.act(&mut actions);
    let video = disk.numbers(0);
    assert_complete(&video, 500);
    assert_eq!(video.iter().map(Vec::len).collect::<Vec<_>>(), [75, 250, 175]);
    let froms: Vec<i64> = disk.files.values().map(|(from, _)| (from - BEGIN) / 1_000_000).collect();
    assert_eq!(froms, [0, 3, 13 - 3600]);
}

proptest! {
    #[test]
    fn any_samples_are_recorded_once(
        steps in prop::collection::vec((0u8..2, 0i64..3000, any::<bool>(), 0i64..200), 1..200),
    ) {
        let mut recorder = Recorder::new(settings(1), 0);
        let (mut disk, mut actions) = (Disk::default(), Vec::new());
        recorder.tracks(tracks(), &mut actions);
        let (mut times, mut arrival, mut expected) = ([0i64; 2], 0, 0);
        let mut has_begun = false;
        for (number, (track, step, is_sync, wait)) in (0..).zip(steps) {
            times[usize::from(track)] += step;
            arrival += wait;
            has_begun |= track == 0 && is_sync;
            expected += u32::from(has_begun && track == 0);
            let sample = sample(track, number, times[usize::from(track)] % 100_000, is_sync || track == 1);
            recorder.sample(sample, at(arrival), &mut actions);
            disk.act(&mut actions);
        }
        recorder.stop("stopped", &mut actions);
        disk.act(&mut actions);
        let mut all: Vec<u32> = disk.numbers(0).into_iter().flatten().map(|(number, _)| number).collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        prop_assert_eq!(all.len(), count, "none is twice");
        // Jumps drop what comes before the next keyframe.
        prop_assert!(count as u32 <= expected);
    }
}

#[test]
fn a_file_that_its_container_cannot_make_longer_is_followed_by_another() {
    let (mut disk, mut actions) = (Disk::default(), Vec::new());
    let settings = Settings { container: Container::Avi, ..settings(0) };
    let mut recorder = Recorder::new(settings, 1);
    recorder.tracks(tracks()[..1].to_vec(), &mut actions);
    let (frames, frame) = (300, 40_000);
    // A keyframe each second: a second has a megabyte.
    let data = Bytes::from([&(frame as u32 - 4).to_be_bytes()[..], &vec![0x65; frame - 4]].concat());
    for number in 0..frames {
        let millis = i64::from(number) * 40;
        let sample = Sample { data: data.clone(), ..sample(0, number, millis, number % 25 == 0) };
        recorder.sample(sample, at(millis), &mut actions);
        disk.act(&mut actions);
    }
    recorder.stop("stopped", &mut actions);
    disk.act(&mut actions);
    assert!(disk.asked > 0, "the encoder is asked for the keyframe that ends it");
    assert_eq!(disk.ended.iter().map(|(.., reason)| *reason).collect::<Vec<_>>(), ["cut", "stopped"]);
    let chunks = |bytes: &[u8]| bytes.windows(4).filter(|four| four == b"00dc").count() / 2;
    let counts: Vec<_> = disk.files.values().map(|(_, bytes)| chunks(bytes)).collect();
    assert_eq!(counts.iter().sum::<usize>(), frames as usize, "{counts:?}");
    assert!(counts[0] % 25 == 0, "{counts:?}");
}
