//! Live playlists that reach back into recordings.

use crate::{
    recordings::{files, packets, packets_of},
    rig::{
        SOON, Server,
        browser::{Browser, have_browser},
        have,
        playlist::Playlist,
        script::{PICTURE, TONE},
        secs, tool, wait_until,
    },
};
use std::{fs, process::Command, time::Duration};
use tempfile::TempDir;

/// A stream that was recorded for some seconds, in files of four, with playlists that list ten minutes of it.
fn dvr(folder: &TempDir) -> Server {
    let server = Server::start(&format!(
        "
        feeds: {{cam: {{pipeline: '{PICTURE} name=video  {TONE} name=audio'}}}}
        streams:
          cam:
            feed: cam
            video: {{codec: h264, preset: ultrafast, bitrate: 400k, gop: 25}}
            audio: {{codec: aac}}
            record: {{folder: {}, every: 4s, part: 0.3}}
            hls: {{segment: 1, part: 0.2, window: 4, dvr: 10m}}
        auth: {{anyone: [viewer, playback]}}
        ",
        folder.path().display()
    ));
    server.log.wait_nth("recording file closed", 3, SOON);
    server
}

fn media_playlist(server: &Server, name: &str) -> String {
    let text = server.get("/cam.m3u8").text();
    let mut lines = text.lines().flat_map(|line| line.split('"'));
    let found = lines.rfind(|line| line.contains(name));
    format!("/{}", found.unwrap_or_else(|| panic!("{name} is not in {text}")))
}

fn length(list: &Playlist) -> f64 {
    list.segments.iter().map(|segment| segment.duration).sum()
}

/// The header and the media of a segment.
fn segment(server: &Server, list: &Playlist, number: usize) -> Vec<u8> {
    let segment = &list.segments[number];
    let get = |uri: &str| {
        let mut answer = server.get(&format!("/cam/hls/{uri}"));
        assert_eq!(answer.status, 200, "{uri}: {}", answer.head);
        answer.rest(SOON)
    };
    [get(segment.map.as_deref().unwrap()), get(&segment.uri)].concat()
}

#[test]
fn a_playlist_reaches_back_into_recordings_without_a_seam() {
    if !have("ffmpeg") {
        return;
    }
    let folder = TempDir::new().unwrap();
    let server = dvr(&folder);
    // Nothing was cut into segments before this request.
    let path = media_playlist(&server, "v0");
    let list = Playlist::parse(&server.get(&path).text());
    list.check();
    assert!(length(&list) > 8.0, "{} s", length(&list));
    assert!(list.segments.iter().all(|segment| !segment.is_discontinuity));
    let first = list.segments[0].uri.clone();

    // Each frame and piece of audio once, in its order, over files and into what is live.
    let played = folder.path().join("played.mkv");
    let url = server.url(&format!("/cam.m3u8?{}", path.split_once('?').map_or("", |(_, query)| query)));
    let arguments =
        ["-v", "error", "-live_start_index", "0", "-i", &url, "-t", "14", "-c", "copy", played.to_str().unwrap()];
    let output = Command::new("ffmpeg").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    server.log.wait_nth("recording file closed", 6, SOON);
    let recorded = files(&folder.path().join("cam"), "mp4");
    for track in ["v", "a"] {
        let all: Vec<String> = recorded[..6].iter().flat_map(|file| packets_of(file, track)).collect();
        let played = packets_of(&played, track);
        assert!(played.len() > 300, "{} of {track}", played.len());
        let is_there = all.windows(played.len()).any(|window| window == played);
        assert!(is_there, "the {} packets of {track} that were played are not among {}", played.len(), all.len());
    }

    // What leaves the memory is the same from the recordings.
    let list = Playlist::parse(&server.get(&path).text());
    let newest = list.segments.len() - 1;
    let (uri, before) = (list.segments[newest].uri.clone(), segment(&server, &list, newest));
    let mut later = Playlist::parse(&server.get(&path).text());
    wait_until("it has left the memory", secs(40), || {
        later = Playlist::parse(&server.get(&path).text());
        let after = later.segments.iter().skip_while(|segment| segment.uri != uri);
        after.map(|segment| segment.duration).sum::<f64>() > 9.0
    });
    assert!(later.segments.iter().any(|segment| segment.uri == first), "numbers stay");
    let place = later.segments.iter().position(|segment| segment.uri == uri).unwrap();
    let after = segment(&server, &later, place);
    assert_ne!(before, after, "it is muxed from a file now");
    let [before, after] = [before, after].map(|bytes| packets(&["-i", "pipe:0"], &bytes, "v"));
    assert!(before.len() > 10 && before == after, "{} {}", before.len(), after.len());

    // The manifest has it as well.
    let manifest = server.get("/cam.mpd").text();
    assert!(manifest.contains("timeShiftBufferDepth=\"PT") && manifest.matches("<S ").count() >= 2, "{manifest}");
    let path = server.url("/cam.mpd");
    // One segment: with a manifest that lists segments, ffmpeg returns to the first one whenever it loads it again.
    let arguments = ["-v", "error", "-i", &path, "-t", "0.5", "-f", "null", "-"];
    let output = Command::new("ffmpeg").args(arguments).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));

    // A segment whose file is gone is not there any more, and the others are.
    fs::remove_file(&recorded[0]).unwrap();
    assert_eq!(server.get(&format!("/cam/hls/{first}")).status, 404);
    server.get(&format!("/cam/hls/{}", later.segments[place].uri)).rest(SOON);
}

#[test]
fn hls_js_seeks_back_into_recordings() {
    let Some(library) = tool("hls.js-1.7.4.js") else { return };
    if !have_browser() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let (server, browser) = (dvr(&folder), Browser::start());
    browser.open(&server.url("/livez"));
    browser.run(&format!("{}; window.Hls = globalThis.Hls ?? this.Hls", fs::read_to_string(library).unwrap()));
    browser.run(
        "document.body.innerHTML = '';
        const player = document.createElement('video');
        player.muted = true;
        document.body.append(player);
        window.hls = new Hls({ lowLatencyMode: true });
        window.failed = [];
        hls.on(Hls.Events.ERROR, (event, data) => { if (data.fatal) window.failed.push(data.details) });
        hls.loadSource('/cam.m3u8');
        hls.attachMedia(player);
        player.play()",
    );
    let player = "document.querySelector('video')";
    let frames = format!("{player}.getVideoPlaybackQuality().totalVideoFrames");
    browser.wait(&format!("return {frames} > 25"), Duration::from_secs(40));
    // To several moments, and to live again.
    for part in [0.05, 0.5, 0.3] {
        browser.run(&format!(
            "const {{ seekable }} = {player}, [start, end] = [seekable.start(0), seekable.end(0)];
            window.wanted = start + {part} * (end - start);
            window.shown = {frames};
            {player}.currentTime = window.wanted"
        ));
        browser.wait(
            &format!("return {frames} > window.shown + 12 && {player}.currentTime > window.wanted + 0.3 && {player}.currentTime < window.wanted + 5"),
            Duration::from_secs(20),
        );
    }
    let behind = browser.run("return (Date.now() - hls.playingDate.getTime()) / 1000").as_f64().unwrap();
    assert!(behind > 6.0, "{behind} s");
    browser.run(&format!("{player}.currentTime = hls.liveSyncPosition; window.shown = {frames}"));
    browser.wait(
        &format!("return {frames} > window.shown + 12 && Date.now() - hls.playingDate.getTime() < 5000"),
        Duration::from_secs(20),
    );
    assert_eq!(browser.run("return window.failed.join()"), "");
}
