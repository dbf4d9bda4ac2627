//! Feeds that are published to by RTSP.

use crate::rig::{
    SOON, Server, have, media,
    player::{self, Player},
    publisher::{H264_AAC, H265_OPUS, LIVE, Publisher, VP8_OPUS},
    running::Running,
    script::{PICTURE, TONE},
    secs,
    state::wait_for,
    ts, wait_until,
};
use std::{
    net::UdpSocket,
    process::{Command, Stdio},
    time::Instant,
};
use voyandz::media::rtp::Header;

const STUDIO: &str = "
    rtsp: {listen: 0}
    feeds: {studio: {publish: {key: s3cret}}}
    streams: {studio: {feed: studio}}
";

/// A live picture and tone to this address.
fn publish(codecs: &[&str], transport: &str, url: &str) -> Publisher {
    Publisher::start(&[LIVE, codecs, &["-f", "rtsp", "-rtsp_transport", transport, url]])
}

#[test]
fn what_ffmpeg_sends_over_the_connection_and_in_datagrams_is_every_output() {
    if !have("ffmpeg") {
        return;
    }
    let server = Server::start(STUDIO);
    let address = player::address(&server);
    let url = format!("rtsp://source:s3cret@{address}/studio");
    for transport in ["tcp", "udp"] {
        let publisher = publish(H264_AAC, transport, &url);
        let feed = wait_for(&server, "feeds", "studio", |feed| feed["state"] == "running");
        assert_eq!(feed["publish"]["publisher"]["protocol"], "rtsp");
        assert_eq!((&feed["tracks"][0]["codec"], &feed["tracks"][1]["codec"]), (&"h264".into(), &"aac".into()));
        let mut viewer = server.get("/studio.ts");
        assert_eq!(viewer.status, 200);
        let mut bytes = viewer.piece(SOON);
        bytes.extend(viewer.collect(secs(3)));
        let bytes = ts::trim(&bytes);
        let frames = media::Frames::of(&bytes, false);
        assert!(frames.complaints.is_empty(), "{transport}: {}", frames.complaints);
        assert!(frames.pictures.starts_with('I') && frames.pictures.len() > 50, "{transport}: {}", frames.pictures);
        assert!(frames.sounds > 80, "{transport}: {} frames of audio", frames.sounds);
        // And back by the way that it came.
        let mut command = Command::new("ffmpeg");
        let play = ["-v", "error", "-rtsp_transport", transport, "-i"];
        let url = format!("rtsp://{address}/studio");
        command.args(play).args([&url, "-t", "1", "-f", "null", "-"]).stdin(Stdio::null());
        let output = command.output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        drop(publisher);
        wait_for(&server, "feeds", "studio", |feed| feed["state"] == "waiting-publisher");
    }
    assert_eq!(
        server.log.count("publisher left feed=studio .*protocol=rtsp .*repaired=0 "),
        2,
        "{}",
        server.log.text()
    );
}

/// GStreamer lists audio first, sends AAC as LATM (RFC 6416), and says PAUSE before it ends.
#[test]
fn gstreamer_publishes_over_the_connection_and_in_datagrams() {
    if !have("gst-launch-1.0") {
        return;
    }
    let server = Server::start(STUDIO);
    let url = format!("rtsp://{}/studio", player::address(&server));
    for transport in ["tcp", "udp"] {
        let pipeline = format!(
            "rtspclientsink name=sink location={url} protocols={transport} user-id=source user-pw=s3cret \
             {PICTURE} ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 ! sink.sink_0 \
             {TONE} ! avenc_aac ! sink.sink_1"
        );
        let publisher = Running::pipeline(&["-q", "-e"], &pipeline);
        let feed = wait_for(&server, "feeds", "studio", |feed| feed["state"] == "running");
        let mut codecs: Vec<_> =
            feed["tracks"].as_array().unwrap().iter().map(|track| track["codec"].clone()).collect();
        codecs.sort_by_key(ToString::to_string);
        assert_eq!(codecs, ["aac", "h264"], "{feed}");
        let bytes = ts::trim(&server.get("/studio.ts").collect(secs(3)));
        let frames = media::Frames::of(&bytes, false);
        assert!(frames.complaints.is_empty(), "{transport}: {}", frames.complaints);
        assert!(frames.pictures.starts_with('I') && frames.pictures.len() > 40, "{transport}: {}", frames.pictures);
        assert!(frames.sounds > 80, "{transport}: {} frames of audio", frames.sounds);
        publisher.interrupt();
        wait_for(&server, "feeds", "studio", |feed| feed["state"] == "waiting-publisher");
    }
}

#[test]
fn other_codecs_and_frames_out_of_order_are_taken() {
    if !have("ffmpeg") {
        return;
    }
    let server = Server::start(STUDIO);
    let url = format!("rtsp://source:s3cret@{}/studio", player::address(&server));
    let b_frames = &[
        "-c:v",
        "libx264",
        "-preset",
        "veryfast",
        "-bf",
        "2",
        "-g",
        "25",
        "-pix_fmt",
        "yuv420p",
        "-c:a",
        "libmp3lame",
    ];
    for (codecs, expect) in
        [(VP8_OPUS, ["vp8", "opus"]), (&b_frames[..], ["h264", "mp3"]), (H265_OPUS, ["hevc", "opus"])]
    {
        let publisher = publish(codecs, "tcp", &url);
        wait_for(&server, "feeds", "studio", |feed| feed["state"] == "running");
        let mut viewer = server.get("/studio.mkv");
        let mut bytes = viewer.piece(SOON);
        bytes.extend(viewer.collect(secs(3)));
        let frames = media::Frames::of(crate::rig::mkv::trim(&bytes), false);
        assert!(frames.complaints.is_empty(), "{expect:?}: {}", frames.complaints);
        assert!(frames.pictures.len() > 50, "{expect:?}: {}", frames.pictures);
        let mut codecs = frames.codecs.clone();
        codecs.sort();
        let mut expect = expect.map(str::to_owned);
        expect.sort();
        assert_eq!(codecs, expect);
        drop(publisher);
        wait_for(&server, "feeds", "studio", |feed| feed["state"] == "waiting-publisher");
    }
}

