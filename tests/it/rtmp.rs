//! RTMP: encoders publish, players play.

use crate::rig::{
    SOON, Server, figure, have, holds_for, media, millis, mkv,
    publisher::{H264_AAC, LIVE, Publisher},
    secs,
    state::{state, wait_for},
    ts, wait_until,
};
use regex::Regex;
use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    process::{Command, Stdio},
    time::Instant,
};
use voyandz::{
    link::rtmp::wire::{
        chunk::{self, ChunkReader, Message},
        command::{self, STREAM},
        kind,
    },
    media::flv::amf::Value,
};

const STUDIO: &str = "
    rtmp: {listen: 0}
    feeds: {studio: {publish: {key: s3cret}}, stage: {publish: {key: s3cret}}}
    streams: {studio: {feed: studio}, stage: {feed: stage}}
";

/// Where a server listens for RTMP.
fn address(server: &Server) -> SocketAddr {
    let line = server.log.wait("listening .*protocol=rtmp", SOON);
    crate::rig::log::field(&line, "address").parse().unwrap()
}

fn url(server: &Server, path: &str) -> String {
    format!("rtmp://{}/{path}", address(server))
}

/// Publishes a live picture and tone to this address.
fn publish(url: &str) -> Publisher {
    Publisher::start(&[LIVE, H264_AAC, &["-f", "flv", url]])
}

fn wait_running(server: &Server, feed: &str) {
    wait_for(server, "feeds", feed, |feed| feed["state"] == "running");
}

#[test]
fn what_an_encoder_publishes_is_every_output() {
    if !have("ffmpeg") {
        return;
    }
    let server = Server::start(STUDIO);
    let _publisher = publish(&url(&server, "live/studio?key=s3cret"));
    let _other = publish(&url(&server, "stage?key=s3cret"));
    for feed in ["studio", "stage"] {
        wait_running(&server, feed);
    }
    let feed = wait_for(&server, "feeds", "studio", |feed| feed["publish"]["publisher"]["samples"].as_u64() > Some(0));
    assert_eq!(feed["publish"]["publisher"]["protocol"], "rtmp");
    server.log.wait("publisher joined feed=studio peer=.* protocol=rtmp .*tracks=\"H.264, AAC\"", SOON);
    for path in ["/studio.ts", "/studio.mkv", "/stage.mp4"] {
        let mut viewer = server.get(path);
        let mut bytes = viewer.piece(SOON);
        figure(19, "published by RTMP: first bytes of an output", viewer.at.elapsed(), secs(1));
        bytes.extend(viewer.collect(secs(2)));
        let bytes = match path {
            "/studio.ts" => ts::trim(&bytes),
            "/studio.mkv" => mkv::trim(&bytes).to_vec(),
            _ => media::whole(&bytes).to_vec(),
        };
        let frames = media::Frames::of(&bytes, false);
        assert!(frames.complaints.is_empty(), "{path}: {}", frames.complaints);
        assert!(frames.pictures.starts_with('I') && frames.pictures.len() > 25, "{path}: {}", frames.pictures);
        assert!(frames.sounds > 40, "{path}: {}", frames.sounds);
    }
    assert_eq!(server.get("/studio/pic").status, 200);
    wait_until("a playlist", SOON, || server.get("/studio.m3u8").status == 200);
}

