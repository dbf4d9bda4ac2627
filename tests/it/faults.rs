//! Panics inside the server: one request, one feed, one stream; never more.

use crate::rig::{
    Launch, SOON, Server, have_failpoints, media, process,
    script::{H264, PICTURE, starts, ticking},
    secs, ts,
};

/// A server with a feed of each kind, in which something panics.
fn fragile(failpoints: &str) -> (Server, std::path::PathBuf) {
    let launch = Launch::bare();
    let file = launch.folder().join("starts");
    let yaml = format!(
        "
        feeds:
          cam: {{pipeline: '{PICTURE}'}}
          ticker: {{command: {}}}
        streams:
          cam.ts: {{feed: cam, video: {H264}}}
          ticks: {{feed: ticker, container: raw}}
        ",
        ticking(&file)
    );
    (launch.with(&yaml).env("FAILPOINTS", failpoints).start(), file)
}

fn assert_backtrace(server: &Server) {
    server.log.wait("ERROR panic in thread", SOON);
    server.log.wait(r"^\S+ \S+ +\d+: ", SOON);
}

#[test]
fn o3_panic_in_a_request_costs_that_request() {
    if !have_failpoints() {
        return;
    }
    // The first three pass, the next two panic.
    let (server, _) = fragile("request=3*off->2*panic");
    let mut viewer = server.get("/ticks");
    viewer.piece(SOON);
    assert_eq!(server.get("/").status, 200);
    assert_eq!(server.get("/").status, 200);
    for _ in 0..2 {
        let mut answer = server.get("/");
        assert_eq!(answer.status, 500);
        assert!(!answer.text().contains("src/"));
    }
    assert_eq!(server.get("/").status, 200);
    viewer.take(300, secs(5));
    assert_backtrace(&server);
    server.log.wait("request .*status=500", SOON);
}

#[test]
fn o3_requests_that_all_panic_leave_the_streams_alone() {
    if !have_failpoints() {
        return;
    }
    let (server, _) = fragile("request=1*off->panic");
    let mut viewer = server.get("/ticks");
    viewer.piece(SOON);
    for _ in 0..200 {
        assert_eq!(server.get("/").status, 500);
    }
    viewer.take(300, secs(5));
    assert!(process::is_alive(server.pid()));
}

#[test]
fn o3_panic_in_a_feed_is_a_death_of_the_feed() {
    if !have_failpoints() {
        return;
    }
    let (server, file) = fragile("command=1*panic");
    let mut other = server.get("/cam.ts?header=1&keyframe=1");
    let mut bytes = other.take(2000, SOON);
    let mut viewer = server.get("/ticks");
    viewer.piece(secs(5));
    assert_eq!(starts(&file), 1);
    bytes.extend(other.collect(secs(1)));
    assert_eq!(ts::continuity(&bytes), (Vec::new(), 0));
    assert_backtrace(&server);
    server.log.wait("feed=ticker .*panicked", SOON);
}

#[test]
fn o3_panic_in_a_stream_is_a_death_of_the_stream() {
    if !have_failpoints() {
        return;
    }
    let (server, _) = fragile("item=2*panic");
    let mut viewer = server.get("/cam.ts?header=1&keyframe=1");
    let bytes = viewer.take(20_000, SOON);
    media::assert_decodes(&ts::trim(&bytes));
    server.get("/ticks").piece(SOON);
    assert_backtrace(&server);
    server.log.wait("panicked", SOON);
}
