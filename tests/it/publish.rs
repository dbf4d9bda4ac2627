//! Feeds that are published to, by HTTP.

use crate::rig::{
    SOON, Server, figure, have, holds_for, http,
    log::field,
    media, millis, mkv,
    publisher::{H264_AAC, LIVE, Publisher, VP8_OPUS},
    secs,
    state::{state, wait_for},
    ts, wait_until,
};
use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
    time::Instant,
};

const STUDIO: &str = "
    feeds: {studio: {publish: {key: s3cret}}}
    streams: {studio: {feed: studio}}
";
const TS: &[u8] = include_bytes!("../data/h264-aac.ts");

/// Waits until media of a feed comes.
fn wait_running(server: &Server, feed: &str) {
    wait_for(server, "feeds", feed, |feed| feed["state"] == "running");
}

#[test]
fn what_is_published_is_every_output_within_a_second() {
    if !have("ffmpeg") {
        return;
    }
    let server = Server::start(STUDIO);
    wait_for(&server, "feeds", "studio", |feed| feed["state"] == "waiting-publisher");
    let _publisher = Publisher::put(H264_AAC, "mpegts", &server.url("/studio?key=s3cret"));
    let feed = wait_for(&server, "feeds", "studio", |feed| feed["state"] == "running");
    assert_eq!(feed["kind"], "publish");
    assert_eq!(feed["publish"]["publisher"]["protocol"], "http");
    assert_eq!(feed["tracks"][0]["codec"], "h264");
    assert_eq!(feed["tracks"][0]["width"], 320);
    assert_eq!(server.log.count("worker started group=studio"), 0, "no encoder runs");
    for path in ["/studio.ts", "/studio.mp4", "/studio.flv", "/studio.mkv", "/studio.aac"] {
        let asked = Instant::now();
        let mut viewer = server.get(path);
        assert_eq!(viewer.status, 200, "{path}");
        let first = viewer.piece(SOON);
        figure(19, "published: first bytes of an output", asked.elapsed(), secs(1));
        let mut bytes = first;
        bytes.extend(viewer.collect(secs(2)));
        let bytes = match path {
            "/studio.ts" => ts::trim(&bytes),
            "/studio.mkv" => mkv::trim(&bytes).to_vec(),
            _ => media::whole(&bytes).to_vec(),
        };
        let frames = media::Frames::of(&bytes, false);
        assert!(frames.complaints.is_empty(), "{path}: {}", frames.complaints);
        if path != "/studio.aac" {
            assert!(frames.pictures.starts_with('I') && frames.pictures.len() > 25, "{path}: {}", frames.pictures);
        }
        assert!(frames.sounds > 40, "{path}: {} frames of audio", frames.sounds);
    }
    // A playlist needs the first segment.
    wait_until("a playlist", SOON, || server.get("/studio.m3u8").status == 200);
    let mut still = server.get("/studio/pic");
    assert_eq!((still.status, still.header("content-type")), (200, Some("image/jpeg")));
    media::picture(&still.rest(SOON));
}

#[test]
fn every_container_is_taken() {
    if !have("ffmpeg") {
        return;
    }
    let server = Server::start(STUDIO);
    for (codecs, format, expect) in [
        (H264_AAC, "flv", "h264"),
        (H264_AAC, "matroska", "h264"),
        (VP8_OPUS, "webm", "vp8"),
        (&["-vn", "-c:a", "aac"][..], "adts", "aac"),
        (&["-vn", "-c:a", "libmp3lame"][..], "mp3", "mp3"),
        (&["-vn", "-c:a", "libopus"][..], "ogg", "opus"),
        (&["-vn", "-c:a", "libvorbis"][..], "ogg", "vorbis"),
        (&["-c:v", "libtheora", "-g", "25", "-c:a", "flac"][..], "ogg", "theora"),
        (&["-an", "-c:v", "mjpeg"][..], "mpjpeg", "mjpeg"),
        (
            &[
                "-an",
                "-c:v",
                "libx264",
                "-preset",
                "ultrafast",
                "-tune",
                "zerolatency",
                "-g",
                "25",
                "-pix_fmt",
                "yuv420p",
            ][..],
            "h264",
            "h264",
        ),
    ] {
        let publisher = Publisher::put(codecs, format, &server.url("/studio?key=s3cret"));
        let feed = wait_for(&server, "feeds", "studio", |feed| feed["state"] == "running");
        assert_eq!(feed["tracks"][0]["codec"], expect, "{format}");
        let mut viewer = server.get("/studio.mkv");
        assert_eq!(viewer.status, 200, "{format}");
        let mut bytes = viewer.piece(SOON);
        bytes.extend(viewer.collect(secs(2)));
        let bytes = mkv::trim(&bytes);
        let frames = media::Frames::of(bytes, false);
        assert!(frames.complaints.is_empty(), "{format}: {}", frames.complaints);
        assert!(frames.pictures.len() + frames.sounds > 20, "{format}: {}", frames.pictures);
        publisher.kill();
        wait_for(&server, "feeds", "studio", |feed| feed["state"] == "waiting-publisher");
    }
    // Fragmented MP4 is written in pieces of a GOP.
    let arguments =
        [LIVE, H264_AAC, &["-f", "mp4", "-movflags", "frag_keyframe+empty_moov+default_base_moof", "-method", "PUT"]];
    let url = server.url("/studio?key=s3cret");
    let _publisher = Publisher::start(&[&arguments.concat(), &[&url]]);
    wait_running(&server, "studio");
}

