//! Streams that are sent to others over SRT, UDP, RTP and RTSP.

use crate::{
    api::{ADMIN, admin},
    rig::{
        SOON, Server, have, log, media, millis, mkv, player,
        publisher::{H264_AAC, LIVE, Publisher},
        pushes::{camera, wait_push, wait_state},
        secs,
        server::{password_digest, password_hash},
        srt::{Lossy, port},
        state::{self, state},
        ts,
    },
};
use data_encoding::HEXLOWER;
use std::{
    fs,
    net::{SocketAddr, UdpSocket},
    process::{Command, Stdio},
    sync::atomic::Ordering,
};
use voyandz::access::{Secret, token_digest};

const PHRASE: &str = "correct horse battery";

/// A server that is published to over SRT.
fn studio(srt: &str) -> Server {
    Server::start(&format!(
        "srt: {{listen: '127.0.0.1:0'{srt}}}\n\
         feeds: {{studio: {{publish: {{key: s3cret}}}}}}\n\
         streams: {{studio: {{feed: studio}}}}\n"
    ))
}

/// What ffmpeg receives of an address in so many seconds, as Matroska. It may have to wait for it.
fn received(url: &str, seconds: &str) -> media::Frames {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("got.mkv");
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-i", url, "-t", seconds, "-c", "copy", file.to_str().unwrap()]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    media::Frames::of(&fs::read(file).unwrap(), false)
}

fn assert_whole(frames: &media::Frames, pictures: usize, sounds: usize) {
    assert!(frames.complaints.is_empty(), "{}", frames.complaints);
    assert!(frames.pictures.starts_with('I') && frames.pictures.len() > pictures, "{}", frames.pictures);
    assert!(frames.sounds > sounds, "{}", frames.sounds);
}

/// Nothing is missing between the tables at the begin, which are those of a header, and the last whole packet.
fn assert_continuous(bytes: &[u8]) {
    let bytes = &bytes[2 * 188..bytes.len() / 188 * 188];
    assert_eq!(ts::continuity(bytes), (Vec::new(), 0));
}

/// A port of UDP that nobody uses now.
fn free() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Over a line that loses 5 %, encrypted, with keys that change: nothing is lost.
#[test]
fn a_stream_is_called_out_over_a_bad_line() {
    let target = studio(&format!(", passphrase: {PHRASE}"));
    let network = Lossy::start(port(&target), 50, millis(10), 3);
    let keys = format!("passphrase={}&pbkeylen=32&kmrefreshrate=256", PHRASE.replace(' ', "%20"));
    let to = format!("srt://{}?streamid=publish:studio::s3cret&latency=300&{keys}", network.address);
    let server = Server::start(&camera(&[format!("'{to}'")]));
    let push = wait_state(&server, "cam0", 0, "established");
    assert_eq!((&push["to"], &push["protocol"]), (&format!("srt://{}?***", network.address).into(), &"srt".into()));
    state::wait_for(&target, "feeds", "studio", |feed| feed["state"] == "running");
    let mut viewer = target.get("/studio.ts");
    let bytes = viewer.collect(secs(8));
    assert_continuous(&bytes);
    assert_whole(&media::Frames::of(&ts::trim(&bytes), false), 75, 150);
    assert!(network.lost.load(Ordering::Relaxed) > 10);
    // Without it the target sees that it is over, and how often keys have changed.
    server.reload(&camera(&[]));
    let line = server.log.wait("push ended stream=cam0", SOON);
    assert!(log::field(&line, "resent").parse::<u64>().unwrap() > 5, "{line}");
    let line = target.log.wait("connection ended feed=studio .*protocol=srt", SOON);
    assert_eq!((log::field(&line, "lost"), log::field(&line, "reason")), ("0", "client left"));
    assert!(log::field(&line, "rekeyed").parse::<u32>().unwrap() >= 1, "{line}");
    let texts = [server.log.text(), server.get("/metrics").text(), state(&server).to_string()];
    for text in texts {
        assert!(!text.contains("s3cret") && !text.contains("horse"), "{text}");
    }
}

