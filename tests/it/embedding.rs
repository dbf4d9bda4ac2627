//! `<voyandz-view>` in pages of others, and the offers that it reads.

use crate::rig::{
    Answer, Launch, SOON, Server,
    browser::{Browser, have_browser},
    have, millis, process,
    script::{H264, PICTURE, TONE},
    secs,
    server::{PROGRAM, unindent},
    state::{entry, state, wait_for},
    wait_until,
};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    net::TcpListener,
    process::{Command, Stdio},
    sync::mpsc::TryRecvError,
};

fn studio() -> String {
    format!(
        "
        webrtc: {{}}
        feeds:
          cam: {{pipeline: '{PICTURE}', mode: continuous}}
          mic: {{pipeline: '{TONE}', mode: continuous}}
        streams:
          film: {{feeds: [cam, mic], video: {{codec: h264, gop: 25}}, audio: [aac, opus]}}
          only.ts: {{feed: cam, video: {H264}}}
          old.ts: {{feed: cam, video: {{codec: mpeg2}}}}
          images.mjpeg: {{feed: cam, video: {{codec: mjpeg}}}}
          radio.mp3: {{feed: mic, audio: {{codec: mp3}}}}
        "
    )
}

fn offers(server: &Server, target: &str) -> (Answer, Value) {
    let mut answer = server.get(target);
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")), "{target}");
    let value = serde_json::from_str(&answer.text()).unwrap();
    (answer, value)
}

