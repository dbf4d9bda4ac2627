//! Viewers of every protocol are ended by the API within a second, and within two when they may not watch any more.

use crate::{
    api::{admin, yaml},
    rig::{
        SOON, Server,
        browser::have_browser,
        have,
        script::{H264, PICTURE},
        secs,
        server::password_hash,
        wait_until,
    },
    webrtc,
};
use serde_json::{Value, json};
use std::{
    process::{Child, Command, Stdio},
    time::Instant,
};

/// The password of the user who watches.
const PASSWORD: &str = "pass-canary";
const KEY: &str = "a key of thirty-two bytes, as it were";

struct Player(Child);

impl Drop for Player {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until somebody plays by this protocol, and ends that viewer.
fn kick(server: &Server, protocol: &str) {
    let viewers = || admin(server, "GET", "/viewers", None).1["items"].as_array().unwrap().clone();
    wait_until(&format!("a viewer plays by {protocol}"), secs(20), || {
        viewers().iter().any(|viewer| viewer["protocol"] == protocol && viewer["bytes_out"].as_u64() > Some(10_000))
    });
    let id = viewers().first().and_then(|viewer| Value::as_str(&viewer["id"])).unwrap().to_owned();
    assert_eq!(admin(server, "DELETE", &format!("/viewers/{id}"), None).0, 204);
    // Within a second of the server, and what a test beside it takes of the machine.
    wait_until("the viewer is gone", secs(3), || viewers().is_empty());
    let newest = || {
        let (_, events) = admin(server, "GET", "/events?type=viewer.left&limit=1000", None);
        events["items"].as_array().unwrap().last().cloned()
    };
    wait_until("it is reported", secs(3), || newest().is_some_and(|event| event["data"]["protocol"] == protocol));
    assert_eq!(newest().unwrap()["data"]["reason"], "ended by an operator");
}

/// A server with `cam`, which everybody may watch.
fn server(protocols: &str) -> Server {
    let rules = yaml("").split_once("auth:").map(|(_, rules)| format!("auth:{rules}")).unwrap();
    let rules = rules.replace("tokens:", "anyone: [viewer]\n  tokens:");
    Server::start(&format!(
        "{protocols}feeds:\n  cam: {{pipeline: '{PICTURE}', mode: continuous}}\nstreams:\n  cam: {{feed: cam, video: {H264}}}\n{rules}"
    ))
}

#[test]
fn a9_viewers_of_rtsp_rtmp_and_srt_are_ended() {
    if !have("ffmpeg") {
        return;
    }
    let server = server("rtsp: {listen: 127.0.0.1:0}\nrtmp: {listen: 127.0.0.1:0}\nsrt: {listen: 127.0.0.1:0}\n");
    let at = |protocol: &str| {
        let line = server.log.wait(&format!("listening address=.* protocol={protocol}"), secs(5));
        crate::rig::log::field(&line, "address").to_owned()
    };
    let (rtsp, rtmp, srt) = (at("rtsp"), at("rtmp"), at("srt"));
    for (protocol, options, address) in [
        ("rtsp", &["-rtsp_transport", "tcp"][..], format!("rtsp://{rtsp}/cam")),
        ("rtsp", &["-rtsp_transport", "udp"][..], format!("rtsp://{rtsp}/cam")),
        ("rtmp", &[][..], format!("rtmp://{rtmp}/live/cam")),
        ("srt", &[][..], format!("srt://{srt}?streamid=cam")),
    ] {
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error"]).args(options).args(["-i", &address, "-c", "copy", "-f", "null", "-"]);
        let _player = Player(command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        kick(&server, protocol);
    }
}

#[test]
fn a9_a_viewer_of_webrtc_is_ended() {
    if !have_browser() {
        return;
    }
    let server = server("webrtc: {}\n");
    let browser = webrtc::player(&server);
    webrtc::play(&browser, "/cam/whep", "['video']");
    kick(&server, "webrtc");
    // The browser notices, and does not wait for packets.
    browser.wait("return ['disconnected', 'failed', 'closed'].includes(window.peer.connectionState)", secs(10));
}

/// Players of all protocols, each with these credentials: as user and password, or as a signed link.
fn players(server: &Server, listeners: &[(&str, String)], link: Option<&str>) -> Vec<(&'static str, Player)> {
    let at = |protocol: &str| listeners.iter().find(|(known, _)| *known == protocol).unwrap().1.clone();
    let (login, query) = match link {
        Some(link) => (String::new(), format!("?{link}")),
        None => (format!("anna:{PASSWORD}@"), String::new()),
    };
    let (http, rtsp, rtmp, srt) = (server.address().to_string(), at("rtsp"), at("rtmp"), at("srt"));
    // RTMP and SRT have no user before the host.
    let in_query = link.map_or_else(|| format!("?user=anna&pass={PASSWORD}"), |link| format!("?{link}"));
    let stream_id = link.map_or_else(|| format!("read:cam:anna:{PASSWORD}"), |link| format!("cam?{link}"));
    let stream_id = percent_encoding::utf8_percent_encode(&stream_id, percent_encoding::NON_ALPHANUMERIC);
    [
        ("http", vec![], format!("http://{login}{http}/cam.ts{query}")),
        ("rtsp", vec!["-rtsp_transport", "tcp"], format!("rtsp://{login}{rtsp}/cam{query}")),
        ("rtsp", vec!["-rtsp_transport", "udp"], format!("rtsp://{login}{rtsp}/cam{query}")),
        ("rtmp", vec![], format!("rtmp://{rtmp}/live/cam{in_query}")),
        ("srt", vec![], format!("srt://{srt}?streamid={stream_id}")),
    ]
    .into_iter()
    .map(|(protocol, options, address)| {
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error"]).args(options).args(["-i", &address, "-c", "copy", "-f", "null", "-"]);
        (protocol, Player(command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()))
    })
    .collect()
}

/// Acceptance 19: whoever may not watch any more is cut within two seconds, whatever the protocol.
#[test]
fn x3_viewers_of_every_protocol_end_with_their_permission() {
    if !have("ffmpeg") {
        return;
    }
    let yaml = |users: &str| {
        let rules = self::yaml("").split_once("auth:").map(|(_, rules)| format!("auth:{users}{rules}")).unwrap();
        format!(
            "rtsp: {{listen: 127.0.0.1:0}}\nrtmp: {{listen: 127.0.0.1:0}}\nsrt: {{listen: 127.0.0.1:0}}\nwebrtc: {{}}\n\
             feeds:\n  cam: {{pipeline: '{PICTURE}', mode: continuous}}\nstreams:\n  cam: {{feed: cam, video: {H264}}}\n\
             {rules}  link_keys: {{k1: '{KEY}'}}\n"
        )
    };
    let anna = format!("\n  users: {{anna: {{password: {}, may: viewer}}}}", password_hash(PASSWORD));
    let server = Server::start(&yaml(&anna));
    let listeners = ["rtsp", "rtmp", "srt"].map(|protocol| {
        let line = server.log.wait(&format!("listening address=.* protocol={protocol}"), secs(5));
        (protocol, crate::rig::log::field(&line, "address").to_owned())
    });
    let playing = || {
        let viewers = admin(&server, "GET", "/viewers", None).1["items"].as_array().unwrap().clone();
        viewers.iter().filter(|viewer| viewer["bytes_out"].as_u64() > Some(10_000)).count()
    };
    let gone = |what: &str, since: Instant| {
        let none = || admin(&server, "GET", "/viewers", None).1["total"] == 0;
        wait_until(&format!("{what}: nobody watches"), secs(10), none);
        // Two seconds of the server, and what a test beside it takes of the machine.
        assert!(since.elapsed() < secs(4), "{what}: {:?}\n{}", since.elapsed(), server.log.text());
    };
    let _players = players(&server, &listeners, None);
    wait_until("all play", secs(20), || playing() == 5);
    server.reload(&yaml(""));
    gone("a user that is removed", Instant::now());
    // Who is listed no more may have its line a moment later.
    wait_until("all have the reason", SOON, || server.log.count("reason=\"permission withdrawn\"") == 5);
    // A link that ends, also for a browser, which takes long to start.
    let browser = have_browser().then(|| webrtc::player(&server));
    let lasts = 20;
    let (status, made) = admin(&server, "POST", "/links", Some(&json!({"streams": "cam", "for": format!("{lasts}s")})));
    assert_eq!(status, 201, "{made}");
    let (link, end) = (made["link"].as_str().unwrap().to_owned(), Instant::now() + secs(lasts));
    let _more = players(&server, &listeners, Some(&link));
    if let Some(browser) = &browser {
        webrtc::play(browser, &format!("/cam/whep?{link}"), "['video']");
    }
    wait_until("all play", secs(20), || playing() == 5 + usize::from(browser.is_some()));
    wait_until("the link ends", secs(lasts + 1), || Instant::now() >= end);
    gone("a link that ends", end);
    let watched = 5 + usize::from(browser.is_some());
    wait_until("all have the reason", SOON, || server.log.count("reason=\"permission expired\"") == watched);
}
