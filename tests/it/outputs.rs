//! One encoding, all containers: who shares an encoder, what a request without parameters gets, and who stays when the worker dies.

use crate::rig::{
    SOON, Server, have,
    http::{self, Answer},
    media, process, rounds,
    script::{H264, PICTURE, TONE},
    secs, state,
};
use rustix::process::Signal;

/// What can be muxed of H.264 and AAC.
const CONTAINERS: [&str; 4] = ["ts", "mp4", "flv", "mkv"];

fn of_both(streams: &str) -> Server {
    Server::start(&format!(
        "
        feeds: {{cam: {{pipeline: '{PICTURE} name=video {}'}}}}
        streams:
        {streams}
        ",
        TONE.replace("! queue", "! queue name=audio")
    ))
}

/// A line of the configuration for each.
fn lines(containers: &[&str], keys: &str) -> String {
    containers.iter().map(|container| format!("  cam.{container}: {{feed: cam, {keys}}}\n        ")).collect()
}

#[test]
fn containers_of_equal_codecs_share_one_encoder() {
    if !have("ffmpeg") {
        return;
    }
    let server = of_both(&lines(&CONTAINERS, &format!("video: {H264}, audio: {{codec: aac}}")));
    let mut viewers = CONTAINERS.map(|container| server.get(&format!("/cam.{container}")));
    viewers.iter_mut().for_each(|viewer| drop(viewer.piece(SOON)));
    for container in CONTAINERS {
        let bytes = server.get(&format!("/cam.{container}")).collect(secs(2));
        let found = media::Frames::of(&bytes, false);
        viewers.iter_mut().for_each(Answer::drain);
        assert_eq!(found.codecs, ["aac", "h264"], "{container}: {}", found.complaints);
        assert!(found.pictures.starts_with('I') && found.pictures.len() > 20, "{container}: {}", found.pictures);
        assert!(found.sounds > 40, "{container}: {}", found.sounds);
    }
    assert_eq!(server.log.count("encodes by "), 1, "{}", server.log.text());
}

#[test]
fn streams_with_other_settings_have_encoders_of_their_own() {
    let other = "  small.mp4: {feed: cam, video: {codec: h264, size: 160x120}, audio: {codec: aac}}\n";
    let server = of_both(&(lines(&["ts"], &format!("video: {H264}, audio: {{codec: aac}}")) + other));
    let mut viewers = ["/cam.ts", "/small.mp4"].map(|target| server.get(target));
    viewers.iter_mut().for_each(|viewer| drop(viewer.piece(SOON)));
    assert_eq!(server.log.count("encodes by "), 2, "{}", server.log.text());
}

#[test]
fn an_encoder_goes_on_when_the_stream_that_it_is_named_after_is_gone() {
    let keys = format!("video: {H264}, audio: {{codec: aac}}");
    let yaml = |containers: &[&str]| {
        let tone = TONE.replace("! queue", "! queue name=audio");
        format!(
            "feeds: {{cam: {{pipeline: '{PICTURE} name=video {tone}'}}}}\nstreams:\n        {}",
            lines(containers, &keys)
        )
    };
    let server = Server::start(&yaml(&["ts", "mp4"]));
    let (mut first, mut second) = (server.get("/cam.ts"), server.get("/cam.mp4"));
    first.piece(SOON);
    second.piece(SOON);
    server.reload(&yaml(&["mp4"]));
    first.rest(SOON);
    second.take(20_000, SOON);
    assert_eq!(server.log.count("encodes by "), 1, "{}", server.log.text());
    assert_eq!(server.get("/cam.ts").status, 404);
}

