//! Targets that a service names when a publisher begins.

use crate::{
    api::{ADMIN, admin},
    rig::{
        SOON, Server, have,
        log::field,
        publisher::{H264_AAC, Publisher},
        pushes::{pushes, wait_push, wait_state},
        state::{state, wait_for},
        stub::{Stub, reply},
        wait_until,
    },
};
use data_encoding::HEXLOWER;
use serde_json::json;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use voyandz::access::{Secret, token_digest};

/// A server with a stream whose targets are named by a service.
fn studio(service: &Stub) -> Server {
    let url = service.url("/forward?key=s3cret");
    let token = HEXLOWER.encode(&token_digest(&Secret::new(ADMIN)));
    Server::start(&format!(
        "auth: {{tokens: {{admin: {{sha256: {token}, may: admin}}}}, anyone: viewer}}\n\
         feeds: {{in: {{publish: {{key: s3cret}}}}}}\n\
         streams: {{in: {{feed: in, push: {{ask: '{url}', token: s3cret}}}}}}\n"
    ))
}

#[test]
fn a_service_names_targets_for_as_long_as_a_publisher_is_there() {
    if !have("ffmpeg") {
        return;
    }
    let target = Server::start("rtmp: {listen: 0}\nwebrtc: {}\npublish: {live/*: {key: s3cret, linger: 1}}\n");
    let rtmp = target.log.wait("listening .*protocol=rtmp", SOON);
    let rtmp = field(&rtmp, "address").to_owned();
    let whip = target.address();
    let service = Stub::new(move |asked| {
        let name = asked.json()["stream"].as_str().unwrap().to_owned();
        let one = format!("rtmp://{rtmp}/live/{name}-rtmp?key=s3cret");
        let two = json!({"to": format!("whip://{whip}/live/{name}-whip/whip"), "token": "s3cret"});
        reply(200, json!({"code": 0, "data": {"urls": [one, two, "ftp://s3cret"]}}).to_string())
    });
    let server = studio(&service);
    let waiting = wait_state(&server, "in", 0, "waiting");
    assert_eq!((&waiting["protocol"], waiting["to"].as_str().unwrap().ends_with("/***")), (&json!("ask"), true));
    assert!(service.got().is_empty(), "nothing is asked without a publisher");
    let mut publisher = Publisher::put(H264_AAC, "mpegts", &server.url("/in?key=s3cret"));
    for round in 1..3 {
        wait_state(&server, "in", 0, "established");
        wait_state(&server, "in", 1, "established");
        wait_state(&server, "in", 2, "established");
        for feed in ["live-in-rtmp", "live-in-whip"] {
            wait_for(&target, "feeds", feed, |feed| feed["state"] == "running");
        }
        let asked = service.got();
        assert_eq!(asked.len(), round, "it is asked once for each publisher");
        let question = asked[round - 1].json();
        assert_eq!((&question["action"], &question["ip"]), (&json!("on_forward"), &json!("127.0.0.1")), "{question}");
        // It leaves, and the pushes with it.
        publisher.kill();
        wait_state(&server, "in", 0, "waiting");
        wait_until("the named ones are gone", SOON, || pushes(&server, "in").len() == 1);
        if round == 1 {
            publisher = Publisher::put(H264_AAC, "mpegts", &server.url("/in?key=s3cret"));
            continue;
        }
        break;
    }
    server.log.wait("push target refused stream=in .*expected=\"an address that begins with", SOON);
    for text in [server.log.text(), state(&server).to_string(), server.get("/metrics").text()] {
        assert!(!text.contains("s3cret"), "{text}");
    }
}

#[test]
fn a_service_that_fails_is_asked_again_and_never_stops_a_publisher() {
    if !have("ffmpeg") {
        return;
    }
    let count = Arc::new(AtomicUsize::new(0));
    let asked = count.clone();
    let service = Stub::new(move |_| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => reply(500, "no"),
        1 => reply(200, "{\"code\": 7}"),
        _ => reply(200, "{\"code\": 0, \"data\": {\"urls\": []}}"),
    });
    let server = studio(&service);
    let _publisher = Publisher::put(H264_AAC, "mpegts", &server.url("/in?key=s3cret"));
    let failed = wait_push(&server, "in", 0, |push| push["failures"] == 2);
    assert_eq!(failed["error"], "the service refuses with the code 7");
    server.log.wait("push targets unknown stream=in .*error=\"the service answers 500\"", SOON);
    assert!(!server.get("/in.ts").piece(SOON).is_empty());
    wait_state(&server, "in", 0, "established");
    assert_eq!(state(&server)["feeds"][0]["publish"]["publishers_ever"], 1);
    // Another question is asked when someone orders it.
    let before = count.load(Ordering::Relaxed);
    assert_eq!(admin(&server, "POST", "/streams/in/pushes/1/restart", None).0, 202);
    wait_until("it is asked again", SOON, || count.load(Ordering::Relaxed) > before);
}

#[test]
fn a_stream_that_is_not_published_has_nobody_to_ask_for() {
    let service = Stub::new(|_| reply(200, "{\"urls\": []}"));
    let server = Server::start(&format!(
        "feeds: {{cam: {{pipeline: 'videotestsrc is-live=true'}}}}\n\
         streams: {{cam: {{feed: cam, video: {{codec: h264}}, push: {{ask: '{}'}}}}}}\n",
        service.url("/")
    ));
    let push = wait_state(&server, "cam", 0, "unsupported");
    assert!(push["error"].as_str().unwrap().contains("not published to"), "{push}");
    assert!(service.got().is_empty());
}
