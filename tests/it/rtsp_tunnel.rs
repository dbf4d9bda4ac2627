//! RTSP through HTTP: a `GET` for what comes, and a `POST` for what goes.

use crate::rig::{
    Launch, SOON, Server, have,
    player::{self, Item, Player, request_of_http},
    script::{H264, PICTURE, TONE},
};
use std::process::{Command, Stdio};

fn camera() -> Server {
    Launch::new(&format!(
        "
        rtsp: {{listen: 0}}
        feeds:
          card: {{pipeline: '{PICTURE} name=video  {TONE} name=audio'}}
        streams:
          cam: {{feed: card, video: {H264}, audio: aac}}
        "
    ))
    .env("VOYANDZ_LOG", "info,voyandz=debug")
    .start()
}

#[test]
fn ffmpeg_and_gstreamer_play_through_http() {
    let server = camera();
    let address = player::address(&server);
    let (url, player) = (format!("rtsp://{address}/cam"), ["-v", "warning", "-rtsp_transport", "http"]);
    let mut command = Command::new("ffmpeg");
    command.args(player).args(["-i", &url, "-t", "2", "-f", "null", "-"]).stdin(Stdio::null());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
    let line = server.log.wait("viewer left stream=cam .*protocol=rtsp transport=http", SOON);
    assert!(line.contains("gaps=0") && !line.contains("bytes=0 "), "{line}");
    if have("gst-launch-1.0") {
        let pipeline = format!(
            "rtspsrc location=rtsph://{address}/cam ! rtph264depay ! h264parse ! avdec_h264 ! fakesink num-buffers=30"
        );
        let output = Command::new("gst-launch-1.0").arg("-q").args(pipeline.split(' ')).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        server.log.wait_nth("viewer left stream=cam .*protocol=rtsp transport=http", 2, SOON);
    }
}

#[test]
fn requests_come_by_the_post_also_while_packets_flow() {
    let server = camera();
    let address = player::address(&server);
    let mut client = Player::through_http(address, "c1");
    client.play("/cam", &[0, 1]);
    client.packet();
    assert_eq!(client.ask("GET_PARAMETER", "/cam", "").status, 200);
    // Who has nothing more to say still gets packets, until the other half ends.
    let mut silent = Player::through_http(address, "c2");
    silent.play("/cam", &[1]);
    silent.close_post();
    (0..50).for_each(|_| drop(silent.packet()));
    assert_eq!(client.ask("TEARDOWN", "/cam", "").status, 200);
    while client.next(SOON).is_some() {}
    drop(silent);
    server.log.wait_nth("viewer left stream=cam .*transport=http .*reason=\"client left\"", 2, SOON);
}

#[test]
fn halves_that_do_not_fit_are_refused() {
    let server = camera();
    let address = player::address(&server);
    // A `POST` of nobody, and a second `GET` while the first one waits.
    let mut post = Player::connect(address);
    post.send(request_of_http("POST", "nobody").as_bytes());
    assert!(post.http_head().starts_with("HTTP/1.0 404 "));
    let (mut first, mut second) = (Player::connect(address), Player::connect(address));
    first.send(request_of_http("GET", "same").as_bytes());
    assert!(first.http_head().starts_with("HTTP/1.0 200 "));
    second.send(request_of_http("GET", "same").as_bytes());
    assert!(second.http_head().starts_with("HTTP/1.0 404 "));
    // One that leaves makes room for the next one.
    drop(first);
    server.log.wait("connection ended .*reason=\"client left\"", SOON);
    let mut client = Player::through_http(address, "same");
    assert_eq!(client.ask("OPTIONS", "/cam", "").status, 200);
    // Bytes that are not base64, before packets flow and meanwhile.
    for is_playing in [false, true] {
        let mut client = Player::through_http(address, "garbage");
        if is_playing {
            client.play("/cam", &[0, 1]);
            client.packet();
        }
        client.post_raw(b"!!!!");
        let mut last = None;
        while let Some(item) = client.next(SOON) {
            last = Some(item);
        }
        let is_told = matches!(last, Some(Item::Response(response)) if response.status == 400);
        assert_eq!(is_told, !is_playing);
    }
    server.log.wait("viewer left .*transport=http .*reason=\"request not valid\"", SOON);
    // Everyone else is served.
    assert_eq!(client.ask("OPTIONS", "/cam", "").status, 200);
    drop(client);
    let mut late = Player::connect(address);
    assert_eq!(late.ask("OPTIONS", "/cam", "").status, 200);
    late.send(request_of_http("GET", "late").as_bytes());
    let Some(Item::Response(refused)) = late.next(SOON) else { panic!("no response") };
    assert_eq!((refused.status, refused.body.as_str()), (400, "a tunnel through HTTP begins with the connection\n"));
}
