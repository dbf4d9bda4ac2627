//! Media that comes in the messages of a WebSocket, as pages send it.

use crate::rig::{
    SOON, Server,
    browser::{Browser, have_browser},
    have, http, media, mkv, secs,
    server::password_hash,
    state::wait_for,
};
use data_encoding::BASE64;
use std::{net::TcpStream, time::Duration};
use tokio_tungstenite::tungstenite::{
    Message, WebSocket,
    client::{IntoClientRequest, client},
    http::HeaderName,
};

use voyandz::media::raw_frame::RawFrameHeader;

const STUDIO: &str = "
    feeds: {studio: {publish: {key: s3cret}}}
    streams: {studio: {feed: studio}}
";
const FILM: &[u8] = include_bytes!("../data/h264-aac.ts");

type Socket = WebSocket<TcpStream>;

/// Opens a WebSocket with further headers.
fn open_with(server: &Server, target: &str, headers: &[(&str, &str)]) -> Socket {
    let stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let mut request = format!("ws://{}{target}", server.address()).into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    }
    client(request, stream).unwrap().0
}

fn open(server: &Server, target: &str) -> Socket {
    open_with(server, target, &[])
}

/// The code and the reason with which the server closes.
fn closed(socket: &mut Socket) -> (u16, String) {
    loop {
        match socket.read() {
            Ok(Message::Close(Some(frame))) => return (frame.code.into(), frame.reason.as_str().to_owned()),
            Ok(_) => {}
            Err(error) => panic!("closed without a reason: {error}"),
        }
    }
}

#[test]
fn messages_of_a_websocket_are_media() {
    let server = Server::start(STUDIO);
    let mut socket = open(&server, "/studio?key=s3cret");
    let (first, last) = FILM.split_at(FILM.len() / 2);
    // The sizes of messages do not matter.
    for piece in first.chunks(1000) {
        socket.send(Message::binary(piece.to_vec())).unwrap();
    }
    let feed = wait_for(&server, "feeds", "studio", |feed| feed["state"] == "running");
    assert_eq!(feed["publish"]["publisher"]["protocol"], "http");
    let mut viewer = server.get("/studio.mkv");
    let mut bytes = viewer.piece(SOON);
    socket.send(Message::binary(last.to_vec())).unwrap();
    bytes.extend(viewer.collect(secs(1)));
    if have("ffprobe") {
        let frames = media::Frames::of(mkv::trim(&bytes), false);
        assert!(frames.complaints.is_empty() && frames.pictures.starts_with('I'), "{}", frames.complaints);
    }
    socket.close(None).unwrap();
    wait_for(&server, "feeds", "studio", |feed| feed["publish"]["publisher"].is_null());
    server.log.wait("publisher left feed=studio .*protocol=http .*reason=done", SOON);
    server.log.wait("request .*method=GET path=.*/studio.* status=101 .*reason=done", SOON);
}

/// Raw frames come in messages of any size, too, and what is wrong with one is the reason of the end.
#[test]
fn messages_of_a_websocket_are_raw_frames() {
    let server = Server::start(STUDIO);
    let frame = |format: &str| {
        let planes = vec![(0, 64)];
        let header = RawFrameHeader { width: 64, height: 48, format, colorimetry: "", planes, length: 64 * 48 };
        [&header.head()[..], &[128; 64 * 48]].concat()
    };
    let mut socket = open(&server, "/studio?key=s3cret");
    for piece in [frame("GRAY8"), frame("GRAY8")].concat().chunks(700) {
        socket.send(Message::binary(piece.to_vec())).unwrap();
    }
    let feed = wait_for(&server, "feeds", "studio", |feed| feed["state"] == "running");
    assert_eq!((&feed["tracks"][0]["width"], &feed["tracks"][0]["height"]), (&64.into(), &48.into()), "{feed}");
    socket.send(Message::binary(frame("GRAY9"))).unwrap();
    let (code, reason) = closed(&mut socket);
    assert!(code == 4415 && reason.contains("the format is none of I420, NV12"), "{code} {reason}");
}

