//! Feeds that come over links: SRT as the caller, and MPEG-TS over UDP and RTP.

use crate::rig::{
    SOON, Server, have, log, media, millis,
    publisher::{H264_AAC, LIVE, Publisher},
    pushes::camera,
    secs,
    srt::{Lossy, port},
    state, ts, wait_until,
};
use serde_json::Value;
use std::{
    net::{SocketAddr, UdpSocket},
    process::{Command, Stdio},
    sync::atomic::Ordering,
};

const PHRASE: &str = "correct horse battery";

/// A feed of this address, and a stream that forwards it.
fn gate(url: &str, more: &str) -> String {
    format!("feeds: {{gate: {{url: '{url}'{more}}}}}\nstreams: {{gate: {{feed: gate}}}}\n")
}

fn feed(server: &Server, wish: impl Fn(&Value) -> bool) -> Value {
    state::wait_for(server, "feeds", "gate", wish)
}

fn free() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn is_running(feed: &Value) -> bool {
    feed["state"] == "running"
}

/// What a viewer gets is whole.
fn assert_whole(bytes: &[u8], pictures: usize, sounds: usize) {
    let bytes = &bytes[..bytes.len() / 188 * 188];
    assert_eq!(ts::continuity(&bytes[2 * 188..]), (Vec::new(), 0));
    let frames = media::Frames::of(&ts::trim(bytes), false);
    assert!(frames.complaints.is_empty(), "{}", frames.complaints);
    assert!(frames.pictures.starts_with('I') && frames.pictures.len() > pictures, "{}", frames.pictures);
    assert!(frames.sounds > sounds, "{}", frames.sounds);
}

/// From another server of ours, encrypted, over a line that loses 5 %: all is there, and no worker runs for it.
#[test]
fn a_feed_is_called_in_over_a_bad_line() {
    let origin = Server::start(&format!("{}srt: {{listen: '127.0.0.1:0', passphrase: {PHRASE}}}\n", camera(&[])));
    let network = Lossy::start(port(&origin), 50, millis(10), 11);
    let query = format!("streamid=cam0&latency=300&pbkeylen=32&passphrase={}", PHRASE.replace(' ', "%20"));
    let server = Server::start(&gate(&format!("srt://{}?{query}", network.address), ""));
    // Nobody uses it yet.
    assert_eq!(feed(&server, |_| true)["state"], "idle");
    let mut viewer = server.get("/gate.ts");
    assert_whole(&viewer.collect(secs(6)), 75, 150);
    let found = feed(&server, is_running);
    assert_eq!((&found["kind"], &found["worker_pid"]), (&"link".into(), &Value::Null));
    assert_eq!(found["source"], format!("srt://{}?***", network.address));
    assert_eq!(found["link"]["lost"], 0);
    assert!(
        found["link"]["received"].as_u64() > Some(100) && found["link"]["bytes"].as_u64() > Some(10_000),
        "{found}"
    );
    assert!(network.lost.load(Ordering::Relaxed) > 10);
    let metrics = server.get("/metrics").text();
    assert!(metrics.contains("voyandz_link_packets_total{feed=\"gate\",what=\"lost\"} 0\n"), "{metrics}");
    // Unused, it leaves, and says so.
    drop(viewer);
    let line = origin.log.wait("viewer left stream=cam0 .*protocol=srt", SOON);
    assert_eq!(log::field(&line, "reason"), "client left");
    feed(&server, |feed| feed["state"] == "idle");
    for text in [server.log.text(), metrics, state::state(&server).to_string(), server.get("/config").text()] {
        assert!(!text.contains("horse"), "{text}");
    }
}

/// Why there is no media is said, with the number of the listener; the feed comes back when the listener does.
#[test]
fn a_refused_call_says_why_and_comes_back() {
    let origin = Server::start(&format!("{}srt: {{listen: '127.0.0.1:0'}}\n", camera(&[])));
    let address = port(&origin);
    let yaml = |url: &str| gate(url, ", mode: continuous");
    let server = Server::start(&yaml(&format!("srt://{address}?streamid=nothing")));
    let found = feed(&server, |feed| feed["restarts"].as_u64() > Some(1));
    assert_eq!(found["last_error"], "the listener refuses: no such stream (code 2404)");
    server.reload(&yaml(&format!("srt://{address}?streamid=cam0")));
    feed(&server, is_running);
    drop(origin);
    let found = feed(&server, |feed| feed["state"] != "running");
    let error = found["last_error"].as_str().unwrap();
    assert!(error.contains("the listener ended the connection") || error.contains("refused"), "{error}");
    let _origin = Server::start(&format!("{}srt: {{listen: '{address}'}}\n", camera(&[])));
    feed(&server, is_running);
    let mut viewer = server.get("/gate.ts");
    assert!(viewer.take(50_000, SOON).len() >= 50_000);
}

