//! Tracks that move, change, come and end while viewers watch, and sources with one track. The kinds are those of `docs/sources.md`.

use crate::rig::{
    Launch, SOON, Server, have, media,
    script::{H264, TONE, shell},
    secs, ts,
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// Length of a part of a source, in seconds.
const PART: u32 = 4;

/// What a part of a source is made of; the clock of each begins where that of the part before ends.
struct Part {
    size: &'static str,
    video: &'static str,
    /// Without one there is no audio.
    audio: Option<&'static str>,
    /// Further options of the muxer.
    options: &'static [&'static str],
}

const USUAL: Part = Part { size: "320x240", video: "libx264", audio: Some("aac"), options: &[] };

/// A container of one part, that begins at this second.
fn part(file: &Path, begin: u32, part: &Part) {
    let picture = format!("testsrc=s={}:r=25:d={PART}", part.size);
    let tone = format!("sine=r=48000:d={PART}");
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-f", "lavfi", "-i", &picture]);
    if let Some(codec) = part.audio {
        command.args(["-f", "lavfi", "-i", &tone, "-c:a", codec, "-strict", "-2"]);
    }
    command.args(["-c:v", part.video, "-g", "25", "-bf", "0", "-pix_fmt", "yuv420p", "-b:v", "400k"]);
    if part.video == "libx264" {
        command.args(["-preset", "ultrafast"]);
    }
    command.args(["-output_ts_offset", &begin.to_string(), "-muxdelay", "0"]);
    assert!(command.args(part.options).arg(file).status().unwrap().success(), "{}", file.display());
}

/// A transport stream of these parts, one after the other.
fn parts(folder: &Path, name: &str, all: &[Part]) -> PathBuf {
    let mut bytes = Vec::new();
    for (number, one) in (0..).zip(all) {
        let file = folder.join(format!("{name}{number}.ts"));
        part(&file, 10 + number * PART, one);
        bytes.extend(fs::read(&file).unwrap());
    }
    let file = folder.join(format!("{name}.ts"));
    fs::write(&file, bytes).unwrap();
    file
}

/// Over how many seconds a track lies, and the longest step in it.
fn span(bytes: &[u8], track: &str) -> (f64, f64) {
    let times = media::packet_times(bytes, track);
    let Some((first, last)) = times.first().zip(times.last()) else { return (0.0, 0.0) };
    (last - first, times.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max))
}

/// Both tracks of a viewer go on over both parts.
#[track_caller]
fn assert_both(what: &str, bytes: &[u8]) {
    for track in ["v", "a"] {
        let (span, gap) = span(bytes, track);
        assert!(span > 1.6 * f64::from(PART) && gap < 1.5, "{what}: {track} lies over {span} s with a gap of {gap} s");
    }
}

#[test]
fn viewers_stay_when_tracks_move_or_change() {
    if !have("ffmpeg") {
        return;
    }
    let launch = Launch::bare();
    let moved = Part { options: &["-mpegts_start_pid", "0x300", "-mpegts_service_id", "7"], ..USUAL };
    let map = Part { options: &["-mpegts_pmt_start_pid", "0x500", "-mpegts_start_pid", "0x510"], ..USUAL };
    let sources = [
        ("program", [USUAL, moved]),
        ("map", [USUAL, map]),
        ("audio", [USUAL, Part { audio: Some("libmp3lame"), ..USUAL }]),
        ("video", [USUAL, Part { video: "mpeg2video", ..USUAL }]),
        ("size", [USUAL, Part { size: "160x120", options: &["-mpegts_start_pid", "0x300"], ..USUAL }]),
    ];
    let (mut feeds, mut streams) = (String::new(), String::new());
    for (name, all) in &sources {
        parts(launch.folder(), name, all);
        feeds += &format!("  {name}: {{file: {name}.ts}}\n");
        streams += &format!("  {name}.mkv: {{feed: {name}, video: {H264}, audio: {{codec: aac}}}}\n");
    }
    // What is passed on has the tables of the source, or those of our muxer.
    streams += "  passed.ts: {feed: program}\n  remuxed.flv: {feed: map}\n";
    let server = launch.with(&format!("feeds:\n{feeds}streams:\n{streams}")).start();
    let paths: Vec<_> = sources.iter().map(|(name, _)| format!("{name}.mkv")).collect();
    let paths = paths.iter().map(String::as_str).chain(["passed.ts", "remuxed.flv"]);
    thread::scope(|scope| {
        let viewers: Vec<_> = paths
            .map(|path| {
                let server = &server;
                let watch = move || {
                    let mut answer = server.get(&format!("/{path}"));
                    let first = answer.piece(SOON);
                    [first, answer.collect(secs(2 * u64::from(PART) + 3))].concat()
                };
                (path.to_owned(), scope.spawn(watch))
            })
            .collect();
        for (path, viewer) in viewers {
            let bytes = viewer.join().unwrap();
            assert_both(&path, if path.ends_with(".ts") { ts::trim(&bytes) } else { bytes }.as_slice());
        }
    });
}