/// The kinds and addresses of the offers of a stream.
fn ways(server: &Server, path: &str) -> Vec<(String, String)> {
    let (_, value) = offers(server, &format!("{path}/offers.json"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    value["offers"].as_array().unwrap().iter().map(|offer| (text(&offer["kind"]), text(&offer["url"]))).collect()
}

#[test]
fn offers_list_what_a_browser_may_play_with_the_least_delay_first() {
    let server = Server::start(&studio());
    let check = |path: &str, expected: &[(&str, &str)]| {
        let found = ways(&server, path);
        let found: Vec<_> = found.iter().map(|(kind, url)| (&**kind, &**url)).collect();
        assert_eq!(found, expected, "{path}");
    };
    let film = [
        ("whep", "/film/whep"),
        ("stream", "/film.mp4?header=1&keyframe=1"),
        ("stream", "/film.webm?header=1&keyframe=1"),
        ("hls", "/film.m3u8"),
    ];
    let stills = [("images", "/film.mjpeg"), ("stills", "/film/pic")];
    check("/stream/film", &[&film[..], &[("stream", "/film.ogg?header=1&keyframe=1")], &stills].concat());
    check("/only.ts", &[("whep", "/only.ts/whep"), ("hls", "/only.m3u8"), ("stills", "/only.ts/pic")]);
    check("/images.mjpeg", &[("images", "/images.mjpeg"), ("stills", "/images.mjpeg/pic")]);
    check(
        "/radio.mp3",
        &[("whep", "/radio.mp3/whep"), ("stream", "/radio.mp3?header=1&keyframe=1"), ("hls", "/radio.m3u8")],
    );
    // Once the tracks are known, what cannot carry them is gone, and the codecs are there.
    let mut viewer = server.get("/film.mp4");
    viewer.take(10_000, SOON);
    let film = || offers(&server, "/film/offers.json").1;
    wait_until("the codecs", SOON, || film()["offers"][1]["type"].as_str().unwrap().contains("codecs"));
    let film = film();
    assert_eq!(
        (&film["stream"], &film["kind"], &film["page"]),
        (&json!("film"), &json!("video"), &json!("/film/play"))
    );
    let kind = film["offers"][1]["type"].as_str().unwrap();
    assert!(kind.starts_with("video/mp4; codecs=\"avc1.") && kind.ends_with(", mp4a.40.2\""), "{kind}");
    assert!(!film.to_string().contains(".mjpeg") && !film.to_string().contains(".webm"), "{film}");
    server.get("/old.ts").take(1000, SOON);
    wait_until("MPEG-2 is known", SOON, || ways(&server, "/old.ts").len() == 1);
    // Its requests are no lines of the log.
    assert_eq!(server.log.count("path=.*/offers.json"), 0);
}

#[test]
fn offers_are_for_any_page_and_carry_its_link() {
    let rules = format!("auth: {{anyone: viewer, link_keys: {{k: '{}'}}}}", "k".repeat(32));
    let server = Launch::exact(&format!("listenport: 0\n{}{rules}\n", unindent(&studio()))).start();
    let mut signed = Command::new(PROGRAM);
    let printed = signed.args(["sign", "-f", server.file().to_str().unwrap(), "film"]).output().unwrap().stdout;
    let link = String::from_utf8(printed).unwrap().lines().next().unwrap().split_once('?').unwrap().1.to_owned();
    let (answer, value) = offers(&server, &format!("/film/offers.json?{link}"));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert!(answer.header("x-timestamp").unwrap().parse::<f64>().unwrap() > 1e9);
    for url in
        value["offers"].as_array().unwrap().iter().map(|offer| &offer["url"]).chain([&value["still"], &value["page"]])
    {
        assert!(url.as_str().unwrap().ends_with(&link), "{url}");
    }
    let script = server.get("/player.js");
    assert_eq!(script.header("access-control-allow-origin"), Some("*"));
    let without = Server::start("pages: {home: false}\nfeeds: {f: {command: cat}}\nstreams: {s.ts: {feed: f}}");
    assert_eq!(without.get("/s.ts/offers.json").status, 404);
}

#[test]
fn the_player_is_small() {
    if !have("gzip") {
        return;
    }
    let script = Server::start("").get("/player.js").text();
    let mut gzip = Command::new("gzip").arg("-9c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    gzip.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let packed = gzip.wait_with_output().unwrap().stdout.len();
    assert!((1000..20_000).contains(&packed), "{packed} bytes");
}

const MEDIA: &str = "document.querySelector('voyandz-view video')";

/// Opens a page of another server, which has this player as its author would put it there.
fn embed(browser: &Browser, server: &Server, stream: &str) {
    let (script, source) = (server.url("/player.js"), server.url(stream));
    let page = format!(
        "<!doctype html><script type=module src={script}></script><voyandz-view src={source}></voyandz-view>
        <script>window.states = [];
        document.querySelector('voyandz-view').addEventListener('state', ({{ detail }}) => states.push(detail.state))</script>"
    );
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (ended, end) = std::sync::mpsc::channel::<()>();
    let serving = std::thread::spawn(move || {
        listener.set_nonblocking(true).unwrap();
        while end.try_recv() == Err(TryRecvError::Empty) {
            let Ok((mut client, _)) = listener.accept() else {
                std::thread::sleep(millis(5));
                continue;
            };
            client.set_nonblocking(false).unwrap();
            let length = page.len();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
            );
            let _ = client.read(&mut [0; 4096]);
            let _ = client.write_all((head + &page).as_bytes());
        }
    });
    browser.open(&url);
    drop(ended);
    serving.join().unwrap();
}

/// Which way the player has taken.
fn way(browser: &Browser) -> Value {
    browser.run("return document.querySelector('voyandz-view').now.way")
}

fn plays(browser: &Browser) {
    browser.wait(&format!("return {MEDIA}?.currentTime > 0.5 && {MEDIA}.readyState > 2"), secs(30));
}

#[test]
fn a_page_elsewhere_plays_what_it_can_and_again_and_again() {
    if !have_browser() {
        return;
    }
    let (server, browser) = (Server::start(&studio()), Browser::start());
    let port = server.address().port();
    embed(&browser, &server, "/film");
    plays(&browser);
    assert_eq!(way(&browser), "whep");
    // What is left is closed.
    embed(&browser, &server, "/only.ts");
    browser.wait("return document.querySelector('voyandz-view').now?.state === 'playing'", secs(30));
    assert_eq!(way(&browser), "whep");
    let watched = |count: u64| {
        let readers = |state: Value| state["totals"]["readers"].as_u64().unwrap();
        wait_until("so many viewers", secs(15), || readers(state(&server)) == count);
    };
    watched(1);
    // A page that is hidden stops, and plays again when it is seen.
    let hide = |hidden: bool| {
        browser.run(&format!(
            "Object.defineProperty(document, 'hidden', {{ value: {hidden}, configurable: true }});
            document.dispatchEvent(new Event('visibilitychange'))"
        ));
    };
    hide(true);
    watched(0);
    assert_eq!(browser.run("return document.querySelector('voyandz-view').now.state"), "stopped");
    hide(false);
    plays(&browser);
    watched(1);
    // Without WebRTC it is the segments of HLS, near to their end.
    browser.run("window.RTCPeerConnection = class { constructor() { throw new TypeError('none') } }; delete window.RTCPeerConnection");
    browser.run("const view = document.querySelector('voyandz-view'); view.remove(); document.body.append(view)");
    browser.wait("return document.querySelector('voyandz-view').now.way === 'hls' && document.querySelector('voyandz-view').now.state === 'playing'", secs(30));
    let words = "document.querySelector('voyandz-view').shadowRoot.querySelector('div').textContent";
    browser.wait(&format!("return /^(\\d+ ms|1\\.\\d s)$/.test({words})"), secs(20));
    let frames = format!("{MEDIA}.getVideoPlaybackQuality().totalVideoFrames");
    browser.wait(&format!("return {frames} > 50 && {MEDIA}.videoWidth === 320"), secs(30));
    // Its worker is killed, and the stream continues.
    let worker = entry(&state(&server), "streams", "only.ts")["worker_pid"].as_i64().unwrap();
    process::send(worker.try_into().unwrap(), Signal::KILL);
    wait_for(&server, "streams", "only.ts", |stream| stream["restarts"].as_u64().unwrap() > 0);
    browser.run(&format!("window.seen = {frames}"));
    browser.wait(&format!("return {frames} > window.seen + 25 || {frames} < window.seen"), secs(30));
    // So does the server, and another takes its place.
    drop(server);
    browser.wait(&format!("return {words}.includes('Trying again')"), secs(30));
    let _server = Launch::exact(&format!("listenport: {port}\n{}", unindent(&studio()))).start();
    browser.run("window.states.length = 0");
    browser.wait("return window.states.includes('playing')", secs(30));
    plays(&browser);
}
