//! A network camera: RTSP (RFC 2326) with its packets interleaved on the connection, as cameras do it behind firewalls.

use super::{SOON, wait_until};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
};

/// An encoder, and whoever hands its packets to one client after the other.
pub struct Camera {
    encoder: Child,
    url: String,
}

impl Camera {
    /// Films a test picture, and describes it in a file in `folder`.
    pub fn start(folder: &Path) -> Self {
        let packets = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = packets.local_addr().unwrap().port();
        let description = folder.join("camera.sdp");
        let output = format!("rtp://127.0.0.1:{port}?rtcpport={port}&pkt_size=1200");
        let mut encoder = Command::new("ffmpeg");
        encoder.args([
            "-v",
            "error",
            "-re",
            "-f",
            "lavfi",
            "-i",
            "testsrc=s=320x240:r=25",
            "-c:v",
            "libx264",
            "-g",
            "25",
        ]);
        encoder.args(["-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-f", "rtp", "-sdp_file"]);
        let encoder = encoder.arg(&description).arg(output).stdin(Stdio::null()).spawn().unwrap();
        let described = || fs::read_to_string(&description).unwrap_or_default();
        wait_until("the description of the camera", SOON, || described().contains("a=fmtp"));
        // Where a client asks for this track.
        let description = described().trim_start_matches("SDP:\n").replace("a=fmtp", "a=control:track1\r\na=fmtp");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("rtsp://viewer:secret@{}/live", listener.local_addr().unwrap());
        let client: Arc<Mutex<Option<TcpStream>>> = Arc::default();
        let playing = client.clone();
        std::thread::spawn(move || send(&packets, &playing));
        std::thread::spawn(move || {
            while let Ok((socket, _)) = listener.accept() {
                serve(socket, &description, &client);
            }
        });
        Self { encoder, url }
    }

    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        let _ = self.encoder.kill();
        let _ = self.encoder.wait();
    }
}

/// Hands packets on, while somebody plays them.
fn send(packets: &UdpSocket, playing: &Mutex<Option<TcpStream>>) {
    let mut packet = [0; 2048];
    while let Ok(length) = packets.recv(&mut packet) {
        // RFC 5761, 4: what is RTCP is told by its type.
        if (192..224).contains(&packet[1]) {
            continue;
        }
        let mut client = playing.lock().unwrap();
        let Some(socket) = client.as_mut() else { continue };
        // RFC 2326, 10.12.
        let mut framed = vec![b'$', 0];
        framed.extend(u16::try_from(length).unwrap().to_be_bytes());
        framed.extend(&packet[..length]);
        if socket.write_all(&framed).is_err() {
            *client = None;
        }
    }
}

/// Answers the requests of a client until it leaves.
fn serve(socket: TcpStream, description: &str, playing: &Mutex<Option<TcpStream>>) {
    let mut answers = socket.try_clone().unwrap();
    let mut lines = BufReader::new(socket).lines();
    while let Some(Ok(request)) = lines.next() {
        let mut number = String::new();
        loop {
            match lines.next() {
                Some(Ok(line)) if line.is_empty() => break,
                Some(Ok(line)) => number = line.strip_prefix("CSeq: ").map_or(number, str::to_owned),
                _ => return,
            }
        }
        let method = request.split(' ').next().unwrap();
        let (head, body) = match method {
            "OPTIONS" => ("Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER\r\n".to_owned(), ""),
            "DESCRIBE" => {
                (format!("Content-Type: application/sdp\r\nContent-Length: {}\r\n", description.len()), description)
            }
            "SETUP" => ("Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n".to_owned(), ""),
            _ => ("Session: 1\r\n".to_owned(), ""),
        };
        let mut client = playing.lock().unwrap();
        if answers.write_all(format!("RTSP/1.0 200 OK\r\nCSeq: {number}\r\n{head}\r\n{body}").as_bytes()).is_err() {
            return;
        }
        match method {
            "PLAY" => *client = Some(answers.try_clone().unwrap()),
            "TEARDOWN" => *client = None,
            _ => {}
        }
    }
}