#[test]
fn viewers_stay_when_audio_comes_or_ends() {
    if !have("ffmpeg") {
        return;
    }
    let launch = Launch::bare();
    let silent = || Part { audio: None, ..USUAL };
    let late = parts(launch.folder(), "late", &[silent(), USUAL]);
    parts(launch.folder(), "ends", &[USUAL, silent()]);
    // The parts of a live source come as they are made.
    let folder = launch.folder().display();
    let play = |part: u32| {
        format!(
            "ffmpeg -v error -re -copyts -i {folder}/late{part}.ts -c copy -mpegts_copyts 1 -muxdelay 0 -f mpegts -"
        )
    };
    let live = shell(&format!("{}; {}; sleep 60", play(0), play(1)));
    let server = launch
        .with(&format!(
            "
            feeds: {{late: {{file: {}}}, ends: {{file: ends.ts}}, live: {{command: {live}}}}}
            streams:
              late: {{feed: late, video: {H264}, outputs: [ts, flv, mkv]}}
              ends: {{feed: ends, video: {H264}, outputs: [ts, mkv]}}
              live.ts: {{feed: live, video: {H264}}}
            ",
            late.display()
        ))
        .start();
    let time = secs(2 * u64::from(PART) + 3);
    thread::scope(|scope| {
        let watch = |path: &'static str| {
            let server = &server;
            scope.spawn(move || {
                let mut answer = server.get(path);
                let first = answer.piece(SOON);
                [first, answer.collect(time)].concat()
            })
        };
        let [late_ts, late_flv, late_mkv] = ["/late.ts", "/late.flv", "/late.mkv"].map(watch);
        let [ends_ts, ends_mkv, live] = ["/ends.ts", "/ends.mkv", "/live.ts"].map(watch);
        let long = 1.6 * f64::from(PART);
        // A transport stream says it when audio comes: who is there gets it.
        for (what, viewer) in [("late", late_ts), ("live", live)] {
            let bytes = ts::trim(&viewer.join().unwrap());
            let ((video, gap), (audio, _)) = (span(&bytes, "v"), span(&bytes, "a"));
            assert!(video > long && gap < 1.5 && audio > 1.0, "{what}: {video} s with {gap} s, audio {audio} s");
        }
        // FLV and Matroska do not: who is there stays without it.
        for (what, viewer) in [("flv", late_flv), ("mkv", late_mkv)] {
            let bytes = viewer.join().unwrap();
            let (video, gap) = span(&bytes, "v");
            assert!(video > long && gap < 1.5, "{what}: {video} s of video with a gap of {gap} s");
            assert_eq!(media::codecs(&bytes), ["h264"], "{what}");
        }
        for (what, viewer) in [("ts", ends_ts), ("mkv", ends_mkv)] {
            let bytes = viewer.join().unwrap();
            let bytes = if what == "ts" { ts::trim(&bytes) } else { bytes };
            let ((video, gap), (audio, _)) = (span(&bytes, "v"), span(&bytes, "a"));
            assert!(video > long && gap < 1.5 && audio > 2.0, "{what}: {video} s with {gap} s, audio {audio} s");
        }
    });
}

#[test]
fn a_codec_that_is_not_known_is_named() {
    if !have("ffmpeg") {
        return;
    }
    let launch = Launch::bare();
    parts(launch.folder(), "dts", &[Part { audio: Some("dca"), ..USUAL }]);
    let server = launch.with("feeds: {dts: {file: dts.ts, loop: true}}\nstreams: {dts.mkv: {feed: dts}}\n").start();
    let mut answer = server.get("/dts.mkv");
    assert_eq!(media::codecs(&answer.collect(secs(3))), ["h264"]);
    server.log.wait("dropped, as it is not supported: DTS", SOON);
}

/// How long it takes from a request of an idle stream to its first bytes.
fn first(server: &Server, path: &str) -> Duration {
    let asked = Instant::now();
    let mut answer = server.get(path);
    assert_eq!(answer.status, 200, "{path}");
    answer.piece(SOON);
    asked.elapsed()
}