#[test]
fn every_frame_arrives_as_it_was_whatever_the_time() {
    if !have("ffmpeg") {
        return;
    }
    let server = Server::start(STUDIO);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clip.mkv");
    let file = file.to_str().unwrap();
    let inputs: Vec<&str> = LIVE.iter().copied().filter(|word| *word != "-re").collect();
    let codecs = ["-c:v", "libx264", "-bf", "2", "-g", "25", "-pix_fmt", "yuv420p", "-c:a", "aac", "-t", "4"];
    assert_eq!(Publisher::start(&[&inputs, &codecs, &[file]]).wait(), (true, String::new()));
    let sent = media::checksums(&std::fs::read(file).unwrap());
    // Behind the time that fits into three bytes, each chunk has it at length.
    for offset in ["0", "16770"] {
        let mut viewer = server.get("/studio.mkv");
        let target = url(&server, "live/studio?key=s3cret");
        let _publisher =
            Publisher::start(&[&["-re", "-i", file, "-c", "copy", "-output_ts_offset", offset, "-f", "flv", &target]]);
        let mut bytes = viewer.piece(SOON);
        bytes.extend(viewer.collect(secs(3)));
        // The next one finds nothing of this time: the output ends with its last viewer.
        drop(viewer);
        let got = media::checksums(mkv::trim(&bytes));
        for (track, expect) in &sent {
            let got = &got[track];
            let differs = got.iter().zip(expect).position(|(got, expect)| got != expect);
            let found = differs.map(|at| expect.iter().position(|expect| *expect == got[at]));
            assert!(
                got.len() > 50 && got.len() <= expect.len() && differs.is_none(),
                "{offset}, track {track}: {} of {}, frame {differs:?} is {found:?}",
                got.len(),
                expect.len()
            );
        }
        wait_for(&server, "feeds", "studio", |feed| feed["state"] == "waiting-publisher");
    }
}

#[test]
fn a_player_gets_what_is_published_from_a_keyframe_on() {
    if !have("ffmpeg") {
        return;
    }
    let server = Server::start(STUDIO);
    let _publisher = publish(&url(&server, "live/studio?key=s3cret"));
    wait_running(&server, "studio");
    for path in ["live/studio", "studio"] {
        let mut player = Command::new("ffmpeg");
        player.args(["-v", "error", "-i", &url(&server, path), "-t", "2", "-c", "copy", "-f", "matroska", "-"]);
        let output = player.stdin(Stdio::null()).output().unwrap();
        let frames = media::Frames::of(&output.stdout, false);
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && frames.complaints.is_empty(), "{path}: {complaints} {}", frames.complaints);
        assert_eq!(frames.codecs, ["aac", "h264"]);
        assert!(frames.pictures.starts_with('I') && frames.pictures.len() > 25, "{path}: {}", frames.pictures);
    }
    server.log.wait("viewer left stream=studio peer=.* protocol=rtmp .*bytes=[1-9]", SOON);
    let stream = wait_for(&server, "streams", "studio", |stream| stream["readers"] == 0);
    assert_eq!(stream["readers_ever"], 2);
}

/// A client that does what the test says.
struct Raw {
    socket: TcpStream,
    reader: ChunkReader,
    messages: Vec<Message>,
}

impl Raw {
    /// Plays or publishes a stream.
    fn open(address: SocketAddr, order: &str, stream: &str) -> Self {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        socket.write_all(&[&[3][..], &[0; 1536]].concat()).unwrap();
        let mut answer = [0; 1 + 2 * 1536];
        socket.read_exact(&mut answer).unwrap();
        socket.write_all(&answer[1..=1536]).unwrap();
        let mut raw = Self { socket, reader: ChunkReader::default(), messages: Vec::new() };
        raw.send(&command::message("connect", 1.0, &[command::object(&[("app", "live")])], 0));
        raw.send(&command::message("createStream", 2.0, &[Value::Null], 0));
        raw.send(&command::message(order, 3.0, &[Value::Null, Value::String(stream.to_owned())], STREAM));
        raw
    }

    fn send(&mut self, message: &Message) {
        let mut bytes = Vec::new();
        chunk::write(message, 128, &mut bytes);
        self.socket.write_all(&bytes).unwrap();
    }

    /// Waits for such a message; false when the connection ends before.
    fn wait(&mut self, is_it: impl Fn(&Message) -> bool) -> bool {
        let mut buffer = [0; 16 << 10];
        loop {
            if self.messages.drain(..).any(|message| is_it(&message)) {
                return true;
            }
            match self.socket.read(&mut buffer).unwrap_or(0) {
                0 => return false,
                length => self.reader.push(&buffer[..length], &mut self.messages).unwrap(),
            }
        }
    }

