//! Streams that are sent over SRT, UDP and RTP, and feeds that come over them.

use crate::rig::{
    SOON, Server, have, log, media, millis,
    pushes::{camera, wait_push, wait_state},
    secs,
    srt::{Lossy, port},
    state::{self, state},
    ts,
};
use std::{
    fs,
    net::{SocketAddr, UdpSocket},
    process::{Command, Stdio},
    sync::atomic::Ordering,
};

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
