//! Programs of others that play and publish by SRT, beside ffmpeg.

use crate::rig::{
    SOON, Server, have, media,
    publisher::{H264_AAC, LIVE, Publisher},
    running::Running,
    script::{H264, PICTURE, TONE},
    secs,
    srt::port,
    state, ts,
};
use std::{
    net::UdpSocket,
    process::{Command, Stdio},
};

fn studio() -> Server {
    Server::start(
        "
        srt: {listen: '127.0.0.1:0'}
        feeds: {studio: {publish: {key: s3cret}}}
        streams: {studio: {feed: studio}}
        ",
    )
}

fn camera() -> Server {
    Server::start(&format!(
        "
        srt: {{listen: '127.0.0.1:0'}}
        feeds: {{cam: {{mode: continuous, pipeline: '{PICTURE} name=video {TONE} name=audio'}}}}
        streams: {{cam0: {{feed: cam, video: {H264}, audio: aac}}}}
        "
    ))
}

/// Fails unless viewers of what is published get all of it.
fn assert_arrives(server: &Server) {
    state::wait_for(server, "feeds", "studio", |feed| feed["state"] == "running");
    let bytes = server.get("/studio.ts").collect(secs(3));
    let bytes = &bytes[..bytes.len() / 188 * 188];
    assert_eq!(ts::continuity(&bytes[2 * 188..]), (Vec::new(), 0));
    let frames = media::Frames::of(&ts::trim(bytes), false);
    assert!(frames.complaints.is_empty(), "{}", frames.complaints);
    assert!(frames.pictures.starts_with('I') && frames.pictures.len() > 40, "{}", frames.pictures);
    assert!(frames.sounds > 80, "{}", frames.sounds);
    assert_eq!(server.get("/metrics").text().matches("voyandz_srt_packets_total{what=\"lost\"} 0\n").count(), 1);
}

#[test]
fn gstreamer_publishes() {
    if !have("gst-launch-1.0") {
        return;
    }
    let server = studio();
    let uri = format!("uri=srt://{}?mode=caller", port(&server));
    let pipeline = format!(
        "{PICTURE} ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 ! mpegtsmux name=mux alignment=7 ! \
         srtsink {uri} streamid=publish:studio::s3cret {TONE} ! avenc_aac ! mux."
    );
    let _publisher = Running::pipeline(&["-q"], &pipeline);
    assert_arrives(&server);
}

/// The reference program publishes what comes to it in datagrams, and forwards what it plays.
#[test]
fn srt_live_transmit_publishes_and_plays() {
    if !have("srt-live-transmit") || !have("ffmpeg") {
        return;
    }
    let server = studio();
    let from = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let to = format!("srt://{}?streamid=publish:studio::s3cret", port(&server));
    let _transmit = Running::start("srt-live-transmit", &["-q", &format!("udp://{from}"), &to]);
    let _sender = Publisher::start(&[LIVE, H264_AAC, &["-f", "mpegts", &format!("udp://{from}?pkt_size=1316")]]);
    assert_arrives(&server);
    let out = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket2::SockRef::from(&out).set_recv_buffer_size(4 << 20).unwrap();
    out.set_read_timeout(Some(SOON)).unwrap();
    let (from, to) = (format!("srt://{}?streamid=studio", port(&server)), out.local_addr().unwrap());
    let _player = Running::start("srt-live-transmit", &["-q", &from, &format!("udp://{to}")]);
    let (mut bytes, mut buffer) = (Vec::new(), [0; 2048]);
    while bytes.len() < 200_000 {
        let length = out.recv(&mut buffer).unwrap();
        bytes.extend_from_slice(&buffer[..length]);
    }
    assert_eq!(ts::continuity(&bytes[2 * 188..bytes.len() / 188 * 188]), (Vec::new(), 0));
}

#[test]
fn vlc_plays() {
    if !have("cvlc") {
        return;
    }
    let server = camera();
    let url = format!("srt://{}", port(&server));
    let said = tempfile::NamedTempFile::new().unwrap();
    let player = ["-vv", "--no-color", "--vout=dummy", "--aout=dummy", "--streamid=cam0", "--run-time=3"];
    let last = ["--play-and-exit", &url, "vlc://quit"];
    // VLC refuses to run as root.
    let user = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "env", "HOME=/nonexistent"];
    let user = if rustix::process::getuid().is_root() { &user[..] } else { &[] };
    let arguments = [user, &["timeout", "30", "cvlc"], &player, &last].concat();
    let (program, arguments) = arguments.split_first().unwrap();
    let status = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(said.reopen().unwrap())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    let said = String::from_utf8_lossy(&std::fs::read(said.path()).unwrap()).into_owned();
    let last: Vec<_> = said.lines().rev().take(30).collect();
    assert!(status.success() && said.contains("Received first picture"), "{last:#?}");
    let line = server.log.wait("viewer left stream=cam0 .*protocol=srt", SOON);
    assert!(!line.contains("bytes=0 "), "{line}");
}
