//! What is recorded plays in players of others: as a file, and as a film over HTTP.

use crate::{
    recordings::{json, number, probe, recorded},
    rig::{
        SOON, Server,
        browser::{Browser, have_browser},
        have, media,
    },
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

/// A server with recordings, a file of them, and the address of a film of several.
fn server(folder: &TempDir) -> (Server, PathBuf, String) {
    let server = recorded(folder.path());
    let list = json(&server, "/rec/cam/list");
    let file = folder.path().join(list[1]["file"].as_str().unwrap());
    let film = format!("/rec/cam/clip.mp4?from={}&for=5s", list[1]["start"].as_str().unwrap());
    (server, file, film)
}

/// What a player says, which is nothing where all is well.
fn play(program: &str, arguments: &[&str]) -> String {
    let output = Command::new("timeout").args(["60", program]).args(arguments).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    format!("{} {}", output.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).trim())
}

/// The frames that GStreamer decodes of a file.
fn frames_of_gstreamer(file: &Path, folder: &Path) -> u64 {
    let raw = folder.join("raw");
    let text = format!(
        "filesrc location={} ! qtdemux name=d d.video_0 ! queue ! decodebin ! videoconvert ! video/x-raw,format=GRAY8 \
         ! filesink location={} d.audio_0 ! queue ! decodebin ! fakesink",
        file.display(),
        raw.display()
    );
    let said = play("gst-launch-1.0", &[&["-q"], &text.split_whitespace().collect::<Vec<_>>()[..]].concat());
    assert_eq!(said, "0 ", "{file:?}");
    fs::metadata(raw).unwrap().len() / (320 * 240)
}

#[test]
fn files_and_films_play_in_players_of_others() {
    if !["ffmpeg", "gst-launch-1.0"].into_iter().all(have) {
        return;
    }
    let folder = TempDir::new().unwrap();
    let (server, file, film) = server(&folder);
    let url = server.url(&film);
    let whole = folder.path().join("film.mp4");
    fs::write(&whole, server.get(&film).rest(SOON)).unwrap();
    for file in [&file, &whole] {
        media::assert_decodes_file(file);
        let frames = number(&probe(file)["streams"][0]["nb_frames"]);
        assert_eq!(frames_of_gstreamer(file, folder.path()) as f64, frames, "{file:?}");
    }
    if have("mpv") {
        let usual = ["--no-config", "--msg-level=all=warn", "--vo=null", "--ao=null", "--untimed"];
        for target in [file.to_str().unwrap(), &url] {
            for start in ["--start=0", "--start=1.2"] {
                assert_eq!(play("mpv", &[&usual[..], &[start, target]].concat()), "0 ", "{target} {start}");
            }
        }
    }
    if have("cvlc") {
        // VLC refuses to run as root, and others may not read the folder.
        let is_root = rustix::process::getuid().is_root();
        let user =
            ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "env", "HOME=/nonexistent", "cvlc"];
        let player =
            [if is_root { &user[..] } else { &["cvlc"] }, &["-vv", "--no-color", "--vout=dummy", "--aout=dummy"]];
        let more = ["--start-time=1", "--run-time=2", "--play-and-exit", &url, "vlc://quit"];
        let all = [&player.concat()[..], &more].concat();
        let said = play(all[0], &all[1..]);
        assert!(said.contains("Received first picture"), "{said}");
    }
}

#[test]
fn a_browser_seeks_in_a_film_by_ranges() {
    if !have_browser() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let (server, _, film) = server(&folder);
    let browser = Browser::start();
    browser.open(&server.url("/recordings"));
    browser.run(&format!(
        "window.video = document.createElement('video'); video.muted = true; video.src = '{film}'; document.body.append(video); \
         window.took = []; \
         const seek = (place) => {{ const began = performance.now(); \
           video.addEventListener('seeked', () => {{ took.push(performance.now() - began); if (took.length < 20) seek((place * 7 + 3) % 41); }}, {{once: true}}); \
           video.currentTime = video.duration * place / 41; }}; \
         video.addEventListener('loadeddata', () => seek(1), {{once: true}});"
    ));
    browser.wait("return window.took.length === 20", SOON);
    let took = browser.run("return window.took");
    let mut took: Vec<f64> = took.as_array().unwrap().iter().map(|time| time.as_f64().unwrap()).collect();
    took.sort_by(f64::total_cmp);
    println!("seeks took {took:?} ms");
    assert!(took[10] < 300.0, "{took:?}");
    // It is really there, not only said to be.
    assert_eq!(browser.run("return video.error === null && video.readyState >= 2 && video.duration > 4"), true);
}
