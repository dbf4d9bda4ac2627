//! Configurations of the Python voyandz, unchanged: they load, and with what a test machine has instead of cards and
//! clips they run.

use crate::rig::{
    Answer, Launch, SOON, Server, have, holds_for, http, media, multipart, secs, server::run, wait_until,
};
use image::{DynamicImage, GenericImageView};
use regex::Regex;
use std::{
    fs, io,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    thread,
};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/original")
}

#[test]
fn original_configurations_are_good() {
    let mut files = 0;
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let output = run(&["check", "-f", path.to_str().unwrap()]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.contains("the configuration is good"), "{}: {text}", path.display());
        files += 1;
    }
    assert_eq!(files, 14);
}

/// What the cameras show.
const COLOURS: [(&str, [u8; 3]); 4] =
    [("blue", [0, 0, 255]), ("lime", [0, 255, 0]), ("red", [255, 0, 0]), ("white", [255, 255, 255])];

/// Two seconds of each camera, of the sound, and of the clip, which has both.
fn make_clips(folder: &Path) {
    let make = |arguments: &[&str], name: &str| {
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-f", "lavfi"]).args(arguments).arg(folder.join(name));
        assert!(command.status().unwrap().success());
    };
    for (at, (colour, _)) in COLOURS.iter().enumerate() {
        let picture = format!("color={colour}:s=320x240:r=25:d=2");
        make(&["-i", &picture, "-c:v", "mjpeg", "-q:v", "3"], &format!("video{at}.mkv"));
    }
    make(&["-i", "sine=r=48000:d=2"], "sound.wav");
    let sound = ["-f", "lavfi", "-i", "sine=r=48000:d=2", "-c:a", "pcm_s16le"];
    make(&[&["-i", "color=blue:s=320x240:r=25:d=2"], &sound[..], &["-c:v", "mjpeg"]].concat(), "door.mkv");
}

/// Hands connections to a port that is known before the server has one.
struct Relay(TcpListener);

impl Relay {
    fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    fn to(self, server: SocketAddr) {
        let pass = |mut from: TcpStream, mut to: TcpStream| {
            thread::spawn(move || {
                let _ = io::copy(&mut from, &mut to);
                let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
            });
        };
        thread::spawn(move || {
            for client in self.0.incoming().flatten() {
                let Ok(server) = TcpStream::connect(server) else { continue };
                pass(client.try_clone().unwrap(), server.try_clone().unwrap());
                pass(server, client);
            }
        });
    }
}

/// A server with one of the files, its devices and clips replaced by what is here.
fn original(name: &str) -> Server {
    let launch = Launch::bare();
    make_clips(launch.folder());
    let relay = Relay(TcpListener::bind("127.0.0.1:0").unwrap());
    let clip = |name: &str| launch.folder().join(name).display().to_string();
    let mut text = fs::read_to_string(folder().join(name)).unwrap();
    let replaced: [(&str, String); 7] = [
        (r"-f v4l2( -\S+ \S+)*? -i /dev/video(\d)", format!("-re -stream_loop -1 -i {}", clip("video$2.mkv"))),
        (r"-f alsa( -\S+ \S+)*? -i hw:1,0", format!("-re -stream_loop -1 -i {}", clip("sound.wav"))),
        (r"/srv/clips/door.mkv", clip("door.mkv")),
        (
            r"-c:v h264_nvenc -preset llhp -zerolatency 1 -delay 0 -rc cbr",
            "-c:v libx264 -preset ultrafast -tune zerolatency".to_owned(),
        ),
        (r"http://127.0.0.1:8090/", format!("http://127.0.0.1:{}/", relay.port())),
        (r"(?m)^listenport: 8090$", String::new()),
        (r"/var/log/voyandz", clip("log")),
    ];
    for (pattern, with) in replaced {
        text = Regex::new(pattern).unwrap().replace_all(&text, with).into_owned();
    }
    assert!(!text.contains("/dev/") && !text.contains("/srv/") && !text.contains("8090"), "{text}");
    let server = launch.with(&text).start();
    relay.to(server.address());
    server
}

/// Watches a stream for a while; what came decodes to these tracks.
fn watch(server: &Server, path: &str, mimetype: &str, codecs: &[&str]) -> Vec<u8> {
    let mut answer = opened(server, &format!("{path}?header=1&keyframe=1"), mimetype);
    // Some come in large pieces; the smallest needs some time for as much.
    let bytes = answer.take(12_000, SOON);
    let bytes = [bytes, answer.collect(secs(2))].concat();
    assert_eq!(media::codecs(&bytes), codecs, "{path}");
    bytes
}

fn opened(server: &Server, target: &str, mimetype: &str) -> Answer {
    let answer = server.get(target);
    assert_eq!((answer.status, answer.header("content-type")), (200, Some(mimetype)), "{target}");
    answer
}

fn shot(server: &Server, path: &str, mimetype: &str) -> DynamicImage {
    let mut answer = opened(server, path, mimetype);
    assert!(answer.header("content-length").is_some(), "{}", answer.head);
    media::picture(&answer.rest(SOON))
}