/// ffmpeg listens and is called.
#[test]
fn ffmpeg_is_called() {
    if !have("ffmpeg") {
        return;
    }
    let listener = free();
    let url = format!("srt://{listener}?mode=listener&passphrase={PHRASE}");
    let _ffmpeg = Publisher::start(&[LIVE, H264_AAC, &["-f", "mpegts", &url]]);
    let query = format!("passphrase={}", PHRASE.replace(' ', "%20"));
    let server = Server::start(&gate(&format!("srt://{listener}?{query}"), ", mode: continuous"));
    feed(&server, is_running);
    let mut viewer = server.get("/gate.ts");
    assert_whole(&viewer.collect(secs(3)), 40, 80);
}

/// Datagrams with and without RTP, to an address and to a group; one sender at a time.
#[test]
fn datagrams_are_a_feed() {
    if !have("ffmpeg") {
        return;
    }
    let group = format!("239.255.43.{}", std::process::id() % 250 + 1);
    let ports = [free().port(), free().port()];
    let yaml = format!(
        "feeds:\n  plain: {{url: 'udp://:{}'}}\n  gate: {{url: 'rtp://{group}:{}?interface=lo', mode: continuous}}\n\
         streams: {{plain: {{feed: plain}}, gate: {{feed: gate}}}}\n",
        ports[0], ports[1]
    );
    let server = Server::start(&yaml);
    let found = feed(&server, |feed| feed["state"] == "waiting-publisher");
    assert_eq!(found["link"]["received"], 0);
    let to = [
        format!("udp://127.0.0.1:{}?pkt_size=1316", ports[0]),
        format!("rtp://{group}:{}?localaddr=127.0.0.1&ttl=1", ports[1]),
    ];
    let plain = Publisher::start(&[LIVE, H264_AAC, &["-f", "mpegts", &to[0]]]);
    let _rtp = Publisher::start(&[LIVE, H264_AAC, &["-f", "rtp_mpegts", &to[1]]]);
    let mut viewers = ["/plain.ts", "/gate.ts"].map(|path| server.get(path));
    for viewer in &mut viewers {
        assert_whole(&viewer.collect(secs(3)), 40, 80);
    }
    let found = feed(&server, is_running);
    assert_eq!((&found["link"]["lost"], &found["link"]["ignored"]), (&0.into(), &0.into()));
    // A stranger's datagrams do no harm.
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..20 {
        stranger.send_to(&[0x47; 1316], ("127.0.0.1", ports[0])).unwrap();
    }
    let plain_feed = state::wait_for(&server, "feeds", "plain", |feed| feed["link"]["ignored"] == 20);
    assert_eq!(plain_feed["state"], "running");
    assert_whole(&server.get("/plain.ts").collect(secs(2)), 10, 20);
    // It is silent, and the feed waits for the next one.
    plain.kill();
    state::wait_for(&server, "feeds", "plain", |feed| feed["state"] == "waiting-publisher");
    let _plain = Publisher::start(&[LIVE, H264_AAC, &["-f", "mpegts", &to[0]]]);
    state::wait_for(&server, "feeds", "plain", is_running);
    assert!(viewers[0].take(50_000, SOON).len() >= 50_000);
}

/// What a push of one server sends is a feed of another; and what is lost on the way is counted.
#[test]
fn rtp_from_one_server_to_another() {
    let to = free();
    let server = Server::start(&gate(&format!("rtp://{to}"), ", mode: continuous"));
    let origin = Server::start(&camera(&[format!("'rtp://{to}'")]));
    feed(&server, is_running);
    let mut viewer = server.get("/gate.ts");
    assert_whole(&viewer.collect(secs(3)), 40, 80);
    drop(origin);
    // Two datagrams of a sender, of which five between them are lost.
    feed(&server, |feed| feed["state"] == "waiting-publisher");
    let before = feed(&server, |_| true)["link"]["lost"].as_u64().unwrap();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    for number in [1_u16, 7] {
        let mut datagram = vec![0x80, 33];
        datagram.extend(number.to_be_bytes());
        datagram.extend([0; 8]);
        datagram.extend([0x47; 188]);
        sender.send_to(&datagram, to).unwrap();
    }
    feed(&server, |feed| feed["link"]["lost"].as_u64() == Some(before + 5));
}