/// A refusal has the reason of the target, in words and with its number.
#[test]
fn a_target_of_srt_refuses_with_its_reason() {
    let (open, closed) = (studio(""), studio(&format!(", passphrase: {PHRASE}")));
    let (open, closed) = (port(&open), port(&closed));
    let nobody = free();
    let server = Server::start(&camera(&[
        format!("'srt://{open}?streamid=publish:nothing::s3cret'"),
        format!("'srt://{open}?streamid=publish:studio::wr0ng'"),
        format!("'srt://{closed}?streamid=publish:studio::s3cret&passphrase=incorrect%20horse'"),
        format!("'srt://{closed}?streamid=publish:studio::s3cret'"),
        format!("'srt://{nobody}'"),
    ]));
    for (number, expect) in [
        "no such stream (code 2404)",
        "the credential is missing or wrong (code 2401)",
        "the passphrase is wrong (code 1010)",
        "only one side has a passphrase (code 1011)",
        "cannot connect: Connection refused",
    ]
    .into_iter()
    .enumerate()
    {
        let push = wait_push(&server, "cam0", number, |push| push["failures"].as_u64() > Some(0));
        let error = push["error"].as_str().unwrap();
        assert!(error.contains(expect), "{number}: {error}");
    }
    server.log.wait("push failed stream=cam0 to=srt://.*code 2404", SOON);
}

/// Programs of others that listen.
#[test]
fn other_programs_are_targets_of_srt() {
    if !have("ffmpeg") {
        return;
    }
    let (of_ffmpeg, of_gstreamer) = (free(), free());
    let server = Server::start(&camera(&[
        format!("'srt://{of_ffmpeg}?passphrase={}&pbkeylen=24'", PHRASE.replace(' ', "%20")),
        format!("'srt://{of_gstreamer}'"),
    ]));
    // Nobody is there yet.
    wait_push(&server, "cam0", 0, |push| push["failures"].as_u64() > Some(0));
    let url = format!("srt://{of_ffmpeg}?mode=listener&passphrase={PHRASE}&pbkeylen=24");
    assert_whole(&received(&url, "3"), 25, 50);
    // It has what it wanted and left.
    wait_push(&server, "cam0", 0, |push| push["connections"] == 1 && push["state"] != "established");
    if !have("gst-launch-1.0") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("got.ts");
    let (uri, location) = (format!("uri=srt://{of_gstreamer}?mode=listener"), format!("location={}", file.display()));
    let pipeline = ["-q", "srtsrc", &uri, "num-buffers=300", "!", "filesink", &location];
    assert!(Command::new("gst-launch-1.0").args(pipeline).stdin(Stdio::null()).status().unwrap().success());
    assert_continuous(&fs::read(file).unwrap());
}

/// The reference program takes a stream and forwards it.
#[test]
fn srt_live_transmit_is_a_target() {
    if !have("srt-live-transmit") {
        return;
    }
    let (listener, out) = (free(), UdpSocket::bind("127.0.0.1:0").unwrap());
    socket2::SockRef::from(&out).set_recv_buffer_size(4 << 20).unwrap();
    out.set_read_timeout(Some(SOON)).unwrap();
    let mut transmit = Command::new("srt-live-transmit")
        .args(["-q", &format!("srt://{listener}?mode=listener"), &format!("udp://{}", out.local_addr().unwrap())])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let server = Server::start(&camera(&[format!("'srt://{listener}'")]));
    wait_state(&server, "cam0", 0, "established");
    let (mut bytes, mut buffer) = (Vec::new(), [0; 2048]);
    while bytes.len() < 300_000 {
        let length = out.recv(&mut buffer).unwrap();
        bytes.extend_from_slice(&buffer[..length]);
    }
    assert_continuous(&bytes);
    transmit.kill().unwrap();
    transmit.wait().unwrap();
}

/// What a program muxes is sent as it comes: nothing of it is demuxed.
#[test]
fn bytes_of_a_program_are_sent_as_they_are() {
    if !have("ffmpeg") {
        return;
    }
    let target = studio("");
    let live = format!("ffmpeg -v error -nostdin {} {} -f mpegts -", LIVE.join(" "), H264_AAC.join(" "));
    let to = format!("srt://{}?streamid=publish:studio::s3cret", port(&target));
    let server = Server::start(&format!(
        "feeds: {{cam: {{command: '{live}'}}}}\nstreams: {{cam.ts: {{feed: cam, push: '{to}'}}}}\n"
    ));
    wait_state(&server, "cam.ts", 0, "established");
    state::wait_for(&target, "feeds", "studio", |feed| feed["state"] == "running");
    let bytes = target.get("/studio.ts").collect(secs(3));
    assert_continuous(&bytes);
    assert_whole(&media::Frames::of(&ts::trim(&bytes), false), 25, 50);
    // RTMP needs samples, which these bytes are not taken apart into: it says so, and what to do.
    server.reload(&format!(
        "feeds: {{cam: {{command: '{live}'}}}}\nstreams: {{cam.ts: {{feed: cam, push: 'rtmp://127.0.0.1:1/a'}}}}\n"
    ));
    let error = wait_state(&server, "cam.ts", 0, "unsupported")["error"].to_string();
    assert!(error.contains("give the stream `outputs`"), "{error}");
}

