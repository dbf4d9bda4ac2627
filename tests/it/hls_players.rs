//! HLS and DASH in players of others: each form, with each kind of tracks.

use crate::{
    dash,
    rig::{
        SOON, Server,
        browser::{Browser, have_browser, have_firefox},
        have,
        playlist::Playlist,
        script::{H264, PICTURE, TONE},
        secs, tool, wait_until,
    },
};
use std::{
    process::{Command, Stdio},
    time::Duration,
};

/// Frames that a player has to show.
const FRAMES: u32 = 30;
/// No player takes longer to show them.
const WITHIN: Duration = Duration::from_secs(40);

/// A stream, and the tracks that it has.
const STREAMS: [(&str, &[&str]); 4] =
    [("both", &["video", "audio"]), ("hevc", &["video", "audio"]), ("loud", &["audio"]), ("mute", &["video"])];
const FORMS: [&str; 3] = ["m3u8", "m3u8?container=ts", "mpd"];

fn server() -> Server {
    Server::start(&format!(
        "
        feeds:
          cam: {{pipeline: '{PICTURE} name=video  {TONE} name=audio', mode: continuous}}
        streams:
          both: {{feed: cam, video: {H264}, audio: aac}}
          hevc: {{feed: cam, video: {{codec: h265, preset: ultrafast, bitrate: 300k, gop: 25}}, audio: aac}}
          loud: {{feed: cam, video: null, audio: aac}}
          mute: {{feed: cam, video: {H264}, audio: null}}
        "
    ))
}

