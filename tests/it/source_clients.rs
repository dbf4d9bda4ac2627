//! Sources of radio stations: Ogg, song after song, and clients of icecast.

use crate::rig::{
    SOON, Server, have, http, media, mkv,
    publisher::Publisher,
    secs,
    state::{state, wait_for},
    wait_until,
};
use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
};

const STUDIO: &str = "
    feeds: {studio: {publish: {key: s3cret}}}
    streams: {studio: {feed: studio}}
";
/// A tone in real time.
const TONE: &[&str] = &["-re", "-f", "lavfi", "-i", "sine=r=48000"];

fn wait_running(server: &Server) -> serde_json::Value {
    wait_for(server, "feeds", "studio", |feed| feed["state"] == "running")
}

fn wait_free(server: &Server) {
    wait_for(server, "feeds", "studio", |feed| feed["publish"]["publisher"].is_null());
}

/// What a viewer gets in two seconds decodes without a complaint.
fn assert_heard(server: &Server, path: &str) {
    let mut viewer = server.get(path);
    assert_eq!(viewer.status, 200, "{path}");
    let mut bytes = viewer.piece(SOON);
    bytes.extend(viewer.collect(secs(2)));
    let bytes =
        if path.ends_with(".mkv") || path.ends_with(".webm") { mkv::trim(&bytes) } else { media::whole(&bytes) };
    let frames = media::Frames::of(bytes, false);
    assert!(frames.complaints.is_empty() && frames.sounds > 20, "{path}: {} {}", frames.sounds, frames.complaints);
}

#[test]
fn ogg_is_every_output() {
    if !have("ffmpeg") {
        return;
    }
    let server = Server::start(STUDIO);
    let url = server.url("/studio?key=s3cret");
    let _publisher = Publisher::start(&[TONE, &["-c:a", "libopus", "-f", "ogg", "-method", "PUT", &url]]);
    assert_eq!(wait_running(&server)["tracks"][0]["codec"], "opus");
    for path in ["/studio.mp4", "/studio.webm", "/studio.ogg", "/studio.mkv"] {
        assert_heard(&server, path);
    }
}

#[test]
fn songs_that_follow_each_other_are_one_stream() {
    if !have("ffmpeg") || !have("curl") {
        return;
    }
    let server = Server::start(STUDIO);
    let folder = tempfile::tempdir().unwrap();
    let mut songs = Vec::new();
    for (number, pitch) in ["440", "660", "880"].iter().enumerate() {
        let file = folder.path().join(format!("{number}.ogg"));
        let source = format!("sine=r=48000:f={pitch}:d=2");
        let title = format!("title=song {number}");
        let arguments =
            ["-f", "lavfi", "-i", &source, "-c:a", "libvorbis", "-metadata", &title, file.to_str().unwrap()];
        assert_eq!(Publisher::start(&[&arguments]).wait(), (true, String::new()));
        songs.extend(fs::read(file).unwrap());
    }
    let all = folder.path().join("all.ogg");
    fs::write(&all, songs).unwrap();
    let mut curl = Command::new("curl");
    curl.args(["-sS", "-T"]).arg(&all).arg(server.url("/studio?key=s3cret"));
    let curl = curl.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    wait_running(&server);
    let mut viewer = server.get("/studio.mkv");
    let mut bytes = viewer.piece(SOON);
    bytes.extend(viewer.collect(secs(5)));
    let bytes = mkv::trim(&bytes);
    let frames = media::Frames::of(bytes, false);
    assert!(frames.complaints.is_empty(), "{}", frames.complaints);
    let times = media::packet_times(bytes, "a");
    let (first, last) = (times[0], times[times.len() - 1]);
    assert!(last - first > 4.0, "the viewer heard more than two songs: {first} to {last}");
    assert!(times.windows(2).all(|pair| (-0.001..0.05).contains(&(pair[1] - pair[0]))), "{times:?}");
    let output = curl.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("published "), "{said}");
    assert_eq!(server.log.count("publisher joined"), 1);
}

