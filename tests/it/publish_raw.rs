//! Raw frames of a program, published with the header that `/frames` has.

use crate::rig::{
    SOON, Server, http, media, mkv, secs,
    state::{state, wait_for},
    wait_until,
};
use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};
use voyandz::media::raw_frame::RawFrameHeader;

const STUDIO: &str = "
    feeds: {studio: {publish: {key: s3cret}}}
    streams: {studio: {feed: studio, video: {codec: h264, gop: 25}}}
";
const SIZE: (u32, u32) = (322, 240);

/// A frame of one colour.
fn frame(format: &str, planes: &[(u32, u32)], length: usize, value: u8) -> Vec<u8> {
    let (width, height) = SIZE;
    let planes = planes.to_vec();
    let header = RawFrameHeader { width, height, format, colorimetry: "", planes, length };
    [&header.head()[..], &vec![value; length]].concat()
}

fn bgr(value: u8) -> Vec<u8> {
    frame("BGR", &[(0, SIZE.0 * 3)], (SIZE.0 * SIZE.1 * 3) as usize, value)
}

/// A request that publishes, whose chunks are to come.
fn put(server: &Server) -> TcpStream {
    let mut socket = TcpStream::connect(server.address()).unwrap();
    let host = server.address();
    let head = format!("PUT /studio?key=s3cret HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n");
    socket.write_all(head.as_bytes()).unwrap();
    socket
}

fn chunk(socket: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    socket.write_all(format!("{:x}\r\n", bytes.len()).as_bytes())?;
    socket.write_all(bytes)?;
    socket.write_all(b"\r\n")
}

/// The response, when the connection has ended.
fn response(mut socket: TcpStream) -> String {
    socket.set_read_timeout(Some(SOON)).unwrap();
    let mut text = String::new();
    let _ = socket.read_to_string(&mut text);
    text
}

#[test]
fn raw_frames_of_a_program_are_a_stream() {
    let server = Server::start(STUDIO);
    let mut viewer = None;
    let mut socket = put(&server);
    // In the time of a program: 25 a second, each in chunks of its own.
    let began = Instant::now();
    let mut number = 0u32;
    while began.elapsed() < secs(6) {
        let bytes = bgr(number as u8);
        bytes.chunks(100_000).for_each(|piece| chunk(&mut socket, piece).unwrap());
        number += 1;
        if number == 20 {
            let feed = wait_for(&server, "feeds", "studio", |feed| feed["state"] == "running");
            assert_eq!(
                (&feed["tracks"][0]["width"], &feed["tracks"][0]["height"]),
                (&322.into(), &240.into()),
                "{feed}"
            );
            viewer = Some(server.get("/studio.mkv"));
        }
        let due = began + Duration::from_millis(40) * number;
        wait_until("the next frame is due", SOON, || Instant::now() >= due);
    }
    let bytes = viewer.unwrap().collect(secs(1));
    let frames = media::Frames::of(mkv::trim(&bytes), false);
    assert!(frames.complaints.is_empty(), "{}", frames.complaints);
    assert!(frames.pictures.starts_with('I') && frames.pictures.len() > 40, "{}", frames.pictures);
    socket.write_all(b"0\r\n\r\n").unwrap();
    let text = response(socket);
    assert!(text.starts_with("HTTP/1.1 200") && text.contains(&format!("published {number}")), "{text}");
}

/// What the server gives for one stream is what another takes.
#[test]
fn frames_of_a_stream_are_published_to_another() {
    let origin = Server::start(
        "
        feeds: {cam: {pipeline: 'videotestsrc is-live=true ! video/x-raw,width=322,height=242,framerate=25/1'}}
        streams: {cam: {feed: cam, video: {codec: h264}}}
        ",
    );
    let server = Server::start(STUDIO);
    for format in ["I420", "NV12", "RGB", "BGR", "GRAY8"] {
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let publisher = scope.spawn(|| {
                let mut frames = http::get(origin.address(), &format!("/cam.ts/frames?format={format}&fps=20"));
                let mut socket = put(&server);
                while !is_over.load(Ordering::Relaxed) {
                    chunk(&mut socket, &frames.piece(SOON)).unwrap();
                }
                socket
            });
            wait_for(&server, "feeds", "studio", |feed| feed["state"] == "running");
            let still = server.get("/studio.ts/pic.png").rest(SOON);
            is_over.store(true, Ordering::Relaxed);
            // What was last may be half a frame: the connection just ends.
            drop(publisher.join().unwrap());
            let pixels = image::load_from_memory(&still).unwrap().to_rgb8();
            assert_eq!(pixels.dimensions(), (322, 242), "{format}");
            // The bars of the test picture: white at the left, blue at the right.
            let (left, right) = (pixels.get_pixel(10, 20).0, pixels.get_pixel(310, 20).0);
            let is_grey = format == "GRAY8";
            assert!(left.iter().all(|value| *value > 150), "{format}: {left:?}");
            assert!(is_grey || right[2] > 150 && right[0] < 60 && right[1] < 60, "{format}: {right:?}");
        });
        wait_for(&server, "feeds", "studio", |feed| feed["publish"]["publisher"].is_null());
    }
}

#[test]
fn a_header_that_is_wrong_is_said() {
    let server = Server::start(STUDIO);
    let check = |bytes: &[u8], sentence: &str| {
        let mut socket = put(&server);
        // The response may come before all is read.
        let _ = chunk(&mut socket, bytes);
        let _ = socket.shutdown(Shutdown::Write);
        let text = response(socket);
        assert!(text.starts_with("HTTP/1.1 415") && text.contains(sentence), "{text}");
        wait_for(&server, "feeds", "studio", |feed| feed["publish"]["publisher"].is_null());
    };
    check(&frame("YUY2", &[(0, 644)], 1000, 0), "the format is none of I420, NV12, RGB, BGR and GRAY8");
    check(&frame("GRAY8", &[(0, 322)], 1000, 0), "the planes are not those of the format");
    check(&[&bgr(1)[..], b"and then something else that is longer"].concat(), "does not begin with VYZ1");
    check(&[b"VYZ1", &[0xff; 124][..]].concat(), "header of a raw frame cannot be read");
    assert!(state(&server)["feeds"][0]["publish"]["publishers_ever"].as_u64() >= Some(4));
}