#[test]
fn a_publisher_that_is_killed_frees_its_name_and_viewers_stay() {
    if !have("ffmpeg") {
        return;
    }
    let server = Server::start(STUDIO);
    let publisher = Publisher::put(H264_AAC, "mpegts", &server.url("/studio?key=s3cret"));
    wait_running(&server, "studio");
    let mut viewer = server.get("/studio.ts");
    let mut bytes = viewer.piece(SOON);
    publisher.kill();
    wait_for(&server, "feeds", "studio", |feed| feed["publish"]["publisher"].is_null());
    server.log.wait("publisher left feed=studio .*protocol=http .*reason=\"client left\"", SOON);
    let _again = Publisher::put(H264_AAC, "mpegts", &server.url("/studio?key=s3cret"));
    wait_running(&server, "studio");
    bytes.extend(viewer.collect(secs(3)));
    let bytes = ts::trim(&bytes);
    media::assert_decodes(&bytes);
    assert_eq!(ts::continuity(&bytes).0, [""; 0]);
    assert!(media::pictures(&bytes).0.len() > 40);
}

#[test]
fn a_second_publisher_is_refused_or_takes_over() {
    if !have("ffmpeg") {
        return;
    }
    let server = Server::start(
        "
        feeds:
          studio: {publish: {key: s3cret}}
          stage: {publish: {key: s3cret, second: replace}}
        streams: {studio: {feed: studio}, stage: {feed: stage}}
        ",
    );
    let _first = Publisher::put(H264_AAC, "mpegts", &server.url("/studio?key=s3cret"));
    wait_running(&server, "studio");
    let mut refused = http::request(server.address(), "PUT", "/studio?key=s3cret", "Content-Length: 100\r\n");
    assert_eq!(refused.status, 409);
    assert!(refused.text().contains("has a publisher already"), "{}", refused.text());
    let first = Publisher::put(H264_AAC, "mpegts", &server.url("/stage?key=s3cret"));
    wait_running(&server, "stage");
    let second = Publisher::put(H264_AAC, "flv", &server.url("/stage?key=s3cret"));
    server.log.wait("publisher left feed=stage .*reason=\"replaced by another publisher\"", SOON);
    assert!(!first.wait().0);
    wait_for(&server, "feeds", "stage", |feed| feed["publish"]["publishers_ever"] == 2 && feed["state"] == "running");
    drop(second);
    // The other feed has noticed nothing.
    assert_eq!(server.log.count("publisher left feed=studio"), 0);
}

