//! Row 8 of the faults: clocks of sources that jump, wrap and begin anew. No reader is closed for them.

use crate::rig::{
    SOON, Server, have, holds_for, media,
    script::{H264, PICTURE, TONE},
    secs,
};
use std::{
    path::Path,
    process::Command,
    thread::{self, ScopedJoinHandle},
    time::{Duration, Instant},
};

/// Length of a part in seconds.
const PART: u64 = 3;
/// Where the clock of each part begins: an hour ahead, back again, in front of the wrap of 33 bits, behind it.
const BEGINNINGS: [u32; 5] = [10, 3610, 20, 95_441, 100];

/// Makes the parts, with B-frames, and returns a command that sends them in real time, for ever.
fn jumping(folder: &Path) -> String {
    for begin in BEGINNINGS {
        let picture = format!("testsrc=s=320x240:r=25:d={PART}");
        let tone = format!("sine=r=48000:d={PART}");
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", &tone, "-c:v", "libx264"]);
        command.args(["-preset", "ultrafast", "-bf", "2", "-g", "25", "-pix_fmt", "yuv420p", "-c:a", "aac"]);
        command.args(["-output_ts_offset", &begin.to_string(), "-muxdelay", "0", "-f", "mpegts"]);
        assert!(command.arg(folder.join(format!("{begin}.ts"))).status().unwrap().success());
    }
    let folder = folder.display();
    let parts = BEGINNINGS.map(|begin| format!("{folder}/{begin}.ts")).join(" ");
    format!(
        "[sh, -c, 'while :; do for part in {parts}; do ffmpeg -v error -re -copyts -i $part -c copy -mpegts_copyts 1 -muxdelay 0 \
         -f mpegts - || exit; done; done']"
    )
}

/// Fails unless the times of every track rise, without a gap that a player would stumble over, and sound and picture
/// end together.
#[track_caller]
fn assert_steady(what: &str, tracks: &[Vec<f64>], at_least: f64) {
    let mut ends = Vec::new();
    for times in tracks {
        assert!(!times.is_empty(), "{what}: {} {} packets", tracks[0].len(), tracks[1].len());
        let steps = times.windows(2).map(|pair| pair[1] - pair[0]);
        let (least, most) =
            steps.fold((f64::MAX, 0.0), |(least, most), step| (f64::min(least, step), f64::max(most, step)));
        assert!(least > 0.0 && most < 0.6, "{what}: steps from {least} to {most} s");
        let (first, last) = (times[0], times[times.len() - 1]);
        assert!(last - first > at_least, "{what}: {first} to {last} s");
        ends.push(last);
    }
    assert_eq!(ends.len(), 2, "{what}: tracks");
    assert!((ends[0] - ends[1]).abs() < 0.15, "{what}: ends at {ends:?}");
}

/// Decoding times of both tracks.
fn times(bytes: &[u8]) -> Vec<Vec<f64>> {
    ["v", "a"].map(|track| media::packet_times(bytes, track)).into()
}

#[test]
fn jumps_of_the_clock_reach_nobody() {
    if !have("ffmpeg") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&format!(
        "
        feeds: {{cam: {{command: {}}}}}
        streams:
          cam.ts: {{feed: cam}}
          own.ts: {{feed: cam, video: {{codec: h264, preset: ultrafast, gop: 25}}, audio: {{codec: aac}}}}
          own.webm: {{feed: cam, video: {{codec: vp8, gop: 25}}, audio: {{codec: opus}}}}
        ",
        jumping(folder.path())
    ));
    let time = Duration::from_secs(PART * (BEGINNINGS.len() as u64 + 1));
    let watch = |target: &'static str| {
        let server = &server;
        move || {
            let mut viewer = server.get(target);
            let first = viewer.piece(SOON);
            [first, viewer.collect(time)].concat()
        }
    };
    let [passed, own, webm] = thread::scope(|scope| {
        let viewers: [ScopedJoinHandle<'_, _>; 3] =
            ["/cam.ts?header=1&keyframe=1", "/own.ts?header=1&keyframe=1", "/own.webm?header=1&keyframe=1"]
                .map(|target| scope.spawn(watch(target)));
        viewers.map(|viewer| viewer.join().unwrap())
    });
    // Each part is a program that has to begin, for which a busy machine takes a second.
    let at_least = time.as_secs_f64() - 6.0;
    assert_steady("passed on", &times(&passed), at_least);
    assert_steady("encoded", &times(&own), at_least);
    assert_steady("WebM", &times(&webm), at_least);
    // It jumped four times or more, and said so in one line.
    assert_eq!(server.log.count("clock of the source jumped"), 1, "{}", server.log.text());
    assert_eq!(server.log.count("ended (feed|stream)="), 0, "{}", server.log.text());
    assert_eq!(server.log.count("stream ended"), 0);
}

