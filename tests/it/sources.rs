//! The ways of getting media in and out, as a user would combine them.

use crate::rig::{
    Launch, SOON, Server, have, media, mkv,
    script::{H264, PICTURE, TONE, camera, make_pipe, make_sample},
    secs, ts,
};
use std::{
    process::{Command, Stdio},
    time::Duration,
};

/// What a second viewer of a running stream gets.
fn watch(server: &Server, target: &str, time: Duration) -> Vec<u8> {
    let mut first = server.get(target);
    first.piece(SOON);
    first.collect(secs(1));
    server.get(&format!("{target}?header=1&keyframe=1")).collect(time)
}

#[test]
fn raw_feed_becomes_h264_and_aac() {
    let server = Server::start(&format!(
        "
        feeds: {{cam: {{pipeline: '{PICTURE}  {TONE}'}}}}
        streams: {{cam.ts: {{feed: cam, video: {H264}, audio: {{codec: aac}}}}}}
        "
    ));
    let bytes = ts::trim(&watch(&server, "/cam.ts", secs(4)));
    assert_eq!(media::codecs(&bytes), ["aac", "h264"]);
    media::assert_decodes(&bytes);
}

#[test]
fn capture_card_pixels_become_webm() {
    let server = Server::start(
        "
        feeds: {card: {pipeline: 'videotestsrc is-live=true ! video/x-raw,format=YUY2,width=320,height=240,framerate=25/1 ! queue'}}
        streams: {card.webm: {feed: card, video: {codec: vp8, gop: 25}}}
        ",
    );
    let bytes = watch(&server, "/card.webm", secs(3));
    assert_eq!(media::codecs(mkv::trim(&bytes)), ["vp8"]);
    let (pictures, complaints) = media::pictures(mkv::trim(&bytes));
    assert!(pictures.starts_with('I') && pictures.len() > 40 && complaints.is_empty(), "{pictures}: {complaints}");
}

#[test]
fn one_ffmpeg_is_passed_through_and_encoded_anew() {
    if !have("ffmpeg") {
        return;
    }
    let server = Server::start(&format!(
        "
        feeds: {{cam: {{command: {}}}}}
        streams:
          cam.ts: {{feed: cam}}
          small.webm: {{feed: cam, video: {{codec: vp8, size: 160x120, gop: 25}}, audio: {{codec: opus}}}}
          own.ts: {{feed: cam, pipeline: 'video. ! videoconvert ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 ! mpegtsmux'}}
        ",
        camera(25)
    ));
    let (passed, small, own) = std::thread::scope(|scope| {
        let passed = scope.spawn(|| watch(&server, "/cam.ts", secs(6)));
        let small = scope.spawn(|| watch(&server, "/small.webm", secs(6)));
        let own = watch(&server, "/own.ts", secs(6));
        assert_eq!(server.programs("testsrc").len(), 1);
        (passed.join().unwrap(), small.join().unwrap(), own)
    });
    assert_eq!(media::codecs(&ts::trim(&passed)), ["aac", "h264"]);
    assert_eq!(media::codecs(mkv::trim(&small)), ["opus", "vp8"]);
    assert_eq!(media::codecs(&ts::trim(&own)), ["h264"]);
    media::assert_decodes(&ts::trim(&passed));
    media::assert_decodes(mkv::trim(&small));
    media::assert_decodes(&ts::trim(&own));
}

#[test]
fn file_is_encoded_anew() {
    if !have("ffmpeg") {
        return;
    }
    let launch = Launch::bare();
    make_sample(&launch.folder().join("film.ts"), 20);
    let server = launch
        .with("feeds: {film: {file: film.ts}}\nstreams: {film.webm: {feed: film, video: {codec: vp8, gop: 25}, audio: {codec: opus}}}\n")
        .start();
    let bytes = watch(&server, "/film.webm", secs(4));
    assert_eq!(media::codecs(mkv::trim(&bytes)), ["opus", "vp8"]);
    media::assert_decodes(mkv::trim(&bytes));
}

#[test]
fn file_formats_are_played() {
    if !have("ffmpeg") {
        return;
    }
    let launch = Launch::bare();
    make_sample(&launch.folder().join("film.ts"), 20);
    for name in ["film.mkv", "film.mp4"] {
        let remux = Command::new("ffmpeg")
            .args(["-v", "error", "-i", "film.ts", "-c", "copy", name])
            .current_dir(launch.folder())
            .status();
        assert!(remux.unwrap().success());
    }
    let server = launch
        .with(
            "
            feeds: {mkv: {file: film.mkv}, mp4: {file: film.mp4}}
            streams: {mkv.ts: {feed: mkv}, mp4.ts: {feed: mp4}}
            ",
        )
        .start();
    for target in ["/mkv.ts", "/mp4.ts"] {
        let bytes = ts::trim(&server.get(&format!("{target}?header=1&keyframe=1")).collect(secs(3)));
        assert_eq!(media::codecs(&bytes), ["aac", "h264"], "{target}");
        media::assert_decodes(&bytes);
    }
}