/// Datagrams of seven packets at most, each whole; with RTP, numbered and timed.
#[test]
fn a_stream_is_sent_in_datagrams() {
    let receivers = [UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap()];
    for receiver in &receivers {
        socket2::SockRef::from(receiver).set_recv_buffer_size(4 << 20).unwrap();
        receiver.set_read_timeout(Some(SOON)).unwrap();
    }
    let addresses = receivers.each_ref().map(|receiver| receiver.local_addr().unwrap());
    let server = Server::start(&camera(&[format!("'udp://{}'", addresses[0]), format!("'rtp://{}'", addresses[1])]));
    for number in [0, 1] {
        wait_state(&server, "cam0", number, "established");
    }
    let mut buffer = [0; 2048];
    let mut bytes = Vec::new();
    while bytes.len() < 300_000 {
        let length = receivers[0].recv(&mut buffer).unwrap();
        assert!(length <= 1316 && length.is_multiple_of(188), "{length}");
        bytes.extend_from_slice(&buffer[..length]);
    }
    assert_continuous(&bytes);
    assert_whole(&media::Frames::of(&ts::trim(&bytes), false), 10, 20);
    let mut next = None;
    for _ in 0..100 {
        let length = receivers[1].recv(&mut buffer).unwrap();
        assert_eq!((buffer[0], buffer[1] & 0x7f, buffer[12], (length - 12) % 188), (0x80, 33, 0x47, 0));
        let number = u16::from_be_bytes([buffer[2], buffer[3]]);
        assert!(next.is_none_or(|next| next == number), "{next:?} {number}");
        next = Some(number.wrapping_add(1));
    }
}

/// A multicast group, over the interface that is named, received by ffmpeg.
#[test]
fn a_stream_is_sent_to_a_group() {
    if !have("ffmpeg") {
        return;
    }
    let group = format!("239.255.42.{}:{}", std::process::id() % 250 + 1, free().port());
    let server = Server::start(&camera(&[
        format!("'rtp://{group}?ttl=1&interface=lo'"),
        format!("'udp://{group}?interface=nosuch0'"),
    ]));
    wait_state(&server, "cam0", 0, "established");
    let error = wait_push(&server, "cam0", 1, |push| push["failures"].as_u64() > Some(0))["error"].to_string();
    assert!(error.contains("there is no network interface `nosuch0`"), "{error}");
    assert_whole(&received(&format!("rtp://{group}?localaddr=127.0.0.1"), "2"), 25, 50);
}

/// By ANNOUNCE and RECORD to another server, in the clear and encrypted, by key and by Digest; and each refusal has its reason.
#[test]
fn a_stream_is_announced_to_a_server() {
    let digest = password_digest("anna", "di9est-canary");
    let target = Server::start(&format!(
        "rtsp: {{listen: 0}}\n\
         tls: {{own: authority, names: localhost}}\n\
         auth: {{users: {{anna: {{password: {}, digest: {digest}, may: publish second}}}}, anyone: [viewer, status]}}\n\
         feeds: {{first: {{publish: {{key: s3cret}}}}, second: {{publish: {{}}}}, third: {{publish: {{key: s3cret}}}}}}\n\
         streams: {{first: {{feed: first}}, second: {{feed: second}}, third: {{feed: third}}}}\n",
        password_hash("other")
    ));
    let address = player::address(&target);
    let authority = target.file().with_file_name("authority").join("ca.pem");
    let server = Server::start(&camera(&[
        format!("'rtsp://source:s3cret@{address}/first'"),
        format!("'rtsp://anna:di9est-canary@{address}/second'"),
        format!("{{to: 'rtsps://localhost:{}/third?key=s3cret', ca: '{}'}}", address.port(), authority.display()),
        format!("'rtsp://source:wr0ng@{address}/first'"),
        format!("'rtsp://{address}/nothing'"),
    ]));
    for (number, feed) in ["first", "second", "third"].into_iter().enumerate() {
        let push = wait_state(&server, "cam0", number, "established");
        assert_eq!(push["protocol"], if number == 2 { "rtsps" } else { "rtsp" });
        let found = state::wait_for(&target, "feeds", feed, |feed| feed["state"] == "running");
        assert_eq!(found["publish"]["publisher"]["protocol"], "rtsp");
    }
    assert_eq!(wait_state(&server, "cam0", 0, "established")["to"], format!("rtsp://***@{address}/first"));
    let mut viewers = ["/first.mkv", "/second.mkv"].map(|path| target.get(path));
    for viewer in &mut viewers {
        assert_whole(&media::Frames::of(mkv::trim(&viewer.collect(secs(3))), false), 25, 50);
    }
    for (number, expect) in
        [(3, "the server refuses: 401 Unauthorized"), (4, "404 Not Found: no feed is published to at /nothing")]
    {
        let push = wait_push(&server, "cam0", number, |push| push["failures"].as_u64() > Some(0));
        let error = push["error"].as_str().unwrap();
        assert!(error.contains(expect), "{error}");
    }
    // It leaves as encoders do.
    server.reload(&camera(&[]));
    target.log.wait("publisher left feed=first .*reason=\"publisher left\"", SOON);
    let texts = [server.log.text(), server.get("/metrics").text(), state(&server).to_string()];
    for text in texts {
        assert!(!["s3cret", "wr0ng", "di9est-canary"].iter().any(|secret| text.contains(secret)), "{text}");
    }
}