#[test]
fn a_source_with_one_track_begins_as_soon_as_one_with_two() {
    if !have("ffmpeg") {
        return;
    }
    let launch = Launch::bare();
    let both = launch.folder().join("both.mkv");
    part(&both, 10, &USUAL);
    let kinds: [(&str, &[&str]); 3] = [("both", &[]), ("video", &["-an"]), ("audio", &["-vn"])];
    let containers = [
        ("ts", "-f mpegts"),
        ("flv", "-f flv"),
        ("mkv", "-f matroska"),
        ("mp4", "-f mp4 -movflags empty_moov+default_base_moof -frag_duration 200000"),
    ];
    let (mut feeds, mut streams) = (String::new(), String::new());
    for (kind, options) in kinds {
        for (container, muxer) in containers {
            let name = format!("{kind}.{container}");
            let mut command = Command::new("ffmpeg");
            command.args(["-v", "error", "-y", "-i"]).arg(&both).args(["-c", "copy"]).args(options);
            command.args(muxer.split(' '));
            let file = launch.folder().join(format!("a{name}"));
            assert!(command.arg(&file).status().unwrap().success(), "{name}");
            let command = format!("ffmpeg -v error -re -stream_loop -1 -i {} -c copy {muxer} -", file.display());
            feeds += &format!("  file-{name}: {{file: a{name}, loop: true}}\n  live-{name}: {{command: {command}}}\n");
            streams += &format!("  file-{name}.mkv: {{feed: file-{name}}}\n  live-{name}.mkv: {{feed: live-{name}}}\n");
        }
    }
    // A camera of which the tracks come as packets of RTP.
    feeds += &format!("  rtp: {{pipeline: '{TONE} ! audioconvert ! avenc_aac ! rtpmp4gpay ! queue'}}\n");
    streams += "  rtp.mkv: {feed: rtp}\n";
    let server = launch.with(&format!("feeds:\n{feeds}streams:\n{streams}")).start();
    // The first one starts more than the others.
    first(&server, "/file-both.ts.mkv");
    for (container, _) in containers {
        for way in ["file", "live"] {
            let [both, video, audio] =
                ["both", "video", "audio"].map(|kind| first(&server, &format!("/{way}-{kind}.{container}.mkv")));
            // It would wait for 2 s for a track that may come yet.
            let most = both + secs(1);
            assert!(video < most && audio < most, "{way} {container}: {both:?}, alone {video:?} and {audio:?}");
        }
    }
    assert!(first(&server, "/rtp.mkv") < first(&server, "/file-both.mkv.mkv") + secs(1));
}

#[test]
fn the_clock_of_a_file_may_jump_back_in_any_container() {
    if !have("ffmpeg") {
        return;
    }
    let launch = Launch::bare();
    let make = |name: &str, begin: u32| {
        let file = launch.folder().join(name);
        part(&file, begin, &USUAL);
        fs::read(&file).unwrap()
    };
    let film: Vec<u8> = [make("one.ts", 100), make("two.ts", 10)].concat();
    fs::write(launch.folder().join("film.ts"), film).unwrap();
    // The header of FLV has nine bytes, and a length of four behind it.
    let (one, two) = (make("one.flv", 100), make("two.flv", 10));
    fs::write(launch.folder().join("film.flv"), [&one[..], &two[13..]].concat()).unwrap();
    let (one, two) = (make("one.mkv", 100), make("two.mkv", 10));
    let cluster = |bytes: &[u8]| bytes.windows(4).position(|four| four == [0x1f, 0x43, 0xb6, 0x75]).unwrap();
    let segment = one.windows(4).position(|four| four == [0x18, 0x53, 0x80, 0x67]).unwrap() + 4;
    let mut film = one.clone();
    // A segment of unknown size, up to the end of the file.
    film[segment..segment + 8].copy_from_slice(&[0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    let cues = film.windows(4).rposition(|four| four == [0x1c, 0x53, 0xbb, 0x6b]).unwrap();
    let last = two.windows(4).rposition(|four| four == [0x1c, 0x53, 0xbb, 0x6b]).unwrap();
    film.truncate(cues);
    film.extend_from_slice(&two[cluster(&two)..last]);
    fs::write(launch.folder().join("film.mkv"), film).unwrap();
    let names = ["ts", "flv", "mkv"];
    let feeds: Vec<_> = names.map(|name| format!("  {name}: {{file: film.{name}}}\n")).into();
    let streams: Vec<_> = names.map(|name| format!("  {name}.mkv: {{feed: {name}}}\n")).into();
    let server = launch.with(&format!("feeds:\n{}streams:\n{}", feeds.concat(), streams.concat())).start();
    thread::scope(|scope| {
        let watch = |name: &'static str| {
            let server = &server;
            (name, scope.spawn(move || server.get(&format!("/{name}.mkv")).collect(secs(2 * u64::from(PART) - 1))))
        };
        for (name, viewer) in names.map(watch) {
            let bytes = viewer.join().unwrap();
            for (track, least) in [("v", 0.02), ("a", 0.015)] {
                let times = media::packet_times(&bytes, track);
                let span = times.last().unwrap() - times[0];
                // In its time on both sides of the jump: it comes neither sooner nor later.
                let time = f64::from(2 * PART) - 1.0;
                assert!((time - 2.0..time + 1.5).contains(&span), "{name} {track}: {span} s in {time} s");
                let steps = times.windows(2).map(|pair| pair[1] - pair[0]);
                let (low, high) =
                    steps.fold((f64::MAX, 0.0), |(low, high), step| (f64::min(low, step), f64::max(high, step)));
                assert!(low > least && high < 0.5, "{name} {track}: steps of {low} to {high} s");
            }
        }
    });
}