fn ffmpegs(server: &Server) -> usize {
    server.programs("ffmpeg ").len()
}

/// Nothing runs that nobody wants, and nobody had to be warned.
fn assert_quiet(server: &Server) {
    wait_until("all programs are gone", secs(8), || ffmpegs(server) == 0);
    let mut complaints = server.log.matching(" WARN| ERROR|stderr");
    // A configuration of old listens for all, and has no rules.
    complaints.retain(|line| !line.contains("anyone who reaches this address may watch"));
    assert!(complaints.is_empty(), "{complaints:#?}");
}

const TS: &str = "video/mp2t";

#[test]
fn minimal_serves_its_pages() {
    let server = original("minimal.yaml");
    assert!(server.get("/").text().contains("No streams are configured"));
    assert_eq!(server.get("/config").status, 404);
}

#[test]
fn camera_is_motion_jpeg_that_browsers_show() {
    if !have("ffmpeg") {
        return;
    }
    let server = original("camera.yaml");
    // The boundary of the file is ffmpeg's; the one of the answer is the one that is sent.
    let mimetype = "multipart/x-mixed-replace; boundary=voyandz";
    let mut answer = opened(&server, "/stream/camera", mimetype);
    let bytes = answer.take(30_000, SOON);
    let pictures = multipart::parts(mimetype, &bytes);
    assert!(pictures.len() > 3, "{}", pictures.len());
    media::assert_colour(&media::picture(pictures[0]), COLOURS[0].1);
    drop(answer);
    assert_quiet(&server);
}

#[test]
fn screenshots_share_the_camera() {
    if !have("ffmpeg") {
        return;
    }
    let server = original("screenshots.yaml");
    let mut viewer = server.get("/stream/cam0");
    viewer.piece(SOON);
    let picture = shot(&server, "/stream/cam0-jpg", "image/jpeg");
    media::assert_colour(&picture, COLOURS[0].1);
    let picture = shot(&server, "/shots/cam0.png", "image/png");
    assert_eq!(picture.dimensions(), (320, 240));
    watch(&server, "/stream/cam0", TS, &["h264"]);
    assert_eq!(server.programs("video0.mkv").len(), 1, "one has the camera open");
    drop(viewer);
    wait_until("the camera alone lingers", secs(5), || ffmpegs(&server) == 1);
}

#[test]
fn mosaic_is_made_of_four_streams_of_the_same_server() {
    if !have("ffmpeg") {
        return;
    }
    let server = original("mosaic.yaml");
    let bytes = watch(&server, "/stream/mosaic", TS, &["h264"]);
    let picture = media::first_picture(&bytes);
    assert_eq!(picture.dimensions(), (640, 480));
    for row in 0..4 {
        for column in 0..4 {
            let tile = picture.crop_imm(160 * column + 8, 120 * row + 8, 144, 104);
            media::assert_colour(&tile, COLOURS[(row + column) as usize % 4].1);
        }
    }
    wait_until("all are gone with the last viewer", secs(10), || ffmpegs(&server) == 0);
}

#[test]
fn audio_wav_has_an_encoder_for_each() {
    if !have("ffmpeg") {
        return;
    }
    exclusive_sound("audio-wav.yaml", "/stream/mic.wav", "audio/x-wav", "pcm_s16le", b"RIFF");
}

#[test]
fn audio_mp3_has_an_encoder_for_each() {
    if !have("ffmpeg") {
        return;
    }
    exclusive_sound("audio-mp3.yaml", "/stream/mic.mp3", "audio/mpeg", "mp3", b"ID3");
}

fn exclusive_sound(file: &str, path: &str, mimetype: &str, codec: &str, begin: &[u8]) {
    let server = original(file);
    let mut listeners: Vec<_> = (0..3).map(|_| opened(&server, path, mimetype)).collect();
    for listener in &mut listeners {
        let bytes = listener.take(30_000, SOON);
        assert!(bytes.starts_with(begin), "{}", bytes[..16].escape_ascii());
        assert_eq!(media::codecs(&bytes), [codec]);
    }
    assert_eq!(ffmpegs(&server), 4, "the microphone and three encoders");
    drop(listeners);
    assert_quiet(&server);
}

#[test]
fn uhd60_streams() {
    if !have("ffmpeg") {
        return;
    }
    let server = original("uhd60.yaml");
    media::assert_decodes(&watch(&server, "/stream/uhd60", TS, &["h264"]));
    assert_quiet(&server);
}

#[test]
fn url_may_have_parts_and_blanks() {
    if !have("ffmpeg") {
        return;
    }
    let server = original("url.yaml");
    let bytes = watch(&server, "/house/ground%20floor/front-door.ts", TS, &["aac", "h264"]);
    assert_eq!(media::first_picture(&bytes).dimensions(), (320, 240));
    let bytes = watch(&server, "/house/ground%20floor/front-door.small.ts", TS, &["h264"]);
    assert_eq!(media::first_picture(&bytes).dimensions(), (160, 120));
    watch(&server, "/stream/door", TS, &["aac", "h264"]);
    assert_quiet(&server);
}

