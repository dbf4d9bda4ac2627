//! Recordings: files that lose nothing, whatever happens to the server or the disk.

use crate::rig::{
    Launch, SOON, Server,
    browser::{Browser, have_browser},
    have, have_failpoints, holds_for, http, media, millis, process,
    publisher::{H264_AAC, Publisher},
    script::{H264, PICTURE, TONE, camera},
    secs,
    state::{entry, state, wait_for},
    wait_until,
};
use rustix::process::Signal;
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};
use tempfile::TempDir;

/// The encoder makes a keyframe only where it is asked for one.
const LONG_GOP: &str = "{codec: h264, preset: ultrafast, bitrate: 400k, gop: 500}";

/// A server that records a picture and a tone, with these further keys of `record` and further lines of the configuration.
pub fn recording(folder: &Path, keys: &str, video: &str, environment: &[(&str, &str)]) -> Server {
    let yaml = format!(
        "
        feeds: {{cam: {{pipeline: '{PICTURE} name=video  {TONE} name=audio'}}}}
        streams:
          cam: {{feed: cam, video: {video}, audio: {{codec: aac}}, record: {{folder: {}, {keys}}}}}
        ",
        folder.display()
    );
    let launch = environment.iter().fold(Launch::new(&yaml), |launch, (name, value)| launch.env(name, value));
    launch.start()
}

/// All files with this extension below a folder, in the order of their names.
pub fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|own| own == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The hashes of all packets of a track (`v` or `a`), as they are in the container.
pub fn packets(source: &[&str], bytes: &[u8], track: &str) -> Vec<String> {
    let map = format!("0:{track}");
    let arguments = [&["-v", "error"], source, &["-map", &map, "-c", "copy", "-f", "framehash", "-hash", "md5", "-"]];
    let output = media::run("ffmpeg", &arguments.concat(), bytes);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.rsplit(',').next().unwrap().trim().to_owned())
        .collect()
}

pub fn packets_of(file: &Path, track: &str) -> Vec<String> {
    packets(&["-i", file.to_str().unwrap()], b"", track)
}