#[test]
fn who_may_not_publish_is_told_why() {
    let server = Server::start(
        "
        feeds:
          studio: {publish: {key: s3cret}}
          stage: {publish: {}}
          booth: {publish: {key: s3cret, protocols: [rtmp]}}
        streams: {studio: {feed: studio}, stage: {feed: stage}, booth: {feed: booth}}
        ",
    );
    let put = |target: &str, headers: &str| {
        let headers = format!("Content-Length: 5\r\nExpect: 100-continue\r\n{headers}");
        let mut answer = http::request(server.address(), "PUT", target, &headers);
        (answer.status, answer.text())
    };
    let check = |target: &str, headers: &str, status, sentence: &str| {
        let (found, text) = put(target, headers);
        assert!(found == status && text.contains(sentence), "{target} {headers}: {found} {text}");
    };
    check("/studio", "", 401, "needs a key or a user");
    check("/studio?key=other-key", "", 401, "the credential is wrong");
    check("/studio", "Authorization: Basic YTpi\r\n", 401, "the credential is wrong");
    check("/stage", "", 401, "needs a key or a user");
    check("/booth?key=s3cret", "", 403, "not published to by http");
    check("/nowhere?key=s3cret", "", 404, "");
    assert!(!server.log.text().contains("s3cret") && !server.log.text().contains("other-key"), "{}", server.log.text());
    let metrics = server.get("/metrics").text();
    assert!(metrics.contains("voyandz_auth_failures_total{mechanism=\"publish-key\"} 2"), "{metrics}");
    assert!(metrics.contains("voyandz_publishers_refused_total{feed=\"booth\"} 1"), "{metrics}");
}

#[test]
fn what_is_no_media_is_refused_with_a_sentence() {
    let server = Server::start(STUDIO);
    let put = |body: &[u8], headers: &str| {
        let mut socket = TcpStream::connect(server.address()).unwrap();
        let length = body.len();
        let head = format!("PUT /studio?key=s3cret HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n{headers}\r\n");
        socket.write_all(head.as_bytes()).unwrap();
        let _ = socket.write_all(body);
        let mut text = String::new();
        let _ = socket.read_to_string(&mut text);
        text
    };
    let check = |body: &[u8], expect: &[&str]| {
        let text = put(body, "Connection: close\r\n");
        assert!(expect.iter().all(|part| text.contains(part)), "{text}");
    };
    check(b"some text that is no media at all", &["HTTP/1.1 415", "of no known format"]);
    check(b"OggS\0\x02 and so on", &["HTTP/1.1 415", "no whole frame"]);
    check(b"RIFF\x01\x02\x03\x04WAVE", &["HTTP/1.1 415", "wav cannot be published"]);
    check(b"", &["HTTP/1.1 415"]);
    check(b"FLV\x01\x05\0\0\0\x09\0\0\0\0", &["HTTP/1.1 415", "no whole frame"]);
    check(TS, &["HTTP/1.1 200", "published"]);
    let feed = wait_for(&server, "feeds", "studio", |feed| feed["publish"]["publisher"].is_null());
    assert_eq!(feed["publish"]["ended"]["done"], 1);
    assert_eq!(feed["publish"]["ended"]["not media"], 5);
}

#[test]
fn a_file_that_is_sent_at_once_plays_in_its_own_time() {
    if !have("curl") || !have("ffmpeg") {
        return;
    }
    let server = Server::start(STUDIO);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clip.ts");
    let inputs: Vec<&str> = LIVE.iter().copied().filter(|word| *word != "-re").collect();
    let arguments = [&inputs, H264_AAC, &["-t", "4", "-f", "mpegts"]].concat();
    assert_eq!(Publisher::start(&[&arguments, &[file.to_str().unwrap()]]).wait(), (true, String::new()));
    let length = fs::metadata(&file).unwrap().len();
    let began = Instant::now();
    let mut curl = Command::new("curl");
    let curl = curl.args(["-sS", "-w", "%{http_code}", "-T"]).arg(&file).arg(server.url("/studio?key=s3cret"));
    let output = curl.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("published ") && said.ends_with("200"), "{said}");
    assert!(began.elapsed() > secs(2), "{length} bytes in {:?}", began.elapsed());
}

#[test]
fn a_publisher_that_sends_nothing_is_disconnected() {
    let server = Server::start(
        "
        feeds: {studio: {publish: {key: s3cret, first_packet: 1, idle: 1}}}
        streams: {studio: {feed: studio}}
        ",
    );
    let send = |body: &[u8]| {
        let mut socket = TcpStream::connect(server.address()).unwrap();
        let head = "PUT /studio?key=s3cret HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n";
        socket.write_all(head.as_bytes()).unwrap();
        socket.write_all(body).unwrap();
        socket
    };
    for (body, reason) in [(&[][..], "no media: none came in time"), (TS, "no media: idle for too long")] {
        let mut socket = send(body);
        socket.set_read_timeout(Some(SOON)).unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).unwrap();
        assert!(text.starts_with("HTTP/1.1 409") && text.contains(reason), "{text}");
        server.log.wait(&format!("publisher left .*reason=\"{reason}\""), SOON);
    }
}