#[test]
fn a_request_without_parameters_gets_what_a_player_needs() {
    if !have("ffmpeg") {
        return;
    }
    let webm = "  cam.webm: {feed: cam, video: {codec: vp8, gop: 200}, audio: {codec: opus}}\n";
    let h264 = lines(&CONTAINERS, "video: {codec: h264, preset: ultrafast, gop: 200}, audio: {codec: aac}");
    let server = of_both(&(h264 + webm));
    for container in CONTAINERS.iter().chain(&["webm"]) {
        let target = format!("/cam.{container}");
        // The first viewer has it encoded; the one that follows begins in the middle of a GOP.
        let mut first = server.get(&target);
        first.piece(SOON);
        let whole = server.get(&target).collect(secs(2));
        let found = media::Frames::of(&whole, false);
        assert!(found.pictures.starts_with('I') && found.pictures.len() > 20, "{container}: {}", found.pictures);
        // The raw tail, as it is asked for, begins with whatever comes.
        let tail = server.get(&format!("{target}?header=0&keyframe=0")).collect(secs(1));
        assert!(tail.len() > 8 && (*container == "ts" || tail[..8] != whole[..8]), "{container}");
    }
}

#[test]
fn viewers_of_every_container_stay_when_the_worker_dies() {
    if !have("ffmpeg") {
        return;
    }
    let streams = lines(&CONTAINERS, &format!("video: {H264}, audio: {{codec: aac}}"))
        + "  cam.webm: {feed: cam, video: {codec: vp8, gop: 25}, audio: {codec: opus}}
          cam.ogg: {feed: cam, audio: {codec: opus}}
          cam.mp3: {feed: cam, audio: {codec: mp3}}
          cam.aac: {feed: cam, audio: {codec: aac}}
          cam.mjpeg: {feed: cam, video: {codec: mjpeg}}
        ";
    let server = of_both(&streams);
    let names = ["ts", "mp4", "flv", "mkv", "webm", "ogg", "mp3", "aac", "mjpeg"];
    let mut viewers = names.map(|name| (name, server.get(&format!("/cam.{name}")), Vec::new()));
    for round in 1..=rounds(2, 20) {
        for (name, viewer, bytes) in &mut viewers {
            let least = bytes.len() + 10_000;
            while bytes.len() < least {
                bytes.extend(viewer.piece(SOON));
            }
            assert!(!viewer.is_closed(std::time::Duration::ZERO), "{name}, round {round}");
        }
        process::send(server.worker("cam"), Signal::SEGV);
        server.log.wait_nth("worker exited unexpectedly", round, SOON);
        server.log.wait_nth("worker started group=cam ", round + 1, SOON);
    }
    for (name, viewer, bytes) in &mut viewers {
        let before = media::Frames::of(bytes, false);
        bytes.extend(viewer.take(30_000, SOON));
        let after = media::Frames::of(bytes, false);
        assert_eq!(after.codecs, before.codecs, "{name}");
        let frames = |found: &media::Frames| found.pictures.len() + found.sounds;
        assert!(frames(&after) > frames(&before) + 5, "{name}: {} then {}", frames(&before), frames(&after));
        assert!(after.complaints.is_empty(), "{name}: {}", after.complaints);
    }
}

/// The codecs of a path, as ffmpeg finds them.
fn codecs(server: &Server, target: &str) -> Vec<String> {
    let bytes = server.get(target).collect(secs(2));
    let found = media::Frames::of(&bytes, false);
    assert!(found.pictures.is_empty() || found.pictures.starts_with('I'), "{target}: {}", found.pictures);
    found.codecs
}

#[test]
fn a_stream_without_a_container_has_every_output_and_one_encoder() {
    if !have("ffmpeg") {
        return;
    }
    let server = of_both(&format!("  cam: {{feed: cam, video: {H264}, audio: aac}}\n"));
    let mut viewers = CONTAINERS.map(|container| server.get(&format!("/cam.{container}")));
    viewers.iter_mut().for_each(|viewer| drop(viewer.piece(SOON)));
    for target in CONTAINERS.map(|container| format!("/cam.{container}")).iter().chain(&["/cam".to_owned()]) {
        assert_eq!(codecs(&server, target), ["aac", "h264"], "{target}");
        viewers.iter_mut().for_each(Answer::drain);
    }
    assert_eq!(server.log.count("encodes by "), 1, "{}", server.log.text());
    assert_eq!(server.get("/stream/cam.mp4").status, 200);
    assert_eq!(server.get("/cam.mp4/pic").header("content-type"), Some("image/jpeg"));
    // What is in the way is said, and where to go instead.
    let mut refused = server.get("/cam.webm");
    assert_eq!(refused.status, 406);
    let reason = refused.text();
    for part in ["webm cannot carry H.264", "/cam.ts", "/cam.mp4", "vp8", "repair: [audio, video]"] {
        assert!(reason.contains(part), "{part} in {reason}");
    }
    assert!(!reason.contains("/cam.webm,"), "{reason}");
}