/// What ffmpeg announces of G.711.
const G711: &str = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=audio 0 RTP/AVP 8\r\na=control:streamid=0\r\n";

fn announce(client: &mut Player, path: &str, more: &str, description: &str) -> player::Response {
    let lines =
        format!("{more}Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{description}", description.len());
    // The empty line of the request follows the body, where it does no harm.
    client.ask("ANNOUNCE", path, &lines)
}

#[test]
fn publishers_need_the_key_a_feed_a_codec_and_a_free_slot() {
    let server = Server::start(STUDIO);
    let address = player::address(&server);
    let mut client = Player::connect(address);
    let refused = announce(&mut client, "/studio", "", G711);
    assert!(refused.status == 401 && refused.field("WWW-Authenticate").is_some(), "{refused:?}");
    assert_eq!(announce(&mut client, "/studio?key=wrong", "", G711).status, 401);
    assert_eq!(announce(&mut client, "/other?key=s3cret", "", G711).status, 404);
    let theora = G711.replace(" 8\r\n", " 96\r\na=rtpmap:96 THEORA/90000\r\n");
    let refused = announce(&mut client, "/studio?key=s3cret", "", &theora);
    assert!(refused.status == 415 && refused.body.contains("THEORA"), "{refused:?}");
    assert_eq!(client.ask("RECORD", "/studio", "").status, 455);
    assert_eq!(announce(&mut client, "/studio?key=s3cret", "", G711).status, 200);
    // The slot is taken from here on.
    let mut second = Player::connect(address);
    let refused = announce(&mut second, "/studio?key=s3cret", "", G711);
    assert!(refused.status == 455 && refused.body.contains("has a publisher already"), "{refused:?}");
    let tcp = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1;mode=record\r\n";
    let response = client.ask("SETUP", "/studio/streamid=0", tcp);
    assert!(response.field("Transport").unwrap().ends_with("mode=record"), "{response:?}");
    client.take_session(&response);
    assert_eq!(client.ask("PLAY", "/studio", "").status, 455);
    assert_eq!(client.ask("RECORD", "/studio", "Range: npt=0.000-\r\n").status, 200);
    // GStreamer pauses before it ends.
    assert_eq!(client.ask("PAUSE", "/studio", "").status, 200);
    assert_eq!(client.ask("TEARDOWN", "/studio", "").status, 200);
    server.log.wait("publisher left feed=studio .*reason=\"publisher left\"", SOON);
    assert_eq!(announce(&mut second, "/studio?key=s3cret", "", G711).status, 200);
}

#[test]
fn datagrams_of_others_have_no_effect_and_publishers_get_reports() {
    let server = Server::start(STUDIO);
    let address = player::address(&server);
    let mut client = Player::connect(address);
    assert_eq!(announce(&mut client, "/studio?key=s3cret", "", G711).status, 200);
    let socket = || UdpSocket::bind("127.0.0.1:0").unwrap();
    let (rtp, rtcp, other) = (socket(), socket(), socket());
    let port = |socket: &UdpSocket| socket.local_addr().unwrap().port();
    let lines = format!("Transport: RTP/AVP/UDP;unicast;client_port={}-{};mode=record\r\n", port(&rtp), port(&rtcp));
    let response = client.ask("SETUP", "/studio/streamid=0", &lines);
    client.take_session(&response);
    let transport = response.field("Transport").unwrap();
    let ports = transport.split_once("server_port=").unwrap().1.split(';').next().unwrap();
    let to = std::net::SocketAddr::new(address.ip(), ports.split_once('-').unwrap().0.parse().unwrap());
    assert_eq!(client.ask("RECORD", "/studio", "").status, 200);
    let send = |socket: &UdpSocket, sequence: u16| {
        let timestamp = u32::from(sequence) * 160;
        let header = Header { payload_type: 8, marker: false, sequence, timestamp, ssrc: 7 };
        socket.send_to(&[&header.bytes()[..], &[0xd5; 160]].concat(), to).unwrap();
    };
    // A stranger sends first.
    (0..20).for_each(|sequence| send(&other, sequence));
    let began = Instant::now();
    let mut sequence = 0;
    rtcp.set_read_timeout(Some(std::time::Duration::from_millis(20))).unwrap();
    let mut buffer = [0; 2048];
    let report = loop {
        send(&rtp, sequence);
        sequence += 1;
        match rtcp.recv_from(&mut buffer) {
            Ok((length, from)) => break (buffer[..length].to_vec(), from),
            Err(_) => assert!(began.elapsed() < SOON),
        }
    };
    assert_eq!(report.1.port(), to.port() + 1);
    let voyandz::media::rtp::report::Report::Receiver { blocks, .. } =
        voyandz::media::rtp::report::parse(&report.0)[0].clone()
    else {
        panic!("{report:?}")
    };
    assert_eq!((blocks[0].ssrc, blocks[0].lost), (7, 0));
    let feed = wait_for(&server, "feeds", "studio", |feed| feed["state"] == "running");
    let bytes = feed["publish"]["publisher"]["bytes"].as_u64().unwrap();
    assert!(bytes <= u64::from(sequence) * 160, "{bytes} bytes of {sequence} packets");
    // With its connection the publisher ends.
    drop(client);
    wait_until("the end", SOON, || server.log.count("publisher left feed=studio") == 1);
}