    fn wait_video(&mut self) -> bool {
        self.wait(|message| message.kind == kind::VIDEO)
    }
}

const PIPELINE: &str = "
    rtmp: {listen: 0}
    feeds: {cam: {pipeline: 'videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=25/1'}}
    streams: {cam: {feed: cam, video: {codec: h264, gop: 25}}}
";

#[test]
fn what_a_player_sends_is_answered_between_two_messages() {
    let server = Server::start(PIPELINE);
    let mut player = Raw::open(address(&server), "play", "cam");
    assert!(player.wait_video());
    for time in 1..=50 {
        player.send(&command::user_control(6, time));
        assert!(player.wait(|message| *message == command::user_control(7, time)), "{time}");
        assert!(player.wait_video());
    }
    // It ends by itself, and says so.
    player.send(&command::message("deleteStream", 4.0, &[Value::Null, Value::Number(STREAM.into())], 0));
    assert!(!player.wait(|_| false));
    server.log.wait("viewer left .*protocol=rtmp .*reason=\"client left\"", SOON);
    // What is no RTMP ends the connection, and no other.
    let (mut bad, mut good) = (Raw::open(address(&server), "play", "cam"), Raw::open(address(&server), "play", "cam"));
    assert!(bad.wait_video() && good.wait_video());
    bad.socket.write_all(&[0xff; 2000]).unwrap();
    server.log.wait("viewer left .*protocol=rtmp .*reason=\"protocol error\"", SOON);
    assert!(good.wait_video());
    // Nobody waits for one that sends more than a player has to say.
    let mut busy = Raw::open(address(&server), "play", "cam");
    assert!(busy.wait_video());
    let mut many = Vec::new();
    (0..20_000).for_each(|_| chunk::write(&command::control(kind::WINDOW, 5_000_000), 128, &mut many));
    let _ = busy.socket.write_all(&many);
    server.log.wait("viewer left .*protocol=rtmp .*reason=\"client sends too much\"", SOON);
    assert!(good.wait_video());
    // The end of the server is the end of the stream.
    server.terminate();
    let is_eof = |message: &Message| *message == command::user_control(1, STREAM);
    assert!(good.wait(is_eof));
}

#[test]
fn a_player_that_takes_nothing_is_sent_away() {
    let server = Server::start(&PIPELINE.replace("width=320,height=240", "width=1280,height=720"));
    let (stalled, mut other) = (Raw::open(address(&server), "play", "cam"), Raw::open(address(&server), "play", "cam"));
    let left = Regex::new("viewer left .*protocol=rtmp .*reason=\"no progress for 10 s\"").unwrap();
    let until = Instant::now() + secs(60);
    while !server.log.text().lines().any(|line| left.is_match(line)) {
        assert!(Instant::now() < until, "it is still there");
        assert!(other.wait_video(), "the other one gets everything");
    }
    wait_for(&server, "streams", "cam", |stream| stream["dropped_readers"] == 1);
    drop(stalled);
}