/// What ffprobe says of a file.
pub fn probe(file: &Path) -> Value {
    let arguments = ["-v", "error", "-show_streams", "-show_format", "-of", "json", file.to_str().unwrap()];
    let output = Command::new("ffprobe").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

pub fn number(value: &Value) -> f64 {
    value.as_str().unwrap().parse().unwrap()
}

/// Waits until so many files of `cam` were closed.
fn wait_closed(server: &Server, count: usize) {
    server.log.wait_nth("recording file closed", count, SOON);
}

#[test]
fn files_are_cut_on_the_clock_and_together_they_are_what_a_viewer_got() {
    if !have("ffmpeg") {
        return;
    }
    let folder = TempDir::new().unwrap();
    let server = recording(folder.path(), "every: 2s, part: 0.5", LONG_GOP, &[]);
    wait_for(&server, "streams", "cam", |stream| stream["recording"]["state"] == "recording");
    let mut viewer = server.get("/cam.mp4");
    let until = Instant::now() + SOON;
    let mut live = Vec::new();
    while server.log.count("recording file closed") < 4 && Instant::now() < until {
        live.extend(viewer.collect(millis(300)));
    }
    drop(viewer);
    // The files go on for longer than the viewer.
    wait_closed(&server, 5);
    drop(server);
    let files = files(folder.path(), "mp4");
    assert!(files.len() >= 6, "{files:?}");
    let live = media::whole(&live);
    for track in ["v", "a"] {
        let recorded: Vec<String> = files.iter().flat_map(|file| packets_of(file, track)).collect();
        let seen = packets(&["-i", "pipe:0"], live, track);
        assert!(seen.len() > 100, "{}", seen.len());
        let at = recorded.windows(seen.len()).position(|window| window == seen);
        assert!(
            at.is_some(),
            "the {} packets of {track} that a viewer got are not among {}",
            seen.len(),
            recorded.len()
        );
    }
    for (number_of_file, file) in files.iter().enumerate() {
        media::assert_decodes_file(file);
        let name = file.file_stem().unwrap().to_str().unwrap();
        assert!(name.ends_with(&format!("-{:07}", number_of_file + 1)), "{name}");
        if (1..files.len() - 1).contains(&number_of_file) {
            let found = probe(file);
            let [video, audio] = [0, 1].map(|track| &found["streams"][track]);
            // A frame of 40 ms may be missing or be there; an encoder that gets no processor time leaves out some.
            let frames = number(&video["nb_frames"]);
            assert!((38.0..=52.0).contains(&frames), "{frames} frames in {name}");
            assert!((number(&video["duration"]) - 2.0).abs() < 0.09, "{video}");
            assert!((number(&audio["duration"]) - number(&video["duration"])).abs() < 0.05, "{audio}");
            let second: f64 = name[4..10].parse().unwrap();
            let late = second % 2.0;
            assert!(!(0.2..1.8).contains(&late), "{name} does not begin on the clock");
        }
    }
}

#[test]
fn a_killed_server_loses_a_part_and_the_next_one_finishes_the_file() {
    if !have("ffmpeg") {
        return;
    }
    let folder = TempDir::new().unwrap();
    for round in 0..2 {
        let mut server = recording(folder.path(), "part: 0.5", H264, &[]);
        wait_for(&server, "streams", "cam", |stream| stream["recording"]["bytes"].as_u64() > Some(100_000));
        process::send(server.pid(), Signal::KILL);
        server.wait(SOON);
        let all = files(folder.path(), "mp4");
        let torn = &all[round];
        media::assert_decodes_file(torn);
        let before = packets_of(torn, "v");
        assert!(before.len() > 40, "{}", before.len());
        // Whatever of a part was written when the power went.
        let mut bytes = fs::read(torn).unwrap();
        bytes.extend(b"\0\0\x20\0moof\0\0\0");
        fs::write(torn, bytes).unwrap();
        let next = recording(folder.path(), "every: 1h", H264, &[]);
        next.log.wait("recording was left unfinished .*outcome=repaired", SOON);
        wait_for(&next, "streams", "cam", |stream| stream["recording"]["kept_files"].as_u64() > Some(round as u64));
        let found = probe(torn);
        assert_eq!(number(&found["streams"][0]["nb_frames"]) as usize, before.len(), "{found:#}");
        assert_eq!(packets_of(torn, "v"), before);
        drop(next);
        if round == 0 {
            fs::remove_file(files(folder.path(), "mp4").pop().unwrap()).unwrap();
        }
    }
}

#[test]
fn every_format_is_recorded_and_decodes() {
    if !have("ffmpeg") {
        return;
    }
    let folder = TempDir::new().unwrap();
    let root = folder.path().display();
    let server = Server::start(&format!(
        "
        feeds: {{cam: {{pipeline: '{PICTURE} name=video  {TONE} name=audio'}}}}
        streams:
          mkv: {{feed: cam, video: {H264}, audio: {{codec: aac}}, record: {{folder: {root}, format: mkv, every: 3s}}}}
          ts: {{feed: cam, video: {H264}, audio: {{codec: aac}}, record: {{folder: {root}, format: ts, every: 3s}}}}
          flv: {{feed: cam, video: {H264}, audio: {{codec: aac}}, record: {{folder: {root}, format: flv, every: 3s, name: 'own/{{sequence}} {{year}}'}}}}
          old: {{feed: cam, video: {H264}, audio: [opus, aac], record: {{folder: {root}, format: avi, every: 3s}}}}
          web.webm: {{feed: cam, video: {{codec: vp8, bitrate: 300k, gop: 25}}, audio: {{codec: opus}}, record: {{folder: {root}, format: webm, every: 3s}}}}
        "
    ));
    wait_until("two files of each were closed", SOON, || {
        let closed = server.log.matching("recording file closed");
        ["stream=mkv", "stream=ts", "stream=flv", "stream=old", "stream=web.webm"]
            .iter()
            .all(|stream| closed.iter().filter(|line| line.contains(stream)).count() >= 2)
    });
    drop(server);
    for format in ["mkv", "ts", "flv", "avi", "webm"] {
        let found = files(folder.path(), format);
        assert!(found.len() >= 2, "{found:?}");
        for file in &found {
            media::assert_decodes_file(file);
        }
        // Times of a transport stream begin anywhere.
        let begin = number(&probe(&found[1])["format"]["start_time"]);
        assert!(begin.abs() < 1.5 || format == "ts", "times of {format} begin at {begin} s");
        let frames = packets_of(&found[1], "v").len();
        // A busy machine leaves frames out.
        assert!((30..90).contains(&frames), "{frames} in {format}");
    }
    assert!(folder.path().join("own").is_dir());
}

#[test]
fn a_disk_that_is_full_costs_the_recording_and_nothing_else() {
    if !have_failpoints() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let points = [("FAILPOINTS", "recording-write=12*off->1*return->off")];
    let server = recording(folder.path(), "part: 0.3", H264, &points);
    wait_for(&server, "streams", "cam", |stream| stream["recording"]["state"] == "recording");
    let mut viewer = server.get("/cam.ts");
    let full = wait_for(&server, "streams", "cam", |stream| stream["recording"]["state"] == "disk-full");
    assert!(full["recording"]["error"].as_str().unwrap().contains("the disk is full"), "{full}");
    server.log.wait("recording failed.*the disk is full", SOON);
    wait_for(&server, "streams", "cam", |stream| stream["recording"]["state"] == "recording");
    server.log.wait("recording resumed", SOON);
    let end = entry(&state(&server), "streams", "cam").clone();
    assert_eq!(end["recording"]["failures"], 1);
    assert!(end["recording"]["lost_samples"].as_u64() > Some(0));
    viewer.take(1000, SOON);
    assert_eq!(end["gaps"], 0);
    let metrics = server.get("/metrics").text();
    assert!(metrics.contains("voyandz_recording_failures_total{stream=\"cam\"} 1"), "{metrics}");
    drop(server);
    let all = files(folder.path(), "mp4");
    assert_eq!(all.len(), 2);
    if have("ffmpeg") {
        all.iter().for_each(|file| media::assert_decodes_file(file));
    }
}

#[test]
fn viewers_do_not_wait_for_a_disk_that_hangs() {
    if !have_failpoints() || !have("ffmpeg") {
        return;
    }
    let folder = TempDir::new().unwrap();
    let points = [("FAILPOINTS", "recording-disk=8*off->1*sleep(6000)->off")];
    let server = recording(folder.path(), "part: 0.3", H264, &points);
    let mut viewer = server.get("/cam.ts");
    viewer.take(1000, SOON);
    wait_for(&server, "streams", "cam", |stream| stream["recording"]["queued_bytes"].as_u64() > Some(100_000));
    let queued = || entry(&state(&server), "streams", "cam")["recording"]["queued_bytes"].as_u64().unwrap();
    let before = entry(&state(&server), "streams", "cam")["bytes"].as_u64().unwrap();
    let mut late = 0;
    while queued() > 100_000 {
        // 25 frames a second: of a second without one there is none.
        late += usize::from(viewer.collect(millis(1000)).is_empty());
    }
    assert_eq!(late, 0);
    let after = entry(&state(&server), "streams", "cam").clone();
    assert!(after["bytes"].as_u64() > Some(before));
    assert_eq!((&after["recording"]["failures"], &after["gaps"]), (&0.into(), &0.into()), "{after:#}");
    drop(server);
    let all = files(folder.path(), "mp4");
    assert_eq!(all.len(), 1, "nothing was lost");
    media::assert_decodes_file(&all[0]);
}

#[test]
fn the_oldest_files_go_and_the_open_one_stays() {
    let folder = TempDir::new().unwrap();
    let snow = "videotestsrc is-live=true pattern=snow ! video/x-raw,width=320,height=240,framerate=25/1 ! queue";
    let server = Server::start(&format!(
        "
        feeds: {{cam: {{pipeline: '{snow}'}}}}
        streams:
          cam:
            feed: cam
            video: {{codec: h264, preset: ultrafast, bitrate: 8M, gop: 25}}
            record: {{folder: {}, every: 1s, keep: {{size: 2M}}}}
        ",
        folder.path().display()
    ));
    server.log.wait("recording deleted .*reason=size", SOON);
    let deleted = wait_for(&server, "streams", "cam", |stream| stream["recording"]["deleted_files"].as_u64() > Some(1));
    assert!(deleted["recording"]["kept_bytes"].as_u64() < Some(6 << 20), "{deleted}");
    drop(server);
    let left = files(folder.path(), "mp4");
    assert!(!left[0].to_str().unwrap().contains("-0000001"), "{left:?}");
    assert!(left.len() < 12, "{left:?}");
}

#[test]
fn a_folder_is_for_one_server_and_has_to_stay() {
    let folder = TempDir::new().unwrap();
    let root = folder.path().join("rec");
    let server = recording(&root, "part: 0.3, every: 2s", H264, &[]);
    wait_for(&server, "streams", "cam", |stream| stream["recording"]["state"] == "recording");
    let other = recording(&root, "part: 0.3", H264, &[]);
    let refused = wait_for(&other, "streams", "cam", |stream| stream["recording"]["state"] == "folder-in-use");
    assert!(refused["recording"]["error"].as_str().unwrap().contains("another server"), "{refused}");
    other.get("/cam.ts").take(1000, SOON);
    drop(other);
    // As if its disk were not mounted any more.
    fs::rename(&root, folder.path().join("away")).unwrap();
    wait_for(&server, "streams", "cam", |stream| stream["recording"]["state"] == "folder-missing");
    assert!(!root.exists(), "nothing is written where the disk was");
    fs::rename(folder.path().join("away"), &root).unwrap();
    wait_for(&server, "streams", "cam", |stream| stream["recording"]["state"] == "recording");
    server.get("/cam.ts").take(1000, SOON);
}

#[test]
fn a_stream_is_recorded_while_it_is_wanted() {
    let folder = TempDir::new().unwrap();
    let server = recording(folder.path(), "plan: wanted, part: 0.3", H264, &[]);
    assert!(holds_for(secs(1), || entry(&state(&server), "streams", "cam")["recording"]["state"] == "waiting"));
    assert_eq!(entry(&state(&server), "feeds", "cam")["state"], "idle");
    let mut viewer = server.get("/cam.ts");
    viewer.take(1000, SOON);
    wait_for(&server, "streams", "cam", |stream| stream["recording"]["state"] == "recording");
    drop(viewer);
    server.log.wait("recording file closed .*reason=\"no viewers\"", SOON);
    wait_for(&server, "feeds", "cam", |feed| feed["state"] == "idle");
}

#[test]
fn a_session_is_a_file_and_a_reload_changes_what_it_names_only() {
    if !have("ffmpeg") {
        return;
    }
    let folder = TempDir::new().unwrap();
    let root = folder.path().display();
    let config = |keys: &str| {
        format!(
            "
            feeds: {{cam: {{command: {}}}}}
            streams:
              one: {{feed: cam, container: mp4, record: {{folder: {root}, plan: session, part: 0.3}}}}
              two: {{feed: cam, container: mp4, record: {{folder: {root}, {keys}}}}}
            ",
            camera(25)
        )
    };
    let server = Server::start(&config("every: 1h"));
    for stream in ["one", "two"] {
        wait_for(&server, "streams", stream, |stream| stream["recording"]["bytes"].as_u64() > Some(50_000));
    }
    let ffmpeg = server.programs("ffmpeg");
    process::send(ffmpeg[0].pid, Signal::KILL);
    server.log.wait("stream=one .*reason=\"session ended\"", SOON);
    wait_for(&server, "streams", "one", |stream| stream["recording"]["files"] == 2);
    assert_eq!(entry(&state(&server), "streams", "two")["recording"]["files"], 1, "the run is a gap of the file");
    server.reload(&config("every: 30m"));
    server.log.wait("stream=two .*reason=stopped", SOON);
    wait_for(&server, "streams", "two", |stream| stream["recording"]["files"] == 2);
    assert_eq!(entry(&state(&server), "streams", "one")["recording"]["files"], 2);
    server.reload("feeds: {}");
    wait_until("both are closed", SOON, || server.log.count("recording file closed .*reason=stopped") >= 3);
}

/// A server that has recorded three files and a piece of the next one, and their packets.
pub fn recorded(folder: &Path) -> Server {
    let yaml = format!(
        "
        feeds: {{cam: {{pipeline: '{PICTURE} name=video  {TONE} name=audio'}}}}
        streams:
          cam: {{feed: cam, video: {H264}, audio: {{codec: aac}}, record: {{folder: {}, every: 2s, part: 0.5}}}}
          low.ts: {{feed: cam, video: {H264}, record: {{folder: {}, format: ts}}}}
        auth: {{anyone: [viewer, playback]}}
        ",
        folder.display(),
        folder.display()
    );
    let server = Server::start(&yaml);
    wait_until("four files were closed", SOON, || {
        server.log.matching("recording file closed").iter().filter(|line| line.contains("stream=cam")).count() >= 4
    });
    server
}

pub fn json(server: &Server, path: &str) -> Value {
    let mut answer = server.get(path);
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")), "{}", answer.head);
    serde_json::from_str(&answer.text()).unwrap()
}

pub fn body(server: &Server, path: &str, headers: &str) -> (u16, String, Vec<u8>) {
    let mut answer = http::request(server.address(), "GET", path, headers);
    let head = answer.head.to_lowercase();
    (answer.status, head, answer.rest(SOON))
}

/// A time of a list, moved by so many milliseconds, in seconds since 1970.
pub fn moved(time: &Value, millis: i64) -> String {
    let time: jiff::Timestamp = time.as_str().unwrap().parse().unwrap();
    format!("{:.3}", (time.as_millisecond() + millis) as f64 / 1000.0)
}

#[test]
fn any_span_is_one_film() {
    if !have("ffmpeg") {
        return;
    }
    let folder = TempDir::new().unwrap();
    let server = recorded(folder.path());
    let list = json(&server, "/rec/cam/list");
    let list = list.as_array().unwrap();
    assert!(list.len() >= 4 && list[1]["continues"] == true && list[0]["ended"] == "cut", "{list:#?}");
    let (second, third) = (&list[1], &list[2]);
    assert!((second["duration"].as_f64().unwrap() - 2.0).abs() < 0.1, "{second}");
    assert_eq!(second["end"], third["start"]);
    // From the middle of one file to the middle of another.
    let path = format!("/rec/cam/clip.mp4?from={}&for=2500ms", moved(&second["start"], 700));
    let (status, head, film) = body(&server, &path, "");
    assert_eq!(status, 200, "{head}");
    assert!(
        head.contains("accept-ranges: bytes") && head.contains(&format!("content-length: {}", film.len())),
        "{head}"
    );
    let file = folder.path().join("film");
    fs::write(&file, &film).unwrap();
    media::assert_decodes_file(&file);
    let found = probe(&file);
    // From the keyframe before on: a second at most.
    let length = number(&found["format"]["duration"]);
    assert!((2.4..3.6).contains(&length), "{found:#}");
    assert!(found["format"]["tags"]["creation_time"].is_string());
    for track in ["v", "a"] {
        let all: Vec<String> = list[..4]
            .iter()
            .filter(|file| !file["ended"].is_null())
            .flat_map(|file| packets_of(&folder.path().join(file["file"].as_str().unwrap()), track))
            .collect();
        let some = packets_of(&file, track);
        assert!(some.len() > 55 && all.windows(some.len()).any(|window| window == some), "{track}: {}", some.len());
    }
    // The same again, and in pieces.
    let (_, again_head, again) = body(&server, &path, "");
    let tag = |head: &str| head.lines().find_map(|line| line.strip_prefix("etag: ").map(str::to_owned)).unwrap();
    assert!(again == film && tag(&head) == tag(&again_head));
    let mut pieces = Vec::new();
    while pieces.len() < film.len() {
        let last = pieces.len() + 9_999;
        let range = format!("Range: bytes={}-{last}\r\nIf-Range: {}\r\n", pieces.len(), tag(&head));
        let (status, head, piece) = body(&server, &path, &range);
        let expected = format!("content-range: bytes {}-{}/{}", pieces.len(), last.min(film.len() - 1), film.len());
        assert!(status == 206 && head.contains(&expected), "{head}");
        pieces.extend(piece);
    }
    assert!(pieces == film);
    let (status, head, _) = body(&server, &path, &format!("Range: bytes={}-\r\n", film.len()));
    assert!(status == 416 && head.contains(&format!("bytes */{}", film.len())), "{head}");
    let old = body(&server, &path, "Range: bytes=5-9\r\nIf-Range: \"other\"\r\n");
    assert_eq!((old.0, old.2.len()), (200, film.len()));
    let head = http::request(server.address(), "HEAD", &path, "");
    assert_eq!((head.status, head.header("content-length")), (200, Some(film.len().to_string().as_str())));
    // What is recorded at this moment can be played as well.
    let newest = format!("/rec/cam/clip.mp4?from={}", moved(&list[3]["start"], 0));
    assert_eq!(body(&server, &newest, "").0, 200);
    // As another server has it.
    let spans = json(&server, "/rec/list?path=cam");
    let url = spans[0]["url"].as_str().unwrap();
    assert_eq!(spans.as_array().unwrap().len(), 1, "without a gap: {spans}");
    assert!(spans[0]["duration"].as_f64() > Some(6.0));
    let (status, _, whole) = body(&server, url.strip_prefix(&server.url("")).unwrap(), "");
    fs::write(&file, whole).unwrap();
    assert_eq!(status, 200);
    media::assert_decodes_file(&file);
    assert!(packets_of(&file, "v").len() > 150);
}

#[test]
fn a_span_is_a_playlist_that_players_follow() {
    if !have("ffmpeg") {
        return;
    }
    let folder = TempDir::new().unwrap();
    let server = recorded(folder.path());
    let list = json(&server, "/rec/cam/list");
    let from = moved(&list[0]["start"], 0);
    let to = moved(&list[2]["end"], -10);
    let path = format!("/rec/cam/index.m3u8?from={from}&to={to}");
    let text = server.get(&path).text();
    let count = |tag: &str| text.lines().filter(|line| line.starts_with(tag)).count();
    assert_eq!((count("#EXT-X-MAP"), count("#EXT-X-DISCONTINUITY"), count("#EXT-X-ENDLIST")), (1, 0, 1), "{text}");
    assert!(count("#EXTINF") >= 3 && count("#EXT-X-PROGRAM-DATE-TIME") == count("#EXTINF"), "{text}");
    media::assert_decodes_file(Path::new(&server.url(&path)));
    let file = folder.path().join("played.mp4");
    let copy = ["-v", "error", "-i", &server.url(&path), "-c", "copy", file.to_str().unwrap()];
    assert!(Command::new("ffmpeg").args(copy).status().unwrap().success());
    let frames = packets_of(&file, "v").len();
    let recorded: usize = list.as_array().unwrap()[..3]
        .iter()
        .map(|entry| packets_of(&folder.path().join(entry["file"].as_str().unwrap()), "v").len())
        .sum();
    assert_eq!(frames, recorded);
    // Without an end it grows.
    let open = server.get(&format!("/rec/cam/index.m3u8?from={from}&link=x")).text();
    assert!(open.contains("#EXT-X-PLAYLIST-TYPE:EVENT") && open.contains(".m4s?link=x"), "{open}");
}

#[test]
fn playback_is_for_those_who_may_and_says_what_is_wrong() {
    let folder = TempDir::new().unwrap();
    let server = recorded(folder.path());
    let check = |path: &str, status: u16, says: &str| {
        let mut answer = server.get(path);
        let text = answer.text();
        assert!(answer.status == status && text.contains(says), "{path}: {} {text}", answer.status);
    };
    check("/rec/cam/clip.mp4", 400, "from= is missing");
    check("/rec/cam/clip.mp4?from=noon", 400, "from=noon is not valid: expected a time like");
    check("/rec/cam/clip.mp4?from=10&to=5", 400, "end after its start");
    check("/rec/cam/clip.mp4?from=10&for=60", 404, "nothing was recorded");
    check("/rec/.voyandz/list", 200, "[]");
    check("/rec/..%2Fcam/list", 404, "recordings are at");
    check("/rec/cam/nothing", 404, "recordings are at");
    check("/rec/cam/5-1/init.mp4", 404, "nothing was recorded");
    let now = jiff::Timestamp::now().as_second();
    check(&format!("/rec/low.ts/clip.mp4?from={}&for=1h", now - 600), 406, "this one is in ts");
    // Recordings are not public by default.
    server.reload(&format!(
        "
        feeds: {{cam: {{pipeline: '{PICTURE}'}}}}
        streams: {{cam: {{feed: cam, record: {{folder: {}}}}}}}
        ",
        folder.path().display()
    ));
    check("/rec/cam/list", 403, "");
    check("/rec/list?path=cam", 403, "");
}

#[test]
fn a_recorder_is_started_and_stopped_by_requests() {
    let folder = TempDir::new().unwrap();
    let root = folder.path().display();
    let yaml = |more: &str| {
        format!(
            "
            feeds: {{cam: {{pipeline: '{PICTURE}'}}}}
            streams:
              cam: {{feed: cam, video: {H264}, record: {{folder: {root}, plan: manual, part: 0.3{more}}}}}
              all: {{feed: cam, video: {H264}, record: {{folder: {root}, part: 0.3}}}}
            auth: {{anyone: [viewer, record cam, record all]}}
            "
        )
    };
    let server = Server::start(&yaml(""));
    let path = "/api/v1/streams/cam/recording";
    let ask = |method: &str, path: &str, headers: &str| {
        let mut answer = http::request(server.address(), method, path, headers);
        let text = answer.text();
        (answer.status, text)
    };
    wait_until("recorder waits", SOON, || ask("GET", path, "").1.contains("\"state\":\"waiting\""));
    let (status, text) = ask("GET", path, "");
    assert!(status == 200 && text.contains("\"requested\":false"), "{text}");
    assert_eq!(ask("POST", path, "Origin: http://elsewhere.example\r\n").0, 403);
    assert_eq!(ask("PATCH", path, "").0, 405);
    assert_eq!(ask("POST", "/api/v1/streams/all/recording", "").0, 409);
    // Who may not record it does not learn whether there is one.
    assert_eq!(ask("POST", "/api/v1/streams/other/recording", "").0, 403);
    assert_eq!((ask("POST", path, "").0, ask("POST", path, "").0), (201, 200));
    wait_for(&server, "streams", "cam", |stream| stream["recording"]["bytes"].as_u64() > Some(20_000));
    assert_eq!(ask("DELETE", path, "").0, 200);
    server.log.wait("stream=cam .*reason=\"stopped by request\"", SOON);
    wait_for(&server, "streams", "cam", |stream| stream["recording"]["state"] == "waiting");
    let first = files(&folder.path().join("cam"), "mp4");
    assert_eq!(first.len(), 1);
    if have("ffmpeg") {
        media::assert_decodes_file(&first[0]);
    }
    // It is still requested after a reload, and not after a restart.
    ask("POST", path, "");
    wait_for(&server, "streams", "cam", |stream| stream["recording"]["files"] == 2);
    server.reload(&yaml(", every: 30m"));
    wait_for(&server, "streams", "cam", |stream| stream["recording"]["files"] == 3);
    server.reload(&yaml(", every: 30m").replace("record cam, ", ""));
    assert_eq!(ask("DELETE", path, "").0, 403);
}

#[test]
fn each_publisher_has_a_file() {
    if !have("ffmpeg") {
        return;
    }
    let folder = TempDir::new().unwrap();
    let server = Server::start(&format!(
        "
        feeds: {{studio: {{publish: {{key: s3cret}}}}}}
        streams: {{studio: {{feed: studio, record: {{folder: {}, plan: session, part: 0.3}}}}}}
        ",
        folder.path().display()
    ));
    for round in 1..=2 {
        let publisher = Publisher::put(H264_AAC, "mpegts", &server.url("/studio?key=s3cret"));
        let least = round as u64 * 50_000;
        wait_for(&server, "streams", "studio", |stream| {
            let recording = &stream["recording"];
            recording["bytes"].as_u64() > Some(least) && recording["files"] == round
        });
        drop(publisher);
        server.log.wait_nth("recording file closed", round, SOON);
    }
    let all = files(folder.path(), "mp4");
    assert_eq!(all.len(), 2);
    all.iter().for_each(|file| media::assert_decodes_file(file));
}

#[test]
fn a_page_finds_and_plays_what_was_recorded() {
    if !have_browser() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let server = recorded(folder.path());
    let browser = Browser::start();
    browser.open(&server.url("/recordings"));
    // Files that follow each other are one block.
    let block = "document.querySelector('[data-stream=cam] .line button')";
    browser.wait(
        &format!("return document.querySelectorAll('.line button').length === 1 && {block}.ariaLabel.includes(' to ')"),
        secs(20),
    );
    browser.run("document.querySelector('[data-hours=\"1\"]').click()");
    browser.wait("return document.querySelector('[data-hours=\"1\"]').ariaPressed === 'true'", secs(5));
    browser.wait(&format!("return {block}?.getBoundingClientRect().width > 0"), secs(20));
    // The keys play a block from its begin.
    browser.run(&format!("{block}.click()"));
    let player = "document.getElementById('player')";
    browser.wait(&format!("return {player}.currentTime > 1 && {player}.videoWidth === 320"), secs(20));
    // A click on the line plays from there, a drag chooses a span to download.
    let point = |kind: &str, from: f64| {
        browser.run(&format!(
            "const line = document.querySelector('.line'), {{ left, width }} = {block}.getBoundingClientRect();
            line.dispatchEvent(new PointerEvent('{kind}', {{ clientX: left + {from} * width, button: 0, bubbles: true }}))"
        ));
    };
    browser.run(&format!("window.before = {player}.src"));
    // An hour is some hundred pixels: near to the begin, as the block has three.
    point("pointerdown", 0.1);
    point("pointerup", 0.1);
    browser.wait(&format!("return {player}.src !== window.before && {player}.readyState > 2"), secs(20));
    let link = browser.run("return document.getElementById('download').href");
    let path = link.as_str().unwrap().replace(&server.url(""), "");
    assert!(path.starts_with("/rec/cam/clip.mp4?from="), "{path}");
    let film = server.get(&path).rest(SOON);
    assert!(film.len() > 10_000, "{} bytes", film.len());
    // What lies in no file is said.
    browser.run("document.getElementById('from').value = '2020-01-01T00:00:00'; document.getElementById('to').value = '2020-01-01T00:10:00'; document.querySelector('form.span').requestSubmit()");
    browser.wait(
        "return document.getElementById('notice').textContent.startsWith('This moment was not recorded')",
        secs(20),
    );
    // Without the right there is nothing.
    let rules = format!(
        "auth: {{anyone: viewer}}\nstreams: {{cam: {{feed: cam, record: {{folder: {}}}}}}}",
        folder.path().display()
    );
    let other = Server::start(&format!("feeds: {{cam: {{pipeline: '{PICTURE}'}}}}\n{rules}"));
    let page = other.get("/recordings").text();
    assert!(page.contains("There is nothing that you may play") && !page.contains("/rec/cam"), "{page}");
    assert_eq!(Server::start("").get("/recordings").status, 404);
}