#[test]
fn chain_passes_pictures_on() {
    if !have("ffmpeg") {
        return;
    }
    let server = original("chain.yaml");
    let grey = media::first_picture(&watch(&server, "/stream/grey", TS, &["h264"]));
    let boxed = media::first_picture(&watch(&server, "/stream/boxed", TS, &["h264"]));
    let raw = media::first_picture(&watch(&server, "/stream/raw", TS, &["h264"]));
    let top = |picture: &DynamicImage| picture.crop_imm(0, 2, 320, 36);
    media::assert_colour(&raw, COLOURS[0].1);
    media::assert_colour(&top(&raw), COLOURS[0].1);
    let [red, green, blue] = media::colour(&top(&boxed));
    assert!(red > 200.0 && green < 40.0 && blue < 40.0, "{red} {green} {blue}");
    let [red, green, blue] = media::colour(&top(&grey));
    assert!((red - green).abs() < 5.0 && (green - blue).abs() < 5.0, "{red} {green} {blue}");
    assert_quiet(&server);
}

#[test]
fn autostart_runs_from_the_start_on() {
    if !have("ffmpeg") {
        return;
    }
    let server = original("autostart.yaml");
    wait_until("both cameras run", SOON, || ffmpegs(&server) == 2);
    watch(&server, "/stream/cam", TS, &["h264"]);
    watch(&server, "/stream/cam2", TS, &["h264"]);
    wait_until("the cameras are left", secs(8), || ffmpegs(&server) == 2);
}

#[test]
fn timeout_keeps_the_camera_for_the_next_picture() {
    if !have("ffmpeg") {
        return;
    }
    let server = original("timeout.yaml");
    media::assert_colour(&shot(&server, "/stream/cam-shot", "image/jpeg"), COLOURS[0].1);
    let camera = || server.programs("video0.mkv").first().map(|process| process.pid);
    let first = camera().unwrap();
    assert!(holds_for(secs(1), || camera() == Some(first)));
    shot(&server, "/stream/cam-shot", "image/jpeg");
    assert!(holds_for(secs(2), || camera() == Some(first)), "it counts from the last use");
    wait_until("it is gone after 2.5 s", secs(3), || camera().is_none());
    media::assert_colour(&shot(&server, "/stream/cam2-shot", "image/png"), COLOURS[1].1);
    assert_eq!(server.programs("video1.mkv").len(), 1);
}

#[test]
fn feedless_streams_have_what_they_need() {
    if !have("ffmpeg") {
        return;
    }
    let server = original("feedless.yaml");
    media::assert_colour(&shot(&server, "/stream/clip-shot", "image/jpeg"), COLOURS[0].1);
    media::assert_decodes(&watch(&server, "/stream/clip", "video/webm", &["vp8"]));
    assert_quiet(&server);
}

#[test]
fn logdir_keeps_what_programs_say_and_pages_are_as_told() {
    if !have("ffmpeg") {
        return;
    }
    let server = original("logdir.yaml");
    let config: serde_json::Value = serde_json::from_str(&server.get("/config").text()).unwrap();
    let log = PathBuf::from(config["logdir"].as_str().unwrap());
    assert_eq!(config["streams"]["cam"]["mimetype"], TS);
    assert_eq!(server.get("/").status, 404);
    watch(&server, "/stream/cam", TS, &["h264"]);
    for file in ["feed-cam.log", "stream-cam.log"] {
        let text = fs::read_to_string(log.join(file)).unwrap();
        assert!(text.contains("libav"), "{file}: {text}");
    }
}

#[test]
fn address_is_where_it_listens() {
    if !have("ffmpeg") {
        return;
    }
    let server = original("address.yaml");
    assert!(server.address().ip().is_unspecified(), "{}", server.address());
    watch(&server, "/stream/cam", TS, &["h264"]);
    assert_quiet(&server);
}

#[test]
fn a5_config_page_is_there_when_asked_for_and_has_no_secrets() {
    let yaml = "
        feeds:
          cam:
            command: [curl, --password, geheim, 'rtsp://me:geheim@127.0.0.1/']
            mode: 2.5
        streams:
          cam.ts: {feed: cam}
          cam.jpg: {type: shot, feed: cam, command: 'cat {input1} token=geheim'}
        ";
    let server = Server::start(yaml);
    assert_eq!(server.get("/config").status, 404, "it is off by default");
    let server = Server::start(&format!("{yaml}pages: {{config: true}}\n"));
    let mut answer = server.get("/config");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let text = answer.text();
    assert!(!text.contains("geheim"), "{text}");
    let config: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        config["pages"],
        serde_json::json!({"home": true, "stat": true, "stat_json": true, "config": true, "metrics": true, "events": true, "clients": false})
    );
    assert_eq!(config["feeds"]["cam"]["mode"], 2.5);
    assert_eq!(config["feeds"]["cam"]["command"][2], "***");
    assert_eq!(config["streams"]["cam.jpg"]["type"], "shot");
    assert_eq!(config["streams"]["cam.ts"]["url"], "/cam.ts");
    assert_eq!(http::request(server.address(), "HEAD", "/config", "").status, 200);
    assert_eq!(http::request(server.address(), "POST", "/config", "").status, 405);
}
