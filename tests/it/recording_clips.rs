//! Clips that have what was before a request, time-lapses, and kills without an end.

use crate::{
    recordings::{body, files, json, moved, number, packets_of, probe, recorded},
    rig::{
        SOON, Server, have, http, media, millis, process,
        script::{H264, PICTURE, TONE},
        secs,
        state::wait_for,
        times,
    },
};
use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use tempfile::TempDir;

const RECORDING: &str = "/api/v1/streams/cam/recording";

fn ask(server: &Server, method: &str, path: &str) -> (u16, String) {
    let mut answer = http::request(server.address(), method, path, "");
    let text = answer.text();
    (answer.status, text)
}

fn start_of(entry: &Value) -> i64 {
    entry["start"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond()
}

#[test]
fn a_clip_has_what_was_before_its_request() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(&format!(
        "
        feeds: {{cam: {{pipeline: '{PICTURE} name=video  {TONE} name=audio'}}}}
        streams:
          cam:
            feed: cam
            video: {{codec: h264, preset: ultrafast, bitrate: 400k, gop: 25}}
            audio: {{codec: aac}}
            record: {{folder: {}, plan: clips, before: 3s, part: 0.3}}
        auth: {{anyone: [operator]}}
        ",
        folder.path().display()
    ));
    // Without a viewer its feed runs.
    wait_for(&server, "feeds", "cam", |feed| feed["state"] == "running");
    let mut viewer = server.get("/cam.ts");
    viewer.take(1000, SOON);
    viewer.collect(secs(6));
    drop(viewer);
    assert_eq!(files(folder.path(), "mp4").len(), 0, "nothing is recorded without a request");
    assert_eq!(ask(&server, "POST", &format!("{RECORDING}?for=soon")).0, 400);
    let asked = jiff::Timestamp::now().as_millisecond();
    assert_eq!(ask(&server, "POST", RECORDING).0, 201);
    wait_for(&server, "streams", "cam", |stream| stream["recording"]["state"] == "recording");
    wait_for(&server, "streams", "cam", |stream| stream["recording"]["bytes"].as_u64() > Some(250_000));
    assert_eq!(ask(&server, "DELETE", RECORDING).0, 200);
    server.log.wait("recording file closed .*reason=\"stopped by request\"", SOON);
    wait_for(&server, "streams", "cam", |stream| stream["recording"]["state"] == "waiting");
    let list = json(&server, "/rec/cam/list");
    // Never later than was asked for, and a GOP earlier at most, which a busy machine makes longer.
    let before = asked - start_of(&list[0]);
    assert!((3000..6500).contains(&before), "{before} ms before the request: {list}");
    if have("ffmpeg") {
        let file = &files(folder.path(), "mp4")[0];
        media::assert_decodes_file(file);
        let found = probe(file);
        let [video, audio] = [0, 1].map(|track| number(&found["streams"][track]["duration"]));
        assert!(video > 3.0 && (video - audio).abs() < 0.2, "{video} {audio}");
    }
    // The next one ends by itself, and has again what was before it.
    let mut viewer = server.get("/cam.ts");
    viewer.take(1000, SOON);
    viewer.collect(secs(5));
    drop(viewer);
    assert_eq!(ask(&server, "POST", &format!("{RECORDING}?for=2s")).0, 201);
    server.log.wait_nth("recording file closed .*reason=\"stopped by request\"", 2, SOON);
    let list = json(&server, "/rec/cam/list");
    assert!(list[1]["duration"].as_f64() > Some(4.8), "{list}");
    let (_, shown) = ask(&server, "GET", RECORDING);
    assert!(shown.contains("\"requested\":false"), "{shown}");
}

