//! Streams that are pushed to endpoints of WHIP.

use crate::{
    api::{ADMIN, admin},
    rig::{
        Launch, SOON, Server, figure, have, have_failpoints,
        log::field,
        media, mkv,
        publisher::{H264_AAC, LIVE, Publisher},
        pushes::{assert_arrives, camera, wait_push, wait_state},
        script::{H264, PICTURE},
        secs,
        server::unindent,
        state::{state, wait_for},
        tool, ts,
    },
    webrtc::aiortc,
};
use data_encoding::HEXLOWER;
use std::{
    io::{BufRead, BufReader, Read},
    net::{TcpListener, UdpSocket},
    time::Instant,
};
use voyandz::access::{Secret, token_digest};

/// A server that is published to.
const STUDIO: &str = "
    webrtc: {}
    feeds: {studio: {publish: {key: s3cret}}}
    streams: {studio: {feed: studio}}
";

#[test]
fn a_stream_is_pushed_to_another_server_and_comes_back_after_its_death() {
    let target = Server::start(STUDIO);
    let address = target.address();
    let good = format!("{{to: 'whip://{address}/studio/whip', token: s3cret}}");
    let wrong = format!("'whip://{address}/studio/whip?key=wr0ng'");
    let server = Server::start(&camera(&[good, wrong]));
    let push = wait_state(&server, "cam0", 0, "established");
    assert_eq!(push["to"], format!("whip://{address}/***"));
    assert_eq!((&push["protocol"], &push["connections"]), (&"whip".into(), &1.into()));
    // It arrives in real time and without a fault; its AAC has become Opus.
    let feed = wait_for(&target, "feeds", "studio", |feed| feed["state"] == "running");
    assert_eq!(feed["publish"]["publisher"]["protocol"], "webrtc", "{feed}");
    let _viewer = assert_arrives(&target);
    // The other target refuses, with its reason, and does not matter to this one.
    let refused = wait_push(&server, "cam0", 1, |push| push["failures"].as_u64() > Some(1));
    let error = refused["error"].as_str().unwrap();
    assert!(error.contains("401 Unauthorized") && error.contains("wrong"), "{error}");
    assert_eq!(wait_state(&server, "cam0", 0, "established")["failures"], 0);
    // The target dies, and is there again.
    drop(target);
    server.log.wait("push failed stream=cam0 to=whip://", SOON);
    assert!(!server.get("/cam0.ts").piece(SOON).is_empty(), "viewers notice nothing");
    // However long it is away, the next attempt is never far.
    wait_push(&server, "cam0", 0, |push| push["failures"].as_u64() > Some(3));
    let target = Launch::exact(&format!("listenport: {}\n{}", address.port(), unindent(STUDIO))).start();
    let since = Instant::now();
    wait_for(&target, "feeds", "studio", |feed| feed["state"] == "running");
    figure(19, "push by WHIP: back after its target", since.elapsed(), secs(2));
    wait_push(&server, "cam0", 0, |push| push["connections"] == 2);
    // No key is anywhere.
    let texts = [server.log.text(), server.get("/metrics").text(), state(&server).to_string()];
    for text in texts {
        assert!(!text.contains("s3cret") && !text.contains("wr0ng"), "{text}");
    }
    // Another configuration without it ends it, and the target sees that.
    server.reload(&camera(&[]));
    target.log.wait("publisher left feed=studio", SOON);
}

/// Another implementation, which checks the ways itself, is the client of the handshake, and names its session by a relative address.
#[test]
fn another_implementation_is_a_target() {
    let Some(python) = tool("aiortc/bin/python") else { return };
    for video in ["h264", "vp8"] {
        let mut target = aiortc(&python, "serve", "s3cret");
        let mut lines = BufReader::new(target.stdout.take().unwrap()).lines();
        let address = lines.next().unwrap().unwrap();
        let yaml = |push: &str| {
            format!(
                "feeds: {{cam: {{pipeline: '{PICTURE} name=video audiotestsrc is-live=true ! queue name=audio'}}}}\n\
                 streams: {{cam0: {{feed: cam, video: {{codec: {video}, gop: 50}}, audio: opus{push}}}}}\n"
            )
        };
        let server = Server::start(&yaml(&format!(", push: {{to: 'whip://{address}/live/whip', token: s3cret}}")));
        assert_eq!(lines.next().unwrap().unwrap(), "received 320x240, 48000 Hz", "{video}");
        wait_state(&server, "cam0", 0, "established");
        server.reload(&yaml(""));
        assert_eq!(lines.next().unwrap().unwrap(), "deleted /live/session/1");
        assert!(target.wait().unwrap().success());
    }
}