/// From A to B and back to A: the way is in the name of the program, by RTSP as by RTMP.
#[test]
fn media_that_comes_back_by_another_server_is_refused() {
    if !have("ffmpeg") {
        return;
    }
    let yaml = |push: &str| {
        format!(
            "rtsp: {{listen: '127.0.0.1:0'}}\nfeeds: {{in: {{publish: {{key: s3cret, second: replace}}}}}}\n\
             streams: {{in: {{feed: in{push}}}}}\n"
        )
    };
    let (first, second) = (Server::start(&yaml("")), Server::start(&yaml("")));
    let [of_first, of_second] = [&first, &second].map(player::address);
    let url = format!("rtsp://source:s3cret@{of_first}/in");
    let _publisher = Publisher::start(&[LIVE, H264_AAC, &["-f", "rtsp", "-rtsp_transport", "tcp", &url]]);
    state::wait_for(&first, "feeds", "in", |feed| feed["state"] == "running");
    second.reload(&yaml(&format!(", push: 'rtsp://source:s3cret@{of_first}/in'")));
    first.reload(&yaml(&format!(", push: 'rtsp://source:s3cret@{of_second}/in'")));
    wait_state(&first, "in", 0, "established");
    let error = wait_push(&second, "in", 0, |push| push["failures"].as_u64() > Some(0))["error"].to_string();
    assert!(error.contains("the feed `in` would be made of itself"), "{error}");
    assert_eq!(first.log.count("publisher left feed=in"), 0);
}

/// ffmpeg as a server of RTSP.
#[test]
fn ffmpeg_is_a_target_of_rtsp() {
    if !have("ffmpeg") {
        return;
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = Server::start(&camera(&[format!("'rtsp://{listener}/live'")]));
    wait_push(&server, "cam0", 0, |push| push["failures"].as_u64() > Some(0));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("got.mkv");
    let url = format!("rtsp://{listener}/live");
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-nostdin", "-rtsp_flags", "listen", "-i", &url, "-t", "3", "-c:v", "copy"]);
    let output = command.args(["-c:a", "copy", file.to_str().unwrap()]).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let frames = media::Frames::of(&fs::read(file).unwrap(), false);
    assert!(frames.pictures.contains('I') && frames.pictures.len() > 25, "{}", frames.pictures);
}

/// The API stops a push, starts it, and has it connect again; others stay.
#[test]
fn a_push_is_stopped_and_started() {
    let target = studio("");
    let to = format!("'srt://{}?streamid=publish:studio::s3cret'", port(&target));
    let token = HEXLOWER.encode(&token_digest(&Secret::new(ADMIN)));
    let auth = format!("auth: {{tokens: {{admin: {{sha256: {token}, may: admin}}}}, anyone: viewer}}");
    let server = Server::start(&format!("{}{auth}\n", camera(&[to, format!("'udp://{}'", free())])));
    wait_state(&server, "cam0", 0, "established");
    let order = |order: &str| admin(&server, "POST", &format!("/streams/cam0/pushes/{order}"), None).0;
    assert_eq!(order("1/stop"), 202);
    wait_state(&server, "cam0", 0, "stopped");
    let line = target.log.wait("connection ended feed=studio .*protocol=srt", SOON);
    assert_eq!(log::field(&line, "reason"), "client left");
    // It stays stopped with another configuration.
    assert_eq!(wait_state(&server, "cam0", 1, "established")["connections"], 1);
    assert_eq!(order("1/start"), 202);
    assert_eq!(wait_state(&server, "cam0", 0, "established")["connections"], 2);
    assert_eq!(order("1/restart"), 202);
    wait_push(&server, "cam0", 0, |push| push["connections"] == 3);
    assert_eq!(wait_state(&server, "cam0", 1, "established")["connections"], 1);
    for (path, status) in [("0/stop", 404), ("3/stop", 404), ("x/stop", 404), ("1/pause", 404)] {
        assert_eq!(order(path), status, "{path}");
    }
}