#[test]
fn encoder_writes_into_a_pipe() {
    if !have("ffmpeg") {
        return;
    }
    let launch = Launch::bare();
    let pipe = launch.folder().join("in.ts");
    make_pipe(&pipe);
    let server = launch
        .with(&format!(
            "feeds: {{in: {{file: in.ts}}}}\nstreams: {{in.ts: {{feed: in}}, small.ts: {{feed: in, video: {H264}}}}}\n"
        ))
        .start();
    let arguments = "-v error -y -re -f lavfi -i testsrc=s=320x240:r=25 -c:v libx264 -preset ultrafast -tune zerolatency -g 25 -pix_fmt yuv420p -f mpegts";
    let mut writer = Command::new("ffmpeg").args(arguments.split(' ')).arg(&pipe).stdin(Stdio::null()).spawn().unwrap();
    let (passed, small) = std::thread::scope(|scope| {
        let passed = scope.spawn(|| server.get("/in.ts?header=1&keyframe=1").collect(secs(5)));
        let small = server.get("/small.ts?header=1&keyframe=1").collect(secs(5));
        (passed.join().unwrap(), small)
    });
    writer.kill().unwrap();
    writer.wait().unwrap();
    for bytes in [passed, small] {
        let (pictures, complaints) = media::pictures(&ts::trim(&bytes));
        assert!(pictures.starts_with('I') && pictures.len() > 50 && complaints.is_empty(), "{pictures}: {complaints}");
    }
}

#[test]
fn sound_and_picture_go_with_their_containers() {
    let streams = [
        ("a.ts", "video: {codec: h264, preset: ultrafast}, audio: {codec: mp3}", ["h264", "mp3"]),
        ("b.mkv", "video: {codec: h264, preset: ultrafast}, audio: {codec: opus}", ["h264", "opus"]),
        ("c.webm", "video: {codec: vp9}, audio: {codec: vorbis}", ["vorbis", "vp9"]),
        ("flac.mkv", "video: {codec: vp8}, audio: {codec: flac}", ["flac", "vp8"]),
        ("pcm.mkv", "video: {codec: vp8}, audio: {codec: pcm}", ["pcm_s16le", "vp8"]),
    ];
    let lines: String = streams.iter().map(|(name, keys, _)| format!("  {name}: {{feed: cam, {keys}}}\n")).collect();
    let server = Server::start(&format!("feeds: {{cam: {{pipeline: '{PICTURE}  {TONE}'}}}}\nstreams:\n{lines}"));
    for (name, _, codecs) in streams {
        let bytes = watch(&server, &format!("/{name}"), secs(2));
        let whole = if name.ends_with("ts") { ts::trim(&bytes) } else { mkv::trim(&bytes).to_vec() };
        assert_eq!(media::codecs(&whole), codecs, "{name}");
        media::assert_decodes(&whole);
    }
}

#[test]
fn what_ffmpeg_writes_goes_into_the_container_that_is_asked_for() {
    if !have("ffmpeg") {
        return;
    }
    let server = Server::start(&format!(
        "
        feeds: {{cam: {{command: {}}}}}
        streams:
          cam.ts: {{feed: cam}}
          cam.mkv: {{feed: cam}}
          cam.flv: {{feed: cam}}
        ",
        camera(25)
    ));
    let mut keeper = server.get("/cam.ts");
    keeper.piece(SOON);
    let _keeper = keeper.kept();
    for (target, begin) in [("/cam.ts", &[0x47][..]), ("/cam.mkv", &[0x1a, 0x45, 0xdf, 0xa3]), ("/cam.flv", b"FLV")] {
        let bytes = watch(&server, target, secs(3));
        assert!(bytes.starts_with(begin), "{target}: {}", bytes[..16].escape_ascii());
        let mut codecs = media::codecs(&bytes);
        // What is said of a Flash video as a whole is a track to ffprobe.
        codecs.retain(|codec| codec != "text");
        assert_eq!(codecs, ["aac", "h264"], "{target}");
    }
    // Nothing was encoded: both are the pictures of the one program.
    assert_eq!(server.programs("testsrc").len(), 1);
}