#[test]
fn a_stream_is_encoded_of_what_is_published() {
    if !have("ffmpeg") {
        return;
    }
    let server = Server::start(
        "
        feeds: {studio: {publish: {key: s3cret}}}
        streams:
          studio: {feed: studio}
          small.webm: {feed: studio, video: {codec: vp8, size: 160x120}}
          copy.ts: {feed: studio, command: cat}
        ",
    );
    let _publisher = Publisher::put(H264_AAC, "mpegts", &server.url("/studio?key=s3cret"));
    wait_running(&server, "studio");
    let mut viewer = server.get("/small.webm");
    let mut bytes = viewer.piece(SOON);
    bytes.extend(viewer.collect(secs(2)));
    let bytes = mkv::trim(&bytes);
    assert_eq!(media::heights(bytes), [120]);
    assert!(media::codecs(bytes).contains(&"vp8".to_owned()));
    let mut viewer = server.get("/copy.ts");
    assert!(!viewer.piece(SOON).is_empty());
}

#[test]
fn a_placeholder_is_shown_while_nobody_publishes() {
    if !have("ffmpeg") {
        return;
    }
    let server = Server::start(
        "
        feeds: {studio: {publish: {key: s3cret}}}
        streams: {studio: {feed: studio, placeholder: true}}
        ",
    );
    let mut viewer = server.get("/studio.ts");
    let mut bytes = viewer.piece(SOON);
    server.log.wait("placeholder on stream=studio reason=\"studio: waiting-publisher\"", SOON);
    let publisher = Publisher::put(H264_AAC, "mpegts", &server.url("/studio?key=s3cret"));
    server.log.wait("placeholder off stream=studio", SOON);
    bytes.extend(viewer.collect(secs(2)));
    publisher.kill();
    server.log.wait_nth("placeholder on stream=studio", 2, SOON);
    bytes.extend(viewer.collect(secs(1)));
    let heights = media::heights(&ts::trim(&bytes));
    // The second card has the size of what it stands for.
    assert_eq!(heights, [360, 240]);
}

#[test]
fn stills_of_what_the_usual_container_cannot_carry_are_taken_of_another_one() {
    if !have("ffmpeg") {
        return;
    }
    let server = Server::start(STUDIO);
    let _publisher = Publisher::put(&["-an", "-c:v", "mjpeg"], "mjpeg", &server.url("/studio?key=s3cret"));
    wait_running(&server, "studio");
    assert_eq!(server.get("/studio.ts").status, 406);
    for path in ["/studio/pic", "/studio/pic.png?w=160"] {
        assert_eq!(server.get(path).status, 200, "{path}");
    }
    let frame = server.get("/studio/frames").take(320 * 240, SOON);
    assert!(frame.len() >= 320 * 240);
}