/// Runs a player for a time; what it printed.
fn run(program: &str, arguments: &[&str]) -> String {
    let seconds = WITHIN.as_secs().to_string();
    let mut command = Command::new("timeout");
    let output = command.args([&seconds, program]).args(arguments).stdin(Stdio::null()).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The media playlist of a form of a stream, which begins with the first request.
fn media_playlist(server: &Server, stream: &str, form: &str) -> String {
    let variants = server.get(&format!("/{stream}.{}", form.replace("mpd", "m3u8"))).text();
    let media = variants.lines().find(|line| !line.is_empty() && !line.starts_with('#')).unwrap();
    format!("/{media}")
}

/// Waits until players that begin three target durations before the end begin with a segment of the usual length: GStreamer may
/// wait at the short ones at the begin for ever.
fn run_for_a_while(server: &Server, path: &str) {
    wait_until(&format!("{path} has long segments"), WITHIN, || {
        let list = Playlist::parse(&server.get(path).text());
        list.segments.iter().filter(|segment| segment.duration > 1.5).count() >= 4
    });
}

/// Plays each form by `play`, which gets an address and a track, and returns what is wrong. Of one stream; with `VOYANDZ_PLAYERS`, of
/// all: `ci/long` does.
fn each(play: impl Fn(&str, &str) -> Result<(), String>) {
    let server = server();
    let mut failures = Vec::new();
    let count = if std::env::var_os("VOYANDZ_PLAYERS").is_some() { STREAMS.len() } else { 1 };
    for (stream, tracks) in STREAMS.into_iter().take(count) {
        let playlists = FORMS.map(|form| media_playlist(&server, stream, form));
        for (form, playlist) in FORMS.into_iter().zip(&playlists) {
            run_for_a_while(&server, playlist);
            for track in tracks {
                if let Err(said) = play(&server.url(&format!("/{stream}.{form}")), track) {
                    failures.push(format!("{stream}.{form} {track}: {said}"));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn ffmpeg_plays_every_form() {
    if have("ffmpeg") {
        plays_by("ffmpeg");
    }
}

#[test]
fn ffmpeg_9_plays_every_form() {
    if let Some(ffmpeg) = tool("ffmpeg9") {
        plays_by(ffmpeg.to_str().unwrap());
    }
}

fn plays_by(ffmpeg: &str) {
    each(|url, track| {
        let map = format!("0:{}", &track[..1]);
        let frames = FRAMES.to_string();
        let kind = format!("-frames:{}", &track[..1]);
        let said = run(ffmpeg, &["-v", "error", "-i", url, "-map", &map, &kind, &frames, "-f", "framehash", "-"]);
        let count = said.lines().filter(|line| line.starts_with("0,")).count();
        if count >= FRAMES as usize { Ok(()) } else { Err(said) }
    });
}

#[test]
fn gstreamer_plays_every_form() {
    if !have("gst-launch-1.0") {
        return;
    }
    each(|url, track| {
        // The demuxer of DASH that `playbin3` takes shows nothing for long of a stream with low latency.
        let player = if url.ends_with(".mpd") { "playbin" } else { "playbin3" };
        let sink = |kind: &str| match kind == track {
            true => format!("{kind}-sink=identity error-after={FRAMES} ! fakesink sync=true"),
            false => format!("{kind}-sink=fakesink sync=true"),
        };
        let said = run("gst-launch-1.0", &["-q", player, &format!("uri={url}"), &sink("video"), &sink("audio")]);
        if said.contains("Failed after iterations as requested") { Ok(()) } else { Err(said) }
    });
}

#[test]
fn vlc_plays_every_form() {
    if !have("cvlc") {
        return;
    }
    // VLC refuses to run as root.
    let user = ["--reuid=nobody", "--regid=nogroup", "--clear-groups", "env", "HOME=/nonexistent", "cvlc"];
    let is_root = rustix::process::getuid().is_root();
    each(|url, track| {
        let player =
            ["-vv", "--no-color", "--vout=dummy", "--aout=dummy", "--run-time=3", "--play-and-exit", url, "vlc://quit"];
        let said = match is_root {
            true => run("setpriv", &[&user[..], &player].concat()),
            false => run("cvlc", &player),
        };
        let sign = if track == "video" {
            "Received first picture"
        } else {
            "audio output debug: conversion pipeline complete"
        };
        if said.contains(sign) { Ok(()) } else { Err(said.lines().rev().take(30).collect::<Vec<_>>().join("\n")) }
    });
}

/// What is played in browsers: a stream, its video and its audio.
const CODECS: [(&str, &str, &str); 3] = [
    ("av1", "{codec: av1, bitrate: 300k, gop: 25}", "opus"),
    ("h264", H264, "aac"),
    ("vp9", "{codec: vp9, bitrate: 300k, gop: 25}", "opus"),
];

/// Plays AV1 in all players of browsers; with `VOYANDZ_PLAYERS`, each of the codecs.
fn plays_codecs(browser: &Browser) {
    let count = if std::env::var_os("VOYANDZ_PLAYERS").is_some() { CODECS.len() } else { 1 };
    let streams =
        CODECS.iter().map(|(name, video, audio)| format!("  {name}: {{feed: cam, video: {video}, audio: {audio}}}\n"));
    let server = Server::start(&format!(
        "feeds: {{cam: {{pipeline: '{PICTURE} name=video  {TONE} name=audio'}}}}\nstreams:\n{}",
        streams.collect::<String>()
    ));
    if !dash::load_players(browser, &server) {
        return;
    }
    for (name, ..) in CODECS.iter().take(count) {
        run_for_a_while(&server, &media_playlist(&server, name, "m3u8"));
        for (player, form) in [("hls.js", "m3u8"), ("shaka", "m3u8"), ("shaka", "mpd"), ("dash.js", "mpd")] {
            dash::play(browser, player, &format!("/{name}.{form}"), secs(2));
            // Frames of the size that they have, and audio, which an element decodes that is mute, too.
            let shows = "video.videoWidth === 320 && (video.mozHasAudio ?? video.webkitAudioDecodedByteCount > 0)";
            let count = "video.getVideoPlaybackQuality().totalVideoFrames";
            browser.wait(&format!("return {shows} && {count} > {FRAMES}"), SOON);
            browser.run("end()");
        }
    }
}

#[test]
fn players_in_chromium_play_each_codec() {
    if have_browser() {
        plays_codecs(&Browser::start());
    }
}

#[test]
fn players_in_firefox_play_each_codec() {
    if have_firefox() {
        plays_codecs(&Browser::start_firefox());
    }
}