#[test]
fn media_that_comes_back_is_refused() {
    if !have("ffmpeg") {
        return;
    }
    let yaml = |push: &str| {
        format!(
            "webrtc: {{}}\nfeeds: {{in: {{publish: {{key: s3cret, second: replace}}}}, out: {{publish: {{key: s3cret}}}}}}\n\
             streams: {{a: {{feed: in{push}}}, b: {{feed: out}}}}\n"
        )
    };
    let server = Server::start(&yaml(""));
    let _publisher =
        Publisher::start(&[LIVE, H264_AAC, &["-f", "mpegts", "-method", "PUT", &server.url("/in?key=s3cret")]]);
    wait_for(&server, "feeds", "in", |feed| feed["state"] == "running");
    let to = |feed: &str| format!("'whip://{}/{feed}/whip?key=s3cret'", server.address());
    server.reload(&yaml(&format!(", push: [{}, {}]", to("in"), to("out"))));
    // To another feed it may go; to its own it would throw its own publisher out.
    wait_state(&server, "a", 1, "established");
    let error = wait_push(&server, "a", 0, |push| push["failures"].as_u64() > Some(0))["error"].to_string();
    assert!(error.contains("508 Loop Detected: the feed `in` would be made of itself"), "{error}");
    assert_eq!(server.log.count("publisher left feed=in"), 0);
    assert!(!server.get("/b.ts").piece(SOON).is_empty());
}

#[test]
fn a_target_needs_an_authority_that_is_trusted_and_something_that_webrtc_carries() {
    let target = Server::start(&format!("{STUDIO}    tls: {{own: authority, names: localhost}}\n"));
    let authority = target.file().with_file_name("authority").join("ca.pem");
    let to = |name: &str| format!("whips://{name}:{}/studio/whip?key=s3cret", target.address().port());
    let known = format!("{{to: '{}', ca: '{}'}}", to("localhost"), authority.display());
    let server = Server::start(&camera(&[known, format!("'{}'", to("127.0.0.1"))]));
    wait_state(&server, "cam0", 0, "established");
    wait_for(&target, "feeds", "studio", |feed| feed["state"] == "running");
    let error = wait_push(&server, "cam0", 1, |push| push["failures"].as_u64() > Some(0))["error"].to_string();
    assert!(error.contains("TLS handshake with 127.0.0.1") && error.contains("certificate"), "{error}");
    let other = "feeds: {cam: {pipeline: 'PICTURE'}}\n\
         streams: {cam0.mjpeg: {feed: cam, video: {codec: mjpeg}, push: 'whip://127.0.0.1:9/x'}, good: {feed: cam, video: H264}}\n";
    let server = Server::start(&other.replace("PICTURE", PICTURE).replace("H264", H264));
    let error = wait_state(&server, "cam0.mjpeg", 0, "unsupported")["error"].to_string();
    assert!(error.contains("JPEG"), "{error}");
}

#[test]
fn a_target_that_is_silent_or_no_endpoint_harms_nobody() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    // It answers, with a way that nobody is at.
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = |listener: &TcpListener| listener.local_addr().unwrap();
    let targets = [&silent, &deaf, &other].map(|listener| format!("'whip://{}/x'", address(listener)));
    let target = Server::start(STUDIO);
    let good = format!("'whip://{}/studio/whip?key=s3cret'", target.address());
    let (silent_target, good_target) = (targets[0].clone(), good.clone());
    let server = Server::start(&camera(&[&targets[..], &[good]].concat()));
    let (mut asked, _) = deaf.accept().unwrap();
    let offer = read_offer(&mut asked);
    assert!(offer.contains("POST /x HTTP/1.1") && offer.contains("a=sendonly"), "{offer}");
    let ways = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
    let answer = |offer: &str, way: &UdpSocket| {
        let answer =
            offer.split("\r\n\r\n").nth(1).unwrap().replace("sendonly", "recvonly").replace("actpass", "passive");
        let is_theirs = |line: &&str| !line.starts_with("a=candidate") && !line.contains("ssrc");
        let answer: String = answer.split_inclusive('\n').filter(is_theirs).collect();
        let port = way.local_addr().unwrap().port();
        format!("{answer}a=candidate:1 1 udp 2130706175 127.0.0.1 {port} typ host\r\n")
    };
    respond(&mut asked, "201 Created", &answer(&offer, &ways[0]));
    let (mut asked, _) = other.accept().unwrap();
    read_offer(&mut asked);
    respond(&mut asked, "200 OK", "<html>hello</html>");
    wait_state(&server, "cam0", 3, "established");
    let error = |number| {
        let push = wait_push(&server, "cam0", number, |push| push["failures"].as_u64() > Some(0));
        push["error"].as_str().unwrap_or_default().to_owned()
    };
    assert_eq!(error(2), "the server refuses: 200 OK");
    assert_eq!(error(0), "no answer within 10 s");
    assert!(error(1).contains("none of the addresses in the answer responds"), "{}", error(1));
    // What it has made is deleted, also when the push ends while it connects.
    let next = || {
        let (mut asked, _) = deaf.accept().unwrap();
        (read_offer(&mut asked), asked)
    };
    assert!(next().0.starts_with("DELETE /session HTTP/1.1"));
    let (offer, mut asked) = next();
    assert!(offer.starts_with("POST /x HTTP/1.1"));
    respond(&mut asked, "201 Created", &answer(&offer, &ways[1]));
    // It tries the way.
    ways[1].set_read_timeout(Some(SOON)).unwrap();
    ways[1].recv(&mut [0; 2048]).unwrap();
    server.reload(&camera(&[silent_target, good_target]));
    assert!(next().0.starts_with("DELETE /session HTTP/1.1"));
    let good = wait_state(&server, "cam0", 1, "established");
    assert_eq!((&good["failures"], &good["gaps"]), (&0.into(), &0.into()));
    let mut server = server;
    server.terminate();
    assert!(server.wait(SOON).success());
}