/// A stream of a link can be encoded, by a worker that gets what comes.
#[test]
fn a_link_is_encoded_like_every_feed() {
    let origin = Server::start(&format!("{}srt: {{listen: '127.0.0.1:0'}}\n", camera(&[])));
    let yaml = format!(
        "feeds: {{gate: {{url: 'srt://{}?streamid=cam0'}}}}\n\
         streams: {{small: {{feed: gate, video: {{codec: h264, size: 160x120}}, audio: false}}}}\n",
        port(&origin)
    );
    let server = Server::start(&yaml);
    let mut viewer = server.get("/small.ts");
    // A worker has to start, and its encoder.
    let mut bytes = viewer.take(10_000, SOON);
    bytes.extend(viewer.collect(secs(3)));
    let frames = media::Frames::of(&ts::trim(&bytes), false);
    assert!(frames.pictures.len() > 25, "{} {}", frames.pictures, frames.complaints);
    let picture = server.get("/small/pic").rest(SOON);
    assert!(picture.starts_with(&[0xff, 0xd8]));
}

/// The worker that encodes runs before the first media is there, and continues with those of the next sender.
#[test]
fn a_worker_that_waits_for_a_sender_gets_its_media_from_the_first_byte() {
    if !have("ffmpeg") {
        return;
    }
    let to = free();
    let yaml = format!(
        "feeds: {{gate: {{url: 'udp://{to}'}}}}\n\
         streams: {{small: {{feed: gate, video: {{codec: h264, size: 160x120}}, audio: false}}}}\n"
    );
    let server = Server::start(&yaml);
    let mut viewer = server.get("/small.ts");
    server.log.wait("worker started", SOON);
    for _ in 0..2 {
        feed(&server, |feed| feed["state"] == "waiting-publisher");
        let sender = Publisher::start(&[LIVE, H264_AAC, &["-f", "mpegts", &format!("udp://{to}?pkt_size=1316")]]);
        viewer.take(10_000, SOON);
        sender.kill();
    }
    assert!(!server.log.text().contains("worker stopped"), "{}", server.log.text());
}

/// An encoder sends RTP and writes an SDP file of it.
#[test]
fn a_file_of_sdp_says_what_comes_by_rtp() {
    if !have("ffmpeg") {
        return;
    }
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("the studio.sdp");
    // RTP has an even port, and RTCP the one behind it.
    let port =
        (0..100).map(|_| free().port() & !1).find(|port| UdpSocket::bind(("127.0.0.1", port + 1)).is_ok()).unwrap();
    let sender = |file: &str| {
        let to = format!("rtp://127.0.0.1:{port}");
        let encode = [
            "-map",
            "0:v",
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-tune",
            "zerolatency",
            "-g",
            "25",
            "-pix_fmt",
            "yuv420p",
        ];
        Publisher::start(&[LIVE, &encode, &["-sdp_file", file, "-f", "rtp", &to]])
    };
    let _first = sender(file.to_str().unwrap());
    wait_until("the description is written", SOON, || std::fs::metadata(&file).is_ok_and(|file| file.len() > 100));
    let yaml = format!("feeds: {{gate: {{file: '{}'}}}}\nstreams: {{gate: {{feed: gate}}}}\n", file.display());
    let server = Server::start(&yaml);
    let mut viewer = server.get("/gate.ts");
    let mut bytes = viewer.take(10_000, SOON);
    bytes.extend(viewer.collect(secs(2)));
    let frames = media::Frames::of(&ts::trim(&bytes), false);
    assert!(
        frames.pictures.starts_with('I') && frames.pictures.len() > 25,
        "{} {}",
        frames.pictures,
        frames.complaints
    );
    let found = feed(&server, is_running);
    assert_eq!(found["tracks"][0]["codec"], "h264", "{found}");
    // What has no meaning there is a fault.
    for (number, keys) in ["loop: true", "fps: 5"].iter().enumerate() {
        server.reload(&yaml.replace("sdp'", &format!("sdp', {keys}")));
        server.log.wait_nth("an SDP file has no media of its own", number + 1, SOON);
    }
}

/// A port that another program has is an error of the feed, with the address.
#[test]
fn a_taken_port_is_an_error_of_the_feed() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let server = Server::start(&gate(&format!("udp://{address}"), ", mode: continuous"));
    let found = feed(&server, |feed| feed["restarts"].as_u64() > Some(0));
    let error = found["last_error"].as_str().unwrap();
    assert!(error.contains(&format!("cannot listen at udp://{address}")), "{error}");
    drop(taken);
    feed(&server, |feed| feed["state"] == "waiting-publisher");
    if have("srt-live-transmit") {
        // Nobody has to be sent to by us: the reference program forwards from a listener of ours.
        let origin = Server::start(&format!("{}srt: {{listen: '127.0.0.1:0'}}\n", camera(&[])));
        let from = format!("srt://{}?streamid=cam0", port(&origin));
        let mut transmit = Command::new("srt-live-transmit")
            .args(["-q", &from, &format!("udp://{address}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        feed(&server, is_running);
        transmit.kill().unwrap();
        transmit.wait().unwrap();
    }
}
