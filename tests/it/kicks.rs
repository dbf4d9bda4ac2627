//! Viewers of every protocol are ended by the API within a second.

use crate::{
    api::{admin, yaml},
    rig::{
        Server,
        browser::have_browser,
        have,
        script::{H264, PICTURE},
        secs, wait_until,
    },
    webrtc,
};
use serde_json::Value;
use std::process::{Child, Command, Stdio};

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
