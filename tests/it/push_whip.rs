//! Streams that are pushed to endpoints of WHIP.

use crate::rig::{
    Launch, SOON, Server, figure, media, mkv,
    pushes::{camera, wait_push, wait_state},
    secs,
    server::unindent,
    state::{state, wait_for},
};
use std::time::Instant;

/// A server that is published to.
const STUDIO: &str = "
    webrtc: {}
    feeds: {studio: {publish: {key: s3cret}}}
    streams: {studio: {feed: studio}}
";

#[test]
fn a_stream_is_pushed_to_another_server_and_comes_back_after_its_death() {
    let target = Server::start(STUDIO);
    let address = target.address();
    let good = format!("{{to: 'whip://{address}/studio/whip', token: s3cret}}");
    let wrong = format!("'whip://{address}/studio/whip?key=wr0ng'");
    let server = Server::start(&camera(&[good, wrong]));
    let push = wait_state(&server, "cam0", 0, "established");
    assert_eq!(push["to"], format!("whip://{address}/***"));
    assert_eq!((&push["protocol"], &push["connections"]), (&"whip".into(), &1.into()));
    // It arrives in real time and without a fault; its AAC has become Opus.
    let feed = wait_for(&target, "feeds", "studio", |feed| feed["state"] == "running");
    assert_eq!(feed["publish"]["publisher"]["protocol"], "webrtc", "{feed}");
    let mut viewer = target.get("/studio.mkv");
    let bytes = viewer.collect(secs(3));
    let frames = media::Frames::of(mkv::trim(&bytes), false);
    assert!(frames.complaints.is_empty(), "{}", frames.complaints);
    assert!(frames.pictures.starts_with('I') && frames.pictures.len() > 25, "{}", frames.pictures);
    assert!(frames.sounds > 50, "{}", frames.sounds);
    // The other target refuses, with its reason, and does not matter to this one.
    let refused = wait_push(&server, "cam0", 1, |push| push["failures"].as_u64() > Some(1));
    let error = refused["error"].as_str().unwrap();
    assert!(error.contains("401 Unauthorized") && error.contains("wrong"), "{error}");
    assert_eq!(wait_state(&server, "cam0", 0, "established")["failures"], 0);
    // The target dies, and is there again.
    drop(target);
    server.log.wait("push failed stream=cam0 to=whip://", SOON);
    assert!(!server.get("/cam0.ts").piece(SOON).is_empty(), "viewers notice nothing");
    let since = Instant::now();
    let target = Launch::exact(&format!("listenport: {}\n{}", address.port(), unindent(STUDIO))).start();
    wait_for(&target, "feeds", "studio", |feed| feed["state"] == "running");
    figure(19, "push by WHIP: back after its target", since.elapsed(), secs(40));
    wait_push(&server, "cam0", 0, |push| push["connections"] == 2);
    // No key is anywhere.
    let texts = [server.log.text(), server.get("/metrics").text(), state(&server).to_string()];
    for text in texts {
        assert!(!text.contains("s3cret") && !text.contains("wr0ng"), "{text}");
    }
    // Another configuration without it ends it, and the target sees that.
    server.reload(&camera(&[]));
    target.log.wait("publisher left feed=studio", SOON);
}