#[test]
fn a_name_that_fits_a_pattern_becomes_a_feed_and_is_gone_again() {
    if !have("ffmpeg") {
        return;
    }
    let server = Server::start(
        "
        publish: {live/*: {key: s3cret, linger: 1, most: 1}}
        feeds: {cam: {pipeline: videotestsrc is-live=true}}
        streams: {cam.mjpeg: {feed: cam, video: {codec: mjpeg}}}
        ",
    );
    let mut other = server.get("/cam.mjpeg");
    other.piece(SOON);
    let refused = |target: &str| http::request(server.address(), "PUT", target, "Content-Length: 100\r\n").status;
    assert_eq!(refused("/live/anna?key=wrong-key"), 401);
    assert_eq!(refused("/live/a/b?key=s3cret"), 404);
    assert_eq!(state(&server)["feeds"].as_array().unwrap().len(), 1);
    let publisher = Publisher::put(H264_AAC, "mpegts", &server.url("/live/anna?key=s3cret"));
    wait_until("the feed is there", SOON, || state(&server)["feeds"][1]["state"] == "running");
    assert_eq!(state(&server)["feeds"][1]["name"], "live-anna");
    let mut viewer = server.get("/live/anna.ts");
    assert_eq!(viewer.status, 200);
    assert!(!viewer.piece(SOON).is_empty());
    assert_eq!(refused("/live/bob?key=s3cret"), 409);
    assert_eq!(refused("/live/anna?key=s3cret"), 409);
    // A change of the rest of the configuration disturbs nobody.
    server.reload(
        "
        publish: {live/*: {key: s3cret, linger: 1, most: 1}}
        feeds: {cam: {pipeline: videotestsrc is-live=true}}
        streams: {cam.mjpeg: {feed: cam, video: {codec: mjpeg}}, again.mjpeg: {feed: cam, video: {codec: mjpeg}}}
        ",
    );
    assert!(!viewer.collect(millis(500)).is_empty());
    publisher.kill();
    server.log.wait("feed created for a publisher removed: unused feed=live-anna", SOON);
    viewer.rest(SOON);
    wait_until("the feed is gone", SOON, || state(&server)["feeds"].as_array().unwrap().len() == 1);
    assert_eq!(server.get("/live/anna.ts").status, 404);
    assert!(!other.collect(millis(500)).is_empty(), "other viewers stay");
}

#[test]
fn every_protocol_finds_names_that_fit_a_pattern() {
    if !have("ffmpeg") {
        return;
    }
    let server = Server::start(
        "
        rtmp: {listen: 0}
        rtsp: {listen: 0}
        srt: {listen: '127.0.0.1:0'}
        publish:
          live/*: {key: s3cret, linger: 300, streams: {'{name}': {}, '{name}-small.mjpeg': {video: {codec: mjpeg, size: 160x120}}}}
          web/*: {key: s3cret, protocols: [http]}
        feeds: {live-cam: {pipeline: videotestsrc is-live=true}}
        ",
    );
    let at = |protocol: &str| {
        let line = server.log.wait(&format!("listening .*protocol={protocol}"), SOON);
        field(&line, "address").to_owned()
    };
    let rtmp = format!("rtmp://{}", at("rtmp"));
    let to = |format: &str, url: &str| Publisher::start(&[LIVE, H264_AAC, &["-f", format, url]]);
    let _rtmp = to("flv", &format!("{rtmp}/live/anna?key=s3cret"));
    let _rtsp = to("rtsp", &format!("rtsp://source:s3cret@{}/live/bob", at("rtsp")));
    let _srt = to("mpegts", &format!("srt://{}?streamid=publish:live/carl::s3cret", at("srt")));
    for (feed, protocol) in [("live-anna", "rtmp"), ("live-bob", "rtsp"), ("live-carl", "srt")] {
        wait_until(feed, SOON, || server.get(&format!("/{}.ts", feed.trim_start_matches("live-"))).status == 200);
        let feed = wait_for(&server, "feeds", feed, |feed| feed["state"] == "running");
        assert_eq!(feed["publish"]["publisher"]["protocol"], protocol);
    }
    let mut small = server.get("/anna-small.mjpeg");
    assert_eq!(small.status, 200);
    small.piece(SOON);
    // The name is refused by its protocol, its key, and where another feed has it.
    for (path, reason) in [
        ("web/anna?key=s3cret", "its `protocols` do not have it"),
        ("live/dora?key=wrong", "the credential is wrong"),
        ("live/cam?key=s3cret", "is configured already"),
        ("live/a.b?key=s3cret", "live/a.b"),
    ] {
        assert!(!to("flv", &format!("{rtmp}/{path}")).wait().0, "{path}");
        let name = path.split('?').next().unwrap();
        server.log.wait(&format!("publisher refused .*protocol=rtmp path={name} .*{reason}"), SOON);
    }
    let feeds = state(&server)["feeds"].as_array().unwrap().len();
    assert_eq!(feeds, 4, "nothing was made for those that were refused");
}

#[test]
fn another_key_ends_the_publisher_and_the_same_does_not() {
    if !have("ffmpeg") {
        return;
    }
    let server = Server::start(STUDIO);
    let publisher = Publisher::put(H264_AAC, "mpegts", &server.url("/studio?key=s3cret"));
    wait_running(&server, "studio");
    server.reload(&format!("{STUDIO}    memory_max: 4G\n"));
    assert!(holds_for(millis(500), || server.log.count("publisher left") == 0));
    server.reload(&STUDIO.replace("s3cret", "another"));
    server.log.wait("publisher left .*reason=\"the feed ends or has other settings\"", SOON);
    assert!(!publisher.wait().0);
    wait_for(&server, "feeds", "studio", |feed| feed["state"] == "waiting-publisher");
    let _publisher = Publisher::put(H264_AAC, "mpegts", &server.url("/studio?key=another"));
    wait_running(&server, "studio");
}