#[test]
fn a_time_lapse_has_keyframes_only() {
    if !have("ffmpeg") {
        return;
    }
    let folder = TempDir::new().unwrap();
    let server = recorded(folder.path());
    let list = json(&server, "/rec/cam/list");
    let (from, to) = (moved(&list[0]["start"], 0), moved(&list[3]["end"], -1));
    let path = format!("/rec/cam/timelapse.mp4?from={from}&to={to}&every=2s&fps=5");
    let (status, head, film) = body(&server, &path, "");
    assert!(status == 200 && head.contains(&format!("content-length: {}", film.len())), "{head}");
    let file = folder.path().join("lapse");
    fs::write(&file, &film).unwrap();
    media::assert_decodes_file(&file);
    let found = probe(&file);
    let streams = found["streams"].as_array().unwrap();
    assert_eq!((streams.len(), &streams[0]["codec_type"]), (1, &"video".into()), "{found:#}");
    let frames = number(&streams[0]["nb_frames"]);
    // A frame of each file of 2 s; a busy machine has them a little longer.
    assert!((3.0..=5.0).contains(&frames), "{found:#}");
    assert!((number(&streams[0]["duration"]) - frames / 5.0).abs() < 0.01, "{found:#}");
    let all: Vec<String> = list.as_array().unwrap()[..4]
        .iter()
        .flat_map(|file| packets_of(&folder.path().join(file["file"].as_str().unwrap()), "v"))
        .collect();
    assert!(packets_of(&file, "v").iter().all(|packet| all.contains(packet)));
    // Pieces of it, and the whole again.
    let tag = |head: &str| head.lines().find_map(|line| line.strip_prefix("etag: ").map(str::to_owned)).unwrap();
    let (status, again, piece) = body(&server, &path, "Range: bytes=100-999\r\n");
    assert!(status == 206 && tag(&again) == tag(&head) && piece == film[100..1000], "{again}");
    // Another pace is another film.
    let (_, other, all_frames) = body(&server, &path.replace("every=2s", "every=1s"), "");
    assert!(tag(&other) != tag(&head) && all_frames.len() > film.len());
    let check = |query: &str, says: &str| {
        let (status, _, text) = body(&server, &format!("/rec/cam/timelapse.mp4?{query}"), "");
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(status >= 400 && text.contains(says), "{query}: {status} {text}");
    };
    check("for=1h", "from= is missing");
    check(&format!("from={from}&for=5s&every=0"), "every=0 is not valid: expected a time from 100ms to 1d");
    check(&format!("from={from}&for=5s&fps=100"), "fps=100 is not valid: expected a number from 1 to 60");
    check("from=10&for=60", "nothing was recorded");
}

/// `VOYANDZ_KILLS` makes it longer: `ci/long` has a hundred.
#[test]
fn nothing_but_a_part_is_lost_however_often_it_is_killed() {
    if !have("ffmpeg") {
        return;
    }
    let folder = TempDir::new().unwrap();
    let kills = u64::from(times("VOYANDZ_KILLS", 5));
    let start = |every: &str| {
        Server::start(&format!(
            "
            feeds: {{cam: {{pipeline: '{PICTURE}'}}}}
            streams: {{cam: {{feed: cam, video: {H264}, record: {{folder: {}, part: 0.3, every: {every}}}}}}}
            auth: {{anyone: [operator]}}
            ",
            folder.path().display()
        ))
    };
    let (mut killed, mut unfinished) = (Vec::new(), 0);
    for round in 0..kills {
        let mut server = start("3s");
        // At different moments of a file and of a part.
        let least = 30_000 + round * 7919 % 60_000;
        wait_for(&server, "streams", "cam", |stream| stream["recording"]["bytes"].as_u64() > Some(least));
        // What is on the disk is reported when it is there: the kill comes at any time after that.
        server.get("/cam.ts").collect(millis(round * 137 % 700));
        killed.push(jiff::Timestamp::now().as_millisecond());
        process::send(server.pid(), Signal::KILL);
        server.wait(SOON);
        let index = fs::read_dir(folder.path().join(".voyandz/index/cam")).unwrap();
        let lines: String = index.map(|day| fs::read_to_string(day.unwrap().path()).unwrap_or_default()).collect();
        unfinished += usize::from(lines.matches("\"open\":").count() > lines.matches("\"close\":").count());
        // What a copy of the disk at this moment has plays as it is.
        let newest = files(folder.path(), "mp4").pop().unwrap();
        assert!(packets_of(&newest, "v").len() > 1 || fs::metadata(&newest).unwrap().len() < 10_000, "{newest:?}");
    }
    assert!(unfinished > 0, "no file was open at any kill");
    let server = start("1h");
    wait_for(&server, "streams", "cam", |stream| stream["recording"]["state"] == "recording");
    // A part and what was on its way are lost, but no more; a busy machine is late.
    let list = json(&server, "/rec/cam/list");
    let mut all_lost = Vec::new();
    let end = |entry: &Value| entry["end"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond();
    for at in killed {
        let lost = list.as_array().unwrap().iter().map(|entry| at - end(entry)).filter(|lost| *lost >= 0).min();
        all_lost.push(lost.unwrap());
    }
    all_lost.sort_unstable();
    println!("lost {all_lost:?} ms");
    assert!(all_lost.last() < Some(&1200), "{all_lost:?} ms are lost: {list}");
    drop(server);
    let all = files(folder.path(), "mp4");
    assert!(all.len() > usize::try_from(kills).unwrap(), "{all:?}");
    let mut sequence = 0;
    for file in &all {
        media::assert_decodes_file(file);
        // Each is an ordinary movie now, with a number of its own.
        assert!(number(&probe(file)["streams"][0]["nb_frames"]) > 0.0, "{file:?}");
        let own: u64 = file.file_stem().unwrap().to_str().unwrap().rsplit('-').next().unwrap().parse().unwrap();
        assert!(own > sequence, "{all:?}");
        sequence = own;
    }
}
