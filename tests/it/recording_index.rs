//! An index that is lost or damaged is read back from the files.

use crate::{
    recordings::{files, json},
    rig::{
        SOON, Server,
        script::{H264, PICTURE, TONE},
        wait_until,
    },
};
use serde_json::Value;
use std::{fs, path::Path};
use tempfile::TempDir;

const STREAMS: [&str; 4] = ["cam", "own", "low.ts", "film.mkv"];

/// A server that records in several formats and under several names, until a request to stop.
fn recording(folder: &Path, plan: &str) -> Server {
    let root = folder.display();
    let record = |more: &str| format!("record: {{folder: {root}, every: 2s, part: 0.3, plan: {plan}{more}}}");
    Server::start(&format!(
        "
        feeds: {{cam: {{pipeline: '{PICTURE} name=video  {TONE} name=audio'}}}}
        streams:
          cam: {{feed: cam, video: {H264}, audio: {{codec: aac}}, {}}}
          own: {{feed: cam, video: {H264}, {}}}
          low.ts: {{feed: cam, video: {H264}, {}}}
          film.mkv: {{feed: cam, video: {H264}, audio: {{codec: aac}}, {}}}
        auth: {{anyone: [operator]}}
        ",
        record(""),
        record(", name: '{stream}/no {sequence}'"),
        record(", format: ts"),
        record(", format: mkv, name: 'films/{unix}-{sequence}'"),
    ))
}

/// The files of a stream that have ended.
fn ended(server: &Server, stream: &str) -> Vec<Value> {
    let listed = json(server, &format!("/rec/{stream}/list"));
    listed.as_array().unwrap().iter().filter(|file| !file["ended"].is_null()).cloned().collect()
}

fn micros(time: &Value) -> i64 {
    time.as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_microsecond()
}

/// Fails unless both lists are of the same files and times.
fn assert_alike(before: &[Value], after: &[Value]) {
    assert_eq!(before.len(), after.len(), "{before:#?} {after:#?}");
    for (before, after) in before.iter().zip(after) {
        for field in ["file", "bytes", "codecs"] {
            assert_eq!(before[field], after[field], "{before:#} {after:#}");
        }
        // Names have milliseconds or seconds, or the time is that of the last write.
        let late = (micros(&before["start"]) - micros(&after["start"])).abs();
        assert!(late < 1_100_000, "{before:#} {after:#}");
        let longer = after["duration"].as_f64().unwrap() - before["duration"].as_f64().unwrap();
        assert!(longer.abs() < 0.2, "{before:#} {after:#}");
    }
}

#[test]
fn a_lost_index_is_rebuilt_from_the_files() {
    let folder = TempDir::new().unwrap();
    let server = recording(folder.path(), "always");
    for stream in STREAMS {
        server.log.wait_nth(&format!("recording file closed.*stream={stream} "), 3, SOON);
    }
    drop(server);
    // What nobody knows of is left alone.
    fs::write(folder.path().join("holiday.mp4"), b"no recording of ours").unwrap();
    fs::create_dir(folder.path().join("cam/other")).unwrap();
    fs::write(folder.path().join("cam/other/083000.000Z-0000001.ts"), b"").unwrap();
    let server = recording(folder.path(), "manual");
    let before = STREAMS.map(|stream| ended(&server, stream));
    assert!(before.iter().all(|list| list.len() >= 3), "{before:#?}");
    drop(server);

    // One more file of a server that was killed.
    let torn = files(&folder.path().join("cam"), "mp4").pop().unwrap();
    let whole = fs::read(&torn).unwrap();
    fs::remove_dir_all(folder.path().join(".voyandz")).unwrap();
    let server = recording(folder.path(), "manual");
    let line = server.log.wait("index of recordings rebuilt", SOON);
    let count: usize = before.iter().map(Vec::len).sum();
    assert!(line.contains(&format!(" files={} adopted={count} unknown=2", count + 2)), "{line}");
    for (stream, before) in STREAMS.iter().zip(&before) {
        assert_alike(before, &ended(&server, stream));
    }
    // They can be played as one, and what is recorded now has other names.
    let first = &ended(&server, "cam")[0];
    let film = server.get(&format!("/rec/cam/clip.mp4?from={}&for=5s", first["start"].as_str().unwrap())).rest(SOON);
    assert!(film.len() > 10_000);
    assert_eq!(ended(&server, "cam")[1]["continues"], true);
    assert_eq!(fs::read(&torn).unwrap(), whole);
    drop(server);

    // Nothing is searched when nothing is lost, and all of it counts.
    let server = recording(folder.path(), "always");
    server.log.wait_nth("recording file closed.*stream=cam ", 1, SOON);
    assert_eq!(server.log.count("index of recordings"), 0);
    let names = files(folder.path(), "mp4");
    assert!(names.len() > before[0].len() + before[1].len(), "{names:?}");
}

#[test]
fn a_damaged_index_is_completed() {
    let folder = TempDir::new().unwrap();
    let server = recording(folder.path(), "always");
    server.log.wait_nth("recording file closed.*stream=cam ", 4, SOON);
    drop(server);
    let server = recording(folder.path(), "manual");
    let before = ended(&server, "cam");
    drop(server);
    let index = files(&folder.path().join(".voyandz/index/cam"), "idx").pop().unwrap();
    let damaged = || {
        let text = fs::read_to_string(&index).unwrap();
        // The second file, and what else is on its line.
        let lines = text.lines().map(|line| if line.contains("-0000002.mp4") { "\u{0}\u{0}\u{0}" } else { line });
        fs::write(&index, lines.collect::<Vec<_>>().join("\n") + "\n").unwrap();
    };
    damaged();
    let server = recording(folder.path(), "always");
    server.log.wait("index of recordings rebuilt.* adopted=1 ", SOON);
    let found = || ended(&server, "cam").into_iter().take(before.len()).collect::<Vec<_>>();
    wait_until("it is recorded meanwhile", SOON, || ended(&server, "cam").len() > before.len());
    assert_alike(&before, &found());
    assert_eq!(found()[1]["ended"], "rebuilt");
    drop(server);
    // What could not be read is gone, and nothing is looked for any more.
    let server = recording(folder.path(), "manual");
    assert_alike(&before, &ended(&server, "cam")[..before.len()]);
    drop(server);
    // A search that did not end is begun again.
    fs::write(folder.path().join(".voyandz/searching"), b"").unwrap();
    let server = recording(folder.path(), "manual");
    server.log.wait("index of recordings rebuilt.* adopted=0 ", SOON);
    drop(server);
    assert!(!folder.path().join(".voyandz/searching").exists());
    // A day that is gone is missed.
    fs::remove_file(&index).unwrap();
    let server = recording(folder.path(), "manual");
    server.log.wait("index of recordings rebuilt", SOON);
    assert_alike(&before, &ended(&server, "cam")[..before.len()]);
}
