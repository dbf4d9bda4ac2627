//! Pictures one after the other: over WebSockets, and raw for programs.

use crate::rig::{
    Answer, SOON, Server, have, http, log, media,
    script::{PICTURE, TONE},
    secs, wait_until,
};
use std::{io::Write, time::Instant};

fn studio() -> Server {
    Server::start(&format!(
        "
        feeds:
          cam: {{pipeline: '{PICTURE}', mode: continuous}}
          mic: {{pipeline: '{TONE}'}}
        streams:
          cam.ts: {{feed: cam, video: {{codec: h264, preset: ultrafast, bitrate: 400k}}}}
          cam.mjpeg: {{feed: cam, video: {{codec: mjpeg}}}}
          mic.aac: {{feed: mic, audio: {{codec: aac}}}}
          mic.ts: {{feed: mic, audio: {{codec: aac}}}}
        "
    ))
}

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A client of RFC 6455, written for these tests.
struct Socket(Answer, Vec<u8>);

impl Socket {
    fn open(server: &Server, target: &str) -> Self {
        let answer = http::request(server.address(), "GET", target, UPGRADE);
        assert_eq!((answer.status, answer.header("sec-websocket-accept")), (101, Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")));
        assert_eq!(answer.header("upgrade"), Some("websocket"));
        Self(answer, Vec::new())
    }

    /// The next frame: what it is and what is in it (section 5.2).
    fn next(&mut self) -> (u8, Vec<u8>) {
        loop {
            if let Some((kind, head, length)) = self.head()
                && self.1.len() >= head + length
            {
                let content = self.1[head..head + length].to_vec();
                self.1.drain(..head + length);
                return (kind, content);
            }
            let piece = self.0.piece(SOON);
            self.1.extend(piece);
        }
    }

    fn head(&self) -> Option<(u8, usize, usize)> {
        let [first, length, ..] = self.1[..] else { return None };
        assert!(first & 0xf0 == 0x80 && length & 0x80 == 0, "a whole message, not masked");
        let (head, length) = match length {
            126 => (4, usize::from(u16::from_be_bytes(self.1.get(2..4)?.try_into().unwrap()))),
            127 => (10, u64::from_be_bytes(self.1.get(2..10)?.try_into().unwrap()) as usize),
            length => (2, usize::from(length)),
        };
        Some((first & 0x0f, head, length))
    }

    /// Sends a frame with an all-zero mask.
    fn send(&mut self, kind: u8, content: &[u8]) {
        let frame = [&[0x80 | kind, 0x80 | content.len() as u8, 0, 0, 0, 0], content].concat();
        self.0.socket.write_all(&frame).unwrap();
    }
}

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

#[test]
fn d25_a_hundred_messages_are_a_hundred_jpegs() {
    let server = studio();
    for target in ["/cam.ts/ws?q=60", "/cam.mjpeg/ws"] {
        let mut socket = Socket::open(&server, target);
        let mut last = Vec::new();
        for _ in 0..100 {
            let (kind, picture) = socket.next();
            assert!(kind == BINARY && picture.starts_with(&[0xff, 0xd8]), "{target}");
            let size = media::picture(&picture);
            assert_eq!((size.width(), size.height()), (320, 240));
            last = picture;
        }
        // The pictures move.
        assert!((0..50).any(|_| socket.next().1 != last), "{target}");
        socket.send(PING, b"still there");
        let mut kinds = std::iter::from_fn(|| Some(socket.next()));
        assert_eq!(kinds.find(|(kind, _)| *kind != BINARY), Some((PONG, b"still there".to_vec())));
        drop(socket);
        let line = server.log.wait(&format!("request .*path=\"?{}", regex::escape(target)), SOON);
        assert_eq!((log::field(&line, "status"), log::field(&line, "reason")), ("101", "client left"));
    }
}

#[test]
fn d25_messages_are_as_they_are_asked_for() {
    let server = studio();
    let mut socket = Socket::open(&server, "/cam.ts/ws?fmt=png&w=160&format=base64");
    let (kind, text) = socket.next();
    // A PNG begins so in base64.
    assert!(kind == TEXT && text.starts_with(b"iVBORw0KGgo"), "{}", text[..20].escape_ascii());
    let mut rates = Vec::new();
    for (query, expected) in [("?fps=5", 6..=12), ("", 30..=60)] {
        let mut socket = Socket::open(&server, &format!("/stream/cam.ts/ws{query}"));
        socket.next();
        let until = Instant::now() + secs(2);
        let count = std::iter::from_fn(|| (Instant::now() < until).then(|| socket.next())).count();
        rates.push((expected.contains(&count), count));
    }
    assert!(rates[0].0 && rates[1].1 > rates[0].1, "{rates:?}");
    for (target, status) in [
        ("/cam.ts/ws", 426),
        ("/cam.ts/ws?fps=0", 400),
        ("/cam.ts/ws?format=hex", 400),
        ("/mic.aac/ws", 415),
        ("/nothing.ts/ws", 404),
    ] {
        assert_eq!(server.get(target).status, status, "{target}");
    }
    // That there are no pictures is known when there is sound.
    let mut socket = Socket::open(&server, "/mic.ts/ws");
    let (kind, reason) = socket.next();
    assert!(kind == CLOSE && reason.ends_with(b"this stream has no video"), "{}", reason.escape_ascii());
}

#[test]
fn d25_slow_client_gets_the_newest_picture_and_holds_nobody_up() {
    let server = studio();
    let mut slow = Socket::open(&server, "/cam.ts/ws?fmt=png");
    slow.next();
    // Until the kernel takes no more for it.
    let mut quick = Socket::open(&server, "/cam.ts/ws");
    let counted = (0..75).map(|_| quick.next()).count();
    assert_eq!(counted, 75);
    let (kind, _) = slow.next();
    assert_eq!(kind, BINARY);
}

#[test]
fn websockets_end_with_the_server() {
    let mut server = studio();
    let mut socket = Socket::open(&server, "/cam.ts/ws?w=64");
    socket.next();
    server.terminate();
    let reason = std::iter::from_fn(|| Some(socket.next())).find(|(kind, _)| *kind == CLOSE).unwrap().1;
    assert_eq!(reason, [&1001u16.to_be_bytes()[..], b"server stops"].concat());
    drop(socket);
    assert!(server.wait(secs(10)).success());
}

/// The fields of a head, by their places in the table of docs/http.md.
fn head(bytes: &[u8]) -> (u64, u64, u64, u32, u32, String, u32) {
    assert_eq!((&bytes[..4], &bytes[4..8]), (&b"VYZ1"[..], &128u32.to_le_bytes()[..]));
    let long = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let text = String::from_utf8(bytes[48..64].iter().copied().take_while(|byte| *byte != 0).collect()).unwrap();
    (long(8), long(16), long(24), word(40), word(44), text, word(80))
}

#[test]
fn p16_frames_are_raw_pictures_behind_their_heads() {
    let server = studio();
    for (query, format, size, length, planes) in [
        ("", "I420", (320, 240), 115_200, 3),
        ("?format=GRAY8&w=160", "GRAY8", (160, 120), 19_200, 1),
        ("?format=RGB", "RGB", (320, 240), 230_400, 1),
        ("?format=NV12&h=120", "NV12", (160, 120), 28_800, 2),
    ] {
        let mut answer = server.get(&format!("/cam.ts/frames{query}"));
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/x-voyandz-frames")));
        let frame = 128 + length;
        let bytes = answer.take(3 * frame, SOON);
        let mut dates = Vec::new();
        for (number, frame) in bytes.chunks_exact(frame).take(3).enumerate() {
            let (bytes, at, date, width, height, name, count) = head(frame);
            assert_eq!((bytes as usize, at as usize, (width, height)), (length, number, size), "{query}");
            assert_eq!((name.as_str(), count), (format, planes), "{query}");
            // A white ball on black: both are there.
            assert!(
                frame[128..].iter().any(|byte| *byte > 200) && frame[128..].iter().any(|byte| *byte < 30),
                "{query}"
            );
            dates.push(date);
        }
        assert!(dates.windows(2).all(|pair| pair[1] > pair[0] && pair[1] - pair[0] < 2_000_000), "{dates:?}");
    }
    assert_eq!(server.get("/cam.ts/frames?format=RGB9").status, 400);
    assert_eq!(server.get("/mic.aac/frames").status, 415);
}

#[test]
fn p16_the_program_of_the_manual_reads_frames() {
    if !have("python3") {
        return;
    }
    let server = studio();
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/frames.py");
    let output = std::process::Command::new("python3")
        .args([program, &server.url("/cam.ts/frames?format=GRAY8"), "30"])
        .output()
        .unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(lines.lines().count(), 30, "{lines}");
    assert!(lines.lines().all(|line| line.contains("320x240 GRAY8")), "{lines}");
}

#[test]
fn frames_of_one_who_left_are_not_made() {
    let server = studio();
    let mut answer = server.get("/cam.ts/frames");
    answer.take(115_328, SOON);
    drop(answer);
    let line = server.log.wait("request .*frames", SOON);
    assert_eq!(log::field(&line, "status"), "200");
    wait_until("the stream to end", SOON, || server.log.count("stopped: no viewers stream=cam.ts") == 1);
}
