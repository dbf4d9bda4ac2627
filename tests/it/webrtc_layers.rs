//! WebRTC: viewers of a stream with renditions switch between them.

use crate::{
    rig::{
        Launch, Server,
        browser::{Browser, have_browser},
        figure, have_failpoints, http, secs,
    },
    webrtc::{play, player},
};
use serde_json::{Value, json};
use std::time::Instant;

const LADDER: &str = "
    webrtc: {}
    feeds:
      cam:
        pipeline: videotestsrc is-live=true pattern=ball ! video/x-raw,width=640,height=360,framerate=25/1 ! queue name=video
          audiotestsrc is-live=true ! queue name=audio
    streams:
      cam:
        feed: cam
        video: {codec: h264, preset: ultrafast, bitrate: 1M, gop: 250}
        audio: opus
        renditions:
          \"180\": {height: 180, bitrate: 150k}
      plain: {feed: cam, video: {codec: h264, preset: ultrafast, bitrate: 1M}}
";

/// Has the page keep the events of its session.
const SUBSCRIBE: &str = "
    window.told = [];
    fetch(session + '/events', {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify(['active', 'inactive', 'layers', 'viewercount']),
    }).then((made) => {
        const source = new EventSource(made.headers.get('location'));
        for (const name of ['active', 'inactive', 'layers', 'viewercount'])
            source.addEventListener(name, ({ data }) => told.push([name, JSON.parse(data)]));
    }, (failure) => { window.failure = String(failure); });
";

/// Waits until a picture of this width is shown.
pub fn wait_width(browser: &Browser, width: u32, seconds: u64) {
    let shown = format!(
        "return (document.querySelector('video').videoWidth === {width} && window.first !== undefined) || window.failure"
    );
    browser.wait(&shown, secs(seconds));
    assert_eq!(browser.run("return window.failure ?? null"), Value::Null);
}

/// A request for the layers of the session in the page.
pub fn layers(server: &Server, browser: &Browser, method: &str, body: &str) -> (u16, Value) {
    let session = browser.run("return new URL(window.session).pathname");
    let (host, length) = (server.address(), body.len());
    let mut answer = http::send(
        server.address(),
        &format!(
            "{method} {}/layer HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}",
            session.as_str().unwrap()
        ),
    );
    let text = answer.text();
    (answer.status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

#[test]
fn a_viewer_chooses_a_layer() {
    if !have_browser() {
        return;
    }
    let server = Server::start(LADDER);
    let browser = player(&server);
    play(&browser, "/cam/whep", "['video', 'audio']");
    wait_width(&browser, 640, 30);
    browser.run(SUBSCRIBE);
    let names = json!([{"encodingId": "main"}, {"encodingId": "180"}]);
    let state = |active: &str, chosen: Value| json!({"layers": names, "active": active, "chosen": chosen});
    assert_eq!(layers(&server, &browser, "GET", ""), (200, state("main", Value::Null)));
    for (name, width) in [("180", 320), ("main", 640)] {
        let before = browser.run("return window.measured.video.framesDecoded").as_u64().unwrap();
        let asked = Instant::now();
        assert_eq!(layers(&server, &browser, "POST", &json!({"mediaId": "0", "encodingId": name}).to_string()).0, 200);
        wait_width(&browser, width, 20);
        figure(18, "WebRTC: another layer is shown after it was chosen", asked.elapsed(), secs(2));
        browser.wait(&format!("return window.measured.video.framesDecoded > {before} + 60"), secs(20));
        assert_eq!(layers(&server, &browser, "GET", ""), (200, state(name, name.into())));
    }
    // Neither picture nor sound stops for it.
    let stats = browser.run("return window.measured");
    assert!(stats["video"]["freezeCount"].as_u64() <= Some(1), "{stats}");
    assert_eq!(stats["video"]["packetsLost"], 0, "{stats}");
    assert_eq!(stats["audio"]["packetsLost"], 0, "{stats}");
    // Losses decide again.
    assert_eq!(layers(&server, &browser, "DELETE", "").0, 200);
    assert_eq!(layers(&server, &browser, "GET", "").1["chosen"], Value::Null);
    let (status, problem) = layers(&server, &browser, "POST", r#"{"encodingId": "720"}"#);
    assert_eq!(status, 400);
    assert!(problem["detail"].as_str().unwrap().contains("there is no layer `720`: expected"), "{problem}");
    // All of that was told.
    let told =
        |name: &str| browser.run(&format!("return told.filter(([name]) => name === '{name}').map(([, data]) => data)"));
    assert_eq!(told("active")[0], json!({}));
    assert_eq!(told("viewercount"), json!([{"viewercount": 1}]));
    let expect = ["main", "180", "main"].map(|active| json!({"layers": names, "active": active}));
    assert_eq!(told("layers"), json!(expect));
    // A stream without renditions has no layers.
    play(&browser, "/plain/whep", "['video']");
    browser.wait("return window.session.includes('/plain/') && window.first !== undefined", secs(30));
    assert_eq!(layers(&server, &browser, "GET", "").0, 404);
}

#[test]
fn a_full_line_gets_a_smaller_layer_until_it_is_free() {
    if !have_browser() || !have_failpoints() {
        return;
    }
    // Of the packets after the first 400 a quarter is lost, until 200 of them are.
    let server = Launch::new(LADDER).env("FAILPOINTS", "webrtc-loss=400*off->25%200*return->off").start();
    let browser = player(&server);
    play(&browser, "/cam/whep", "['video', 'audio']");
    wait_width(&browser, 640, 30);
    wait_width(&browser, 320, 40);
    wait_width(&browser, 640, 90);
    let before = browser.run("return window.measured.video.framesDecoded").as_u64().unwrap();
    browser.wait(&format!("return window.measured.video.framesDecoded > {before} + 50"), secs(20));
}