/// A request with its body.
fn read_offer(socket: &mut impl Read) -> String {
    let mut text = String::new();
    loop {
        let mut piece = [0; 4096];
        let length = socket.read(&mut piece).unwrap();
        text += std::str::from_utf8(&piece[..length]).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            return text;
        }
    }
}

fn respond(socket: &mut impl std::io::Write, status: &str, body: &str) {
    let head = format!("HTTP/1.1 {status}\r\nLocation: /session\r\nContent-Length: {}\r\n\r\n", body.len());
    socket.write_all((head + body).as_bytes()).unwrap();
}

/// A keyframe that somebody orders of the target comes by way of the server that pushes, long before the next would.
#[test]
fn a_keyframe_that_the_target_needs_comes_from_the_encoder() {
    let token = HEXLOWER.encode(&token_digest(&Secret::new(ADMIN)));
    let auth = format!("    auth: {{tokens: {{admin: {{sha256: {token}, may: admin}}}}, anyone: viewer}}\n");
    let target = Server::start(&format!("{STUDIO}{auth}"));
    let server = Server::start(&format!(
        "feeds: {{cam: {{pipeline: '{PICTURE}'}}}}\n\
         streams: {{cam0: {{feed: cam, video: {{codec: h264, gop: 2500}}, push: 'whip://{}/studio/whip?key=s3cret'}}}}\n",
        target.address()
    ));
    wait_state(&server, "cam0", 0, "established");
    wait_for(&target, "feeds", "studio", |feed| feed["state"] == "running");
    // The frames of the first group are behind it then.
    assert!(!target.get("/studio.ts").collect(secs(2)).is_empty());
    let mut viewer = target.get("/studio.ts?keyframe=next");
    wait_for(&target, "streams", "studio", |stream| stream["readers"] == 1);
    assert_eq!(admin(&target, "POST", "/streams/studio/keyframe", None).0, 204);
    let bytes = viewer.collect(secs(4));
    let frames = media::Frames::of(&ts::trim(&bytes), false);
    assert!(frames.complaints.is_empty(), "{}", frames.complaints);
    assert!(frames.pictures.starts_with('I') && frames.pictures.len() > 25, "{}", frames.pictures);
}

/// One of twenty packets is lost on the way, and sent again when the target misses it.
#[test]
fn lost_packets_are_sent_again() {
    if !have_failpoints() {
        return;
    }
    let target = Server::start(STUDIO);
    let good = format!("{{to: 'whip://{}/studio/whip', token: s3cret}}", target.address());
    let server = Launch::new(&camera(&[good])).env("FAILPOINTS", "webrtc-loss=5%return").start();
    wait_for(&target, "feeds", "studio", |feed| feed["state"] == "running");
    let frames = media::Frames::of(mkv::trim(&target.get("/studio.mkv").collect(secs(5))), false);
    assert!(frames.complaints.is_empty(), "{}", frames.complaints);
    assert!(frames.pictures.starts_with('I') && frames.pictures.len() > 80, "{}", frames.pictures);
    server.reload(&camera(&[]));
    let line = server.log.wait("push ended stream=cam0 .*resent=", SOON);
    assert!(field(&line, "resent").parse::<u64>().unwrap() > 0, "{line}");
}
