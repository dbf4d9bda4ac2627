//! Encoders that do not work cost no stream: the next one takes their place, and they are not tried again.

use crate::rig::{
    Launch, SOON, Server, have, have_failpoints, media, process,
    script::{PICTURE, TONE},
    secs, ts,
};
use rustix::process::Signal;

const OPEN: &str = "encodes by .*openh264enc in software.*stream=cam.ts";

/// A stream that `auto` makes, on a machine where these failpoints say which encoders do not work.
fn ill(failpoints: &str) -> Server {
    let yaml = format!(
        "
        feeds:
          cam: {{pipeline: '{PICTURE}'}}
          mic: {{pipeline: '{TONE}'}}
        streams:
          cam.ts: {{feeds: [cam, mic], video: {{bitrate: 400k, gop: 500}}}}
        "
    );
    Launch::new(&yaml).env("FAILPOINTS", failpoints).start()
}

/// Watches the stream while another viewer comes, for whom the encoder makes a keyframe though none is due for 20 s.
#[track_caller]
fn assert_plays(server: &Server) {
    let mut viewer = server.get("/cam.ts?header=1&keyframe=1");
    let mut bytes = viewer.collect(secs(1));
    let _other = server.get("/cam.ts?header=1&keyframe=1").piece(SOON);
    bytes.extend(viewer.collect(secs(1)));
    let found = media::Frames::of(&ts::trim(&bytes), false);
    assert_eq!(found.codecs, ["aac", "h264"], "{}", found.complaints);
    assert!(found.pictures.starts_with('I') && found.pictures.matches('I').count() > 1, "{}", found.pictures);
    assert_eq!(found.complaints, "");
}

#[test]
fn p19_encoder_that_does_not_start_is_passed_over_for_good() {
    if !have("ffprobe") || !have_failpoints() {
        return;
    }
    let server = ill("encoder-refuses=return(x264enc)");
    let mut viewer = server.get("/cam.ts");
    viewer.take(2000, SOON);
    server.log.wait("WARN text 6 of 7 does not work here: x264enc: .*stream=cam.ts", SOON);
    server.log.wait(OPEN, SOON);
    assert_plays(&server);
    // The memory outlives the worker.
    process::send(server.worker("cam+mic"), Signal::KILL);
    server.log.wait_nth(OPEN, 2, SOON);
    assert_plays(&server);
    assert_eq!(server.log.count("does not work here"), 1);
}

#[test]
fn p19_encoder_that_takes_the_worker_with_it_is_passed_over() {
    if !have("ffprobe") || !have_failpoints() {
        return;
    }
    let server = ill("encoder-crashes=return(x264enc)");
    let mut viewer = server.get("/cam.ts");
    viewer.take(2000, SOON);
    server
        .log
        .wait("WARN pipeline does not work here; skipped stream=cam.ts pipeline=6 of=7 reason=.the worker ", SOON);
    server.log.wait(OPEN, SOON);
    assert_plays(&server);
    assert_eq!(server.log.count("worker exited unexpectedly"), 1);
}

#[test]
fn p19_first_text_that_works_is_used() {
    if !have("ffprobe") {
        return;
    }
    let good = "video. ! videoconvert ! x264enc tune=zerolatency speed-preset=ultrafast ! mpegtsmux";
    let server = Server::start(&format!(
        "
        feeds:
          cam: {{pipeline: '{PICTURE}', mode: continuous}}
        streams:
          absent.ts: {{feed: cam, pipeline: [video. ! nosuchenc ! mpegtsmux, '{good}']}}
          odd.ts: {{feed: cam, pipeline: [video. ! videoconvert ! x264enc nosuch=1 ! mpegtsmux, '{good}']}}
          broken.ts: {{feed: cam, pipeline: [video. ! videoconvert ! avenc_mpeg2video ! mpegtsmux, '{good}']}}
          hangs.ts: {{feed: cam, pipeline: [video. ! videoconvert ! x264enc rc-lookahead=250 ! mpegtsmux, '{good}']}}
          only.ts: {{feed: cam, pipeline: [video. ! videoconvert ! avenc_mpeg2video ! mpegtsmux]}}
        "
    ));
    let _only = server.get("/only.ts");
    let streams = ["absent", "odd", "broken", "hangs"];
    let viewers: Vec<_> = streams.iter().map(|name| server.get(&format!("/{name}.ts?header=1&keyframe=1"))).collect();
    for (name, mut viewer) in streams.iter().zip(viewers) {
        let bytes = viewer.take(20_000, SOON);
        let found = media::Frames::of(&ts::trim(&bytes), false);
        assert!(found.codecs == ["h264"] && found.pictures.starts_with('I'), "{name}: {}", found.complaints);
        server.log.wait(&format!("encodes by x264enc in software.*stream={name}.ts"), SOON);
    }
    let told =
        |name: &str, why: &str| server.log.count(&format!("WARN text 1 of 2 does not work here: {why}.*{name}.ts"));
    assert_eq!(told("absent", ""), 0);
    assert_eq!(told("odd", "no property .nosuch."), 1);
    assert_eq!(told("broken", "avenc_mpeg2video: video: Internal data stream error"), 1);
    assert_eq!(told("hangs", "x264enc: no frame came out of it within 5 s"), 1);
    // One that is alone is not probed: its failure is the stream's.
    server.log.wait("WARN .*stream=only.ts.*Internal data stream error.*, with frames of 320x240", SOON);
    assert_eq!(server.log.count("does not work here.*only.ts"), 0);
}

#[test]
fn p19_named_encoder_and_no_other() {
    if !have("ffprobe") {
        return;
    }
    let server = Server::start(&format!(
        "
        feeds:
          cam: {{pipeline: '{PICTURE}', mode: continuous}}
        streams:
          open.ts: {{feed: cam, video: {{encoder: openh264enc, bitrate: 400k, gop: 10}}}}
          steady.mkv: {{feed: cam, video: {{encoder: openh264enc, quality: 60}}}}
          soft.ts: {{feed: cam, video: {{encoder: software, gop: 10}}}}
        "
    ));
    for (target, element) in [("open.ts", "openh264enc"), ("steady.mkv", "openh264enc"), ("soft.ts", "x264enc")] {
        let bytes = server.get(&format!("/{target}?header=1&keyframe=1")).collect(secs(2));
        let found = media::Frames::of(&bytes, false);
        let gop = found.pictures.matches('I').count();
        assert!(found.pictures.starts_with('I') && found.pictures.len() > 10, "{target}: {}", found.pictures);
        assert_eq!(gop > 2, target.ends_with(".ts"), "{target}: {}", found.pictures);
        server.log.wait(&format!("encodes by {element} in software.*stream={target}"), SOON);
    }
}
