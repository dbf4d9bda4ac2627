//! `<voyandz-view>` in pages of others, and the offers that it reads.

use crate::{
    pages::looks_at_all,
    rig::{
        Answer, Launch, SOON, Server,
        browser::{Browser, have_browser},
        figure, have, millis, process,
        script::{H264, PICTURE, TONE},
        secs,
        server::{PROGRAM, unindent},
        state::{entry, state, wait_for},
        times, wait_until,
    },
};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    process::{Command, Stdio},
    sync::mpsc::TryRecvError,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
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
          peer: {{feed: cam, video: {{codec: vp8, gop: 25}}}}
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
    embed_after(browser, server, stream, "");
}

/// The same, after this script.
fn embed_after(browser: &Browser, server: &Server, stream: &str, before: &str) {
    let (script, source) = (server.url("/player.js"), server.url(stream));
    let page = format!(
        "<!doctype html><script>{before}</script><script type=module src={script}></script><voyandz-view src={source}></voyandz-view>
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

/// Ways to play, each with its stream and what a page has to do for the player to take it.
const WAYS: [(&str, &str, &str); 6] = [
    ("whep", "/film", ""),
    ("stream", "/film", "delete window.RTCPeerConnection"),
    ("plain", "/film", "delete window.RTCPeerConnection; MediaSource.isTypeSupported = () => false"),
    ("hls", "/only.ts", "delete window.RTCPeerConnection"),
    ("images", "/images.mjpeg", ""),
    ("stills", "/old.ts", "delete window.RTCPeerConnection"),
];

/// Opens a page that plays in this way.
fn play_by(browser: &Browser, server: &Server, (way, stream, before): (&str, &str, &str)) {
    // Its codec is known then: no browser plays it.
    server.get("/old.ts").take(1000, SOON);
    embed_after(browser, server, stream, before);
    let view = "document.querySelector('voyandz-view')";
    browser.wait(&format!("return {view}.now?.state === 'playing' && {view}.now.way === '{way}'"), secs(30));
}

/// What the server has sent so far: responses, and bytes of media by any protocol.
fn sent(server: &Server) -> (u64, u64) {
    let text = server.get("/metrics").text();
    let sum = |name: &str| {
        let lines = text.lines().filter(|line| line.starts_with(name));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum::<f64>() as u64
    };
    (sum("voyandz_http_answers_total{"), sum("voyandz_stream_sent_bytes_total{") + sum("voyandz_hls_bytes_total"))
}

/// From where the page is hidden until nothing comes any more.
const QUIET_AFTER: Duration = secs(5);
/// How long nothing has to come then.
const QUIET_FOR: Duration = secs(3);

/// Hides the page, and fails unless it gets nothing after some time.
fn hide(server: &Server, browser: &Browser, name: &str) {
    let late = browser.hidden_while(|| {
        std::thread::sleep(QUIET_AFTER);
        let before = sent(server);
        std::thread::sleep(QUIET_FOR);
        let after = sent(server);
        // One response was the first of these.
        (after.0 - before.0 - 1, after.1 - before.1)
    });
    figure(48, &format!("bytes of media for a page that has been hidden for 5 s ({name})"), late.1 as usize, 0);
    assert_eq!(late, (0, 0), "responses and bytes for a hidden page, {name}");
}

#[test]
fn a48_a_hidden_player_gets_nothing_and_plays_again_when_it_is_seen() {
    if have_browser() {
        hidden_players(&Browser::start());
    }
}

pub fn hidden_players(browser: &Browser) {
    let server = Server::start(&studio());
    let is_firefox = browser.name() == "Firefox";
    for (way, stream, before) in WAYS {
        // All others are played by what plays these.
        if is_firefox && !["whep", "stream"].contains(&way) && !looks_at_all() {
            continue;
        }
        // It has no H.264 in WebRTC.
        let stream = if is_firefox && way == "whep" { "/peer" } else { stream };
        let way = (way, stream, before);
        play_by(browser, &server, way);
        let (answers, bytes) = sent(&server);
        wait_until("it gets media", SOON, || sent(&server).1 > bytes || sent(&server).0 > answers + 10);
        hide(&server, browser, way.0);
        let view = "document.querySelector('voyandz-view')";
        browser.wait(&format!("return {view}.now.state === 'playing' && {view}.now.way === '{}'", way.0), SOON);
        let (answers, bytes) = sent(&server);
        wait_until("it gets media again", SOON, || sent(&server).1 > bytes || sent(&server).0 > answers + 10);
    }
}

#[test]
fn a48_hidden_pages_of_the_server_get_nothing() {
    if !have_browser() {
        return;
    }
    let (server, browser) = (Server::start(&studio()), Browser::start());
    let view = "document.querySelector('voyandz-view')";
    for (page, is_there) in [
        ("/", "return [...document.querySelectorAll('.view img')].length >= 1".to_owned()),
        ("/wall?stream=film&stream=images.mjpeg", format!("return {view}?.now?.state === 'playing'")),
        ("/film/play", format!("return {view}?.now?.state === 'playing'")),
    ] {
        browser.open(&server.url(page));
        browser.wait(&is_there, secs(30));
        hide(&server, &browser, page);
        browser.wait(&is_there, secs(30));
    }
}

/// How soon the player shows something after its server is there again.
const BACK: Duration = secs(2);

#[test]
fn a48_the_player_is_back_soon_after_its_server_was_away() {
    if !have_browser() {
        return;
    }
    is_back_after_its_server("Chromium", &Browser::start());
}

/// The player comes back by each way, and does not ask too often meanwhile.
pub fn is_back_after_its_server(name: &str, browser: &Browser) {
    let away = secs(times("VOYANDZ_AWAY", 5).into());
    for (way, stream, before) in WAYS {
        // A browser that plays by itself notices an end in its own time.
        if way == "plain" {
            continue;
        }
        // Firefox has no H.264 in WebRTC.
        let stream = if name == "Firefox" && way == "whep" { "/peer" } else { stream };
        let server = Server::start(&studio());
        let text = fs::read_to_string(server.file()).unwrap();
        let text = text.replacen("listenport: 0", &format!("listenport: {}", server.address().port()), 1);
        let count = "const asked = fetch; window.asked = 0; window.fetch = (...all) => { window.asked += 1; return asked(...all) };";
        play_by(browser, &server, (way, stream, &format!("{count}{before}")));
        process::send(server.pid(), Signal::KILL);
        let mut server = server;
        server.wait(secs(10));
        drop(server);
        let words = "document.querySelector('voyandz-view').shadowRoot.querySelector('div').textContent";
        let killed = Instant::now();
        browser.wait(&format!("return {words}.includes('Trying again')"), secs(30));
        println!("{way}: noticed after {:?}", killed.elapsed());
        let asked = || browser.run("return window.asked").as_u64().unwrap();
        let before = asked();
        std::thread::sleep(away);
        let tries = (asked() - before) as f64 / away.as_secs_f64();
        assert!((0.5..=1.5).contains(&tries), "{way}: {tries} tries a second");
        // Images are drawn, and not presented.
        let listen = match way {
            "images" | "stills" => {
                "document.querySelector('voyandz-view').addEventListener('delay', look, { once: true })".to_owned()
            }
            _ => format!("{MEDIA}.requestVideoFrameCallback(look)"),
        };
        browser.run(&format!("window.first = 0; const look = () => {{ window.first = Date.now(); }}; {listen}"));
        let _server = Launch::exact(&text).start();
        let returned = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as f64;
        browser.wait("return window.first > 0", secs(30));
        let first = browser.run("return window.first").as_f64().unwrap();
        let taken = Duration::from_secs_f64((first - returned).max(0.0) / 1000.0);
        figure(
            48,
            &format!("the player shows something after its server was away for {away:?} ({way}, {name})"),
            taken,
            BACK,
        );
        assert!(taken <= BACK, "{way}: {taken:?}");
    }
}

#[test]
fn d31_a_player_over_webrtc_notices_soon_that_its_server_is_gone() {
    if !have_browser() {
        return;
    }
    let (mut server, browser) = (Server::start(&studio()), Browser::start());
    play_by(&browser, &server, WAYS[0]);
    plays(&browser);
    let sessions = || {
        let text = server.get("/metrics").text();
        let line = text.lines().find(|line| line.starts_with("voyandz_webrtc_sessions_total")).unwrap();
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    let before = sessions();
    // A stream from which nothing comes is no reason to leave.
    let pause = |order: &str| {
        let output = Command::new(PROGRAM)
            .args(["ctl", "--server", &format!("unix:{}", server.control_socket().display()), order, "stream", "film"])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    pause("pause");
    std::thread::sleep(secs(4));
    pause("resume");
    let frames = format!("{MEDIA}.getVideoPlaybackQuality().totalVideoFrames");
    browser.run(&format!("window.seen = {frames}"));
    browser.wait(&format!("return {frames} > window.seen + 25"), SOON);
    assert_eq!(sessions(), before, "it stays in its session");
    // Another server takes its place before anybody notices, and does not know the session.
    let text = fs::read_to_string(server.file()).unwrap();
    let text = text.replacen("listenport: 0", &format!("listenport: {}", server.address().port()), 1);
    browser.run("window.states.length = 0");
    let killed = Instant::now();
    process::send(server.pid(), Signal::KILL);
    server.wait(secs(10));
    drop(server);
    let mut server = Launch::exact(&text).start();
    browser.wait("return window.states.includes('retrying') && window.states.at(-1) === 'playing'", SOON);
    println!("with another server after {:?}", killed.elapsed());
    assert!(killed.elapsed() < secs(6), "{:?}", killed.elapsed());
    plays(&browser);
    let killed = Instant::now();
    process::send(server.pid(), Signal::KILL);
    let words = "document.querySelector('voyandz-view').shadowRoot.querySelector('div').textContent";
    browser.wait(&format!("return {words}.includes('Trying again')"), SOON);
    let noticed = killed.elapsed();
    println!("noticed after {noticed:?}");
    assert!(noticed < secs(3), "{noticed:?}");
    server.wait(secs(10));
}

/// How soon a stream that runs is to be seen.
const SHOWN: Duration = millis(300);

#[test]
fn u3_the_first_picture_of_a_stream_that_runs_is_there_in_a_moment() {
    if !have_browser() {
        return;
    }
    let (server, browser) = (Server::start(&studio()), Browser::start());
    for way in WAYS.into_iter().filter(|(way, ..)| ["whep", "stream"].contains(way)) {
        play_by(&browser, &server, way);
        let mut times = Vec::new();
        for _ in 0..7 {
            // From where the page has the element until the browser presents a frame. What was before it is no frame of it.
            browser.run(
                "window.taken = null;
                const [old, view] = [document.querySelector('voyandz-view'), document.createElement('voyandz-view')];
                view.setAttribute('src', old.getAttribute('src'));
                const began = performance.now();
                old.replaceWith(view);
                const wait = () => {
                    if (!view.player) return requestAnimationFrame(wait);
                    view.player.requestVideoFrameCallback(() => { window.taken = performance.now() - began; });
                };
                wait();",
            );
            browser.wait("return window.taken !== null", SOON);
            times.push(browser.run("return window.taken").as_f64().unwrap());
        }
        times.sort_by(f64::total_cmp);
        println!("{}: {times:.0?} ms", way.0);
        // The median: other programs have the processor, too.
        let median = Duration::from_secs_f64(times[times.len() / 2] / 1000.0);
        figure(48, &format!("from the element to the first picture ({})", way.0), median, SHOWN);
        assert!(median <= SHOWN, "{}: {median:?}", way.0);
    }
}