#[test]
fn an_output_takes_the_alternative_that_it_can_carry() {
    if !have("ffmpeg") {
        return;
    }
    let keys = format!("video: [{H264}, {{codec: vp8, gop: 25}}], audio: [aac, opus]");
    let server = of_both(&format!("  cam: {{feed: cam, {keys}}}\n"));
    assert_eq!(codecs(&server, "/cam.webm"), ["opus", "vp8"]);
    assert_eq!(codecs(&server, "/cam.ts"), ["aac", "h264"]);
    // Audio alone needs no video encoder.
    server.log.wait("stopped: no viewers stream=cam$", SOON);
    let before = server.log.count("x264enc");
    assert_eq!(codecs(&server, "/cam.aac"), ["aac"]);
    assert_eq!(server.log.count("x264enc"), before, "{}", server.log.text());
}

#[test]
fn audio_is_repaired_on_demand_and_only_where_that_is_allowed() {
    if !have("ffmpeg") {
        return;
    }
    let streams = "  cam: {feed: cam, video: {codec: vp8, gop: 25}, audio: aac}
          plain: {feed: cam, video: {codec: vp8, gop: 25}, audio: aac, repair: []}
          all: {feed: cam, video: {codec: vp8, gop: 25}, audio: aac, repair: [audio, video]}
          few: {feed: cam, video: {codec: vp8, gop: 25}, audio: aac, outputs: [mkv, webm]}
        ";
    let server = of_both(streams);
    assert_eq!(codecs(&server, "/cam.mkv"), ["aac", "vp8"]);
    assert_eq!(codecs(&server, "/cam.webm"), ["opus", "vp8"]);
    assert_eq!(codecs(&server, "/cam.mp3"), ["mp3"]);
    assert_eq!(server.get("/cam.ts").status, 406);
    assert_eq!(server.get("/plain.webm").status, 406);
    assert_eq!(server.get("/plain.mp3").status, 406);
    assert_eq!(codecs(&server, "/all.ts"), ["aac", "h264"]);
    assert_eq!(codecs(&server, "/few.webm"), ["opus", "vp8"]);
    assert_eq!(server.get("/few.mp4").status, 404);
    // Four streams, one video encoder for all of VP8 at a time.
    assert_eq!(server.get("/few").header("content-type").map(|found| &found[..10]), Some("video/x-ma"));
}

#[test]
fn browsers_get_a_page_where_players_get_media() {
    let server = of_both("  cam: {feed: cam}\n          cam.flv: {feed: cam}\n");
    let asked = |accept: &str| {
        let response = http::request(server.address(), "GET", "/cam", &format!("Accept: {accept}\r\n"));
        response.header("content-type").map(str::to_owned).unwrap_or_default()
    };
    assert!(asked("text/html,application/xhtml+xml,*/*;q=0.8").starts_with("text/html"));
    assert!(asked("*/*").starts_with("video/mp2t"));
    assert!(asked("video/webm,video/*;q=0.9,*/*;q=0.5").starts_with("video/mp2t"));
    // A path that is configured precedes one that is implied.
    let state = state::state(&server);
    assert_eq!(state["streams"][0]["outputs"][0]["url"], "/cam.ts");
    assert_eq!(state["streams"][0]["encodings"][0]["name"], "main");
    assert_eq!(state["streams"][1]["outputs"].as_array().unwrap().len(), 1);
    let mut viewer = server.get("/cam.flv");
    viewer.piece(SOON);
    server.log.wait("running stream=\"?cam.flv", SOON);
}