#[test]
fn source_clients_of_ffmpeg_publish() {
    if !have("ffmpeg") {
        return;
    }
    let server = Server::start(STUDIO);
    let url = format!("icecast://source:s3cret@{}/studio", server.address());
    for legacy in ["0", "1"] {
        for (codec, format, kind) in [
            ("libmp3lame", "mp3", "audio/mpeg"),
            ("libopus", "ogg", "application/ogg"),
            ("libvorbis", "webm", "video/webm"),
            ("aac", "adts", "audio/aac"),
        ] {
            let publisher = Publisher::start(&[
                TONE,
                &["-c:a", codec, "-f", format, "-content_type", kind],
                &["-legacy_icecast", legacy, "-ice_name", "station", &url],
            ]);
            let feed = wait_running(&server);
            assert_eq!(feed["publish"]["publisher"]["protocol"], "http");
            assert_heard(&server, "/studio.mkv");
            publisher.kill();
            wait_free(&server);
        }
    }
    // None of them has read the response, so that the kernel resets the connection: that is an end like others.
    server.log.wait_nth("publisher left feed=studio .*protocol=http .*reason=done", 8, SOON);
    server.log.wait_nth("request .*method=SOURCE path=/studio status=200 .*reason=done", 4, SOON);
}

#[test]
fn libshout_publishes() {
    let found = Command::new("gst-inspect-1.0").args(["--exists", "shout2send"]).status();
    if !have("gst-launch-1.0") || !found.is_ok_and(|status| status.success()) {
        return;
    }
    let server = Server::start(STUDIO);
    let port = server.address().port();
    let pipeline = format!(
        "audiotestsrc is-live=true ! audioconvert ! opusenc ! oggmux ! \
         shout2send ip=127.0.0.1 port={port} mount=studio username=source password=s3cret"
    );
    let mut command = Command::new("gst-launch-1.0");
    let command = command.arg("-q").args(pipeline.split_whitespace()).stdin(Stdio::null()).stdout(Stdio::null());
    let mut client = command.spawn().unwrap();
    let feed = wait_for(&server, "feeds", "studio", |feed| feed["state"] == "running");
    assert_eq!(feed["tracks"][0]["codec"], "opus");
    assert_heard(&server, "/studio.ogg");
    client.kill().unwrap();
    client.wait().unwrap();
    wait_free(&server);
}

/// Sends a head and reads what comes of it: what is sent immediately, or all up to the end.
fn talk(server: &Server, head: &str) -> (TcpStream, String) {
    let mut socket = TcpStream::connect(server.address()).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    socket.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        assert_eq!(socket.read(&mut byte).unwrap(), 1, "{}", answer.escape_ascii());
        answer.push(byte[0]);
    }
    (socket, String::from_utf8(answer).unwrap())
}

fn rest(mut socket: TcpStream) -> String {
    let mut text = String::new();
    socket.read_to_string(&mut text).unwrap();
    text
}

/// `source:s3cret` and `source:wrong`.
const RIGHT: &str = "Authorization: Basic c291cmNlOnMzY3JldA==\r\n";
const WRONG: &str = "Authorization: Basic c291cmNlOndyb25n\r\n";

