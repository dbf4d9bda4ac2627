//! Feeds of `url:`: network cameras and other servers.

use crate::rig::{
    Launch, SOON, Server, have, media,
    rtsp::Camera,
    script::{H264, PICTURE, TONE, make_sample},
    secs, ts, wait_until,
};
use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, UdpSocket},
    process::{Child, Command, Stdio},
};

/// A server of one stream, passed on as it comes from an address.
fn fetching(url: &str) -> Server {
    Server::start(&format!("feeds: {{far: {{url: '{url}'}}}}\nstreams: {{near.ts: {{feed: far}}}}"))
}

/// What a viewer gets who comes when it runs. In the first two seconds times are drawn to those of the sender, whose first packets
/// came late.
fn watch(server: &Server) -> Vec<u8> {
    server.get("/near.ts").collect(secs(3));
    ts::trim(&server.get("/near.ts?header=1&keyframe=1").collect(secs(3)))
}

/// A port that nobody has just now.
fn free_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A sender that ends with the test.
struct Sender(Child);

impl Sender {
    fn start(to: &str) -> Self {
        let picture = ["-re", "-f", "lavfi", "-i", "testsrc=s=320x240:r=25", "-c:v", "libx264", "-g", "25"];
        let fast = ["-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-f", "mpegts", to];
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error"]).args(picture).args(fast);
        Self(command.stdin(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn f10_a_camera_is_passed_on() {
    if !have("ffmpeg") {
        return;
    }
    let launch = Launch::bare();
    let camera = Camera::start(launch.folder());
    let yaml = format!(
        "feeds: {{gate: {{url: '{}'}}}}\nstreams: {{gate.ts: {{feed: gate}}, gate.mjpeg: {{feed: gate, video: {{fps: 5}}}}}}",
        camera.url()
    );
    let server = launch.with(&yaml).start();
    let mut viewer = server.get("/gate.ts");
    viewer.piece(SOON);
    let bytes = ts::trim(&server.get("/gate.ts?header=1&keyframe=1").collect(secs(3)));
    assert_eq!(media::codecs(&bytes), ["h264"]);
    let (pictures, complaints) = media::pictures(&bytes);
    assert!(pictures.starts_with('I') && pictures.len() > 40 && complaints.is_empty(), "{pictures}: {complaints}");
    let still = server.get("/gate.mjpeg/pic");
    assert_eq!(still.status, 200);
    assert!(!server.log.text().contains("secret"), "{}", server.log.text());
}

#[test]
fn another_server_is_fetched_and_comes_back() {
    let far = format!(
        "feeds: {{cam: {{pipeline: '{PICTURE}  {TONE}'}}}}\nstreams: {{cam.ts: {{feed: cam, video: {H264}, audio: {{codec: aac}}}}}}"
    );
    let first = Server::start(&far);
    let address = first.address();
    let near = fetching(&first.url("/cam.ts?header=1&keyframe=1"));
    let bytes = watch(&near);
    assert_eq!(media::codecs(&bytes), ["aac", "h264"]);
    media::assert_decodes(&bytes);
    let mut viewer = near.get("/near.ts");
    viewer.piece(SOON);
    drop(first);
    near.log.wait("ended", SOON);
    let again = far.replace("feeds:", &format!("listenport: {}\nfeeds:", address.port()));
    let _second = Launch::exact(&again).start();
    near.log.wait("recovered", SOON);
    assert!(!viewer.collect(secs(2)).is_empty(), "the viewer is still there");
}

#[test]
fn what_has_a_length_is_played_in_real_time() {
    if !have("ffmpeg") {
        return;
    }
    let launch = Launch::bare();
    let path = launch.folder().join("film.ts");
    make_sample(&path, 20);
    let film = fs::read(path).unwrap();
    let size = film.len();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/film.ts", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        while let Ok((mut socket, _)) = listener.accept() {
            let _ = socket.read(&mut [0; 4096]);
            let _ =
                write!(socket, "HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nContent-Length: {}\r\n\r\n", film.len());
            let _ = socket.write_all(&film);
        }
    });
    let server = fetching(&url);
    let mut viewer = server.get("/near.ts");
    viewer.piece(SOON);
    let bytes = viewer.collect(secs(4));
    assert!(bytes.len() > size / 20 && bytes.len() < size / 2, "{} of {size} bytes in 4 of 20 seconds", bytes.len());
}

#[test]
fn packets_of_a_sender_are_taken() {
    if !have("ffmpeg") {
        return;
    }
    let url = format!("udp://127.0.0.1:{}", free_port());
    let server = fetching(&url);
    let _sender = Sender::start(&format!("{url}?pkt_size=1316"));
    let bytes = watch(&server);
    assert_eq!(media::codecs(&bytes), ["h264"]);
    media::assert_decodes(&bytes);
}

#[test]
fn srt_is_called_and_listened_to() {
    if !have("ffmpeg") {
        return;
    }
    let url = format!("srt://127.0.0.1:{}", free_port());
    let server = fetching(&format!("{url}?mode=listener"));
    let mut viewer = server.get("/near.ts");
    // Its sender may come before the source listens.
    let mut sender = None::<Sender>;
    wait_until("a sender stays", SOON, || {
        let gone = sender.as_mut().is_none_or(|sender| sender.0.try_wait().unwrap().is_some());
        if gone {
            sender = Some(Sender::start(&url));
        }
        server.log.text().contains("running")
    });
    viewer.piece(SOON);
    viewer.collect(secs(3));
    let bytes = ts::trim(&server.get("/near.ts?header=1&keyframe=1").collect(secs(3)));
    assert_eq!(media::codecs(&bytes), ["h264"]);
    media::assert_decodes(&bytes);
}