#[test]
fn encryption_is_for_publishers_and_players() {
    if !have("ffmpeg") {
        return;
    }
    let server = Server::start(&format!("{STUDIO}    tls: {{own: authority, names: localhost, plain: none}}\n"));
    let encrypted = |path: &str| url(&server, path).replace("rtmp://", "rtmps://");
    let _publisher = publish(&encrypted("live/studio?key=s3cret"));
    server.log.wait("publisher joined feed=studio", SOON);
    let mut player = Command::new("ffmpeg");
    player.args(["-v", "error", "-i", &encrypted("live/studio"), "-t", "2", "-c", "copy", "-f", "matroska", "-"]);
    let output = player.stdin(Stdio::null()).output().unwrap();
    let frames = media::Frames::of(&output.stdout, false);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && frames.complaints.is_empty(), "{complaints} {}", frames.complaints);
    assert!(frames.pictures.starts_with('I') && frames.pictures.len() > 25, "{}", frames.pictures);
    server.log.wait("viewer left stream=studio peer=.* protocol=rtmp .*bytes=[1-9]", SOON);
    // Without encryption nobody gets in.
    let mut plain = TcpStream::connect(address(&server)).unwrap();
    plain.set_read_timeout(Some(SOON)).unwrap();
    let _ = plain.write_all(&[&[3][..], &[0; 1536]].concat());
    assert_eq!(plain.read(&mut [0; 16]).unwrap_or(0), 0);
}

#[test]
fn a_stream_of_a_pipeline_is_played_too() {
    if !have("ffmpeg") {
        return;
    }
    let server = Server::start(
        "
        rtmp: {listen: 0}
        feeds: {cam: {pipeline: 'videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=25/1'}}
        streams:
          cam.ts: {feed: cam, video: {codec: h264, gop: 25}}
          vp8.webm: {feed: cam, video: {codec: vp8}}
        ",
    );
    let play = |path: &str| {
        let mut player = Command::new("ffmpeg");
        player.args(["-v", "error", "-i", &url(&server, path), "-t", "1", "-c", "copy", "-f", "matroska", "-"]);
        player.stdin(Stdio::null()).output().unwrap()
    };
    let frames = media::Frames::of(&play("live/cam").stdout, false);
    assert!(frames.pictures.len() > 10 && frames.complaints.is_empty(), "{} {}", frames.pictures, frames.complaints);
    for (path, reason) in
        [("live/vp8", "it has VP8, which this player does not know"), ("live/none", "no stream `live/none`")]
    {
        assert!(!play(path).status.success());
        server.log.wait(&format!("viewer refused .*path={path} reason=\"{reason}"), SOON);
    }
}

#[test]
fn who_may_not_publish_gets_a_status_with_the_reason() {
    if !have("ffmpeg") {
        return;
    }
    let server = Server::start(STUDIO);
    let refused = |path: &str| {
        let (succeeded, complaints) = publish(&url(&server, path)).wait();
        assert!(!succeeded, "{path}: {complaints}");
        complaints
    };
    assert!(refused("live/studio?key=wrong-key").contains("the credential is wrong"));
    assert!(refused("live/studio").contains("needs a key or a user"));
    assert!(refused("live/nowhere?key=s3cret").contains("no feed `live/nowhere` is published to"));
    let _first = publish(&url(&server, "live/studio?key=s3cret"));
    wait_running(&server, "studio");
    assert!(refused("live/studio?key=s3cret").contains("has a publisher already"));
    assert_eq!(server.log.count("publisher refused .*protocol=rtmp"), 4);
    assert!(!server.log.text().contains("s3cret") && !server.log.text().contains("wrong-key"));
}

/// Three frames of AAC, behind their configuration.
fn some_audio() -> Vec<Message> {
    let audio = |time, body: &[u8]| Message { stream: STREAM, kind: kind::AUDIO, time, payload: body.to_vec().into() };
    let frames = (0..3).map(|frame| audio(frame * 23, &[0xaf, 1, 0x21, 0x10, 0x04, 0x60, 0x8c, 0x1c]));
    [audio(0, &[0xaf, 0, 0x12, 0x10])].into_iter().chain(frames).collect()
}

