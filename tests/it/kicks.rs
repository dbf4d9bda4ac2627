//! Viewers of every protocol are ended by the API within a second.

use crate::{
    api::{admin, yaml},
    rig::{
        Server, have,
        script::{H264, PICTURE},
        secs, wait_until,
    },
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

#[test]
fn a9_viewers_of_rtsp_and_rtmp_are_ended() {
    if !have("ffmpeg") {
        return;
    }
    let rules = yaml("").split_once("auth:").map(|(_, rules)| format!("auth:{rules}")).unwrap();
    let server = Server::start(&format!(
        "rtsp: {{listen: 127.0.0.1:0}}\nrtmp: {{listen: 127.0.0.1:0}}\nfeeds:\n  cam: {{pipeline: '{PICTURE}', mode: continuous}}\n\
         streams:\n  cam: {{feed: cam, video: {H264}}}\n{rules}"
    ).replace("tokens:", "anyone: [viewer]\n  tokens:"));
    let at = |protocol: &str| {
        let line = server.log.wait(&format!("listening address=.* protocol={protocol}"), secs(5));
        crate::rig::log::field(&line, "address").to_owned()
    };
    let (rtsp, rtmp) = (at("rtsp"), at("rtmp"));
    for (protocol, options, address) in [
        ("rtsp", &["-rtsp_transport", "tcp"][..], format!("rtsp://{rtsp}/cam")),
        ("rtsp", &["-rtsp_transport", "udp"][..], format!("rtsp://{rtsp}/cam")),
        ("rtmp", &[][..], format!("rtmp://{rtmp}/live/cam")),
    ] {
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error"]).args(options).args(["-i", &address, "-c", "copy", "-f", "null", "-"]);
        let player = Player(command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let viewers = || admin(&server, "GET", "/viewers", None).1["items"].as_array().unwrap().clone();
        wait_until("it plays", secs(20), || {
            viewers().iter().any(|viewer| viewer["protocol"] == protocol && viewer["bytes_out"].as_u64() > Some(10_000))
        });
        let id = viewers().first().and_then(|viewer| Value::as_str(&viewer["id"])).unwrap().to_owned();
        assert_eq!(admin(&server, "DELETE", &format!("/viewers/{id}"), None).0, 204);
        // Within a second of the server, and what a test beside it takes of the machine.
        wait_until("the viewer is gone", secs(3), || viewers().is_empty());
        let newest = || {
            admin(&server, "GET", "/events?type=viewer.left&limit=1000", None).1["items"]
                .as_array()
                .unwrap()
                .last()
                .cloned()
        };
        wait_until("it is reported", secs(3), || newest().is_some_and(|event| event["data"]["protocol"] == protocol));
        assert_eq!(newest().unwrap()["data"]["reason"], "ended by an operator");
        drop(player);
    }
}