#[test]
fn a_websocket_ends_with_the_reason() {
    let server = Server::start(STUDIO);
    let check = |target: &str, code, reason: &str| {
        let (found, text) = closed(&mut open(&server, target));
        assert!(found == code && text.contains(reason), "{target}: {found} {text}");
    };
    check("/studio", 4401, "needs a key or a user");
    check("/studio?key=wrong-key", 4401, "the credential is wrong");
    let mut first = open(&server, "/studio?key=s3cret");
    wait_for(&server, "feeds", "studio", |feed| !feed["publish"]["publisher"].is_null());
    check("/studio?key=s3cret", 4409, "has a publisher already");
    first.send(Message::binary(&b"some text that is no media at all"[..])).unwrap();
    let (code, reason) = closed(&mut first);
    assert!(code == 4415 && reason.contains("of no known format"), "{code} {reason}");
    wait_for(&server, "feeds", "studio", |feed| feed["publish"]["publisher"].is_null());
    let mut text = open(&server, "/studio?key=s3cret");
    text.send(Message::text("media")).unwrap();
    assert_eq!(closed(&mut text), (1003, "media is sent in binary messages".to_owned()));
    // A path that is not published to is no WebSocket.
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    assert_eq!(http::request(server.address(), "GET", "/nowhere", upgrade).status, 404);
    assert!(!server.log.text().contains("wrong-key"));
}

#[test]
fn a_websocket_with_the_login_of_a_page_of_another_origin_is_refused() {
    let hash = password_hash("right-password");
    let server = Server::start(&format!(
        "
        feeds: {{studio: {{publish: {{}}}}}}
        streams: {{studio: {{feed: studio}}}}
        auth: {{users: {{anna: {{password: {hash}, may: [viewer, publish]}}}}}}
        "
    ));
    // A browser adds the login to the requests of any page.
    let login = format!("Basic {}", BASE64.encode(b"anna:right-password"));
    let origin = |origin: &str| open_with(&server, "/studio", &[("authorization", &login), ("origin", origin)]);
    let (code, reason) = closed(&mut origin("http://evil.example"));
    assert!(code == 4403 && reason.contains("other origins"), "{code} {reason}");
    // A page of this server has the name with its WebSocket.
    let own = format!("http://{}", server.address());
    let _publisher = origin(&own);
    let (code, reason) = closed(&mut origin(&own));
    assert!(code == 4409 && reason.contains("has a publisher already"), "{code} {reason}");
}

#[test]
fn a_page_publishes_what_it_draws() {
    if !have_browser() || !have("ffprobe") {
        return;
    }
    let server = Server::start(STUDIO);
    let browser = Browser::start();
    browser.open(&server.url("/"));
    browser.run(
        "
        const canvas = document.createElement('canvas');
        [canvas.width, canvas.height] = [320, 240];
        const context = canvas.getContext('2d');
        let turn = 0;
        setInterval(() => {
            context.fillStyle = `hsl(${turn++ % 360} 90% 50%)`;
            context.fillRect(0, 0, canvas.width, canvas.height);
        }, 40);
        const socket = new WebSocket(location.origin.replace('http', 'ws') + '/studio?key=s3cret');
        socket.onopen = () => {
            const recorder = new MediaRecorder(canvas.captureStream(25), {mimeType: 'video/webm;codecs=vp8'});
            recorder.ondataavailable = event => socket.send(event.data);
            recorder.start(200);
        };
        ",
    );
    let feed = wait_for(&server, "feeds", "studio", |feed| feed["state"] == "running");
    assert_eq!(feed["tracks"][0]["codec"], "vp8");
    let mut viewer = server.get("/studio.webm");
    assert_eq!(viewer.status, 200);
    let mut bytes = viewer.piece(SOON);
    bytes.extend(viewer.collect(Duration::from_secs(2)));
    let frames = media::Frames::of(mkv::trim(&bytes), false);
    assert!(frames.complaints.is_empty() && frames.pictures.len() > 20, "{}: {}", frames.pictures, frames.complaints);
}
