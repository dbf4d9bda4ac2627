//! The system clock is set while it is recorded, and an hour is there twice.

use crate::{
    recordings::{files, json, packets_of, probe},
    rig::{
        Launch, SOON, Server, have, media,
        script::{H264, PICTURE},
    },
};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// A library that shows a program another time.
fn library() -> Option<PathBuf> {
    let below = fs::read_dir("/usr/lib").into_iter().flatten().filter_map(|name| Some(name.ok()?.path()));
    let found = below.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|path| path.exists());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "libfaketime is not installed");
        eprintln!("SKIPPED: libfaketime is not installed");
    }
    found
}

/// A server whose clock is ahead of that of the machine by as many seconds as a file says.
fn recording(library: &Path, folder: &Path, keys: &str) -> Server {
    let yaml = format!(
        "
        feeds: {{cam: {{pipeline: '{PICTURE}'}}}}
        streams: {{cam: {{feed: cam, video: {H264}, record: {{folder: {}, every: 2s, part: 0.3{keys}}}}}}}
        auth: {{anyone: [operator]}}
        ",
        folder.join("rec").display()
    );
    Launch::new(&yaml)
        .env("LD_PRELOAD", library)
        .env("FAKETIME_TIMESTAMP_FILE", folder.join("ahead"))
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("DONT_FAKE_MONOTONIC", "1")
        .env("TZ", "Europe/Berlin")
        .start()
}

fn set(folder: &Path, ahead: i64) {
    let new = folder.join("new");
    fs::write(&new, format!("{ahead:+}\n")).unwrap();
    fs::rename(new, folder.join("ahead")).unwrap();
}

fn wait_closed(server: &Server, more: usize) {
    let closed = server.log.count("recording file closed");
    server.log.wait_nth("recording file closed", closed + more, SOON);
}

/// The number in the name of a file.
fn sequence(file: &Path) -> u64 {
    file.file_stem().unwrap().to_str().unwrap().rsplit('-').next().unwrap().parse().unwrap()
}

#[test]
fn a_clock_that_is_set_loses_nothing() {
    let Some(library) = library().filter(|_| have("ffmpeg")) else { return };
    let folder = TempDir::new().unwrap();
    set(folder.path(), 0);
    let server = recording(&library, folder.path(), "");
    wait_closed(&server, 2);
    for (ahead, steps) in [(3600, 1), (-3600, 2)] {
        set(folder.path(), ahead);
        server.log.wait_nth("the system clock was set: the next file has the new time", steps, SOON);
        wait_closed(&server, 3);
    }
    let now = jiff::Timestamp::now().as_second();
    let list = json(&server, &format!("/rec/cam/list?from={}&to={}", now - 7200, now + 7200));
    drop(server);
    let list = list.as_array().unwrap();
    let ended: Vec<&Value> = list.iter().filter(|file| !file["ended"].is_null()).collect();
    assert!(ended.len() >= 8, "{list:#?}");
    // All names and numbers are there once, and each hour has its files.
    let names: BTreeSet<_> = list.iter().map(|file| file["file"].as_str().unwrap()).collect();
    assert_eq!(names.len(), list.len());
    for hours in [-1, 0, 1] {
        let middle = now + hours * 3600;
        let is_near = |file: &&Value| {
            let start: jiff::Timestamp = file["start"].as_str().unwrap().parse().unwrap();
            (start.as_second() - middle).abs() < 600
        };
        assert!(list.iter().filter(is_near).count() >= 2, "{hours}: {list:#?}");
    }
    // Its reason is the time, not the clock: no file is torn, and spans are as long as what is in them.
    let mut all = files(&folder.path().join("rec"), "mp4");
    all.sort_by_key(|file| sequence(file));
    let numbers: Vec<u64> = all.iter().map(|file| sequence(file)).collect();
    assert_eq!(numbers, (1..=all.len() as u64).collect::<Vec<_>>());
    for file in &ended {
        let path = folder.path().join("rec").join(file["file"].as_str().unwrap());
        media::assert_decodes_file(&path);
        let lasts: f64 = probe(&path)["streams"][0]["duration"].as_str().unwrap().parse().unwrap();
        assert!((lasts - file["duration"].as_f64().unwrap()).abs() < 0.1, "{file:#} {lasts}");
        assert_eq!(file["ended"], "cut", "{file:#}");
    }
    // The ball is somewhere else in each frame: none is missing or there twice, where files follow each other.
    let packets: Vec<String> = all.iter().flat_map(|file| packets_of(file, "v")).collect();
    assert_eq!(packets.iter().collect::<BTreeSet<_>>().len(), packets.len(), "frames are there twice");
}

#[test]
fn names_in_local_time_are_unique_in_the_hour_that_is_there_twice() {
    let Some(library) = library() else { return };
    let folder = TempDir::new().unwrap();
    // Three seconds before clocks go back from 3:00 to 2:00.
    let target: jiff::Timestamp = "2026-10-25T00:59:57Z".parse().unwrap();
    set(folder.path(), target.as_second() - jiff::Timestamp::now().as_second());
    let server = recording(&library, folder.path(), ", zone: local");
    wait_closed(&server, 5);
    let from = target.as_second() - 60;
    let list = json(&server, &format!("/rec/cam/list?from={from}&for=10m"));
    drop(server);
    let list = list.as_array().unwrap();
    let names: Vec<&str> = list.iter().map(|file| file["file"].as_str().unwrap()).collect();
    assert!(names.len() >= 5 && names.iter().collect::<BTreeSet<_>>().len() == names.len(), "{names:?}");
    let has = |text: &str| names.iter().filter(|name| name.contains(text)).count();
    assert!(has("/2026-10-25/0259") >= 1 || has("/2026-10-25/0200") >= 4, "{names:?}");
    assert!(has("+0100-") >= 3 && has("+0100-") + has("+0200-") == names.len(), "{names:?}");
    // The list is in order, and its times are in UTC.
    let starts: Vec<&str> = list.iter().map(|file| file["start"].as_str().unwrap()).collect();
    assert!(starts.is_sorted() && starts[0].starts_with("2026-10-25T0"), "{starts:?}");
    assert!(starts.iter().all(|start| start.ends_with('Z')), "{starts:?}");
}