/// Some encoders do not await the answer to `publish`: what they send meanwhile counts, if they may.
#[test]
fn what_comes_with_the_request_to_publish_is_not_lost() {
    let server = Server::start(STUDIO);
    for (name, line) in [
        ("studio?key=s3cret", "publisher left feed=studio .*samples=3 .*reason=\"client left\""),
        ("stage?key=wr0ng0", "publisher refused .*reason=\"the credential is wrong\""),
    ] {
        let mut raw = Raw::open(address(&server), "releaseStream", name);
        let publish = command::message("publish", 4.0, &[Value::Null, Value::String(name.to_owned())], STREAM);
        let mut bytes = Vec::new();
        [vec![publish], some_audio()].concat().iter().for_each(|message| chunk::write(message, 128, &mut bytes));
        raw.socket.write_all(&bytes).unwrap();
        raw.socket.shutdown(Shutdown::Write).unwrap();
        assert!(!raw.wait(|_| false));
        server.log.wait(line, SOON);
    }
    assert_eq!(state(&server)["feeds"][1]["publish"]["bytes"], 0);
}

/// Nothing says whether there will be video, so that audio waits for it; a short publication is not lost for that.
#[test]
fn what_waits_for_another_track_is_there_when_the_publisher_leaves() {
    let server = Server::start(STUDIO);
    let mut raw = Raw::open(address(&server), "publish", "studio?key=s3cret");
    let started = |message: &Message| message.payload.windows(21).any(|text| text == b"NetStream.Publish.Sta");
    assert!(raw.wait(started));
    some_audio().iter().for_each(|message| raw.send(message));
    // A connection that is closed with something unread would take what is on its way with it.
    raw.socket.shutdown(Shutdown::Write).unwrap();
    assert!(!raw.wait(|_| false));
    server.log.wait("publisher left feed=studio .*samples=3 .*reason=\"client left\"", SOON);
}

#[test]
fn a_publisher_that_is_killed_frees_its_name_and_viewers_stay() {
    if !have("ffmpeg") {
        return;
    }
    let server = Server::start(STUDIO);
    let target = url(&server, "live/studio?key=s3cret");
    let publisher = publish(&target);
    wait_running(&server, "studio");
    let mut viewer = server.get("/studio.ts");
    let mut bytes = viewer.piece(SOON);
    publisher.kill();
    let killed = Instant::now();
    wait_for(&server, "feeds", "studio", |feed| feed["publish"]["publisher"].is_null());
    figure(19, "RTMP: a killed publisher frees its name", killed.elapsed(), secs(10));
    let _again = publish(&target);
    wait_running(&server, "studio");
    bytes.extend(viewer.collect(secs(3)));
    let bytes = ts::trim(&bytes);
    media::assert_decodes(&bytes);
    assert_eq!(ts::continuity(&bytes).0, [""; 0]);
    assert!(media::pictures(&bytes).0.len() > 40);
}

#[test]
fn clients_that_speak_something_else_cost_a_connection_only() {
    let server = Server::start(STUDIO);
    let address = address(&server);
    let send = |pieces: &[&[u8]]| {
        let mut socket = TcpStream::connect(address).unwrap();
        pieces.iter().for_each(|piece| drop(socket.write_all(piece)));
        socket
    };
    let is_closed = |mut socket: TcpStream| {
        socket.set_read_timeout(Some(SOON)).unwrap();
        let mut rest = Vec::new();
        match socket.read_to_end(&mut rest) {
            Ok(_) => true,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        }
    };
    let hello = [&[3][..], &[0; 1536]].concat();
    assert!(is_closed(send(&[b"GET / HTTP/1.1\r\n\r\n"])));
    assert!(is_closed(send(&[&hello, &[0; 1536], &[0xff; 2000]])));
    // A message of 16 MB is announced; and half a handshake, of which nobody hears again.
    assert!(is_closed(send(&[&hello, &[0; 1536], b"\x03\0\0\0\xff\xff\xff\x14\0\0\0\0"])));
    let half = send(&[&hello[..700]]);
    if have("ffmpeg") {
        let _publisher = publish(&url(&server, "live/studio?key=s3cret"));
        wait_running(&server, "studio");
        assert!(holds_for(millis(300), || state(&server)["feeds"][0]["state"] == "running"));
    }
    assert!(is_closed(half));
}