#[test]
fn source_clients_get_the_answers_that_they_know() {
    let server = Server::start(STUDIO);
    let source = |headers: &str| format!("SOURCE /studio HTTP/1.0\r\nContent-Type: audio/mpeg\r\n{headers}\r\n");
    let (_, refused) = talk(&server, &source(WRONG));
    assert!(refused.starts_with("HTTP/1.0 401"), "{refused}");
    let (_, refused) = talk(&server, &source(""));
    assert!(refused.starts_with("HTTP/1.0 401"), "{refused}");
    let (_, unknown) = talk(&server, "SOURCE /nowhere HTTP/1.0\r\n\r\n");
    assert!(unknown.starts_with("HTTP/1.0 404"), "{unknown}");
    // The response comes before the media.
    let (first, accepted) = talk(&server, &source(RIGHT));
    assert!(accepted.starts_with("HTTP/1.0 200 OK\r\n"), "{accepted}");
    let (_, busy) = talk(&server, &source(RIGHT));
    assert!(busy.starts_with("HTTP/1.0 409"), "{busy}");
    drop(first);
    wait_free(&server);
    // Frames of silence in the same packet as the head.
    let frames = [&[0xff, 0xfb, 0x90, 0x64][..], &[0; 413]].concat().repeat(40);
    let mut socket = TcpStream::connect(server.address()).unwrap();
    let head =
        format!("PUT /studio HTTP/1.1\r\nHost: x\r\nContent-Type: audio/mpeg\r\nExpect: 100-continue\r\n{RIGHT}\r\n");
    socket.write_all(&[head.as_bytes(), &frames].concat()).unwrap();
    socket.shutdown(std::net::Shutdown::Write).unwrap();
    let all = rest(socket);
    assert!(
        all.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n") && all.contains("published 40"),
        "{all}"
    );
    // What is no media.
    let (mut socket, _) = talk(&server, &source(RIGHT));
    socket.write_all(b"some text that is no media at all").unwrap();
    assert!(rest(socket).contains("of no known format"));
    assert!(!server.log.text().contains("s3cret"));
    // Without a type of media, a request without a length has no body, as ever.
    let answer = http::request(server.address(), "PUT", "/studio?key=s3cret", "");
    assert_eq!(answer.status, 415);
}

#[test]
fn titles_of_those_who_may_publish_are_in_the_state() {
    let server = Server::start(STUDIO);
    let (mut socket, _) = talk(&server, &format!("SOURCE /studio HTTP/1.0\r\nice-name: Radio \u{e9}\r\n{RIGHT}\r\n"));
    let publisher = || {
        let state = state(&server);
        state["feeds"][0]["publish"]["publisher"].clone()
    };
    wait_until("the publisher is there", SOON, || publisher()["station"] == "Radio \u{e9}");
    assert!(publisher()["title"].is_null());
    let update = |headers: &str| {
        let target = "/admin/metadata?mode=updinfo&mount=/studio&song=anna%20-%20song";
        let mut answer = http::request(server.address(), "GET", target, headers);
        (answer.status, answer.text())
    };
    let (status, text) = update(RIGHT);
    assert!(status == 200 && text.contains("<return>1</return>"), "{status} {text}");
    assert_eq!(publisher()["title"], "anna - song");
    assert_eq!((update(WRONG).0, update("").0), (401, 401));
    let other = "/admin/metadata?mode=updinfo&mount=/nowhere&song=x";
    assert_eq!(http::request(server.address(), "GET", other, RIGHT).status, 404);
    // It is that of this publisher, not of the next one.
    socket.write_all(b"no media").unwrap();
    drop(socket);
    wait_until("the publisher is gone", SOON, || publisher().is_null());
    assert_eq!(update(RIGHT).0, 200);
    let (_socket, _) = talk(&server, &format!("SOURCE /studio HTTP/1.0\r\n{RIGHT}\r\n"));
    wait_until("another one is there", SOON, || publisher().is_object());
    assert!(publisher()["title"].is_null() && publisher()["station"].is_null());
}

#[test]
fn a_source_client_is_disconnected_like_any_publisher() {
    let server = Server::start(
        "
        feeds: {studio: {publish: {key: s3cret, first_packet: 1}}}
        streams: {studio: {feed: studio}}
        ",
    );
    let (socket, _) = talk(&server, &format!("SOURCE /studio HTTP/1.0\r\n{RIGHT}\r\n"));
    assert!(rest(socket).contains("disconnected: no media: none came in time"));
    server.log.wait("publisher left .*reason=\"no media: none came in time\"", SOON);
}