#[test]
fn time_goes_on_when_a_program_is_started_again() {
    if !have("ffmpeg") {
        return;
    }
    let picture = "testsrc=s=320x240:r=25:d=2";
    let server = Server::start(&format!(
        "
        feeds:
          cam:
            command: [ffmpeg, -v, error, -re, -f, lavfi, -i, '{picture}', -re, -f, lavfi, -i, 'sine=r=48000:d=2', -c:v, libx264,
                      -preset, ultrafast, -g, '25', -pix_fmt, yuv420p, -c:a, aac, -f, mpegts, '-']
        streams: {{cam.ts: {{feed: cam}}}}
        "
    ));
    let mut viewer = server.get("/cam.ts?header=1&keyframe=1");
    viewer.piece(SOON);
    let bytes = viewer.collect(secs(9));
    for times in times(&bytes) {
        let steps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        // A busy machine takes seconds to begin a program.
        assert!(steps.iter().all(|&step| step > 0.0 && step < 5.0), "{steps:?}");
        // The pauses between its runs are in the times: whoever plays them stays as close behind as before.
        let covered = times[times.len() - 1] - times[0];
        assert!((6.5..10.0).contains(&covered), "{covered} s of 9");
    }
    assert!(holds_for(secs(1), || server.log.count("clock of the source jumped") == 0), "a new run is no jump");
}

/// What the last packets of the tracks of these bytes are stamped with, in seconds.
fn ends(bytes: &[u8]) -> Vec<f64> {
    times(bytes).iter().filter_map(|times| times.last().copied()).collect()
}

/// Row 9, made faster: picture and sound come from two programs, one a hundredth too fast and one too slow. Frames of sound
/// leave one by one, not some in one piece: where it ends tells its time then.
#[test]
fn clocks_that_are_off_add_no_latency_and_no_skew() {
    if !have("ffmpeg") {
        return;
    }
    let server = Server::start(
        "
        feeds:
          picture:
            command: [ffmpeg, -v, error, -readrate, '1.01', -f, lavfi, -i, 'testsrc=s=320x240:r=25', -c:v, libx264, -preset, ultrafast,
                      -g, '25', -pix_fmt, yuv420p, -flush_packets, '1', -f, mpegts, '-']
          sound:
            command: [ffmpeg, -v, error, -readrate, '0.99', -f, lavfi, -i, 'sine=r=48000', -c:a, aac, -flush_packets, '1', -pes_payload_size, '0', -f, mpegts, '-']
        streams:
          both.ts: {feeds: [picture, sound], video: {codec: h264, preset: ultrafast, gop: 25}, audio: {codec: aac}}
        ",
    );
    let mut viewer = server.get("/both.ts?header=1&keyframe=1");
    let first = [viewer.piece(SOON), viewer.collect(secs(6))].concat();
    let began = Instant::now();
    let rest = viewer.collect(secs(30));
    let elapsed = began.elapsed().as_secs_f64();
    let all = [first.clone(), rest].concat();
    for (before, after) in ends(&first).into_iter().zip(ends(&all)) {
        // Without help, 0.3 s.
        assert!((after - before - elapsed).abs() < 0.12, "{} s of media in {elapsed} s", after - before);
    }
    for times in times(&all) {
        let steps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        // Drift that is made up for by jumps would be a long step a second; a machine that stalls makes a few.
        let long = steps.iter().filter(|step| **step >= 0.13).count();
        assert!(
            steps.iter().all(|step| *step > 0.0) && long <= steps.len() / 100,
            "{long} of {}: {steps:?}",
            steps.len()
        );
    }
    assert_eq!(server.log.count("clock of the source jumped"), 0, "{}", server.log.text());
}

#[test]
fn sound_in_flv_has_times_of_its_own() {
    if !have("ffprobe") {
        return;
    }
    let server = Server::start(&format!(
        "
        feeds: {{cam: {{pipeline: '{PICTURE}'}}, mic: {{pipeline: '{TONE}'}}}}
        streams: {{both.flv: {{feeds: [cam, mic], video: {H264}, audio: {{codec: aac}}}}}}
        "
    ));
    let bytes = server.get("/both.flv?header=1&keyframe=1").collect(secs(5));
    let bytes = media::whole(&bytes);
    for (track, step) in [("a", 1024.0 / 48_000.0), ("v", 0.04)] {
        let times = media::packet_times(bytes, track);
        assert!(times.len() > 60, "{track}: {} packets", times.len());
        let steps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        // Times are whole milliseconds.
        assert!(steps.iter().all(|found| (found - step).abs() < 0.002), "{track}: {steps:?}");
    }
}
